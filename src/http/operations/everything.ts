/**
 * `Patient/$everything`, `Patient/{id}/$everything` and `Encounter/{id}/$everything`: a compartment and what its members
 * refer to, in pages.
 *
 * Types that the token may not read and search are left out, as if there were none; so are psychotherapy notes.
 *
 * @see https://hl7.org/fhir/R4/patient-operation-everything.html
 * @see https://hl7.org/fhir/R4/encounter-operation-everything.html
 */
import { permits, requirePermission } from '../../access/scopes.ts';
import { dateRange } from '../../fhir/date-range.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import { CURSOR_PARAMETER } from '../../fhir/search/query.ts';
import type { EverythingQuery } from '../../record/everything.ts';
import type { StoredResource } from '../../record/record.ts';
import type { FhirRequest } from '../exchange.ts';
import { type BundleLink, bundleText } from '../rest/page.ts';
import type { Given, ParameterDeclaration } from './operation-parameters.ts';
import type { Operation, OperationResult } from './operation-routes.ts';

const MAX_COUNT = 1000;

const shared: readonly ParameterDeclaration[] = [
  { name: '_since', types: ['instant', 'dateTime'] },
  { name: '_type', types: ['code', 'string'], max: '*' },
  { name: '_count', types: ['integer'] },
  // Ours: where the page before ended. It comes from a link and is no parameter of the definition.
  { name: CURSOR_PARAMETER, types: ['string'] },
];

/** @param resourceTypes all of R4 */
export function everythingOperations(resourceTypes: readonly string[]): readonly Operation[] {
  const handle = (request: FhirRequest, given: Given) => everything(request, given, resourceTypes);
  return [
    {
      code: 'everything',
      definition: 'http://hl7.org/fhir/OperationDefinition/Patient-everything',
      types: ['Patient'],
      levels: ['type', 'instance'],
      parameters: [
        { name: 'start', types: ['date', 'dateTime'] },
        { name: 'end', types: ['date', 'dateTime'] },
        ...shared,
      ],
      handle,
    },
    {
      code: 'everything',
      definition: 'http://hl7.org/fhir/OperationDefinition/Encounter-everything',
      types: ['Encounter'],
      levels: ['instance'],
      parameters: shared,
      handle,
    },
  ];
}

async function everything(
  request: FhirRequest,
  given: Given,
  resourceTypes: readonly string[],
): Promise<OperationResult> {
  const { clinic, grant, target } = request;
  const { type, id } = target;
  requirePermission(grant.scopes, type, 'read');
  if (id === '') requirePermission(grant.scopes, type, 'search-type');
  const query = queryOf(request, given, resourceTypes);
  // Nothing there is not the same as nothing to show.
  const focus = id === '' ? undefined : await clinic.record.read(type, id);
  const { resources, next } = await clinic.record.everything(query);
  const entries = resources.map(({ stored, mode }) => entryText(clinic.base, stored, mode));
  const shown = [...(focus === undefined ? [] : [focus]), ...resources.map(({ stored }) => stored)];
  const patients = new Set(shown.flatMap(({ patientId }) => (patientId === null ? [] : [patientId])));
  return { body: bundleText('searchset', linksOf(request, given, next), entries), patients: [...patients] };
}

function queryOf({ grant, target }: FhirRequest, given: Given, resourceTypes: readonly string[]): EverythingQuery {
  const { type, id } = target;
  const asked = typesAsked(given, resourceTypes);
  const among = (types: readonly string[]) => (asked.size === 0 ? types : types.filter((each) => asked.has(each)));
  const readable = resourceTypes.filter((each) => permits(grant.scopes, each, 'read'));
  // The focus was asked for by its id; to list members is a search.
  const visible = readable.filter((each) => (each === type && id !== '') || permits(grant.scopes, each, 'search-type'));
  const start = timeOf(given, 'start')?.low;
  const end = timeOf(given, 'end')?.high;
  const since = timeOf(given, '_since')?.low;
  const cursor = given.text(CURSOR_PARAMETER);
  return {
    compartment: type as EverythingQuery['compartment'],
    ...(id === '' ? {} : { id }),
    members: among(visible),
    supporting: among(readable),
    visible,
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
    ...(since === undefined ? {} : { since }),
    count: countOf(given),
    ...(cursor === undefined ? {} : { cursor }),
    asked: JSON.stringify([id, start, end, since, [...asked].sort(), grant.scopes.text]),
  };
}

function typesAsked(given: Given, resourceTypes: readonly string[]): ReadonlySet<string> {
  const asked = new Set<string>();
  for (const { value, place } of given.all('_type')) {
    for (const name of String(value).split(',')) {
      if (!resourceTypes.includes(name)) {
        throw new Failure('invalid', issue('value', '_type must be resource types of R4, separated by commas', place));
      }
      asked.add(name);
    }
  }
  return asked;
}

function timeOf(given: Given, name: string): { low: number; high: number } | undefined {
  const text = given.text(name);
  return text === undefined ? undefined : dateRange(text);
}

function countOf(given: Given): number {
  const count = given.number('_count') ?? MAX_COUNT;
  if (count < 1) throw new Failure('invalid', issue('value', '_count must be 1 or more', given.placeOf('_count')));
  return Math.min(count, MAX_COUNT);
}

function linksOf({ clinic, target }: FhirRequest, given: Given, next: string | undefined): BundleLink[] {
  const path = [target.type, target.id, '$everything'].filter((part) => part !== '').join('/');
  const at = (cursor: string | undefined): string => {
    const used = new URLSearchParams();
    for (const { name, value } of given.values) if (name !== CURSOR_PARAMETER) used.append(name, String(value));
    if (cursor !== undefined) used.append(CURSOR_PARAMETER, cursor);
    return `${clinic.base}/${path}${used.size === 0 ? '' : `?${used}`}`;
  };
  const self: BundleLink = { relation: 'self', url: at(given.text(CURSOR_PARAMETER)) };
  return next === undefined ? [self] : [self, { relation: 'next', url: at(next) }];
}

function entryText(base: string, { type, id, content }: StoredResource, mode: 'match' | 'include'): string {
  return `{"fullUrl":"${base}/${type}/${id}","resource":${content},"search":{"mode":"${mode}"}}`;
}
