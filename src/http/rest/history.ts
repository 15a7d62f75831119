/**
 * Histories of a resource, of a type and of everything.
 *
 * @see https://hl7.org/fhir/R4/http.html#history
 */
import { permits, requirePermission } from '../../access/scopes.ts';
import { type AuditRow, restEvents } from '../../audit/event.ts';
import { sharedEvent } from '../../audit/shared-event.ts';
import { parseJson } from '../../fhir/json.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import type { HistoryQuery, ListedVersion } from '../../record/history.ts';
import type { HistoryPage, HistoryVersion } from '../../record/record.ts';
import type { Clinic, FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { type HistoryParameters, historyParameters } from './history-parameters.ts';
import { type BundleLink, bundleText } from './page.ts';
import { rawRequest } from './search.ts';
import { type Show, shownBy } from './view.ts';

const shared = { action: 'R', takesBody: false } as const;

/** GET [type]/[id]/_history: of a deleted resource too. */
export function historyInstance(registry: SearchParameterRegistry): Interaction {
  return {
    ...shared,
    name: 'history-instance',
    scopeOfType: true,
    handle: async (request) => {
      const { type, id } = request.target;
      const asked = historyParameters(request);
      const page = await pageOfOne(request, asked);
      const entities = [{ type, id }];
      const event = { ...eventOf(request, 'history-instance'), entities } as const;
      const patients = patientsOf(page.versions);
      const audit = restEvents(event, patients.length === 0 ? [null] : patients, request.now);
      return answerOf(request, `${type}/${id}/_history`, asked, page, audit, registry);
    },
  };
}

/** GET [type]/_history */
export function historyType(registry: SearchParameterRegistry): Interaction {
  return {
    ...shared,
    name: 'history-type',
    scopeOfType: true,
    handle: async (request) => {
      const { target, clinic } = request;
      const asked = historyParameters(request);
      const query = { ...(await conditionsOf(request, asked)), types: [target.type] };
      const page = await clinic.record.historyByTime(query);
      return answerOf(
        request,
        `${target.type}/_history`,
        asked,
        page,
        sharedAudit(request, 'history-type', page),
        registry,
      );
    },
  };
}

/** GET _history: of the types that the token may list; the others are absent, from totals too. */
export function historySystem(registry: SearchParameterRegistry): Interaction {
  return {
    ...shared,
    name: 'history-system',
    scopeOfType: false,
    handle: async (request) => {
      const { clinic } = request;
      const types = visibleTypes(request, registry.definitions.resourceTypes);
      const asked = historyParameters(request);
      const query = { ...(await conditionsOf(request, asked)), types };
      const page = await clinic.record.historyByTime(query);
      return answerOf(request, '_history', asked, page, sharedAudit(request, 'history-system', page), registry);
    },
  };
}

/** @throws Failure `forbidden` when there is none */
function visibleTypes({ grant }: FhirRequest, all: readonly string[]): readonly string[] {
  if (permits(grant.scopes, '*', 'history-system')) return all;
  // A Binary may belong to a resource of any type, and is then seen as that one is.
  const types = all.filter((type) => type !== 'Binary' && permits(grant.scopes, type, 'history-system'));
  if (types.length === 0) requirePermission(grant.scopes, '*', 'history-system');
  return types;
}

/** Without conditions by version, which is the fastest way. */
async function pageOfOne(request: FhirRequest, asked: HistoryParameters): Promise<HistoryPage> {
  const { clinic, target } = request;
  const { type, id } = target;
  const { since, at, list, count, cursor } = asked;
  if (since === undefined && at === undefined && list === undefined && count > 0) {
    return clinic.record.history(type, id, { count, ...(cursor === undefined ? {} : { cursor }) });
  }
  return clinic.record.historyByTime({ ...(await conditionsOf(request, asked)), types: [type], id });
}

async function conditionsOf(request: FhirRequest, asked: HistoryParameters): Promise<Omit<HistoryQuery, 'types'>> {
  const { since, at, list, count, cursor } = asked;
  return {
    count,
    ...(cursor === undefined ? {} : { cursor }),
    ...(since === undefined ? {} : { since }),
    ...(at === undefined ? {} : { at }),
    ...(list === undefined ? {} : { listed: await listedIn(request, list) }),
  };
}

/** What a List of this service names, with the version where it names one. */
async function listedIn({ clinic, grant }: FhirRequest, id: string): Promise<readonly ListedVersion[]> {
  requirePermission(grant.scopes, 'List', 'read', 'http._list');
  const { content } = await clinic.record.read('List', id);
  const { entry = [] } = parseJson(content) as { entry?: { deleted?: boolean; item?: { reference?: string } }[] };
  return entry.flatMap(({ item, deleted }) => {
    const reference = item?.reference ?? '';
    const local = reference.startsWith(`${clinic.base}/`) ? reference.slice(clinic.base.length + 1) : reference;
    const found = LISTED.exec(local);
    if (found === null || deleted === true) return [];
    const [, type = '', itemId = '', version] = found;
    return [{ type, id: itemId, ...(version === undefined ? {} : { version: Number(version) }) }];
  });
}

const LISTED = /^([A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/([1-9]\d{0,8}))?$/;

function answerOf(
  request: FhirRequest,
  path: string,
  asked: HistoryParameters,
  page: HistoryPage,
  audit: readonly AuditRow[],
  { definitions }: SearchParameterRegistry,
): FhirAnswer {
  const { clinic, target } = request;
  const types = target.type === '' ? definitions.resourceTypes : [target.type];
  const show = asked.count === 0 ? undefined : shownBy(request, types, definitions);
  const entries = asked.count === 0 ? [] : page.versions.map((version) => entryText(clinic, version, show));
  const links = linksOf(`${clinic.base}/${path}`, asked, page.next);
  return { status: 200, body: bundleText('history', links, entries, page.total), audit };
}

function linksOf(url: string, { used, cursor }: HistoryParameters, next: string | undefined): BundleLink[] {
  const at = (place: string | undefined) => {
    const parameters = new URLSearchParams(used.map(([name, value]): [string, string] => [name, value]));
    if (place !== undefined) parameters.append('_cursor', place);
    const query = parameters.toString();
    return query === '' ? url : `${url}?${query}`;
  };
  const self = { relation: 'self', url: at(cursor) } as const;
  return next === undefined ? [self] : [self, { relation: 'next', url: at(next) }];
}

function entryText(clinic: Clinic, version: HistoryVersion, show: Show | undefined): string {
  const { type, id, method, deleted } = version;
  const status = deleted ? '204 No Content' : version.created ? '201 Created' : '200 OK';
  const url = method === 'POST' ? type : `${type}/${id}`;
  const resource = deleted ? '' : `"resource":${show === undefined ? version.content : show(version.content)},`;
  return `{"fullUrl":"${clinic.base}/${type}/${id}",${resource}"request":{"method":"${method}","url":"${url}"},"response":{"status":"${status}","etag":"W/\\"${version.version}\\"","lastModified":"${version.lastUpdated}"}}`;
}

function sharedAudit(request: FhirRequest, interaction: string, page: HistoryPage): AuditRow[] {
  const event = { ...eventOf(request, interaction), entities: [], query: rawRequest(request) } as const;
  return [sharedEvent(event, patientsOf(page.versions), request.now)];
}

function eventOf({ context }: FhirRequest, interaction: string) {
  return { context, interaction, action: 'R', outcome: 0 } as const;
}

function patientsOf(versions: readonly HistoryVersion[]): string[] {
  return [...new Set(versions.map(({ patientId }) => patientId).filter((patientId) => patientId !== null))];
}
