/**
 * `Observation/$lastn`: of each kind of observation that a search finds for a subject, the most recent ones.
 *
 * Observations are of one kind when they share a code (in any of its codings; by text where there is none). Of those that
 * were taken at the same moment as the last one shown, all are shown. What was entered in error is no observation, unless
 * the search asks for a status itself.
 *
 * @see https://hl7.org/fhir/R4/observation-operation-lastn.html
 */
import type { Observation } from '@medplum/fhirtypes';
import { dateRange } from '../../fhir/date-range.ts';
import { Failure, type Issue, issue } from '../../fhir/failure.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import type { FhirRequest } from '../exchange.ts';
import type { Given } from './operation-parameters.ts';
import type { Operation, OperationResult } from './operation-routes.ts';
import { chosenBundle, type Searched, searchAll } from './searched.ts';

export function observationLastn(registry: SearchParameterRegistry): Operation {
  return {
    code: 'lastn',
    definition: 'http://hl7.org/fhir/OperationDefinition/Observation-lastn',
    types: ['Observation'],
    levels: ['type'],
    parameters: [{ name: 'max', types: ['positiveInt', 'integer', 'unsignedInt'] }],
    takesSearch: true,
    scope: 'search-type',
    handle: (request, given) => lastn(request, given, registry),
  };
}

async function lastn(request: FhirRequest, given: Given, registry: SearchParameterRegistry): Promise<OperationResult> {
  const max = given.number('max') ?? 1;
  const issues = faultsOf(given, max);
  if (issues.length > 0) throw new Failure('invalid', issues);
  const asksStatus = given.others.some(([name]) => nameOf(name) === 'status');
  const search = given.others.filter(([name]) => name !== '_count');
  const found = await searchAll<Observation>(request, registry, 'Observation', search);
  const real = asksStatus ? found : found.filter(({ resource }) => resource.status !== 'entered-in-error');
  const chosen = groupsByCode(real).flatMap((group) => latest(group, max));
  const used: [string, string][] = [...(given.first('max') ? [['max', String(max)] as [string, string]] : [])];
  for (const [name, value] of search) used.push([name, value]);
  return chosenBundle(
    request,
    used,
    chosen.map(({ stored }) => stored),
  );
}

/** `subject:Patient` → `subject` */
function nameOf(parameter: string): string {
  return parameter.split(/[:.]/)[0] as string;
}

/** By which an answer is ordered or cut, or what is added to it: the operation decides these itself. */
const NOT_HERE = new Set(['_sort', '_include', '_revinclude', '_summary', '_elements', '_total', '_cursor']);

function faultsOf({ others }: Given, max: number): Issue[] {
  const issues: Issue[] = [];
  const names = new Set(others.map(([name]) => nameOf(name)));
  if (max < 1) issues.push(issue('value', 'max must be 1 or more', 'http.max'));
  if (!names.has('patient') && !names.has('subject')) {
    issues.push(issue('required', 'Name the subject: give patient or subject', 'http.patient'));
  }
  if (![...names].some((name) => name === 'category' || /(^|-)code($|-)/.test(name))) {
    issues.push(issue('required', 'Say what is asked for: give category or code', 'http.code'));
  }
  for (const name of names) {
    if (NOT_HERE.has(name)) issues.push(issue('not-supported', `$lastn takes no ${name}`, `http.${name}`));
  }
  return issues;
}

type Found = Searched<Observation>;

/** Groups that share a code, in the order in which their first members were found. */
function groupsByCode(found: readonly Found[]): Found[][] {
  const parents = new Map<string, string>();
  const rootOf = (key: string): string => {
    const parent = parents.get(key);
    if (parent === undefined) {
      parents.set(key, key);
      return key;
    }
    if (parent === key) return key;
    const root = rootOf(parent);
    parents.set(key, root);
    return root;
  };
  for (const { resource } of found) {
    const [first, ...others] = keysOf(resource);
    for (const other of others) parents.set(rootOf(other), rootOf(first));
  }
  return [...Map.groupBy(found, ({ resource }) => rootOf(keysOf(resource)[0])).values()];
}

function keysOf({ code }: Observation): [string, ...string[]] {
  const codings = (code?.coding ?? []).flatMap((coding) =>
    coding.code === undefined ? [] : [`${coding.system ?? ''}|${coding.code}`],
  );
  const [first, ...others] = codings;
  return first === undefined ? [`text ${code?.text?.trim().toLowerCase() ?? ''}`] : [first, ...others];
}

/** The newest first; those without a time are the oldest. */
function latest(group: readonly Found[], max: number): Found[] {
  const timed = group
    .map((found) => ({ found, at: timeOf(found.resource) }))
    .sort((a, b) => b.at - a.at || (a.found.stored.id < b.found.stored.id ? -1 : 1));
  const last = timed[max - 1]?.at;
  return timed.filter(({ at }, i) => i < max || at === last).map(({ found }) => found);
}

/** The end of the time that is stated, in ms. */
function timeOf(observation: Observation): number {
  const { effectiveDateTime, effectivePeriod, effectiveInstant, effectiveTiming } = observation;
  const text =
    effectiveDateTime ??
    effectiveInstant ??
    effectivePeriod?.end ??
    effectivePeriod?.start ??
    effectiveTiming?.event?.toSorted().at(-1);
  return (text === undefined ? undefined : dateRange(text)?.high) ?? Number.NEGATIVE_INFINITY;
}
