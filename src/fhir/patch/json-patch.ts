/**
 * JSON Patch on a resource (RFC 6902), with own code because numbers must keep their digits: 0.50 that a patch does not
 * touch stays 0.50, and so does one that it brings. Libraries copy values and lose them.
 *
 * A patch is bounded: MAX_OPERATIONS, MAX_WORK, and the depth that any JSON may have.
 * Lists and objects that end up empty because of a removal are left out: FHIR has no empty elements.
 *
 * @see https://hl7.org/fhir/R4/http.html#patch
 */
import { Failure, type Issue, issue } from '../failure.ts';
import { carryJson, MAX_JSON_DEPTH, parseJson, stringifyJson } from '../json.ts';
import { expressionOf, parsePointer } from './json-pointer.ts';
import type { ResourcePatch } from './resource-patch.ts';

export const MAX_OPERATIONS = 5000;
/** Characters copied and elements looked at: as much as a whole body may have. */
const MAX_WORK = 10 * 1024 * 1024;

type Steps = readonly string[];

/** The operation as it came: its value with the digits that are known by this very object. */
type Given = { readonly value: unknown };

type Operation =
  | { readonly op: 'add'; readonly path: Steps; readonly given: Given }
  | { readonly op: 'replace'; readonly path: Steps; readonly given: Given }
  | { readonly op: 'test'; readonly path: Steps; readonly given: Given }
  | { readonly op: 'remove'; readonly path: Steps }
  | { readonly op: 'move'; readonly path: Steps; readonly from: Steps }
  | { readonly op: 'copy'; readonly path: Steps; readonly from: Steps };

/**
 * @param place FHIRPath of the document where it stands in a resource (a Binary of a Bundle); absent for a body
 * @throws Failure `invalid` with everything that is wrong with the document
 */
export function parseJsonPatch(source: string | Uint8Array, place?: string): ResourcePatch {
  const document = parseJson(source);
  if (!Array.isArray(document)) {
    throw new Failure('invalid', issue('structure', 'A JSON Patch is a list of operations.', place));
  }
  if (document.length > MAX_OPERATIONS) {
    const diagnostics = `The JSON Patch has more than ${MAX_OPERATIONS} operations. Send an update instead.`;
    throw new Failure('invalid', issue('too-costly', diagnostics, place));
  }
  const issues: Issue[] = [];
  const operations = document.flatMap((operation: unknown, at) => parseOperation(operation, at, place, issues) ?? []);
  if (issues.length > 0) throw new Failure('invalid', issues);
  return (current) => new Application(current).apply(operations);
}

const NEEDS: Readonly<Record<string, readonly ('value' | 'from')[]>> = {
  add: ['value'],
  replace: ['value'],
  test: ['value'],
  remove: [],
  move: ['from'],
  copy: ['from'],
};

function parseOperation(given: unknown, at: number, place: string | undefined, issues: Issue[]): Operation | undefined {
  const before = issues.length;
  const refuse = (code: Issue['code'], what: string) =>
    void issues.push(issue(code, `Operation ${at} of the JSON Patch (counted from 0) ${what}.`, place));
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    refuse('structure', 'is not an object');
    return undefined;
  }
  const { op, path, from } = given as Record<string, unknown>;
  const needs = typeof op === 'string' && Object.hasOwn(NEEDS, op) ? NEEDS[op] : undefined;
  if (needs === undefined) {
    refuse(op === undefined ? 'required' : 'value', 'needs an op: add, remove, replace, move, copy or test');
  }
  const pointer = (name: string, text: unknown): Steps => {
    if (typeof text !== 'string') {
      refuse(text === undefined ? 'required' : 'value', `needs a ${name}: a JSON Pointer such as /name/0/family`);
      return [];
    }
    const steps = parsePointer(text);
    if (typeof steps !== 'string') return steps;
    refuse('value', `has a ${name} that ${steps}`);
    return [];
  };
  const steps = pointer('path', path);
  const fromSteps = needs?.includes('from') === true ? pointer('from', from) : [];
  if (needs?.includes('value') === true && !Object.hasOwn(given, 'value')) refuse('required', 'needs a value');
  if (op === 'move' && isWithin(steps, fromSteps)) refuse('value', 'moves an element into itself');
  if (issues.length > before) return undefined;
  return { op, path: steps, from: fromSteps, given } as unknown as Operation; // checked above
}

/** Whether `inner` is a place inside the one of `outer`, and not the same. */
function isWithin(inner: Steps, outer: Steps): boolean {
  return inner.length > outer.length && outer.every((step, i) => step === inner[i]);
}

type Holder = Record<string, unknown>;
/** Where a value stands: a key of an object, or an index of a list. */
type Slot = { readonly holder: Holder | unknown[]; readonly key: string };

/** One run of a patch over one resource. */
class Application {
  /** The resource is a value like any other, so that '' can be replaced. */
  readonly #document: { root: unknown };
  readonly #type: string;
  /** What something was removed from. */
  readonly #robbed = new Set<object>();
  #work = 0;
  #at = 0;

  constructor(resource: { readonly resourceType: string }) {
    this.#document = { root: resource };
    this.#type = resource.resourceType;
  }

  apply(operations: readonly Operation[]): unknown {
    for (const operation of operations) {
      this.#apply(operation);
      this.#at++;
    }
    if (this.#robbed.size > 0) this.#prune(this.#document);
    return this.#document.root;
  }

  #apply(operation: Operation): void {
    const { path } = operation;
    if (operation.op === 'add') this.#add(path, operation.given, 'value', true);
    else if (operation.op === 'replace') this.#replace(path, operation.given);
    else if (operation.op === 'remove') this.#remove(path);
    else if (operation.op === 'test') this.#test(path, operation.given.value);
    else if (operation.op === 'copy') this.#copy(path, operation.from);
    else this.#move(path, operation.from);
  }

  #replace(path: Steps, given: Given): void {
    const { holder, key } = this.#existing(path);
    this.#requireDepth(path, given.value);
    carryJson(given, 'value', holder, key, true);
  }

  #copy(path: Steps, from: Steps): void {
    const { holder, key } = this.#existing(from);
    this.#charge(stringifyJson((holder as Holder)[key]).length);
    this.#add(path, holder, key, true);
  }

  #move(path: Steps, from: Steps): void {
    const { holder, key } = this.#existing(from);
    const kept = { value: undefined };
    carryJson(holder, key, kept, 'value');
    this.#remove(from);
    this.#add(path, kept, 'value', false);
  }

  #add(path: Steps, from: object, fromKey: string, asCopy: boolean): void {
    const { holder, key } = this.#slot(path);
    this.#requireDepth(path, (from as Holder)[fromKey]);
    let at = key;
    if (Array.isArray(holder)) {
      const index = key === '-' ? holder.length : this.#index(path, key, holder.length);
      holder.splice(index, 0, null);
      at = String(index);
    }
    carryJson(from, fromKey, holder, at, asCopy);
  }

  #remove(path: Steps): void {
    const { holder, key } = this.#existing(path);
    this.#robbed.add(holder);
    if (Array.isArray(holder)) holder.splice(Number(key), 1);
    else Reflect.deleteProperty(holder, key);
  }

  #test(path: Steps, expected: unknown): void {
    const { holder, key } = this.#existing(path);
    if (!isEqual((holder as Holder)[key], expected)) throw this.#refused(path, 'finds another value here', 'test');
  }

  /** Where `path` leads, whether or not something is there; its parent is. */
  #slot(path: Steps): Slot {
    const last = path.at(-1);
    if (last === undefined) return { holder: this.#document, key: 'root' };
    let holder: unknown = this.#document.root;
    for (const [i, step] of path.slice(0, -1).entries()) {
      holder = this.#child(holder, step, path.slice(0, i + 1));
    }
    if (typeof holder !== 'object' || holder === null) throw this.#refused(path, 'finds no element to hold this');
    return { holder: holder as Holder | unknown[], key: last };
  }

  #existing(path: Steps): Slot {
    const slot = this.#slot(path);
    if (path.length > 0) this.#child(slot.holder, slot.key, path);
    return slot;
  }

  #child(holder: unknown, step: string, path: Steps): unknown {
    if (Array.isArray(holder)) return holder[this.#index(path, step, holder.length - 1)];
    if (typeof holder === 'object' && holder !== null && Object.hasOwn(holder, step)) return (holder as Holder)[step];
    throw this.#refused(path, 'finds nothing here');
  }

  #index(path: Steps, step: string, last: number): number {
    if (/^(?:0|[1-9]\d{0,8})$/.test(step) && Number(step) <= last) return Number(step);
    throw this.#refused(path, 'needs the index of an item of this list');
  }

  #requireDepth(path: Steps, value: unknown): void {
    if (this.#isShallow(value, MAX_JSON_DEPTH - path.length)) return;
    throw this.#refused(path, `would nest the resource deeper than ${MAX_JSON_DEPTH} levels`);
  }

  #isShallow(value: unknown, levels: number): boolean {
    if (typeof value !== 'object' || value === null) return true;
    if (levels <= 0) return false;
    this.#charge(1);
    if (Array.isArray(value)) return value.every((item) => this.#isShallow(item, levels - 1));
    return Object.values(value).every((item) => this.#isShallow(item, levels - 1));
  }

  /** Counts what has been copied and looked at, so that a short patch cannot make long work. */
  #charge(amount: number): void {
    this.#work += amount;
    if (this.#work <= MAX_WORK) return;
    const diagnostics = 'The JSON Patch copies or moves more than a resource may have.';
    throw new Failure('business-rule', issue('too-costly', diagnostics, this.#type));
  }

  /** Takes out what a removal left empty; true when `value` itself is. */
  #prune(value: unknown, isBesideValues = false): boolean {
    if (typeof value !== 'object' || value === null) return false;
    if (Array.isArray(value)) return this.#pruneList(value, isBesideValues);
    for (const key of Object.keys(value)) {
      if (!this.#prune((value as Holder)[key], key.startsWith('_')) || value === this.#document) continue;
      this.#robbed.add(value);
      Reflect.deleteProperty(value, key);
    }
    return Object.keys(value).length === 0 && this.#robbed.has(value);
  }

  #pruneList(list: unknown[], isBesideValues: boolean): boolean {
    for (let i = list.length - 1; i >= 0; i--) {
      if (!this.#prune(list[i])) continue;
      this.#robbed.add(list);
      // Items of a list like _given belong to the values at the same index.
      if (isBesideValues) list[i] = null;
      else list.splice(i, 1);
    }
    return this.#robbed.has(list) && list.every((item) => isBesideValues && item === null);
  }

  #refused(path: Steps, what: string, op?: string): Failure {
    const subject = op === 'test' ? 'The test' : 'The operation';
    const diagnostics = `${subject} at ${this.#at} of the JSON Patch (counted from 0) ${what}; nothing was changed.`;
    return new Failure('business-rule', issue('processing', diagnostics, expressionOf(this.#type, path)));
  }
}

/** RFC 6902, 4.6: numbers are equal by their value, the order of keys means nothing. */
function isEqual(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && isEqual((a as Holder)[key], (b as Holder)[key]));
}
