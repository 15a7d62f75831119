/** @see https://hl7.org/fhir/R4/http.html#search */
import type { AuditRow } from '../../audit/event.ts';
import { sharedEvent } from '../../audit/shared-event.ts';
import type { Definitions } from '../../fhir/definitions.ts';
import type { Issue } from '../../fhir/failure.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import { CURSOR_PARAMETER, parseSearch, type SearchQuery, selfLink } from '../../fhir/search/query.ts';
import type { SearchPage, SearchText, StoredResource } from '../../record/record.ts';
import type { FhirAnswer, FhirRequest, Interaction } from '../exchange.ts';
import { outcomeText } from '../failures.ts';
import { requireBodyType } from '../media-types.ts';
import { type BundleLink, bundleText } from './page.ts';
import { isShown, withinScopes } from './search-scopes.ts';
import { type Show, showing } from './view.ts';

const shared = { name: 'search-type', action: 'E', scopeOfType: true } as const;
const FORM: ReadonlySet<string> = new Set(['application/x-www-form-urlencoded']);

/** GET [type]?… */
export function searchByGet(registry: SearchParameterRegistry): Interaction {
  return { ...shared, takesBody: false, handle: (request) => search(registry, request, shared.name) };
}

/** POST [type]/_search, with parameters in the body, the url, or both. */
export function searchByPost(registry: SearchParameterRegistry): Interaction {
  return { ...shared, takesBody: true, handle: (request) => search(registry, request, shared.name) };
}

/** @param interaction as the audit trail calls it */
export async function search(
  registry: SearchParameterRegistry,
  request: FhirRequest,
  interaction: 'search-type' | 'search-system',
): Promise<FhirAnswer> {
  const { clinic, grant } = request;
  const query = withinScopes(searchQueryOf(registry, request), grant.scopes);
  if (isPlain(query)) {
    const page = await clinic.record.searchText(query, clinic.base);
    const body = bundleText(
      'searchset',
      searchLinks(clinic.base, query, page.next),
      entriesOf(query, page),
      page.total,
    );
    return { status: 200, body, audit: [searchEvent(request, query, interaction, page.patientIds)] };
  }
  const found = await clinic.record.search(query);
  // What a match refers to is shown as far as the token could read it by itself.
  const included = found.included.filter(({ type }) => isShown(grant.scopes, type));
  const page = { ...found, included };
  const body = searchBundle(clinic.base, query, page, registry.definitions);
  return { status: 200, body, audit: [searchEvent(request, query, interaction, patientsOf(page))] };
}

/** Whether resources are shown as they are stored, and nothing but matches. */
function isPlain({ includes, view }: SearchQuery): boolean {
  return includes.length === 0 && view === undefined;
}

function entriesOf({ countOnly, ignored }: SearchQuery, { entries }: SearchText): string[] {
  return countOnly ? [] : [...(entries === '' ? [] : [entries]), ...outcomeEntry(ignored)];
}

function outcomeEntry(warnings: readonly Issue[]): string[] {
  return warnings.length === 0 ? [] : [`{"resource":${outcomeText(warnings)},"search":{"mode":"outcome"}}`];
}

/** @throws Failure `invalid`, for unknown parameters too unless the caller prefers `handling=lenient` */
export function searchQueryOf(registry: SearchParameterRegistry, request: FhirRequest): SearchQuery {
  const { clinic, target, headers, body, now } = request;
  const parameters = [...new URLSearchParams(target.query)];
  if (body.length > 0) {
    requireBodyType(headers['content-type'], FORM, 'application/x-www-form-urlencoded');
    parameters.push(...new URLSearchParams(body.toString('utf8')));
  }
  const strict = !/(?:^|[,;\s])handling\s*=\s*"?lenient\b/.test(String(headers.prefer ?? ''));
  const { type, id, member } = target;
  const options = { strict, baseUrl: clinic.base, now: now.getTime() };
  if (member === '') return parseSearch(type, parameters, registry, options);
  return parseSearch(member === '*' ? '' : member, parameters, registry, { ...options, compartment: { type, id } });
}

export function searchLinks(base: string, query: SearchQuery, next: string | undefined): BundleLink[] {
  const used = selfLink(query).toString();
  const url = `${base}${pathOf(query)}${used === '' ? '' : `?${used}`}`;
  const at = (cursor: string) => `${url}${used === '' ? '?' : '&'}${CURSOR_PARAMETER}=${encodeURIComponent(cursor)}`;
  const here: BundleLink[] =
    query.cursor === undefined
      ? [{ relation: 'self', url }]
      : [
          { relation: 'self', url: at(query.cursor) },
          { relation: 'first', url },
        ];
  return next === undefined ? here : [...here, { relation: 'next', url: at(next) }];
}

function pathOf({ type, compartment }: SearchQuery): string {
  if (compartment !== undefined) return `/${compartment.type}/${compartment.id}/${type === '' ? '*' : type}`;
  return type === '' ? '' : `/${type}`;
}

function searchBundle(base: string, query: SearchQuery, page: SearchPage, definitions: Definitions): string {
  const entries: string[] = [];
  const show = query.view === undefined ? undefined : showing(query.view, definitions);
  const isInView = inView(query);
  if (!query.countOnly) {
    for (const stored of page.matches) entries.push(entryText(base, stored, 'match', show));
    for (const stored of page.included) {
      entries.push(entryText(base, stored, 'include', isInView(stored.type) ? show : undefined));
    }
    const warnings = page.includedCut === true ? [...query.ignored, INCLUDED_CUT] : query.ignored;
    entries.push(...outcomeEntry(warnings));
  }
  return bundleText('searchset', searchLinks(base, query, page.next), entries, page.total);
}

const INCLUDED_CUT: Issue = {
  severity: 'warning',
  code: 'incomplete',
  diagnostics: 'More is to be included than one answer holds; ask for fewer matches with _count, or for it by itself.',
};

/** A summary is of everything; elements are those of the matches, unless they name the type of what is included. */
function inView({ view, parts }: SearchQuery): (type: string) => boolean {
  if (view?.kind !== 'elements') return () => true;
  return (type) => parts.some((part) => part.type === type) || view.elements.some((element) => element.type === type);
}

function entryText(base: string, stored: StoredResource, mode: 'match' | 'include', show: Show | undefined): string {
  const content = show === undefined ? stored.content : show(stored.content);
  return `{"fullUrl":"${base}/${stored.type}/${stored.id}","resource":${content},"search":{"mode":"${mode}"}}`;
}

function patientsOf({ matches, included }: SearchPage): string[] {
  const patients = new Set<string>();
  for (const { patientId } of matches) if (patientId !== null) patients.add(patientId);
  for (const { patientId } of included) if (patientId !== null) patients.add(patientId);
  return [...patients];
}

/** An event for each patient in the page, or the one that was asked about when the page is empty. */
function searchEvent(
  request: FhirRequest,
  query: SearchQuery,
  interaction: string,
  patients: readonly string[],
): AuditRow {
  const event = {
    context: request.context,
    interaction,
    action: 'E',
    outcome: 0,
    entities: [],
    query: rawRequest(request),
  } as const;
  return sharedEvent(event, patients.length > 0 ? patients : askedPatient(query), request.now);
}

/** An empty page about one patient was still a question about that patient. */
function askedPatient(query: SearchQuery): string[] {
  if (query.compartment?.type === 'Patient') return [query.compartment.id];
  const asked = query.filters.flatMap((filter) =>
    filter.kind === 'reference' ? filter.values.filter((value) => /^Patient\/[A-Za-z0-9.-]{1,64}$/.test(value)) : [],
  );
  const [only, ...others] = new Set(asked);
  return only === undefined || others.length > 0 ? [] : [only.slice('Patient/'.length)];
}

/** The request as it came: method, url and body, without its credentials. */
export function rawRequest({ clinic, target, body, headers }: FhirRequest): string {
  const accept = headers.accept === undefined ? '' : `\nAccept: ${headers.accept}`;
  const form = body.length === 0 ? '' : `\n\n${body.toString('utf8')}`;
  return `${target.method} ${clinic.base}${target.url}${accept}${form}`;
}
