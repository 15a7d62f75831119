/**
 * Quantities in canonical units of UCUM, so that 5.4 mg is found as 0.0054 g.
 *
 * Our own reading of the grammar with the units of the clinic and its laboratory: of the kept libraries one brings nine
 * packages that nothing else here needs, the other a compiler into every installation. A unit that is not in the table
 * is compared as written.
 *
 * @see https://hl7.org/fhir/R4/search.html#quantity
 * @see https://ucum.org/ucum
 */
import { AFFINE_UNITS, ARBITRARY_UNITS, type CanonicalUnit, PREFIXES, UNITS } from './ucum-units.ts';

export type { CanonicalUnit } from './ucum-units.ts';

export const UCUM = 'http://unitsofmeasure.org';

/**
 * Undefined where nothing can be converted: not UCUM, no unit we know, or one on a scale of its own such as [pH].
 * Units that UCUM calls arbitrary ([iU]) are comparable with multiples of themselves alone.
 */
export function canonicalUnit(system: string, code: string): CanonicalUnit | undefined {
  if (system !== UCUM) return undefined;
  let unit = units.get(code);
  if (unit === undefined) {
    unit = AFFINE_UNITS.get(code) ?? proportional(code) ?? null;
    // Codes come with data and requests: what is remembered of them is bounded.
    if (units.size >= REMEMBERED) units.clear();
    units.set(code, unit);
  }
  return unit ?? undefined;
}

/** Equal amounts give equal numbers, whatever their units: what floating point adds beyond 14 digits is cut off. */
export function canonicalValue(value: number, { factor, offset }: CanonicalUnit): number {
  if (factor === 1 && offset === 0) return value;
  const product = (value + offset) * factor;
  if (Number.isFinite(product)) return Number(product.toPrecision(14));
  return Math.sign(product) * Number.MAX_VALUE;
}

const LONGEST = 64;
const REMEMBERED = 2000;
const units = new Map<string, CanonicalUnit | null>();

function proportional(code: string): CanonicalUnit | undefined {
  if (code === '' || code.length > LONGEST) return undefined;
  const amount = new Reader(code).whole();
  if (amount === undefined || !(amount.factor > 0 && Number.isFinite(amount.factor))) return undefined;
  return { code: nameOf(amount), factor: amount.factor, offset: 0 };
}

/** A number of base units, each with its power. */
type Amount = { readonly factor: number; readonly powers: ReadonlyMap<string, number> };

const ONE: Amount = { factor: 1, powers: new Map() };

function nameOf({ powers }: Amount): string {
  const parts = [...powers].filter(([, power]) => power !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  return parts.length === 0 ? '1' : parts.map(([base, power]) => (power === 1 ? base : `${base}${power}`)).join('.');
}

function times(left: Amount, right: Amount, power: number): Amount {
  const powers = new Map(left.powers);
  for (const [base, of] of right.powers) powers.set(base, (powers.get(base) ?? 0) + of * power);
  return { factor: left.factor * right.factor ** power, powers };
}

/** `term := ['/'] component {('.' | '/') component}`; every reading moves on or gives up, so it ends. */
class Reader {
  readonly #code: string;
  #at = 0;

  constructor(code: string) {
    this.#code = code;
  }

  whole(): Amount | undefined {
    const amount = this.#term();
    return this.#at === this.#code.length ? amount : undefined;
  }

  #accept(char: string): boolean {
    if (this.#code[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #term(): Amount | undefined {
    let amount: Amount = ONE;
    let power = this.#accept('/') ? -1 : 1;
    for (;;) {
      const component = this.#component();
      if (component === undefined) return undefined;
      amount = times(amount, component, power);
      if (this.#accept('.')) power = 1;
      else if (this.#accept('/')) power = -1;
      else return amount;
    }
  }

  #component(): Amount | undefined {
    if (this.#accept('(')) {
      const inner = this.#term();
      return this.#accept(')') ? inner : undefined;
    }
    const annotated = this.#annotation();
    if (annotated !== undefined) return annotated ? ONE : undefined;
    const symbol = this.#symbol();
    if (symbol === '') return undefined;
    const amount = /^\d+$/.test(symbol) ? { factor: Number(symbol), powers: ONE.powers } : powered(symbol);
    return this.#annotation() === false ? undefined : amount;
  }

  /** `{text}` says what is counted and is no part of the unit. Undefined without one, false for one without end. */
  #annotation(): boolean | undefined {
    if (!this.#accept('{')) return undefined;
    const end = this.#code.indexOf('}', this.#at);
    if (end < 0) return false;
    this.#at = end + 1;
    return true;
  }

  #symbol(): string {
    const from = this.#at;
    let inBrackets = false;
    for (; this.#at < this.#code.length; this.#at++) {
      const char = this.#code[this.#at] as string;
      if (char === '[') inBrackets = true;
      else if (char === ']') inBrackets = false;
      else if (!inBrackets && './(){}'.includes(char)) break;
    }
    return this.#code.slice(from, this.#at);
  }
}

/** `mm2` is a prefix, a unit and a power; `10*-3` and `m[H2O]` have digits and signs of their own. */
function powered(symbol: string): Amount | undefined {
  const plain = prefixed(symbol);
  if (plain !== undefined) return plain;
  const [, unit, power] = /^(.*?[^\d+-])([+-]?\d{1,2})$/.exec(symbol) ?? [];
  const amount = unit === undefined ? undefined : prefixed(unit);
  return amount && times(ONE, amount, Number(power));
}

function prefixed(symbol: string): Amount | undefined {
  const known = atom(symbol);
  if (known !== undefined) return known.amount;
  for (const length of [1, 2]) {
    const prefix = PREFIXES.get(symbol.slice(0, length));
    const unit = prefix === undefined ? undefined : atom(symbol.slice(length));
    if (prefix !== undefined && unit?.metric === true) return times({ ...ONE, factor: prefix }, unit.amount, 1);
  }
  return undefined;
}

const atoms = new Map<string, { readonly metric: boolean; readonly amount: Amount }>();

function atom(symbol: string): { readonly metric: boolean; readonly amount: Amount } | undefined {
  const made = atoms.get(symbol);
  if (made !== undefined) return made;
  const found = madeAtom(symbol);
  if (found !== undefined) atoms.set(symbol, found);
  return found;
}

function madeAtom(symbol: string): { metric: boolean; amount: Amount } | undefined {
  if (ARBITRARY_UNITS.has(symbol)) {
    return { metric: symbol === '[iU]', amount: { factor: 1, powers: new Map([[symbol, 1]]) } };
  }
  const unit = UNITS.get(symbol);
  if (unit === undefined) return undefined;
  const { metric, factor, of } = unit;
  if (of === undefined) return { metric, amount: { factor, powers: new Map([[symbol, 1]]) } };
  const defined = new Reader(of).whole();
  return defined && { metric, amount: times({ ...ONE, factor }, defined, 1) };
}
