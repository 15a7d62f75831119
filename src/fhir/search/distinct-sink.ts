import type { SearchValueSink } from './values.ts';

/** A sink that passes each row of one resource on once. Reused: `start` begins the next resource. */
export type DistinctSink = SearchValueSink & { start(target: SearchValueSink): void };

// Few rows are compared one by one, which is faster than any set; many (a questionnaire, a large bundle) use one.
const FEW = 48;

export function distinctSink(): DistinctSink {
  let target: SearchValueSink;
  const params: number[] = [];
  const elements: number[] = [];
  const first: (string | number)[] = [];
  const second: (string | number)[] = [];
  const third: string[] = [];
  let count = 0;
  const many = new Set<string>();

  function isNew(param: number, element: number, a: string | number, b: string | number, c: string): boolean {
    if (count < FEW) {
      for (let i = count - 1; i >= 0; i--) {
        if (params[i] === param && first[i] === a && second[i] === b && elements[i] === element && third[i] === c) {
          return false;
        }
      }
      params[count] = param;
      elements[count] = element;
      first[count] = a;
      second[count] = b;
      third[count] = c;
      count++;
      return true;
    }
    if (many.size === 0) {
      for (let i = 0; i < FEW; i++) many.add(keyOf(params[i], elements[i], first[i], second[i], third[i]));
    }
    const key = keyOf(param, element, a, b, c);
    if (many.has(key)) return false;
    many.add(key);
    return true;
  }

  return {
    start(next) {
      target = next;
      count = 0;
      if (many.size > 0) many.clear();
    },
    token(param, system, code, element, text) {
      if (isNew(param, element, system, code, text)) target.token(param, system, code, element, text);
    },
    reference(param, value, element) {
      if (isNew(param, element, value, '', '')) target.reference(param, value, element);
    },
    date(param, low, high, element) {
      if (isNew(param, element, low, high, '')) target.date(param, low, high, element);
    },
    string(param, exact, element) {
      if (isNew(param, element, exact, '', '')) target.string(param, exact, element);
    },
    quantity(param, low, high, system, code, unit, element) {
      if (isNew(param, element, low, high, `${system}|${code}|${unit}`)) {
        target.quantity(param, low, high, system, code, unit, element);
      }
    },
    uri(param, value, element) {
      if (isNew(param, element, value, '', '')) target.uri(param, value, element);
    },
  };
}

function keyOf(...parts: readonly (string | number | undefined)[]): string {
  return parts.join('\u0000');
}
