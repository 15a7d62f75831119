/**
 * `$meta-add` and `$meta-delete`: the tags, labels and profiles of one version change in place. There is no new version,
 * no delivery and no other `lastUpdated`; the search rows of a current version follow in the same transaction.
 *
 * @see https://hl7.org/fhir/R4/resource-operation-meta-add.html
 */
import type { Coding, Meta, Resource } from '@medplum/fhirtypes';
import { restEvent } from '../audit/event.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { keepDigits, parseJson, stringifyJson } from '../fhir/json.ts';
import { IDEMPOTENCY_KEY } from '../kap/codes.ts';
import { labelled } from '../kap/labels.ts';
import { type ProfileSet, withoutVersion } from './clinic-profiles.ts';
import { errorsIn, type RecordParts } from './drafts.ts';
import type { MetaChange } from './meta-change.ts';
import { refuseDefinition } from './profile-rules.ts';
import type { WriteContext } from './record.ts';
import { addDifference, SearchColumns } from './search-rows.ts';
import { type CurrentRow, OtherProfiles, type RecordStore, type UnitOfWork } from './store.ts';

/**
 * The meta that then stands.
 *
 * @throws Failure `not-found`, `deleted`, `business-rule` (labels that contradict R-22, a profile that is not met)
 */
export async function changeMeta(parts: RecordParts, request: MetaChange, context: WriteContext): Promise<Meta> {
  for (;;) {
    const set = await parts.profiles.latest();
    try {
      return await parts.store.transaction((unit) => inUnit(parts, set, unit, request, context));
    } catch (error) {
      if (!(error instanceof OtherProfiles)) throw error;
    }
  }
}

/** Values of one summary at most. */
const MAX_IN_USE = 1000;

/** @see ClinicRecord.metaInUse */
export async function metaInUse(store: RecordStore, types: readonly string[]): Promise<Meta> {
  const { contents, more } = await store.metaInUse(types, MAX_IN_USE);
  if (more) {
    const diagnostics = `More than ${MAX_IN_USE} tags, labels and profiles are in use. Ask for one resource type`;
    throw new Failure('invalid', issue('too-costly', diagnostics));
  }
  let all: Meta = {};
  for (const content of contents) {
    const { meta = {} } = parseJson(content) as Resource;
    const tag = (meta.tag ?? []).filter(({ system }) => system !== IDEMPOTENCY_KEY);
    all = withAdded(all, { ...meta, tag });
  }
  return all;
}

async function inUnit(
  parts: RecordParts,
  set: ProfileSet,
  unit: UnitOfWork,
  request: MetaChange,
  context: WriteContext,
): Promise<Meta> {
  const { type, id, version } = request;
  refuseDefinition(set, type, id, request.place);
  const [, [current]] = await Promise.all([unit.lockPatients([], [{ type, id }]), unit.lockCurrent([{ type, id }])]);
  const content = await contentOf(unit, request, current);
  const resource = parseJson(content) as Resource;
  const meta = allowed(resource, request);
  requireProfiles(set, { ...resource, meta }, request);
  const text = stringifyJson(keepDigits(resource, { ...resource, meta }));
  if (current === undefined || text === content) return meta;

  const added = new SearchColumns();
  const removed = new SearchColumns();
  if (version === undefined || version === current.version) {
    const state = (of: Resource) => ({
      patientId: current.patientId,
      extract: (sink: Parameters<RecordParts['extract']>[1]) => parts.extract(of, sink),
    });
    addDifference(current.rid, state(resource), state(parseJson(text) as Resource), added, removed);
  }
  const entity = { type, id, version: version ?? current.version };
  const now = parts.now();
  const audit = restEvent(
    {
      context,
      interaction: context.interaction,
      action: 'U',
      outcome: 0,
      patientId: current.patientId,
      entities: [entity],
    },
    now,
  );
  await Promise.all([
    unit.replaceMeta(current.rid, entity.version, text),
    unit.write({ versions: [], added, removed, audit: [audit], courses: [], generation: set.generation }),
  ]);
  return meta;
}

/** To add a profile is to claim it. @throws Failure `business-rule` where it is known here and not met */
function requireProfiles(set: ProfileSet, resource: Resource, { change, meta, place }: MetaChange): void {
  if (change === 'delete' || meta.profile === undefined) return;
  const claimed = new Set(meta.profile.map(withoutVersion));
  const unmet = errorsIn(set, resource, resource.resourceType).filter(
    ({ profile }) => profile !== undefined && claimed.has(withoutVersion(profile)),
  );
  if (unmet.length === 0) return;
  throw new Failure(
    'business-rule',
    unmet.map((each) => ({
      ...each,
      diagnostics: `${each.diagnostics} (${each.expression ?? resource.resourceType} of the stored resource)`,
      expression: `${place}.profile`,
    })),
  );
}

async function contentOf(unit: UnitOfWork, { type, id, version }: MetaChange, current: CurrentRow | undefined) {
  const asked =
    version === undefined || current === undefined || version === current.version
      ? current
      : await unit.version(current.rid, version);
  if (asked === undefined) throw new Failure('not-found', issue('not-found', `${type}/${id} is not known here.`));
  if (asked.deleted) throw new Failure('deleted', issue('deleted', `${type}/${id} was deleted.`));
  return asked.content;
}

/** What is left of the change when the clinic's labels are on: those that it needs are not taken away. */
function allowed(resource: Resource, request: MetaChange): Meta {
  const meta = request.change === 'add' ? withAdded(resource.meta, request.meta) : without(resource.meta, request.meta);
  const labels = labelled({ ...resource, meta });
  if ('resource' in labels) return labels.resource.meta ?? {};
  throw new Failure(
    'business-rule',
    labels.issues.map((found) => ({ ...found, expression: `${request.place}.security` })),
  );
}

function withAdded(meta: Meta = {}, { profile, tag, security }: Meta): Meta {
  const profiles = new Set([...(meta.profile ?? []), ...(profile ?? [])]);
  return written(meta, [...profiles], united(meta.tag, tag), united(meta.security, security));
}

function without(meta: Meta = {}, { profile, tag, security }: Meta): Meta {
  const profiles = (meta.profile ?? []).filter((url) => profile?.includes(url) !== true);
  return written(meta, profiles, lessened(meta.tag, tag), lessened(meta.security, security));
}

/** In the order of FHIR, and without empty lists. */
function written(meta: Meta, profile: string[], tag: Coding[], security: Coding[]): Meta {
  const { profile: _profile, security: _security, tag: _tag, ...rest } = meta;
  return {
    ...rest,
    ...(profile.length === 0 ? {} : { profile }),
    ...(security.length === 0 ? {} : { security }),
    ...(tag.length === 0 ? {} : { tag }),
  };
}

function united(own: readonly Coding[] = [], added: readonly Coding[] = []): Coding[] {
  const all = [...own];
  for (const coding of added) if (!all.some((each) => isSame(each, coding))) all.push(coding);
  return all;
}

function lessened(own: readonly Coding[] = [], taken: readonly Coding[] = []): Coding[] {
  return own.filter((coding) => !taken.some((each) => isSame(each, coding)));
}

function isSame(a: Coding, b: Coding): boolean {
  return a.system === b.system && a.code === b.code;
}
