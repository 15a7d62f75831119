/**
 * `DocumentReference/$docref` of US Core: the documents of a patient.
 *
 * This service holds documents and assembles none, so what is on demand only is nothing. Without dates the current
 * document of each kind is meant. A patient whom nobody knows, or who is hidden, has no documents.
 *
 * @see http://hl7.org/fhir/us/core/OperationDefinition/docref
 */
import type { CodeableConcept, DocumentReference } from '@medplum/fhirtypes';
import { requirePermission } from '../../access/scopes.ts';
import { dateRange } from '../../fhir/date-range.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import { OPEN_HIGH, OPEN_LOW } from '../../fhir/search/values.ts';
import type { FhirRequest } from '../exchange.ts';
import type { Given } from './operation-parameters.ts';
import type { Operation, OperationResult } from './operation-routes.ts';
import { chosenBundle, type Searched, searchAll } from './searched.ts';

export function documentDocref(registry: SearchParameterRegistry): Operation {
  return {
    code: 'docref',
    definition: 'http://hl7.org/fhir/us/core/OperationDefinition/docref',
    types: ['DocumentReference'],
    levels: ['type'],
    parameters: [
      { name: 'patient', types: ['id'], min: 1 },
      { name: 'start', types: ['date', 'dateTime'] },
      { name: 'end', types: ['date', 'dateTime'] },
      { name: 'type', types: ['CodeableConcept'], max: '*' },
      { name: 'on-demand', types: ['boolean'] },
      { name: 'profile', types: ['canonical'], max: '*' },
    ],
    scope: 'search-type',
    handle: (request, given) => docref(request, given, registry),
  };
}

type Found = Searched<DocumentReference>;

async function docref(request: FhirRequest, given: Given, registry: SearchParameterRegistry): Promise<OperationResult> {
  requirePermission(request.grant.scopes, 'DocumentReference', 'read');
  const search: [string, string][] = [
    ['patient', `Patient/${given.text('patient')}`],
    ['status', 'current'],
  ];
  const all =
    given.boolean('on-demand') === true
      ? []
      : await searchAll<DocumentReference>(request, registry, 'DocumentReference', search);
  const asked = all.filter(
    ({ resource }) =>
      isOfType(
        resource,
        given.all('type').map(({ value }) => value as CodeableConcept),
      ) && isOfProfile(resource, given.texts('profile')),
  );
  const [start, end] = [given.text('start'), given.text('end')];
  const newestFirst = asked.toSorted((a, b) => timeOf(b.resource).high - timeOf(a.resource).high || byId(a, b));
  const chosen =
    start === undefined && end === undefined
      ? currentOfEachKind(newestFirst)
      : newestFirst.filter(isWithin(start, end));
  const used = given.values.map(({ name, value }): [string, string] => [name, textOf(value)]);
  return chosenBundle(
    request,
    used,
    chosen.map(({ stored }) => stored),
  );
}

function isOfType({ type }: DocumentReference, wanted: readonly CodeableConcept[]): boolean {
  if (wanted.length === 0) return true;
  return wanted.some((concept) =>
    (concept.coding ?? []).some(({ system, code }) =>
      type?.coding?.some((own) => own.code === code && (system === undefined || own.system === system)),
    ),
  );
}

/** What the document is made by: the format of its content, or a profile it claims. */
function isOfProfile({ content, meta }: DocumentReference, wanted: readonly string[]): boolean {
  if (wanted.length === 0) return true;
  const formats = content.flatMap(({ format }) => format?.code ?? []);
  return wanted.some((url) => formats.includes(url) || meta?.profile?.includes(url) === true);
}

/** When the care was that it is about; the time of its making where that is not stated. */
function timeOf({ context, date }: DocumentReference): { low: number; high: number } {
  const { start, end } = context?.period ?? {};
  if (start === undefined && end === undefined) {
    return (date === undefined ? undefined : dateRange(date)) ?? { low: OPEN_LOW, high: OPEN_LOW };
  }
  return {
    low: (start === undefined ? undefined : dateRange(start)?.low) ?? OPEN_LOW,
    high: (end === undefined ? undefined : dateRange(end)?.high) ?? OPEN_HIGH,
  };
}

function isWithin(start: string | undefined, end: string | undefined): (found: Found) => boolean {
  const low = (start === undefined ? undefined : dateRange(start)?.low) ?? OPEN_LOW;
  const high = (end === undefined ? undefined : dateRange(end)?.high) ?? OPEN_HIGH;
  return ({ resource }) => {
    const time = timeOf(resource);
    return time.low <= high && time.high >= low;
  };
}

function currentOfEachKind(newestFirst: readonly Found[]): Found[] {
  return [...Map.groupBy(newestFirst, ({ resource }) => kindOf(resource)).values()].map(([newest]) => newest as Found);
}

function kindOf({ type }: DocumentReference): string {
  const [coding] = type?.coding ?? [];
  return coding === undefined ? (type?.text ?? '') : `${coding.system ?? ''}|${coding.code ?? ''}`;
}

function byId(a: Found, b: Found): number {
  return a.stored.id < b.stored.id ? -1 : 1;
}

function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const [coding] = (value as CodeableConcept).coding ?? [];
  return `${coding?.system === undefined ? '' : `${coding.system}|`}${coding?.code ?? ''}`;
}
