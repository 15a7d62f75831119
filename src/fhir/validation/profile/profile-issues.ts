/** Words for what a profile finds wrong. They show what the definition says, and nothing of the resource. */
import type { Definitions } from '../../definitions.ts';
import { type Issue, issue } from '../../failure.ts';
import { brokenConstraint } from '../constraint-words.ts';
import { type Place, stepInto, stepTo } from '../place.ts';
import type { SliceFault } from './slicing.ts';

export type ProfileWords = {
  readonly definitions: Definitions;
  /** The sentence of a constraint that a profile adds, by key and id of its element. */
  constraint(key: string, id: string): string | undefined;
};

export function profileIssues(keyword: string, found: readonly unknown[], place: Place, of: ProfileWords): Issue[] {
  switch (keyword) {
    case 'fixed':
      return [issue('value', `Must be exactly ${shown(found[0])}`, place.expression)];
    case 'patterned':
      return [issue('value', `Must have ${shown(found[0])}`, place.expression)];
    case 'bare':
      return [issue('value', `Must be exactly ${shown(found[0])}, with nothing beside it`, place.expression)];
    case 'atLeast':
      return [issue('value', `Must be at least ${shown(found[0])}`, place.expression)];
    case 'atMost':
      return [issue('value', `Must be at most ${shown(found[0])}`, place.expression)];
    case 'longest':
      return [issue('too-long', `At most ${String(found[0])} characters are allowed here`, place.expression)];
    case 'absent':
      return (found as readonly (readonly string[])[]).map((element) => leftOut(element, place, of.definitions));
    case 'counted':
      return (found as readonly Counted[]).map((count) => miscounted(count, place));
    case 'extended':
      return (found as readonly Bare[]).map((value) => withNothingBeside(value, place, of.definitions));
    case 'valued':
      return (found as readonly (readonly [string, unknown])[]).map(([key, value]) =>
        issue('value', `Must have the value ${shown(value)}`, stepInto(key, place, of.definitions).expression),
      );
    case 'slices':
      return (found as readonly SliceFault[]).map((fault) => wronglySliced(fault, place));
    case 'conforms':
      return [issue('structure', `Meets none of the profiles ${found.join(', ')}`, place.expression)];
    case 'ways':
      return [issue('value', `A reference leads otherwise here: ${found.join(', ')}`, `${place.expression}.reference`)];
    case 'targetProfiles':
      return [wrongTarget(found, place)];
    case 'rebound':
      return [];
    case 'unknownSet':
      return [unknownSet(String(found[0]), place)];
    case 'constraints':
      return [brokenConstraint(found, of.constraint(String(found[0]), String(found[1])), place)];
    default:
      throw new Error(`no words for the keyword ${keyword}`);
  }
}

type Counted = readonly [kind: 'min' | 'max', name: string, limit: number];

function leftOut([key = '', name = '', ...types]: readonly string[], place: Place, definitions: Definitions): Issue {
  const element = key.startsWith('_') ? key.slice(1) : key;
  const words =
    types.length === 0
      ? `${name} is not allowed here: leave it out`
      : `${element} is not allowed here: its type must be ${types.join(' or ')}`;
  return issue('structure', words, stepInto(element, place, definitions).expression);
}

type Bare = readonly [key: string, name: string, at?: number];

function withNothingBeside([key, name, at]: Bare, place: Place, definitions: Definitions): Issue {
  const value = stepInto(key, place, definitions).expression;
  const expression = `${value}${at === undefined ? '' : `[${at}]`}${stepTo(name)}`;
  return issue('required', `${key} needs an ${name} here`, expression);
}

function miscounted([kind, name, limit]: Counted, place: Place): Issue {
  const expression = `${place.expression}${stepTo(name)}`;
  return kind === 'min'
    ? issue('required', `At least ${limit} of ${name} are required here`, expression)
    : issue('structure', `At most ${limit} of ${name} are allowed here`, expression);
}

function wronglySliced(fault: SliceFault, place: Place): Issue {
  switch (fault.kind) {
    case 'min':
      return issue(
        'required',
        `At least ${fault.limit} of the slice ${fault.slice} is required here: found ${fault.count}`,
        place.expression,
      );
    case 'max':
      return issue(
        'structure',
        `At most ${fault.limit} of the slice ${fault.slice} is allowed here: found ${fault.count}`,
        place.expression,
      );
    case 'closed':
      return issue(
        'structure',
        'This belongs to none of the slices, and nothing else is allowed here',
        item(place, fault.at),
      );
    case 'order':
      return issue('structure', `Slices come in order: the slice ${fault.slice} belongs before`, item(place, fault.at));
    case 'end':
      return issue(
        'structure',
        `What belongs to none of the slices comes after the slice ${fault.slice}`,
        item(place, fault.at),
      );
  }
}

function item(place: Place, at: number): string {
  return place.form !== undefined && place.form.element.max > 1 ? `${place.expression}[${at}]` : place.expression;
}

function wrongTarget(profiles: readonly unknown[], place: Place): Issue {
  const words = `The resource that this reference leads to does not meet ${profiles.join(' or ')}`;
  return issue('value', words, `${place.expression}.reference`);
}

function unknownSet(url: string, place: Place): Issue {
  const words = `The value set ${url} is not known here, so the code was not checked against it`;
  return { ...issue('not-supported', words, place.expression), severity: 'warning' };
}

const LONGEST = 200;

/** A value of a definition, short: a coding as system|code. */
function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    const { system, code, coding, ...rest } = value as Record<string, unknown>;
    const isCoding = typeof code === 'string' && 'system' in value;
    if (isCoding && Object.keys(rest).every((key) => key === 'display')) return `${String(system)}|${code}`;
    if (Array.isArray(coding)) {
      const others = Object.entries(rest).map(([key, part]) => `${key} ${shown(part)}`);
      return [`coding ${coding.map(shown).join(', ')}`, ...others].join(' and ').slice(0, LONGEST);
    }
    if (Array.isArray(value)) return value.map(shown).join(', ').slice(0, LONGEST);
  }
  return (JSON.stringify(value) ?? '').slice(0, LONGEST);
}
