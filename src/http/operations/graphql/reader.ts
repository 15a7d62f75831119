/**
 * What a GraphQL query reads, within the scopes of its token and within bounds: so many searches, so many resources.
 *
 * Reads of one moment go to the database together (the record gathers them), and each resource is read once.
 */
import type { Reference, Resource } from '@medplum/fhirtypes';
import { permits, requirePermission } from '../../../access/scopes.ts';
import { Failure, issue } from '../../../fhir/failure.ts';
import { parseJson } from '../../../fhir/json.ts';
import type { SearchParameterRegistry } from '../../../fhir/search-parameters.ts';
import { parseSearch } from '../../../fhir/search-query.ts';
import { isPsychotherapyNote } from '../../../kap/labels.ts';
import type { StoredResource } from '../../../record/record.ts';
import type { FhirRequest } from '../../exchange.ts';
import { NO_NOTES } from '../searched.ts';

const MAX_SEARCHES = 100;
const MAX_RESOURCES = 2000;
const MAX_PAGE = 1000;

/** The resource whose referrers are looked for, and the parameters by which it may be. */
export type About = { readonly parameter: string; readonly allowed: readonly string[]; readonly of: string };

type Connection = {
  readonly count: number | undefined;
  readonly pagesize: number;
  readonly edges: readonly { readonly mode: 'match'; readonly resource: Resource }[];
  readonly next: string | undefined;
};

export class GraphReader {
  readonly #request: FhirRequest;
  readonly #registry: SearchParameterRegistry;
  readonly #patients = new Set<string>();
  readonly #reads = new Map<string, Promise<Resource | undefined>>();
  /** Contained resources, by the reference to them. */
  readonly #contained = new WeakMap<object, Resource>();
  #searches = 0;
  #resources = 0;

  constructor(request: FhirRequest, registry: SearchParameterRegistry) {
    this.#request = request;
    this.#registry = registry;
  }

  /** Everybody about whom something was read. */
  get patients(): readonly string[] {
    return [...this.#patients];
  }

  /** @throws Failure `forbidden`; `not-found` for what is not there or is hidden */
  async read(type: string, id: string): Promise<Resource> {
    requirePermission(this.#request.grant.scopes, type, 'read');
    const resource = await this.#readOnce(type, id);
    if (resource !== undefined) return resource;
    throw new Failure('not-found', issue('not-found', `${type}/${id} is not known here.`));
  }

  /** @throws Failure `forbidden`, `invalid` */
  async list(type: string, search: Readonly<Record<string, unknown>>, about: About | undefined): Promise<Resource[]> {
    return (await this.#search(type, search, about, false)).resources;
  }

  /** @throws Failure `forbidden`, `invalid` */
  async connection(
    type: string,
    search: Readonly<Record<string, unknown>>,
    about: About | undefined,
  ): Promise<Connection> {
    const { resources, total, next, count } = await this.#search(type, search, about, true);
    return {
      count: total,
      pagesize: count,
      edges: resources.map((resource) => ({ mode: 'match', resource })),
      next,
    };
  }

  /** Null for what is not here, is hidden, or is of another type; an error only where the query says it must be there. */
  async referred(
    reference: Reference,
    wanted: { readonly type?: string; readonly optional: boolean },
  ): Promise<Resource | null> {
    const contained = this.#contained.get(reference);
    if (contained !== undefined)
      return wanted.type === undefined || contained.resourceType === wanted.type ? contained : null;
    const [, type = '', id = ''] =
      /^([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/.*)?$/.exec(reference.reference ?? '') ?? [];
    if (type === '' || (wanted.type !== undefined && wanted.type !== type)) return null;
    if (!permits(this.#request.grant.scopes, type, 'read')) return null;
    return (await this.#readOnce(type, id)) ?? null;
  }

  #readOnce(type: string, id: string): Promise<Resource | undefined> {
    const key = `${type}/${id}`;
    let reading = this.#reads.get(key);
    if (reading === undefined) {
      reading = this.#request.clinic.record.read(type, id).then(
        (stored) => this.#shown(stored),
        (error: unknown) => {
          if (error instanceof Failure && (error.code === 'not-found' || error.code === 'deleted')) return undefined;
          throw error;
        },
      );
      this.#reads.set(key, reading);
    }
    return reading;
  }

  async #search(
    type: string,
    search: Readonly<Record<string, unknown>>,
    about: About | undefined,
    counts: boolean,
  ): Promise<{ resources: Resource[]; total: number | undefined; next: string | undefined; count: number }> {
    const { clinic, grant, now } = this.#request;
    requirePermission(grant.scopes, type, 'search-type');
    requirePermission(grant.scopes, type, 'read');
    this.#searches += 1;
    if (this.#searches > MAX_SEARCHES) throw tooCostly(`more than ${MAX_SEARCHES} searches`);
    const params = [
      ...this.#parameters(type, search, about),
      NO_NOTES,
      ...(counts ? [['_total', 'accurate'] as const] : []),
    ];
    const query = parseSearch(type, params, this.#registry, {
      strict: true,
      baseUrl: clinic.base,
      now: now.getTime(),
    });
    const page = await clinic.record.search({ ...query, count: Math.min(query.count, MAX_PAGE) });
    const resources = page.matches.flatMap((stored) => this.#shown(stored) ?? []);
    return { resources, total: page.total, next: page.next, count: query.count };
  }

  #parameters(
    type: string,
    search: Readonly<Record<string, unknown>>,
    about: About | undefined,
  ): (readonly [string, string])[] {
    const codes = new Map([...this.#registry.of(type).keys()].map((code) => [argumentOf(code), code]));
    const params = Object.entries(search).map(([name, value]) => [codes.get(name) ?? name, String(value)] as const);
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

/** GraphQL names have no '-'. */
export function argumentOf(code: string): string {
  return code.replaceAll('-', '_');
}
