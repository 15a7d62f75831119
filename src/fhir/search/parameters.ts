/**
 * The search parameters of every R4 type, as they apply to that type.
 *
 * @see https://hl7.org/fhir/R4/searchparameter-registry.html
 */
import type { Definitions, SearchParameterDigest } from '../definitions.ts';
import { type Composites, componentsOf, compositesOf } from './composites.ts';
import {
  alternatives,
  expressionText,
  parseSearchExpression,
  type SearchExpression,
  withoutResolves,
} from './expression.ts';
import type { TypeSearchParameter } from './parameter.ts';
import { elementAt, repeats, typesAt } from './paths.ts';
import { searchParameterKey } from './values.ts';

export type { TypeSearchParameter } from './parameter.ts';

export type SearchParameterRegistry = {
  readonly definitions: Definitions;
  /** By code; the parameters of all resources (`_id`, `_tag`, …) included. Compiled at the first call for a type. */
  of(type: string): ReadonlyMap<string, TypeSearchParameter>;
  /** Which index rows of the type may stand together in a composite. */
  composites(type: string): Composites;
  /** Where a resource of the type names the patient it is about, each relative to the resource. */
  patientPaths(type: string): readonly SearchExpression[];
};

/**
 * @param extra parameters beside those of R4, e.g. of an implementation guide; one with the code of an R4 parameter of
 * the same type is left out
 * @throws Error when two parameters would share a key of the index
 */
export function searchParameterRegistry(
  definitions: Definitions,
  extra: readonly SearchParameterDigest[] = [],
): SearchParameterRegistry {
  const digests = digestsByType(definitions, extra);
  refuseCollisions(digests);
  const types = new Map<string, ReadonlyMap<string, TypeSearchParameter>>();
  return {
    definitions,
    of(type) {
      let parameters = types.get(type);
      if (parameters === undefined) {
        parameters = parametersOf(type, digests.get(type) ?? [], definitions);
        types.set(type, parameters);
      }
      return parameters;
    },
    composites(type) {
      return compositesOf(type, this.of(type), definitions);
    },
    patientPaths(type) {
      return patientPathsOf(this.of(type));
    },
  };
}

const OF_ALL_TYPES: readonly string[] = ['Resource', 'DomainResource'];

function digestsByType(
  definitions: Definitions,
  extra: readonly SearchParameterDigest[],
): Map<string, SearchParameterDigest[]> {
  const common = definitions.searchParameters.filter(({ base }) => base.some((type) => OF_ALL_TYPES.includes(type)));
  const digests = new Map(definitions.resourceTypes.map((type) => [type, [...common]]));
  for (const digest of definitions.searchParameters) {
    for (const type of digest.base) digests.get(type)?.push(digest);
  }
  for (const digest of extra) {
    for (const type of digest.base) {
      const known = digests.get(type);
      if (known !== undefined && !known.some(({ code }) => code === digest.code)) known.push(digest);
    }
  }
  return digests;
}

function refuseCollisions(digests: ReadonlyMap<string, readonly SearchParameterDigest[]>): void {
  const owners = new Map<number, string>();
  for (const [type, list] of digests) {
    for (const { code } of list) {
      for (const name of [code, ...FURTHER_ROWS.map((rows) => `${code}:${rows}`)]) {
        const key = searchParameterKey(type, name);
        const owner = owners.get(key);
        if (owner !== undefined) {
          throw new Error(`Search parameters ${owner} and ${type}.${name} have the same key ${key}`);
        }
        owners.set(key, `${type}.${name}`);
      }
    }
  }
}

/**
 * What a parameter has under keys `code:rows` of its own: identifiers of references, identifiers by type, base types of
 * a mime type, the numbers of a position, and the later words of a family name.
 */
const FURTHER_ROWS = ['identifier', 'of-type', 'below', 'latitude', 'longitude', 'words'] as const;

type Draft = Omit<TypeSearchParameter, 'rows' | 'onlyTarget' | 'namesPatient' | 'single' | 'boundTo'>;

function parametersOf(
  type: string,
  digests: readonly SearchParameterDigest[],
  definitions: Definitions,
): ReadonlyMap<string, TypeSearchParameter> {
  const codes = new Map(digests.map(({ url, code }) => [url, code]));
  const drafts = digests.map((digest) => draftOf(type, digest, codes, definitions));
  const patient = onePatientPath(
    type,
    patientPathsOf(new Map(drafts.map((draft) => [draft.code, draft]))),
    definitions,
  );
  const rows = rowsOf(drafts);
  return new Map(
    drafts.map((draft) => [
      draft.code,
      {
        ...draft,
        ...(rows.get(draft) ?? { rows: [draft.key] }),
        namesPatient: namesPatient(draft, patient),
        single: isSingle(draft, definitions),
        boundTo: boundTo(draft, definitions),
      },
    ]),
  );
}

function draftOf(
  type: string,
  digest: SearchParameterDigest,
  codes: ReadonlyMap<string, string>,
  definitions: Definitions,
): Draft {
  const isRoot = (name: string) => definitions.isResourceType(name) || OF_ALL_TYPES.includes(name);
  const found =
    digest.expression === undefined
      ? []
      : alternatives(parseSearchExpression(digest.expression)).flatMap((item) => relativeTo(type, item, isRoot) ?? []);
  return {
    type,
    code: digest.code,
    kind: digest.type,
    url: digest.url,
    alternatives: found,
    targets: digest.type === 'reference' ? (digest.target ?? []) : [],
    key: searchParameterKey(type, digest.code),
    stored: storedAs(digest, found),
    types: valueTypes(type, found, definitions),
    components: componentsOf(digest, found, codes),
  };
}

function storedAs({ code, type }: SearchParameterDigest, found: readonly SearchExpression[]): Draft['stored'] {
  if (code === '_id' || code === '_lastUpdated') return 'column';
  if (code === '_text' || code === '_content') return 'text';
  if (code === 'near') return 'position';
  if (found.length === 0 || type === 'special') return 'none';
  return type === 'composite' ? 'composite' : 'index';
}

function valueTypes(type: string, found: readonly SearchExpression[], definitions: Definitions): ReadonlySet<string> {
  return new Set(
    found.flatMap((item) => {
      // A condition (Patient.deceased) is true or false.
      if (item.op !== 'path') return item.op === 'union' ? [''] : ['boolean'];
      return [...typesAt(type, item.steps, definitions)];
    }),
  );
}

/** The expression without its root type; undefined when it starts at another type. */
function relativeTo(
  type: string,
  expression: SearchExpression,
  isRoot: (name: string) => boolean,
): SearchExpression | undefined {
  switch (expression.op) {
    case 'path': {
      const [root, ...rest] = expression.steps;
      if (root?.step !== 'element' || !isRoot(root.name)) return expression;
      return root.name === type || OF_ALL_TYPES.includes(root.name) ? { op: 'path', steps: rest } : undefined;
    }
    case 'union': {
      const items = expression.items.flatMap((item) => relativeTo(type, item, isRoot) ?? []);
      return items.length === 0 ? undefined : { op: 'union', items };
    }
    case 'exists': {
      const of = relativeTo(type, expression.of, isRoot);
      return of && { op: 'exists', of };
    }
    case 'equals':
    case 'differs': {
      const left = relativeTo(type, expression.left, isRoot);
      return left && { ...expression, left };
    }
    default: {
      const left = relativeTo(type, expression.left, isRoot);
      const right = relativeTo(type, expression.right, isRoot);
      return left && right && { ...expression, left, right };
    }
  }
}

// ---- which rows answer a parameter

type Rows = Pick<TypeSearchParameter, 'rows' | 'onlyTarget'>;

/** The narrowest parameters hold rows; a parameter that is exactly covered by holders has none of its own. */
function rowsOf(drafts: readonly Draft[]): Map<Draft, Rows> {
  const weight = (draft: Draft) => draft.alternatives.length * 2 + (targetOf(draft) === undefined ? 0 : 1);
  const order = drafts
    .filter(({ stored }) => stored === 'index')
    .sort((a, b) => weight(a) - weight(b) || (a.code < b.code ? -1 : 1));
  const holders: Draft[] = [];
  const rows = new Map<Draft, Rows>();
  for (const draft of order) {
    const cover = coverOf(draft, holders);
    if (cover === undefined) holders.push(draft);
    rows.set(draft, cover ?? { rows: [draft.key] });
  }
  return rows;
}

function coverOf(draft: Draft, holders: readonly Draft[]): Rows | undefined {
  const candidates = holders.filter(
    // Rows of Bundle.composition and Bundle.message differ by target alone.
    ({ kind, targets }) => kind === draft.kind && draft.targets.every((target) => targets.includes(target)),
  );
  const exact = covering(draft.alternatives.map(expressionText), candidates);
  if (exact !== undefined) return { rows: exact };
  const target = targetOf(draft);
  if (target === undefined) return undefined;
  const wider = covering(draft.alternatives.map(withoutResolves).map(expressionText), candidates);
  return wider && { rows: wider, onlyTarget: target };
}

function covering(wanted: readonly string[], candidates: readonly Draft[]): number[] | undefined {
  const left = new Set(wanted);
  const rows: number[] = [];
  for (const candidate of candidates) {
    const texts = candidate.alternatives.map(expressionText);
    if (!texts.every((text) => wanted.includes(text)) || !texts.some((text) => left.has(text))) continue;
    for (const text of texts) left.delete(text);
    rows.push(candidate.key);
  }
  return left.size === 0 ? rows : undefined;
}

/** The type T when each alternative ends in `.where(resolve() is T)` and T is all that the parameter may name. */
function targetOf({ alternatives, targets }: Draft): string | undefined {
  const [target] = targets;
  if (targets.length !== 1 || target === undefined) return undefined;
  const narrowed = alternatives.every((item) => {
    const last = item.op === 'path' ? item.steps.at(-1) : undefined;
    return last?.step === 'resolves' && last.type === target;
  });
  return narrowed ? target : undefined;
}

// ---- which patient a resource is about

const PATIENT_PARAMETERS = ['patient', 'subject', 'beneficiary', 'individual', 'actor'];

/** The first of the usual parameters that may name a Patient; the compartment's others (`performer`, …) act, not suffer. */
function patientPathsOf(parameters: ReadonlyMap<string, Draft>): readonly SearchExpression[] {
  for (const code of PATIENT_PARAMETERS) {
    const parameter = parameters.get(code);
    if (parameter?.kind === 'reference' && parameter.targets.includes('Patient')) {
      return parameter.alternatives.map(withoutResolves);
    }
  }
  return [];
}

/** The path, when it is the only one, so that one patient at most is named. */
function onePatientPath(
  type: string,
  paths: readonly SearchExpression[],
  definitions: Definitions,
): SearchExpression | undefined {
  const [path] = paths;
  return paths.length === 1 && path?.op === 'path' && !repeats(type, path.steps, definitions) ? path : undefined;
}

/** Several alternatives are one element when they name types of one choice, of which a resource has one. */
function isSingle({ type, kind, alternatives: found }: Draft, definitions: Definitions): boolean {
  if (kind !== 'date' && kind !== 'number' && kind !== 'quantity') return false;
  const paths = found.map((item) => (item.op === 'path' ? item.steps.filter(({ step }) => step !== 'ofType') : []));
  const [path] = paths;
  const others = new Set(paths.map((steps) => JSON.stringify(steps)));
  return path !== undefined && path.length > 0 && others.size === 1 && !repeats(type, path, definitions);
}

function boundTo({ type, kind, alternatives: found }: Draft, definitions: Definitions): readonly string[] {
  if (kind !== 'token') return [];
  const valueSets: string[] = [];
  for (const item of found) {
    const element = item.op === 'path' ? elementAt(type, item.steps, definitions) : undefined;
    const valueSet = element?.binding?.valueSet;
    if (element?.types.length !== 1 || element.types[0]?.code !== 'code' || valueSet === undefined) return [];
    valueSets.push(valueSet);
  }
  return valueSets;
}

function namesPatient(draft: Draft, patient: SearchExpression | undefined): boolean {
  const [only, ...others] = draft.alternatives;
  return (
    patient !== undefined &&
    draft.kind === 'reference' &&
    draft.targets.includes('Patient') &&
    only !== undefined &&
    others.length === 0 &&
    expressionText(withoutResolves(only)) === expressionText(patient)
  );
}
