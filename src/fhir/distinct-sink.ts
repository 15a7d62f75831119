import type { SearchValueSink } from './search-values.ts';

/** A sink that passes each row of one resource on once. Reused: `start` begins the next resource. */
export type DistinctSink = SearchValueSink & { start(target: SearchValueSink): void };

// Few rows are compared one by one, which is faster than any set; many (a questionnaire, a large bundle) use one.
const FEW = 48;

export function distinctSink(): DistinctSink {
  let target: SearchValueSink;
  const params: number[] = [];
  const first: (string | number)[] = [];
  const second: (string | number)[] = [];
  let count = 0;
  const many = new Set<string>();

  function isNew(param: number, a: string | number, b: string | number): boolean {
    if (count < FEW) {
      for (let i = count - 1; i >= 0; i--) {
        if (params[i] === param && first[i] === a && second[i] === b) return false;
      }
      params[count] = param;
      first[count] = a;
      second[count] = b;
      count++;
      return true;
    }
    if (many.size === 0) for (let i = 0; i < FEW; i++) many.add(keyOf(params[i], first[i], second[i]));
    const key = keyOf(param, a, b);
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
    token(param, system, code) {
      if (isNew(param, system, code)) target.token(param, system, code);
    },
    reference(param, value) {
      if (isNew(param, value, '')) target.reference(param, value);
    },
    date(param, low, high) {
      if (isNew(param, low, high)) target.date(param, low, high);
    },
    string(param, exact) {
      if (isNew(param, exact, '')) target.string(param, exact);
    },
    quantity(param, low, high, system, code, unit) {
      if (isNew(param, `${low} ${high}`, `${system}|${code}|${unit}`)) {
        target.quantity(param, low, high, system, code, unit);
      }
    },
    uri(param, value) {
      if (isNew(param, value, '')) target.uri(param, value);
    },
  };
}

function keyOf(param: number | undefined, a: string | number | undefined, b: string | number | undefined): string {
  return `${param}\u0000${a}\u0000${b}`;
}
