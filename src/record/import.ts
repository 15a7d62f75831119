/**
 * History from elsewhere: resources that were recorded in another system, taken into the record.
 *
 * They go through the record like every write: base R4, the clinic's rules, search rows, Provenance, audit. Two things are
 * particular: profiles are held to by the clinic's policy, and EHRs are not told (decision 0083). A repeated import
 * changes nothing: everything is written under the id that it has, or under one that follows from what it is.
 */
import { createHash } from 'node:crypto';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { keepDigits, parseJson, stringifyJson } from '../fhir/json.ts';
import { rewriteReferences } from '../fhir/references.ts';
import { type EntryRules, parseEntry } from './bundle-entries.ts';
import type { ImportRepeats } from './import-repeats.ts';
import type { ClinicRecord, Deviation, WriteContext, WriteRequest, WriteResult } from './record.ts';

/** One resource, and where it stands in its file: a line, or an entry. */
export type ImportItem = { readonly where: string; readonly request: WriteRequest };

/** Resources that are written together: all or none of a transaction, each for itself of anything else. */
export type ImportUnit = { readonly isTransaction: boolean; readonly items: readonly ImportItem[] };

export type ImportedItem = {
  readonly where: string;
  readonly type: string;
  /** `accepted`: a dry run found nothing that refuses it. */
  readonly effect: WriteResult['effect'] | 'accepted' | 'refused';
  readonly tagged: boolean;
  /** Errors of what was refused; warnings of what was not. */
  readonly issues: readonly Issue[];
};

/** `repeats`: of the whole import, however many units it has. */
export type ImportOptions = { readonly dryRun: boolean; readonly repeats: ImportRepeats };

/** @throws only for what is no refusal: what was imported until then is there, and the import can be repeated */
export async function importUnit(
  record: ClinicRecord,
  unit: ImportUnit,
  context: WriteContext,
  options: ImportOptions,
): Promise<readonly ImportedItem[]> {
  const repeats = new Map<ImportItem, Issue>();
  for (const item of unit.items) {
    const found = options.repeats.issueOf(item);
    if (found !== undefined) repeats.set(item, found);
  }
  if (unit.isTransaction) {
    if (repeats.size > 0) return refusedTransaction(unit.items, [...repeats.values()]);
    const taken = await attempt(record, unit.items, context, options);
    return taken instanceof Failure ? refusedTransaction(unit.items, taken.issues) : taken;
  }
  const items = unit.items.filter((item) => !repeats.has(item));
  const taken = new Map((await eachTaken(record, items, context, options)).map((one, at) => [items[at], one]));
  return unit.items.map((item) => taken.get(item) ?? refused(item, [repeats.get(item) as Issue]));
}

/** Together, and where that is refused one by one. */
async function eachTaken(
  record: ClinicRecord,
  items: readonly ImportItem[],
  context: WriteContext,
  options: ImportOptions,
): Promise<readonly ImportedItem[]> {
  if (items.length === 0) return [];
  const together = await attempt(record, items, context, options);
  if (!(together instanceof Failure)) return together;
  const each: ImportedItem[] = [];
  for (const item of items) {
    const own = items.length === 1 ? together : await attempt(record, [item], context, options);
    each.push(...(own instanceof Failure ? [refused(item, own.issues)] : own));
  }
  return each;
}

const ENTRY = /^Bundle\.entry\[\d+\]/;

/** Each issue at the entry whose place it names; the other entries are told that they are refused with it. */
function refusedTransaction(items: readonly ImportItem[], issues: readonly Issue[]): readonly ImportedItem[] {
  const entryOf = (place: string | undefined) => ENTRY.exec(place ?? '')?.[0];
  const entries = new Set(items.map(({ request: { place } }) => entryOf(place)));
  const named = Map.groupBy(issues, ({ expression }) => {
    const entry = entryOf(expression);
    return entries.has(entry) ? entry : undefined;
  });
  const ofNone = (named.get(undefined) ?? []).map((each) => ({
    ...each,
    diagnostics: `The transaction as a whole: ${each.diagnostics}`,
  }));
  return items.map((item, at) => {
    const own = named.get(entryOf(item.request.place)) ?? [];
    const found = at === 0 ? [...own, ...ofNone] : own;
    return refused(item, found.length > 0 ? found : [REFUSED_WITH_IT]);
  });
}

const REFUSED_WITH_IT: Issue = {
  severity: 'information',
  code: 'informational',
  diagnostics: 'Refused with its transaction, another entry of which is at fault',
};

function refused({ where, request }: ImportItem, issues: readonly Issue[]): ImportedItem {
  return { where, type: request.type, effect: 'refused', tagged: false, issues };
}

async function attempt(
  record: ClinicRecord,
  items: readonly ImportItem[],
  context: WriteContext,
  { dryRun }: ImportOptions,
): Promise<readonly ImportedItem[] | Failure> {
  const deviations = new Map<WriteRequest, Map<Deviation['strictness'], Deviation>>();
  const deviates = (deviation: Deviation) => {
    const { request, strictness } = deviation;
    const own = deviations.get(request) ?? new Map();
    deviations.set(request, own.set(strictness, deviation));
  };
  // Copies: the record makes what it is given its own, and a refused one is tried again by itself.
  const requests = items.map(({ request }) => copied(request));
  const told: WriteContext = { ...context, history: true, leniency: { deviates } };
  try {
    const results = dryRun ? await record.rehearse(requests, told) : await record.write(requests, told);
    return items.map(({ where, request: { type } }, at): ImportedItem => {
      const own = deviations.get(requests[at] as WriteRequest);
      const issues = [...(own?.values() ?? [])].flatMap((each) => each.issues).map(asWarning);
      const effect = results === undefined ? 'accepted' : (results[at] as WriteResult).effect;
      return { where, type, effect, tagged: own?.has('tag') === true, issues };
    });
  } catch (error) {
    if (error instanceof Failure && error.code !== 'transient') return error;
    throw error;
  }
}

function copied(request: WriteRequest): WriteRequest {
  const { resource } = request;
  // As text and back: numbers keep their digits.
  return resource === undefined ? request : { ...request, resource: parseJson(stringifyJson(resource)) as Resource };
}

function asWarning(found: Issue): Issue {
  return { ...found, severity: 'warning' };
}

// ---- what is read

/** A resource by itself: under its own id, or under one that follows from its content. */
export function itemOf(resource: Resource, where: string): ImportItem {
  const { resourceType: type } = resource;
  const id = idOf(resource, undefined);
  return { where, request: { method: 'PUT', type, id, resource: identified(resource, id), place: type, alone: true } };
}

/** Entries that are written at once. */
const TOGETHER = 50;

/**
 * The resources of a Bundle: of a transaction as one unit, of others each for itself.
 *
 * Entries that would be created get the id that they have, or that of their `urn:uuid`, so that the same Bundle
 * creates them once.
 *
 * @param whereOf words for an entry
 * @throws Failure `invalid` for another type of Bundle; with each entry that asks for something else than a resource to
 * be stored
 */
export function unitsOf(bundle: Bundle, whereOf: (entry: number) => string, rules: EntryRules): readonly ImportUnit[] {
  const { type, entry = [] } = bundle;
  if (!KINDS.has(type)) {
    const diagnostics = `A Bundle of type ${KINDS_TEXT} can be imported. This one is of another type`;
    throw new Failure('invalid', issue('value', diagnostics, 'Bundle.type'));
  }
  const asked = type === 'transaction' || type === 'batch';
  const issues: Issue[] = [];
  const items = entry.flatMap((each, at): ImportItem[] => {
    const place = `Bundle.entry[${at}]`;
    if (each.resource === undefined || each.search?.mode === 'outcome') {
      if (asked) issues.push(issue('not-supported', 'An import brings resources; this entry has none', place));
      return [];
    }
    try {
      const request = asked
        ? writeOf(parseEntry(each, place, rules), place)
        : createOf(each.resource, each.fullUrl, place);
      return [{ where: whereOf(at), request }];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      issues.push(...error.issues);
      return [];
    }
  });
  if (issues.length > 0) throw new Failure('invalid', issues);
  if (type === 'transaction') return items.length === 0 ? [] : [{ isTransaction: true, items }];
  linkItems(items);
  return Array.from({ length: Math.ceil(items.length / TOGETHER) }, (_, at) => ({
    isTransaction: false,
    items: items
      .slice(at * TOGETHER, (at + 1) * TOGETHER)
      .map(({ where, request }) => ({ where, request: { ...request, alone: true } })),
  }));
}

const KINDS: ReadonlySet<unknown> = new Set(['transaction', 'batch', 'collection', 'searchset']);
const KINDS_TEXT = [...KINDS].join(', ');

function writeOf(entry: ReturnType<typeof parseEntry>, place: string): WriteRequest {
  const write = entry.kind === 'write' ? entry.write : undefined;
  if (write?.resource === undefined || (write.method !== 'POST' && write.method !== 'PUT')) {
    const diagnostics = 'An import stores resources: the method of its entries is POST or PUT';
    throw new Failure('invalid', issue('not-supported', diagnostics, `${place}.request.method`));
  }
  if (write.method === 'PUT' || write.ifNoneExist !== undefined) return write;
  return createOf(write.resource, write.fullUrl, place);
}

function createOf(resource: Resource, fullUrl: string | undefined, place: string): WriteRequest {
  const { resourceType: type } = resource;
  const id = idOf(resource, fullUrl);
  const named = fullUrl === undefined ? {} : { fullUrl };
  const ofEntry = resource.id === undefined ? { idOfEntry: true as const } : {};
  return {
    method: 'PUT',
    type,
    id,
    resource: identified(resource, id),
    place: `${place}.resource`,
    ...named,
    ...ofEntry,
  };
}

function identified(resource: Resource, id: string): Resource {
  return resource.id === id ? resource : keepDigits(resource, { ...resource, id });
}

const UUID = /^urn:uuid:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

function idOf(resource: Resource, fullUrl: string | undefined): string {
  if (resource.id !== undefined) return resource.id;
  const uuid = UUID.exec(fullUrl ?? '')?.[1];
  if (uuid !== undefined) return uuid.toLowerCase();
  return createHash('sha256').update(stringifyJson(resource)).digest('hex').slice(0, 40);
}

/** Entries that are written each for itself refer to each other by the ids that they will have. */
function linkItems(items: readonly ImportItem[]): void {
  const targets = new Map<string, string>();
  for (const { request } of items) {
    const { fullUrl, type, id } = request;
    if (fullUrl?.startsWith('urn:') && id !== undefined) targets.set(fullUrl, `${type}/${id}`);
  }
  if (targets.size === 0) return;
  for (const { request } of items) {
    if (request.resource !== undefined) rewriteReferences(request.resource, (reference) => targets.get(reference));
  }
}
