/**
 * What a GraphQL query reads, within the scopes of its token and within bounds: so many searches, so many resources.
 *
 * Reads of one moment go to the database together (the record gathers them), and each resource is read once.
 */
import type { Reference, Resource } from '@medplum/fhirtypes';
import { requirePermission } from '../../../access/scopes.ts';
import { Failure, issue } from '../../../fhir/failure.ts';
import { parseJson } from '../../../fhir/json.ts';
import { parseReference } from '../../../fhir/references.ts';
import type { SearchParameterRegistry } from '../../../fhir/search/parameters.ts';
import { parseSearch } from '../../../fhir/search/query.ts';
import { isPsychotherapyNote } from '../../../kap/labels.ts';
import type { SearchPage, StoredResource } from '../../../record/record.ts';
import type { FhirRequest } from '../../exchange.ts';
import { isShown, listed, withinScopes } from '../../rest/search-scopes.ts';
import { NO_NOTES } from '../searched.ts';
import { countOf, type PartChooser, textsOf } from './chosen.ts';
import { openPlace, type Place, sealPlace } from './cursor.ts';
import { argumentOf } from './shapes.ts';

const MAX_SEARCHES = 100;
const MAX_RESOURCES = 2000;
const MAX_PAGE = 1000;

/** Matches of a search that are read to come to a page. */
const MAX_OFFSET = 20_000;
const DEFAULT_PAGE = 20;

/** The resource whose referrers are looked for, and the parameters by which it may be. */
export type About = { readonly parameter: string; readonly allowed: readonly string[]; readonly of: string };

type Connection = {
  readonly count: number | undefined;
  readonly offset: number;
  readonly pagesize: number;
  readonly edges: readonly { readonly mode: 'match'; readonly resource: Resource }[];
  readonly first: string;
  readonly previous: string | undefined;
  readonly next: string | undefined;
  readonly last: string | undefined;
};

type Arguments = Readonly<Record<string, unknown>>;

export class GraphReader {
  readonly #request: FhirRequest;
  readonly #registry: SearchParameterRegistry;
  readonly #chooser: PartChooser;
  readonly #about: Resource | undefined;
  readonly #patients = new Set<string>();
  readonly #reads = new Map<string, Promise<Resource | undefined>>();
  /** Contained resources, by the reference to them. */
  readonly #contained = new WeakMap<object, Resource>();
  #searches = 0;
  #resources = 0;

  /** @param about a resource that is at hand, and is what a read without an id reads */
  constructor(request: FhirRequest, registry: SearchParameterRegistry, chooser: PartChooser, about?: Resource) {
    this.#request = request;
    this.#registry = registry;
    this.#chooser = chooser;
    this.#about = about;
    if (about !== undefined) this.#linkContained(about);
  }

  /** Everybody about whom something was read. */
  get patients(): readonly string[] {
    return [...this.#patients];
  }

  /** @throws Failure `forbidden`; `not-found` for what is not there or is hidden */
  async read(type: string, id: string): Promise<Resource> {
    if (this.#about !== undefined && id === '') return this.#about;
    requirePermission(this.#request.grant.scopes, listed(type), 'read');
    const resource = await this.#readOnce(type, id);
    if (resource !== undefined) return resource;
    throw new Failure('not-found', issue('not-found', `${type}/${id} is not known here.`));
  }

  /**
   * All matches, or as many as `_count` says.
   *
   * @throws Failure `forbidden`, `invalid`; `too-costly` for more than one answer holds, since a list is never cut
   */
  async list(type: string, given: Arguments, about: About | undefined): Promise<Resource[]> {
    const place = this.#place(type, given, about, MAX_PAGE);
    const page = await this.#page(place, false);
    const isPart = given._count != null || given._cursor != null || given.cursor != null;
    if (page.next === undefined || isPart) return page.resources;
    throw tooCostly(`a list of more than ${MAX_PAGE} ${type}; use ${type}Connection, or _count`);
  }

  /** One page, and the places of others. @throws Failure `forbidden`, `invalid` */
  async connection(type: string, given: Arguments, about: About | undefined): Promise<Connection> {
    const place = this.#place(type, given, about, DEFAULT_PAGE);
    const { resources, total, next, passed } = await this.#page(place, true);
    const { at: _at, ...search } = place;
    const { offset, pagesize } = place;
    const end = total === undefined || pagesize === 0 ? 0 : Math.floor(Math.max(total - 1, 0) / pagesize) * pagesize;
    return {
      count: total,
      offset,
      pagesize,
      edges: resources.map((resource) => ({ mode: 'match', resource })),
      first: sealPlace({ ...search, offset: 0 }),
      previous: offset === 0 ? undefined : sealPlace({ ...search, offset: Math.max(offset - pagesize, 0) }),
      next: next === undefined ? undefined : sealPlace({ ...search, offset: offset + passed, at: next }),
      last: total === undefined || end > MAX_OFFSET ? undefined : sealPlace({ ...search, offset: end }),
    };
  }

  /**
   * Null for what is of another type than those wanted.
   *
   * @throws Failure `not-found` for what is not here, is hidden, or may not be read, unless it is optional
   */
  async referred(
    reference: Reference,
    { types, optional }: { readonly types: readonly string[]; readonly optional: boolean },
  ): Promise<Resource | null> {
    const isWanted = (type: string) => types.length === 0 || types.includes(type);
    const contained = this.#contained.get(reference);
    if (contained !== undefined) return isWanted(contained.resourceType) ? contained : null;
    const target = parseReference(reference.reference ?? '', [this.#request.clinic.base]);
    if (target?.kind === 'local') {
      if (!isWanted(target.type)) return null;
      const resource = await this.#referredTo(target.type, target.id, target.version);
      if (resource !== undefined) return resource;
    }
    if (optional) return null;
    const words = 'What the reference leads to is not known here. With resource(optional: true) that is no error';
    throw new Failure('not-found', issue('not-found', words));
  }

  async #referredTo(type: string, id: string, version: string | undefined): Promise<Resource | undefined> {
    if (!isShown(this.#request.grant.scopes, type)) return undefined;
    return await this.#readOnce(type, id, version);
  }

  #readOnce(type: string, id: string, version?: string): Promise<Resource | undefined> {
    const key = `${type}/${id}/${version ?? ''}`;
    let reading = this.#reads.get(key);
    if (reading === undefined) {
      reading = this.#stored(type, id, version).then(
        (stored) => stored && this.#shown(stored),
        (error: unknown) => {
          if (error instanceof Failure && (error.code === 'not-found' || error.code === 'deleted')) return undefined;
          throw error;
        },
      );
      this.#reads.set(key, reading);
    }
    return reading;
  }

  async #stored(type: string, id: string, version: string | undefined): Promise<StoredResource | undefined> {
    const { record } = this.#request.clinic;
    if (version === undefined) return await record.read(type, id);
    return /^[1-9]\d{0,8}$/.test(version) ? await record.readVersion(type, id, Number(version)) : undefined;
  }

  /** Where the page that is asked for stands. @throws Failure `invalid` */
  #place(type: string, given: Arguments, about: About | undefined, size: number): Place {
    const { _cursor, cursor, _count, _offset, fhirpath, ...search } = given;
    const params = this.#parameters(type, search, about);
    const continued = _cursor ?? cursor;
    if (continued != null) {
      const place = openPlace(String(continued), type);
      // Some clients repeat what they asked for; something else would be another search.
      if (params.length === 0 || String(params) === String(place.params)) return place;
      throw new Failure(
        'invalid',
        issue('value', 'With a _cursor the search cannot be changed: leave the arguments out'),
      );
    }
    return {
      type,
      params,
      ...(fhirpath == null ? {} : { fhirpath: String(fhirpath) }),
      pagesize: Math.min(countOf(_count, '_count') ?? size, MAX_PAGE),
      offset: countOf(_offset, '_offset') ?? 0,
    };
  }

  /** @throws Failure `forbidden`; `not-supported` for what is kept apart from the record */
  #requireSearchable(type: string): void {
    const { scopes } = this.#request.grant;
    requirePermission(scopes, listed(type), 'search-type');
    requirePermission(scopes, listed(type), 'read');
    if (type === 'AuditEvent') {
      throw new Failure('invalid', issue('not-supported', 'AuditEvents are searched by REST: GET AuditEvent?…'));
    }
  }

  async #page(
    place: Place,
    counts: boolean,
  ): Promise<{ resources: Resource[]; passed: number; total: number | undefined; next: string | undefined }> {
    this.#requireSearchable(place.type);
    const at = place.at ?? (await this.#passed(place));
    const isBehind = place.offset > 0 && at === undefined;
    // Behind the last match there is nothing, but there is a total.
    const count = isBehind ? 0 : place.pagesize;
    const page = await this.#search(place, [...(counts ? [TOTAL] : []), ['_count', String(count)]], at);
    const shown = page.matches.flatMap((stored) => this.#shown(stored) ?? []);
    const resources = place.fhirpath === undefined ? shown : this.#chooser.where(shown, place.fhirpath);
    return { resources, passed: page.matches.length, total: page.total, next: page.next };
  }

  /** The record's cursor behind as many matches as are before the page; undefined where there are no more. */
  async #passed(place: Place): Promise<string | undefined> {
    if (place.offset > MAX_OFFSET) throw tooCostly(`an offset of more than ${MAX_OFFSET}`);
    let at: string | undefined;
    for (let left = place.offset; left > 0; ) {
      const page = await this.#search(place, [['_count', String(Math.min(left, MAX_PAGE))]], at);
      left -= page.matches.length;
      at = page.next;
      if (at === undefined) return undefined;
    }
    return at;
  }

  async #search(
    { type, params }: Place,
    more: readonly (readonly [string, string])[],
    cursor: string | undefined,
  ): Promise<SearchPage> {
    const { clinic, now, grant } = this.#request;
    this.#searches += 1;
    if (this.#searches > MAX_SEARCHES) throw tooCostly(`more than ${MAX_SEARCHES} searches`);
    const given = [...params, NO_NOTES, ...more];
    const options = { strict: true, baseUrl: clinic.base, now: now.getTime() };
    const query = withinScopes(parseSearch(type, given, this.#registry, options), grant.scopes);
    return await clinic.record.search({ ...query, ...(cursor === undefined ? {} : { cursor }) });
  }

  #parameters(type: string, search: Arguments, about: About | undefined): (readonly [string, string])[] {
    const codes = new Map([...this.#registry.of(type).keys()].map((code) => [argumentOf(code), code]));
    const params = Object.entries(search).flatMap(([name, value]) => {
      const texts = textsOf(value);
      return texts.length === 0 ? [] : [[codes.get(name) ?? name, texts.join(',')] as const];
    });
    if (about === undefined) return params;
    if (about.allowed.includes(about.parameter)) return [...params, [codes.get(about.parameter) as string, about.of]];
    const known = about.allowed.join(', ');
    throw new Failure('invalid', issue('value', `_reference of ${type} must be one of ${known}`));
  }

  #shown(stored: StoredResource): Resource | undefined {
    this.#resources += 1;
    if (this.#resources > MAX_RESOURCES) throw tooCostly(`more than ${MAX_RESOURCES} resources`);
    const resource = parseJson(stored.content) as Resource;
    if (isPsychotherapyNote(resource)) return undefined;
    if (stored.patientId !== null) this.#patients.add(stored.patientId);
    if (stored.content.includes('"reference":"#')) this.#linkContained(resource);
    return resource;
  }

  #linkContained(resource: Resource): void {
    const { contained = [] } = resource as { contained?: readonly Resource[] };
    const byId = new Map(contained.map((each) => [`#${each.id}`, each]));
    const link = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      const { reference } = value as { reference?: unknown };
      const found = typeof reference === 'string' ? byId.get(reference) : undefined;
      if (found !== undefined) this.#contained.set(value, found);
      for (const inner of Object.values(value)) link(inner);
    };
    link(resource);
  }
}

function tooCostly(what: string): Failure {
  return new Failure('invalid', issue('too-costly', `The query needs ${what}. Ask for less at once`));
}

const TOTAL = ['_total', 'accurate'] as const;
