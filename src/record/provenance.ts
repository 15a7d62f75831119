/**
 * Who changed what: the Provenance that every change leaves, committed with it.
 *
 * One for each patient of a unit of work, kind of change and side that wrote it, with the versions it made as targets. A
 * psychotherapy note is told of apart, so that the labels of one Provenance hold for all its targets. Changes of
 * Provenances and AuditEvents leave none.
 *
 * @see https://hl7.org/fhir/us/core/StructureDefinition-us-core-provenance.html
 */
import type { CodeableConcept, Provenance, ProvenanceAgent, Reference, Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { parseJson, stringifyJson } from '../fhir/json.ts';
import { parseReference, rewriteReferences } from '../fhir/references.ts';
import { uuidv7 } from '../fhir/uuid.ts';
import { isPsychotherapyNote, labelled } from '../kap/labels.ts';
import type { RecordParts } from './draft.ts';
import type { WriteContext } from './record.ts';
import { RULES_ENGINE } from './rules-engine.ts';
import type { NewVersion } from './store.ts';

export const US_CORE_PROVENANCE = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance';

/** A version that a unit of work makes, as its Provenance needs it. */
export type MadeVersion = {
  readonly version: NewVersion;
  readonly activity: Activity;
  /** What it says; of a deletion what was there. */
  readonly content: () => Resource;
  /** Made by the service's own rules. */
  readonly byService: boolean;
};

export type Activity = 'CREATE' | 'UPDATE' | 'DELETE';

/** A Provenance that a caller states for what they write, without target; acceptProvenance has checked it. */
export type StatedProvenance = Omit<Provenance, 'target' | 'recorded'> & { readonly recorded?: string };

/** A context whose header has been accepted. */
export type TellingContext = WriteContext & { readonly stated?: StatedProvenance };

/** @throws Failure `invalid` when the Provenance that the caller states cannot stand */
export function telling(parts: RecordParts, context: WriteContext): TellingContext {
  const { provenance } = context;
  return provenance === undefined ? context : { ...context, stated: acceptProvenance(parts, provenance) };
}

/** A Provenance to write. It is about no patient where its targets are about none. */
export type MadeProvenance = { readonly resource: Provenance; readonly patientId: string | null };

const UNTOLD = new Set(['Provenance', 'AuditEvent']);

export function provenancesOf(made: readonly MadeVersion[], context: TellingContext, now: Date): MadeProvenance[] {
  const groups = new Map<string, MadeVersion[]>();
  for (const one of made) {
    const { version, activity, byService } = one;
    if (UNTOLD.has(version.type)) continue;
    const key = `${version.patientId}|${byService ? 'service' : 'caller'}|${activity}|${isNote(one)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return [...groups.values()].map((group) => provenanceOf(group as [MadeVersion, ...MadeVersion[]], context, now));
}

const NOTES = new Set(['DocumentReference', 'Composition', 'Binary']);

function isNote({ version, content }: MadeVersion): boolean {
  return NOTES.has(version.type) && isPsychotherapyNote(content());
}

function provenanceOf(
  group: readonly [MadeVersion, ...MadeVersion[]],
  context: TellingContext,
  now: Date,
): MadeProvenance {
  const [first] = group;
  const { patientId } = first.version;
  const target = group.map(({ version }) => ({
    reference: `${version.type}/${version.id}/_history/${version.version}`,
  }));
  const recorded = now.toISOString();
  const stated = first.byService ? undefined : context.stated;
  const id = uuidv7(now);
  const resource: Provenance =
    stated === undefined
      ? {
          resourceType: 'Provenance',
          id,
          meta: { profile: [US_CORE_PROVENANCE] },
          target,
          recorded,
          activity: { coding: [{ system: DATA_OPERATION, code: first.activity }] },
          agent: agentsOf(group, context),
        }
      : { recorded, ...stated, resourceType: 'Provenance', id, target };
  const labels = labelled(resource, isNote(first) ? new Set(target.map(({ reference }) => reference)) : undefined);
  if ('issues' in labels) throw new Failure('business-rule', labels.issues);
  return { resource: labels.resource, patientId };
}

const DATA_OPERATION = 'http://terminology.hl7.org/CodeSystem/v3-DataOperation';
const PARTICIPANT = 'http://terminology.hl7.org/CodeSystem/provenance-participant-type';
const US_CORE_PARTICIPANT = 'http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type';

/** The service assembles what its rules and its protocol say; all else a client transmits, for an author it may name. */
function agentsOf(group: readonly [MadeVersion, ...MadeVersion[]], context: WriteContext): ProvenanceAgent[] {
  const { clientId } = context.agent;
  if (group[0].byService || clientId === 'system') {
    return [{ type: participant(PARTICIPANT, 'assembler'), who: RULES_ENGINE, onBehalfOf: clinicOf(context) }];
  }
  const transmitter: ProvenanceAgent = {
    type: participant(US_CORE_PARTICIPANT, 'transmitter'),
    who: { identifier: { value: clientId }, display: clientId },
  };
  const author = commonAuthor(group);
  if (author === undefined) return [transmitter];
  return [{ type: participant(PARTICIPANT, 'author'), who: author, ...behalfOf(author, context) }, transmitter];
}

function participant(system: string, code: string): CodeableConcept {
  return { coding: [{ system, code }] };
}

type Agent = ProvenanceAgent['who'];

function clinicOf({ clinic, observer }: WriteContext): Agent {
  return { identifier: { value: observer }, display: `clinic ${clinic}` };
}

/** US Core's provenance-1: for whom a practitioner or a device acts is said. */
function behalfOf({ reference = '' }: Agent, context: WriteContext): Pick<ProvenanceAgent, 'onBehalfOf'> {
  return /^(?:Practitioner|Device)\//.test(reference) ? { onBehalfOf: clinicOf(context) } : {};
}

const MAY_BE_AGENT = /^(?:Practitioner|PractitionerRole|RelatedPerson|Patient|Device|Organization)\//;

/** Whom every resource of the group names as its author (W5); undefined where one names nobody, or somebody else. */
function commonAuthor(group: readonly MadeVersion[]): Agent | undefined {
  let common: string | undefined;
  for (const { version, content } of group) {
    const author = version.deleted ? undefined : authorOf(content());
    if (author === undefined || (common !== undefined && author !== common)) return undefined;
    common = author;
  }
  return common === undefined ? undefined : { reference: common };
}

/** Elements that R4 maps to FiveWs.author. */
type Authored = { readonly author?: unknown; readonly recorder?: unknown; readonly requester?: unknown };

function authorOf(resource: Resource): string | undefined {
  const { author, recorder, requester } = resource as Authored;
  const named = author ?? recorder ?? requester;
  const only = Array.isArray(named) ? (named.length === 1 ? named[0] : undefined) : named;
  const reference = (only as Reference | undefined)?.reference;
  return typeof reference === 'string' && MAY_BE_AGENT.test(reference) ? reference : undefined;
}

/**
 * The Provenance of the header `X-Provenance`: valid but for its target, which the service fills in.
 *
 * @throws Failure `invalid` with every issue
 * @see https://hl7.org/fhir/R4/provenance.html#header
 */
function acceptProvenance(parts: RecordParts, text: string): StatedProvenance {
  const given = jsonOf(text);
  if (given.target !== undefined) {
    const diagnostics = 'X-Provenance must not say its target: the service fills in what the request changes.';
    throw new Failure('invalid', issue('business-rule', diagnostics, 'Provenance.target'));
  }
  const { id: _id, ...stated } = { recorded: parts.now().toISOString(), ...given } as StatedProvenance & {
    id?: string;
  };
  const whole = { ...stated, target: [{ display: 'filled in' }] } as Provenance;
  const { validator } = parts.profiles.current();
  const found = validator.check(whole, { place: 'Provenance' });
  const issues: Issue[] = found.filter(({ severity }) => severity !== 'warning');
  rewriteReferences(whole, (reference, place) => localReference(parts, reference, place, issues), 'Provenance');
  if (issues.length > 0) throw new Failure('invalid', issues);
  if (given.recorded !== undefined) return stated;
  const { recorded: _recorded, ...timeless } = stated;
  return timeless;
}

function jsonOf(text: string): Partial<Provenance> {
  const wrong = (diagnostics: string) => new Failure('invalid', issue('structure', diagnostics, 'Provenance'));
  let given: unknown;
  try {
    given = parseJson(text);
  } catch (cause) {
    throw Object.assign(wrong('X-Provenance must be one Provenance as JSON, on one line.'), { cause });
  }
  if ((given as { resourceType?: unknown } | null)?.resourceType !== 'Provenance') {
    throw wrong("X-Provenance must be a resource with resourceType 'Provenance'.");
  }
  return given as Partial<Provenance>;
}

function localReference(parts: RecordParts, reference: string, place: string, issues: Issue[]): string | undefined {
  const parsed = parseReference(reference, parts.baseUrls);
  if (parsed?.kind === 'conditional' || parsed?.kind === 'urn') {
    const diagnostics = 'X-Provenance can refer to Type/id and to absolute urls only.';
    issues.push(issue('not-supported', diagnostics, place));
  }
  const base = parts.baseUrls.find((each) => reference.startsWith(`${each}/`));
  return base === undefined ? undefined : reference.slice(base.length + 1);
}

/** The version that stores it: text, time and number as the record gives them. */
export function provenanceText(resource: Provenance, lastUpdated: string): string {
  const { resourceType, id, meta, ...rest } = resource;
  return stringifyJson({ resourceType, id, meta: { versionId: '1', lastUpdated, ...meta }, ...rest });
}
