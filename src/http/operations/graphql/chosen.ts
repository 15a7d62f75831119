/** Which parts of a list an argument `fhirpath` or `name: value` chooses, and the texts that slice a list. */
import { evalFhirPathTyped, FhirPathAtom, type TypedValue, toTypedValue } from '@medplum/core';
import { Failure, issue } from '../../../fhir/failure.ts';
import { PathError, parsePath } from '../../../fhir/patch/patch-path.ts';

/** Evaluations of one query. */
const MAX_EVALUATED = 20_000;

/** FHIRPath over parts of resources, within a budget. Expressions may not leave the part they are asked about. */
export class PartChooser {
  readonly #parsed = new Map<string, FhirPathAtom>();
  #evaluated = 0;

  /** @throws Failure `invalid` for what is no FHIRPath, or cannot be answered here */
  where<T>(items: readonly T[], expression: string): T[] {
    return items.filter((item, index) => {
      const [first, ...others] = this.#evaluate(item, index, expression);
      if (first === undefined) return false;
      return others.length > 0 || first.type !== 'boolean' || first.value === true;
    });
  }

  /** The result for one part as text; '' for none. @throws Failure `invalid` */
  text(item: unknown, index: number, expression: string): string {
    if (expression === '$index') return String(index);
    return this.#evaluate(item, index, expression)
      .map(({ value }) => (typeof value === 'object' ? JSON.stringify(value) : String(value)))
      .join(',');
  }

  #evaluate(item: unknown, index: number, expression: string): TypedValue[] {
    if (++this.#evaluated > MAX_EVALUATED) {
      throw new Failure('invalid', issue('too-costly', `FHIRPath is asked about more than ${MAX_EVALUATED} parts`));
    }
    const atom = this.#parse(expression);
    const variables = { $index: { type: 'integer', value: index } };
    try {
      return evalFhirPathTyped(atom, [toTypedValue(item)], variables);
    } catch (cause) {
      throw new Failure('invalid', issue('value', 'The FHIRPath cannot be answered'), { cause });
    }
  }

  #parse(expression: string): FhirPathAtom {
    let atom = this.#parsed.get(expression);
    if (atom === undefined) {
      try {
        atom = new FhirPathAtom(expression, parsePath(expression));
      } catch (error) {
        if (!(error instanceof PathError)) throw error;
        throw new Failure('invalid', issue('value', `The FHIRPath ${error.message}`));
      }
      this.#parsed.set(expression, atom);
    }
    return atom;
  }
}

type Node = Readonly<Record<string, unknown>>;

/** What is left of a part, or of a list of parts, when all arguments have chosen. */
export function chosen(value: unknown, { _count, _offset, fhirpath, ...wanted }: Node, chooser: PartChooser): unknown {
  if (value === undefined || value === null) return value;
  const isList = Array.isArray(value);
  let items: readonly Node[] = isList ? value : [value];
  for (const [name, text] of Object.entries(wanted)) {
    if (text != null) items = items.filter((item) => isWritten(item?.[name], String(text)));
  }
  if (fhirpath != null) items = chooser.where(items, String(fhirpath));
  if (!isList) return items[0];
  const from = countOf(_offset, '_offset') ?? 0;
  const count = countOf(_count, '_count');
  return items.slice(from, count === undefined ? undefined : from + count);
}

/** The value itself, or one of its values, is written so. */
function isWritten(value: unknown, wanted: string): boolean {
  if (Array.isArray(value)) return value.some((each) => isWritten(each, wanted));
  if (typeof value === 'number') return wanted.trim() !== '' && Number(wanted) === value;
  return value !== undefined && value !== null && String(value) === wanted;
}

/** @throws Failure `invalid` for a negative number */
export function countOf(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && value >= 0) return value;
  throw new Failure('invalid', issue('value', `${name} may not be negative`));
}

/** A variable of one text may stand for a list. */
export function textsOf(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).filter((each) => each !== null).map(String);
}
