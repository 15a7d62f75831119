/**
 * AuditEvents as they are read: the service alone writes them, so there is no other interaction. To look into the audit
 * trail is itself an event.
 *
 * Supported: _id, date, patient, entity, action, outcome, type, subtype, _count; newest first. Without _id, patient or
 * entity a date is needed, since a search over everything that ever happened helps nobody.
 */
import { type AuditRow, restEvent } from '../../audit/event.ts';
import type { AuditSearch, RecordedEvent } from '../../audit/reader.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import type { DateValue, SearchFilter, SearchQuery } from '../../fhir/search/query.ts';
import type { FhirRequest, Interaction } from '../exchange.ts';
import { bundleText } from './page.ts';
import { rawRequest, searchLinks, searchQueryOf } from './search.ts';

/** A UUID, with '.n' where one row stands for several events. */
const EVENT_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(\.[1-9]\d{0,3})?$/;

export const readAuditEvent: Interaction = {
  name: 'read',
  action: 'R',
  takesBody: false,
  scopeOfType: true,
  handle: async (request) => {
    const { id } = request.target;
    const body = EVENT_ID.test(id) ? await request.clinic.auditReader.read(id) : undefined;
    if (body === undefined) {
      throw new Failure(
        'not-found',
        issue('not-found', `AuditEvent/${id} is not known here.`, undefined, 'MSG_NO_EXIST'),
      );
    }
    return { status: 200, headers: { etag: 'W/"1"' }, body, audit: [logUsed(request, 'read', undefined)] };
  },
};

export function searchAuditEvents(registry: SearchParameterRegistry, takesBody: boolean): Interaction {
  return {
    name: 'search-type',
    action: 'R',
    takesBody,
    scopeOfType: true,
    handle: async (request) => {
      const query = searchQueryOf(registry, request);
      const search = await auditSearchOf(request, query);
      const { events, next } = await request.clinic.auditReader.search(search);
      const links = searchLinks(request.clinic.base, query, next === undefined ? undefined : cursorOf(next));
      const entries = events.map(
        ({ id, body }) =>
          `{"fullUrl":"${request.clinic.base}/AuditEvent/${id}","resource":${body},"search":{"mode":"match"}}`,
      );
      return {
        status: 200,
        body: bundleText('searchset', links, entries),
        audit: [logUsed(request, 'search-type', search.patientId)],
      };
    },
  };
}

function logUsed(request: FhirRequest, interaction: string, patientId: string | undefined): AuditRow {
  const { context, now } = request;
  const patient = patientId === undefined ? {} : { patientId };
  return restEvent(
    {
      context,
      interaction,
      action: 'R',
      outcome: 0,
      entities: [],
      query: rawRequest(request),
      ofAuditLog: true,
      ...patient,
    },
    now,
  );
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

async function auditSearchOf(request: FhirRequest, query: SearchQuery): Promise<AuditSearch> {
  const search: Mutable<AuditSearch> = { count: Math.max(query.count, 1) };
  if (query.sort.some(({ parameter, descending }) => parameter.code !== 'date' || !descending)) {
    throw unsupported('AuditEvents come newest first: _sort can only be -date', '_sort');
  }
  if (query.includes.length > 0 || query.countOnly || query.total === 'estimate' || query.total === 'accurate') {
    throw unsupported('A search of AuditEvents has no _include, no total and no _summary', 'AuditEvent');
  }
  for (const filter of query.filters) narrow(search, filter);
  if (query.cursor !== undefined) search.after = placeOf(query.cursor);
  await narrowToPatient(request, search);
  const bounded = search.id ?? search.patientId ?? search.from ?? search.before;
  if (bounded === undefined) {
    const diagnostics = 'Give a date, or patient, entity or _id: the whole audit trail is too much for one search';
    throw new Failure('invalid', issue('too-costly', diagnostics, 'http.date'));
  }
  return search;
}

function narrow(search: Mutable<AuditSearch>, filter: SearchFilter): void {
  if (!('parameter' in filter)) throw unsupported('AuditEvents have plain conditions only', filter.kind);
  const { code } = filter.parameter;
  if (filter.kind === 'date' && code === 'date') {
    narrowDate(search, filter.values.length === 1 ? filter.values[0] : undefined);
    return;
  }
  if (filter.kind === 'reference' && code === 'patient') {
    search.patientId = only(code, filter.values).replace(/^Patient\//, '');
    return;
  }
  if (filter.kind === 'reference' && code === 'entity') {
    search.entity = only(code, filter.values);
    return;
  }
  if (filter.kind === 'token' && !filter.not && (TOKENS as readonly string[]).includes(code)) {
    const [value, ...more] = filter.values;
    if (value?.code === undefined || more.length > 0) throw unsupported(`Give one code for ${code}`, code);
    narrowToken(search, code as (typeof TOKENS)[number], value.code);
    return;
  }
  throw unsupported(`AuditEvents cannot be searched by ${code} in this form`, code);
}

const TOKENS = ['_id', 'action', 'outcome', 'type', 'subtype'] as const;

/** Codes of the parameters by which AuditEvents can be searched. */
export const auditSearchCodes: ReadonlySet<string> = new Set(['date', 'patient', 'entity', ...TOKENS]);

function narrowToken(search: Mutable<AuditSearch>, code: (typeof TOKENS)[number], value: string): void {
  switch (code) {
    case '_id':
      // An id that is no UUID is no event's, and neither is this one.
      search.id = EVENT_ID.test(value) ? value : '00000000-0000-0000-0000-000000000000';
      return;
    case 'outcome':
      if (!/^(0|4|8|12)$/.test(value)) throw unsupported('An outcome is 0, 4, 8 or 12', code);
      search.outcome = Number(value);
      return;
    case 'action':
      if (!/^[CRUDE]$/.test(value)) throw unsupported('An action is C, R, U, D or E', code);
      search.action = value;
      return;
    case 'type':
      search.type = value;
      return;
    case 'subtype':
      search.subtype = value;
  }
}

/** The last instant that FHIR can write: what is asked about later ones is asked about this one. */
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

function narrowDate(search: Mutable<AuditSearch>, value: DateValue | undefined): void {
  if (value === undefined) throw unsupported('Give one value for date; repeat date for a range', 'date');
  const { prefix, low, high } = value;
  if (prefix === 'ne' || prefix === 'ap') throw unsupported('date takes eq, ge, gt, sa, le, lt and eb', 'date');
  const from = prefix === 'eq' || prefix === 'ge' ? low : prefix === 'gt' || prefix === 'sa' ? high + 1 : undefined;
  const before = prefix === 'eq' || prefix === 'le' ? high + 1 : prefix === 'lt' || prefix === 'eb' ? low : undefined;
  if (from !== undefined) search.from = new Date(Math.min(Math.max(from, search.from?.getTime() ?? from), LATEST));
  if (before !== undefined) search.before = new Date(Math.min(before, search.before?.getTime() ?? before, LATEST));
}

/** An entity is looked for among the events of its patient, which an index has; else within the dates. */
async function narrowToPatient(request: FhirRequest, search: Mutable<AuditSearch>): Promise<void> {
  if (search.entity === undefined || search.patientId !== undefined || search.from !== undefined) return;
  const [type = '', id = ''] = search.entity.split('/');
  const patientId = type === 'Patient' ? id : await request.clinic.auditReader.patientOf(type, id);
  if (patientId !== undefined) search.patientId = patientId;
}

function only(code: string, values: readonly string[]): string {
  const [value, ...more] = values;
  if (value === undefined || more.length > 0 || !/^[A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(value)) {
    throw unsupported(`Give one reference for ${code}, as Type/id`, code);
  }
  return value;
}

function cursorOf({ recorded, id }: RecordedEvent): string {
  return Buffer.from(`${recorded} ${id}`).toString('base64url');
}

function placeOf(cursor: string): { recorded: string; id: string } {
  const [recorded = '', id = ''] = Buffer.from(cursor, 'base64url').toString('latin1').split(' ');
  if (!EVENT_ID.test(id) || Number.isNaN(Date.parse(recorded))) {
    throw new Failure(
      'invalid',
      issue('value', 'The _cursor is not one that this service gave', 'http._cursor', 'MSG_PARAM_INVALID'),
    );
  }
  return { recorded, id };
}

function unsupported(diagnostics: string, parameter: string): Failure {
  return new Failure('invalid', issue('not-supported', diagnostics, `http.${parameter}`));
}
