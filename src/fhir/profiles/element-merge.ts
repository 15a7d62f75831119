/**
 * What a differential says of an element, put over what the parent's snapshot says: it may tighten and never widen.
 *
 * @see https://hl7.org/fhir/R4/profiling.html and the table of https://hl7.org/fhir/R4/elementdefinition.html#interpretation
 */
import { isDeepStrictEqual } from 'node:util';
import type { ElementDefinition, ElementDefinitionConstraint, Extension } from '@medplum/fhirtypes';
import { typedValue } from './element-digest.ts';
import type { Typed } from './model.ts';
import { mergedTypes, type TypeRelation } from './type-merge.ts';

export type MergeContext = {
  /** Canonical of the profile that is made. */
  readonly url: string;
  readonly relation: TypeRelation;
  /** `words` say what is wrong and what to do. */
  fault(step: string, words: string): void;
};

/** Where the two speak of the same thing the differential's word counts; all else is inherited. */
export function mergedElement(
  parent: ElementDefinition,
  change: ElementDefinition,
  context: MergeContext,
): ElementDefinition {
  const { id: _id, path: _path, sliceName: _name, base: _base, contentReference, ...said } = change;
  if (contentReference !== undefined && contentReference !== parent.contentReference) {
    context.fault('.contentReference', 'a profile cannot say that the content is another: leave contentReference out');
  }
  const merged: ElementDefinition = { ...withoutReplacedValues(parent, change), ...said };
  rangeFaults(parent, change, context);
  valueFaults(parent, change, context);
  flagFaults(parent, change, context);
  if (change.definition !== undefined) merged.definition = continued(parent.definition, change.definition);
  if (change.comment !== undefined) merged.comment = continued(parent.comment, change.comment);
  const { type, binding, constraint, condition, extension, slicing } = change;
  if (type !== undefined)
    merged.type = mergedTypes(parent, type, context.relation, (words) => context.fault('.type', words));
  if (binding !== undefined) merged.binding = mergedBinding(parent.binding, binding, context);
  if (constraint !== undefined) merged.constraint = mergedConstraints(parent.constraint ?? [], constraint, context);
  if (condition !== undefined) merged.condition = [...new Set([...(parent.condition ?? []), ...condition])];
  if (extension !== undefined) merged.extension = mergedExtensions(parent.extension ?? [], extension);
  if (slicing !== undefined) merged.slicing = mergedSlicing(parent.slicing, slicing, context);
  for (const list of ['mapping', 'example', 'alias', 'code'] as const) {
    if (change[list] !== undefined) Object.assign(merged, { [list]: [...(parent[list] ?? []), ...change[list]] });
  }
  return merged;
}

/** A fixed value takes the place of a pattern. A pattern leaves a fixed value as it is: that says more. */
function withoutReplacedValues(parent: ElementDefinition, change: ElementDefinition): ElementDefinition {
  const prefixes = (['fixed', 'pattern', 'minValue', 'maxValue'] as const).filter(
    (prefix) => typedValue(prefix, change) !== undefined,
  );
  if (prefixes.includes('fixed')) prefixes.push('pattern');
  const isReplaced = (name: string) => prefixes.some((prefix) => name.replace(/^_/, '').startsWith(prefix));
  return Object.fromEntries(Object.entries(parent).filter(([name]) => !isReplaced(name))) as ElementDefinition;
}

/** Text that starts with `...` goes on from the parent's. */
function continued(parent: string | undefined, text: string): string {
  return text.startsWith('...') ? `${parent ?? ''}\n${text.slice(3).trimStart()}` : text;
}

function rangeFaults(parent: ElementDefinition, change: ElementDefinition, { fault }: MergeContext): void {
  const [lowest, highest] = [parent.min ?? 0, maxOf(parent)];
  const min = change.min ?? lowest;
  const max = change.max === undefined ? highest : maxOf(change);
  if (min < lowest) fault('.min', `min ${min} is less than the parent's ${lowest}: a profile may only raise it`);
  if (max > highest) {
    fault('.max', `max ${change.max} is more than the parent's ${parent.max}: a profile may only lower it`);
  }
  if (min > max) fault('.min', `min ${min} is more than max ${max}: nothing could satisfy it`);
  const [length, allowed] = [change.maxLength, parent.maxLength];
  if (length !== undefined && allowed !== undefined && length > allowed) {
    fault('.maxLength', `maxLength ${length} is more than the parent's ${allowed}: a profile may only lower it`);
  }
}

export function maxOf({ max }: ElementDefinition): number {
  return max === undefined || max === '*' ? Number.POSITIVE_INFINITY : Number(max);
}

function valueFaults(parent: ElementDefinition, change: ElementDefinition, { fault }: MergeContext): void {
  const [fixed, pattern] = [typedValue('fixed', change), typedValue('pattern', change)];
  const [parentFixed, parentPattern] = [typedValue('fixed', parent), typedValue('pattern', parent)];
  if (fixed !== undefined && parentFixed !== undefined && !isDeepStrictEqual(fixed, parentFixed)) {
    fault('', 'the parent fixes another value: leave it as it is');
  }
  if (fixed !== undefined && parentPattern !== undefined && !includes(fixed.value, parentPattern.value)) {
    fault('', "the fixed value does not have what the parent's pattern asks for");
  }
  if (pattern !== undefined && parentPattern !== undefined && !includes(pattern.value, parentPattern.value)) {
    fault('', "the pattern does not have what the parent's pattern asks for: repeat that in it");
  }
  if (pattern !== undefined && parentFixed !== undefined && !includes(parentFixed.value, pattern.value)) {
    fault('', 'the parent fixes a value that does not match the pattern');
  }
  limitFault('minValue', typedValue('minValue', parent), typedValue('minValue', change), fault);
  limitFault('maxValue', typedValue('maxValue', parent), typedValue('maxValue', change), fault);
}

function limitFault(
  name: 'minValue' | 'maxValue',
  parent: Typed | undefined,
  change: Typed | undefined,
  fault: MergeContext['fault'],
): void {
  const [limit, value] = [parent?.value, change?.value];
  if (typeof limit !== 'number' || typeof value !== 'number') return;
  const isWider = name === 'minValue' ? value < limit : value > limit;
  if (isWider) fault('', `${name} ${value} is wider than the parent's ${limit}`);
}

/** Whether `value` has everything that `pattern` has; of a list each item must be matched by some item. */
export function includes(value: unknown, pattern: unknown): boolean {
  if (Array.isArray(pattern)) {
    return Array.isArray(value) && pattern.every((each) => value.some((item) => includes(item, each)));
  }
  if (typeof pattern !== 'object' || pattern === null) return value === pattern;
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(pattern).every(([key, each]) => includes((value as Record<string, unknown>)[key], each));
}

function flagFaults(parent: ElementDefinition, change: ElementDefinition, { fault }: MergeContext): void {
  for (const flag of ['mustSupport', 'isModifier'] as const) {
    if (parent[flag] === true && change[flag] === false) {
      fault(`.${flag}`, `${flag} is true in the parent and cannot be taken back: leave it out`);
    }
  }
}

const STRENGTHS = ['example', 'preferred', 'extensible', 'required'];

function mergedBinding(
  parent: ElementDefinition['binding'],
  change: NonNullable<ElementDefinition['binding']>,
  { fault }: MergeContext,
): NonNullable<ElementDefinition['binding']> {
  if (parent === undefined) return change;
  if (STRENGTHS.indexOf(change.strength) < STRENGTHS.indexOf(parent.strength)) {
    const words = `binding ${change.strength} is weaker than the parent's ${parent.strength}: a profile may only strengthen it`;
    fault('.binding.strength', words);
  }
  const extension = mergedExtensions(parent.extension ?? [], change.extension ?? []);
  return {
    ...change,
    ...(change.valueSet === undefined && parent.valueSet !== undefined ? { valueSet: parent.valueSet } : {}),
    ...(extension.length === 0 ? {} : { extension }),
  };
}

/** All that the parent has, then those that are new. */
function mergedConstraints(
  parent: readonly ElementDefinitionConstraint[],
  change: readonly ElementDefinitionConstraint[],
  { url, fault }: MergeContext,
): ElementDefinitionConstraint[] {
  const merged = [...parent];
  for (const constraint of change) {
    const inherited = parent.find(({ key }) => key === constraint.key);
    if (inherited === undefined) merged.push({ ...constraint, source: constraint.source ?? url });
    else if (inherited.expression !== constraint.expression && constraint.expression !== undefined) {
      fault('.constraint', `the parent has another constraint ${constraint.key}: give this one a key of its own`);
    } else if (inherited.severity === 'warning' && constraint.severity === 'error') {
      merged[merged.indexOf(inherited)] = { ...inherited, severity: 'error' };
    }
  }
  return merged;
}

function mergedExtensions(parent: readonly Extension[], change: readonly Extension[]): Extension[] {
  const urls = new Set(change.map(({ url }) => url));
  return [...parent.filter(({ url }) => !urls.has(url)), ...change];
}

const RULES = ['open', 'openAtEnd', 'closed'];

function mergedSlicing(
  parent: ElementDefinition['slicing'],
  change: NonNullable<ElementDefinition['slicing']>,
  { fault }: MergeContext,
): NonNullable<ElementDefinition['slicing']> {
  if (parent === undefined) return change;
  if (RULES.indexOf(change.rules) < RULES.indexOf(parent.rules)) {
    fault('.slicing.rules', `${change.rules} is wider than the parent's ${parent.rules}: leave it as it is`);
  }
  if (parent.ordered === true && change.ordered === false) {
    fault('.slicing.ordered', 'the slices are in order in the parent: that cannot be taken back');
  }
  const own = change.discriminator ?? [];
  const known = parent.discriminator ?? [];
  const added = own.filter((each) => !known.some(({ type, path }) => type === each.type && path === each.path));
  if (added.length > 0 && own.length - added.length < known.length) {
    const words =
      'the parent tells slices apart in another way: name its discriminators too, or leave them as they are';
    fault('.slicing.discriminator', words);
  }
  return { ...parent, ...change, discriminator: [...known, ...added] };
}
