import type { ErrorObject } from 'ajv';
import type { Definitions, ValueSet } from '../definitions.ts';
import { type Issue, type IssueCode, issue, type MessageCode } from '../failure.ts';
import { brokenConstraint } from './constraint-words.ts';
import type { FhirNode } from './invariants/invariant.ts';
import { nearest } from './nearest.ts';
import { asStep, type Place, placeOf, stepInto, stepTo } from './place.ts';
import { primitives } from './primitives.ts';
import { profileIssues } from './profile/profile-issues.ts';
import { baseConstraint } from './runtime.ts';
import { formsUnder } from './schema.ts';
import type { KeyFault } from './structure-findings.ts';
import { isReferenceForm } from './targets.ts';

type Found = readonly (string | number)[];
type CodesOf = (url: string) => ReadonlySet<string>;
const NO_CODES: ReadonlySet<string> = new Set();

/** What an issue is said about: the resource, where it is, and the words for what a profile says. */
export type IssueSource = {
  readonly resource: unknown;
  readonly root: Place;
  readonly definitions: Definitions;
  valueSet(url: string): ValueSet | undefined;
  /** The sentence of a constraint that a profile adds, by key and id of its element. */
  constraint(key: string, id: string): string | undefined;
};

/** What an Ajv error of our schemas means, for the person who sent the resource. Echoes names and short codes only. */
export function issuesOf(error: ErrorObject, of: IssueSource): Issue[] {
  const { resource, root, definitions } = of;
  const codesOf = (url: string) => of.valueSet(url)?.codes ?? NO_CODES;
  const place = placeOf(error.instancePath, root, definitions);
  const { found = [] } = error.params as { found?: readonly (string | number)[] };
  switch (error.keyword) {
    case 'type':
      return [issue('structure', wrongType(error, place), place.expression)];
    case 'keys':
      return (error.params.found as readonly KeyFault[]).map((fault) => wrongKeys(fault, place, definitions));
    case 'needs':
      return [needed(found, place, definitions)];
    case 'minProperties':
      return [issue('invariant', NO_CONTENT, place.expression)];
    case 'minItems':
      return [issue('structure', 'A list must not be empty: leave the element out', place.expression)];
    case 'maxItems':
      return [issue('structure', `At most ${error.params.limit} are allowed here`, place.expression)];
    case 'pairs':
      return [
        issue(
          'structure',
          UNPAIRED,
          stepInto(String(found[1]), stepInto(String(found[0]), place, definitions), definitions).expression,
        ),
      ];
    case 'format':
      return [notValid(place)];
    case 'primitives':
      return found.map((at) => wrongItem(at, valueAt(resource, error.instancePath), place));
    case 'binding':
      return [notInValueSet(valueAt(resource, error.instancePath), String(found[0]), place, codesOf)];
    case 'extensible':
      return [outsideOf(String(found[0]), place)];
    case 'boundList':
      return found.map((at) =>
        notInValueSet(
          (valueAt(resource, error.instancePath) as unknown[])[Number(at)],
          place.form?.element.binding?.valueSet ?? '',
          indexed(place, at),
          codesOf,
        ),
      );
    case 'targets':
      return [wrongTarget(valueAt(resource, error.instancePath) as FhirNode, found, place)];
    case 'invariants':
      return [invariantBroken(found, place, definitions)];
    case 'typed':
      return [wrongResource(found, place)];
    default:
      return profileIssues(error.keyword, found, place, of);
  }
}

function notValid(place: Place): Issue {
  const words = `Not a valid ${place.type}: expected ${expectedOf(place)}`;
  return issue('value', words, place.expression, MESSAGE_OF_TYPE[place.type ?? '']);
}

const MESSAGE_OF_TYPE: Readonly<Record<string, MessageCode>> = {
  date: 'MSG_DATE_FORMAT',
  dateTime: 'MSG_DATE_FORMAT',
  instant: 'MSG_DATE_FORMAT',
  id: 'MSG_ID_INVALID',
};

const UNPAIRED = 'null may only stand where the list of values or its list with an underscore has an entry';

function expectedOf({ type }: Place): string {
  return primitives[type ?? '']?.expected ?? `a ${type}`;
}

function wrongType(error: ErrorObject, place: Place): string {
  const expected: unknown = error.params.type;
  if (expected === 'array') return 'Expected a list: this element repeats, so its value stands in [ ]';
  const isPrimitive = place.type !== undefined && place.type in primitives && place.path === place.type;
  if (isPrimitive) return `Expected ${expectedOf(place)}, as a JSON ${jsonName(primitives[place.type ?? '']?.json)}`;
  if (place.path === 'Element') return 'Expected a JSON object with an id or extensions';
  return `Expected a JSON object${place.type === undefined ? '' : ` of type ${place.type}`}`;
}

function jsonName(json: string | undefined): string {
  return json === 'integer' ? 'number' : (json ?? 'value');
}

function indexed(place: Place, at: string | number): Place {
  return { ...place, expression: `${place.expression}[${at}]` };
}

function wrongItem(at: string | number, list: unknown, place: Place): Issue {
  const item: unknown = (list as unknown[])[Number(at)];
  const isRightType = typeof item === jsonName(primitives[place.type ?? '']?.json);
  const code: IssueCode = isRightType ? 'value' : 'structure';
  return { ...notValid(indexed(place, at)), code };
}

function wrongKeys(fault: KeyFault, place: Place, definitions: Definitions): Issue {
  switch (fault.kind) {
    case 'unknown':
      return unknownElement(fault.key, place, definitions);
    case 'choice':
      return severalChoices([fault.first, fault.second], place, definitions);
    case 'empty':
      return issue('invariant', NO_CONTENT, place.expression);
  }
}

const NO_CONTENT = 'An element must have a value or elements besides an id (ele-1)';

function unknownElement(name: string, place: Place, definitions: Definitions): Issue {
  const forms = place.path === undefined ? [] : formsUnder(place.path, definitions);
  const keys = forms.flatMap(({ types }) => types.map(({ key }) => key));
  const choice = forms.find((form) => form.name === name && form.types.length > 1);
  const shown = asStep(name) === '' ? 'An element name that FHIR does not know' : `Unknown element ${name}`;
  const where = place.type ?? place.path ?? 'this element';
  const suggestion = nearest(name, keys);
  const hint =
    choice !== undefined
      ? `: name it with its type, e.g. ${choice.types[0]?.key}`
      : suggestion === undefined
        ? ''
        : `: did you mean ${suggestion}?`;
  return issue('structure', `${shown} in ${where}${hint}`, `${place.expression}${asStep(name)}`, 'MSG_UNKNOWN_CONTENT');
}

function severalChoices(names: readonly string[], place: Place, definitions: Definitions): Issue {
  const name = stepInto(names[0] ?? '', place, definitions).form?.name ?? '';
  return issue(
    'structure',
    `Only one of ${names.join(' and ')} may be given: ${name}[x] has one type`,
    `${place.expression}.${name}`,
  );
}

function notInValueSet(value: unknown, url: string, place: Place, codesOf: CodesOf): Issue {
  if (typeof value !== 'string') {
    return issue('code-invalid', `No coding here is from the required value set ${url}`, place.expression);
  }
  const codes = codesOf(url);
  const shown = /^[A-Za-z0-9._:/-]{1,40}$/.test(value) ? `The code ${value}` : 'The code';
  const allowed = codes.size > 0 && codes.size <= 20 ? ` (${[...codes].join(', ')})` : '';
  return issue('code-invalid', `${shown} is not in the required value set ${url}${allowed}`, place.expression);
}

function outsideOf(url: string, place: Place): Issue {
  const words = `No coding here is from the extensible value set ${url}: use one of its codes where it has what is meant`;
  return { ...issue('code-invalid', words, place.expression), severity: 'warning' };
}

function needed([name, slice]: Found, place: Place, definitions: Definitions): Issue {
  const words =
    slice === undefined ? `${name} is required here` : `${name} is required here: at least one of the slice ${slice}`;
  const isOfChoice =
    place.path !== undefined && !formsUnder(place.path, definitions).some((form) => form.name === name);
  const expression = isOfChoice
    ? stepInto(String(name), place, definitions).expression
    : `${place.expression}${stepTo(String(name))}`;
  return issue('required', words, expression);
}

function wrongTarget({ reference }: FhirNode, [type, ...allowed]: Found, place: Place): Issue {
  const expression = `${place.expression}.${reference === undefined ? 'type' : 'reference'}`;
  if (reference !== undefined && (typeof reference !== 'string' || !isReferenceForm(reference))) {
    const forms = 'Type/id, an absolute url, urn:uuid:…, #id or Type?search';
    return issue('value', `Not a reference: expected ${forms}`, expression);
  }
  return issue('value', `A reference to ${type} is not allowed here: expected ${allowed.join(', ')}`, expression);
}

function wrongResource(types: Found, place: Place): Issue {
  return issue('structure', `Expected a resource of type ${types.join(' or ')}`, place.expression);
}

function invariantBroken(found: Found, place: Place, definitions: Definitions): Issue {
  const [key, path] = found.map(String);
  const constraint = baseConstraint(path ?? '', key ?? '', definitions);
  return brokenConstraint(found, constraint?.human, place);
}

function valueAt(resource: unknown, pointer: string): unknown {
  return pointer
    .split('/')
    .slice(1)
    .reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], resource);
}
