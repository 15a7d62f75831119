/**
 * The constraints of R4 (severity error) that are functions here, by key, or by path and key where R4 uses one key for
 * several. A constraint that is not in the table is not checked; a profile's own are added to the same table.
 *
 * Each maker is called once per place with the names of the element's JSON keys, and gives a function of one node. It
 * must be total: the node may be wrong in any other way.
 */
import {
  both,
  codings,
  contained,
  type FhirNode,
  has,
  hasKeyStartingWith,
  type InvariantMaker,
  type InvariantScope,
  isNode,
  isNumber,
  isOneOf,
  list,
  nodes,
  notBoth,
  one,
  requires,
  some,
} from './invariant.ts';
import { conformanceInvariants } from './invariants-conformance.ts';
import { periodBounds } from './periods.ts';

const VERIFICATION = 'http://terminology.hl7.org/CodeSystem/condition-ver-status';
const ALLERGY_VERIFICATION = 'http://terminology.hl7.org/CodeSystem/allergyintolerance-verification';
const CLINICAL = 'http://terminology.hl7.org/CodeSystem/condition-clinical';
const UCUM = 'http://unitsofmeasure.org';

export const invariants: ReadonlyMap<string, InvariantMaker> = new Map<string, InvariantMaker>(
  Object.entries({
    ...conformanceInvariants,

    // Every resource, element and datatype
    'ext-1': () => (node) => (node.extension !== undefined) !== hasKeyStartingWith(node, 'value', '_value'),
    'dom-2': () => (node) => contained(node).every((resource) => resource.contained === undefined),
    'dom-3': () => areContainedReferred,
    'dom-4': () => (node) => contained(node).every(({ meta }) => !has(meta, 'versionId') && !has(meta, 'lastUpdated')),
    'dom-5': () => (node) => contained(node).every(({ meta }) => !has(meta, 'security')),
    'ref-1': (_on, scope) => (node) => isResolved(node.reference, scope),
    'per-1': () => (node) => !endsBeforeStart(node.start, node.end),
    'qty-3': requires('code', 'system'),
    'age-1': (on) =>
      both(requires('value', 'code')(on, NO_SCOPE), ucum, (node) => !isNumber(node.value) || node.value > 0),
    'cnt-3': (on) =>
      both(requires('value', 'code')(on, NO_SCOPE), ucum, (node) => node.code === undefined || node.code === '1'),
    'dis-1': (on) => both(requires('value', 'code')(on, NO_SCOPE), ucum),
    'drt-1': () => (node) => node.code === undefined || (node.system === UCUM && node.value !== undefined),
    'mqty-1': (on) =>
      both(
        requires('value', 'code')(on, NO_SCOPE),
        ({ system }) => system === undefined || system === 'urn:iso:std:iso:4217',
      ),
    'att-1': requires('data', 'contentType'),
    'cpt-2': requires('value', 'system'),
    'rng-2':
      () =>
      ({ low, high }) =>
        !isAbove(low, high),
    'rat-1': () => (node) =>
      has(node, 'numerator') === has(node, 'denominator') && (has(node, 'numerator') || has(node, 'extension')),
    'exp-1': some('expression', 'reference'),
    'tim-1': requires('duration', 'durationUnit'),
    'tim-2': requires('period', 'periodUnit'),
    'tim-4': () => (node) => !isNumber(node.duration) || node.duration >= 0,
    'tim-5': () => (node) => !isNumber(node.period) || node.period >= 0,
    'tim-6': requires('periodMax', 'period'),
    'tim-7': requires('durationMax', 'duration'),
    'tim-8': requires('countMax', 'count'),
    'tim-9': () => (node) =>
      !has(node, 'offset') ||
      (has(node, 'when') && !list(node.when).some((code) => ['C', 'CM', 'CD', 'CV'].includes(String(code)))),
    'tim-10': notBoth('timeOfDay', 'when'),
    'trd-1': notBoth('data', 'timing'),
    'trd-2': requires('condition', 'data'),
    'drq-1': one('path', 'searchParam'),
    'drq-2': one('path', 'searchParam'),

    // Bundles and parameters
    'bdl-1':
      () =>
      ({ total, type }) =>
        total === undefined || type === 'searchset' || type === 'history',
    'bdl-2': () => (bundle) => bundle.type === 'searchset' || entries(bundle).every((entry) => !has(entry, 'search')),
    'bdl-3': () => (bundle) =>
      entries(bundle).every(
        (entry) => has(entry, 'request') === isOneOf(bundle.type, 'batch', 'transaction', 'history'),
      ),
    'bdl-4': () => (bundle) =>
      entries(bundle).every(
        (entry) => has(entry, 'response') === isOneOf(bundle.type, 'batch-response', 'transaction-response', 'history'),
      ),
    'bdl-5': some('resource', 'request', 'response'),
    'bdl-7': () => (bundle) => bundle.type === 'history' || haveDistinctUrls(entries(bundle)),
    'bdl-8':
      () =>
      ({ fullUrl }) =>
        typeof fullUrl !== 'string' || !fullUrl.includes('/_history/'),
    'bdl-9':
      () =>
      ({ type, identifier }) =>
        type !== 'document' || (has(identifier, 'system') && has(identifier, 'value')),
    'bdl-10':
      () =>
      ({ type, timestamp }) =>
        type !== 'document' || timestamp !== undefined,
    'bdl-11': () => (bundle) => bundle.type !== 'document' || firstType(bundle) === 'Composition',
    'bdl-12': () => (bundle) => bundle.type !== 'message' || firstType(bundle) === 'MessageHeader',
    'Parameters.parameter inv-1': (on) => {
      const hasValue = on.has('value');
      return (node) =>
        has(node, 'part') ? !hasValue(node) && !has(node, 'resource') : hasValue(node) !== has(node, 'resource');
    },

    // The resources of a course
    'ait-1': () => (node) => isEnteredInError(node, ALLERGY_VERIFICATION) || has(node, 'clinicalStatus'),
    'ait-2': () => (node) => !(isEnteredInError(node, ALLERGY_VERIFICATION) && has(node, 'clinicalStatus')),
    'app-1': some('type', 'actor'),
    'app-2': () => (node) => has(node, 'start') === has(node, 'end'),
    'app-3': () => (node) =>
      (has(node, 'start') && has(node, 'end')) || isOneOf(node.status, 'proposed', 'cancelled', 'waitlist'),
    'app-4': () => (node) => !has(node, 'cancelationReason') || isOneOf(node.status, 'noshow', 'cancelled'),
    'apr-1': some('participantType', 'actor'),
    'sev-1': notBoth('name', 'query'),
    'cpl-3': notBoth('detail', 'reference'),
    'cmp-1': some('text', 'entry', 'section'),
    'cmp-2': notBoth('emptyReason', 'entry'),
    'con-1': some('summary', 'assessment'),
    'con-2': some('code', 'detail'),
    'con-4': (on) => {
      const hasAbatement = on.has('abatement');
      return (node) =>
        !hasAbatement(node) ||
        codings(node.clinicalStatus).some(
          ({ system, code }) => system === CLINICAL && isOneOf(code, 'resolved', 'remission', 'inactive'),
        );
    },
    'con-5': () => (node) => !(isEnteredInError(node, VERIFICATION) && has(node, 'clinicalStatus')),
    'ppc-1': some('policy', 'policyRule'),
    'ppc-2': patientFor('patient-privacy'),
    'ppc-3': patientFor('research'),
    'ppc-4': patientFor('adr'),
    'ppc-5': patientFor('treatment'),
    'fhs-1': notBoth('age', 'born'),
    'fhs-2': requires('estimatedAge', 'age'),
    'gol-1': requires('detail', 'measure'),
    'grp-1': () => (node) => !has(node, 'member') || node.actual === true,
    'imm-1': some('documentType', 'reference'),
    'imr-1': some('vaccineCode', 'targetDisease'),
    'ipn-1': some('identifier', 'name'),
    'lnk-1': () => (node) => list(node.item).length > 1,
    'lst-1': notBoth('emptyReason', 'entry'),
    'lst-2': () => (node) => node.mode === 'changes' || nodes(node.entry).every((entry) => !has(entry, 'deleted')),
    'lst-3': () => (node) => node.mode === 'working' || nodes(node.entry).every((entry) => !has(entry, 'date')),
    'mad-1': some('dose', 'rate'),
    'mdd-1': () => (node) => !endsBeforeStart(node.whenPrepared, node.whenHandedOver),
    'obs-3': some('low', 'high', 'text'),
    'obs-6': notBoth('dataAbsentReason', 'value'),
    'obs-7': (on) => {
      const hasValue = on.has('value');
      return (node) => {
        if (node.component === undefined || !hasValue(node)) return true;
        const own = new Set(codings(node.code).map(codingKey));
        return nodes(node.component).every(
          (component) => !codings(component.code).some((coding) => own.has(codingKey(coding))),
        );
      };
    },
    'org-1': some('identifier', 'name'),
    'org-2':
      () =>
      ({ use }) =>
        use !== 'home',
    'org-3':
      () =>
      ({ use }) =>
        use !== 'home',
    'pat-1': some('name', 'telecom', 'address', 'organization'),
    'prr-1': requires('orderDetail', 'code'),
    'qrs-1': notBoth('answer', 'item'),
    'Task inv-1': () => (node) => !endsBeforeStart(node.authoredOn, node.lastModified),
    'TestReport.setup.action inv-1': one('operation', 'assert'),
    'inv-2': one('operation', 'assert'),
    'rqg-1': one('resource', 'action'),
    'vsd-1': some('valueSet', 'system'),
    'vsd-2': () => (node) => !(has(node, 'concept') || has(node, 'filter')) || has(node, 'system'),
    'vsd-3': notBoth('concept', 'filter'),
    'vsd-6': some('code', 'display'),
    'vsd-9': () => (node) => has(node, 'code') || node.abstract === true,
    'vsd-10': requires('code', 'system'),

    // Questionnaire
    'que-1':
      () =>
      ({ type, item }) =>
        (type !== 'group' || item !== undefined) && (type !== 'display' || item === undefined),
    'que-2': () => hasDistinctLinkIds,
    'que-3': () => (node) => node.type !== 'display' || !has(node, 'code'),
    'que-4': notBoth('answerOption', 'answerValueSet'),
    'que-5': () => (node) =>
      ANSWERED_FROM_A_LIST.has(node.type) || !(has(node, 'answerValueSet') || has(node, 'answerOption')),
    'que-6': () => (node) => node.type !== 'display' || !(has(node, 'required') || has(node, 'repeats')),
    'que-7': () => (node) => node.operator !== 'exists' || typeof node.answerBoolean === 'boolean',
    'que-8': () => (node) => !isOneOf(node.type, 'group', 'display') || !has(node, 'initial'),
    'que-9': () => (node) => node.type !== 'display' || !has(node, 'readOnly'),
    'que-10': () => (node) => WITH_LENGTH.has(node.type) || !has(node, 'maxLength'),
    'que-11': notBoth('answerOption', 'initial'),
    'que-12': () => (node) => list(node.enableWhen).length <= 2 || has(node, 'enableBehavior'),
    'que-13': () => (node) => node.repeats === true || list(node.initial).length <= 1,
  } satisfies Record<string, InvariantMaker>),
);

const ANSWERED_FROM_A_LIST: ReadonlySet<unknown> = new Set(
  'choice open-choice decimal integer date dateTime time string quantity'.split(' '),
);
const WITH_LENGTH: ReadonlySet<unknown> = new Set('boolean decimal integer string text url open-choice'.split(' '));
const NO_SCOPE: InvariantScope = { resource: {}, root: {}, containedIds: undefined };

function entries(bundle: FhirNode): readonly FhirNode[] {
  return nodes(bundle.entry);
}

const ucum = ({ system }: FhirNode) => system === undefined || system === UCUM;

function isEnteredInError(node: FhirNode, codeSystem: string): boolean {
  return codings(node.verificationStatus).some(
    ({ system, code }) => system === codeSystem && code === 'entered-in-error',
  );
}

// FHIRPath intersects by equality of whole Codings.
function codingKey({ system, version, code, display, userSelected }: FhirNode): string {
  return JSON.stringify([system, version, code, display, userSelected]);
}

function firstType(bundle: FhirNode): unknown {
  const resource = entries(bundle)[0]?.resource;
  return isNode(resource) ? resource.resourceType : undefined;
}

function haveDistinctUrls(all: readonly FhirNode[]): boolean {
  const seen = new Set<string>();
  for (const { fullUrl, resource } of all) {
    if (typeof fullUrl !== 'string') continue;
    const meta = isNode(resource) ? resource.meta : undefined;
    const versionId = isNode(meta) && typeof meta.versionId === 'string' ? meta.versionId : '';
    const key = `${fullUrl} ${versionId}`;
    if (seen.has(key)) return false;
    seen.add(key);
  }
  return true;
}

// Without recursion into lists of unknown depth: the validator bounds the depth before.
function hasDistinctLinkIds(questionnaire: FhirNode): boolean {
  const seen = new Set<unknown>();
  const below = (node: FhirNode): boolean =>
    nodes(node.item).every((item) => {
      const isNew = item.linkId === undefined || !seen.has(item.linkId);
      seen.add(item.linkId);
      return isNew && below(item);
    });
  return below(questionnaire);
}

function isResolved(reference: unknown, scope: InvariantScope): boolean {
  if (typeof reference !== 'string' || !reference.startsWith('#') || reference === '#') return true;
  scope.containedIds ??= new Set(contained(scope.root).map(({ id }) => id));
  return scope.containedIds.has(reference.slice(1));
}

/** dom-3: something in the container names each contained resource, or that resource names its container. */
function areContainedReferred(container: FhirNode): boolean {
  const resources = contained(container);
  if (resources.length === 0) return true;
  const mentioned = localReferences(container, new Set());
  return resources.every(
    (resource) => mentioned.has(`#${String(resource.id)}`) || localReferences(resource, new Set()).has('#'),
  );
}

function localReferences(value: unknown, found: Set<string>): Set<string> {
  if (typeof value === 'string') {
    if (value.startsWith('#')) found.add(value);
  } else if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) localReferences(item, found);
  }
  return found;
}

function endsBeforeStart(start: unknown, end: unknown): boolean {
  const from = periodBounds(start);
  const to = periodBounds(end);
  if (from === undefined || to === undefined) return false;
  // Without a zone on one side, the other may be up to 14 hours off.
  const slack = from.hasZone === to.hasZone ? 0 : 14 * 3_600_000;
  return from.low - slack > to.high;
}

/** Comparable only with the same unit; anything else is not for this check. */
function isAbove(low: unknown, high: unknown): boolean {
  if (!isNode(low) || !isNode(high) || low.system !== high.system || low.code !== high.code) return false;
  return isNumber(low.value) && isNumber(high.value) && low.value > high.value;
}

// R4 wrote 'something' for the code system, so these never refuse what a real system sends.
function patientFor(scope: string): InvariantMaker {
  return () => (node) =>
    has(node, 'patient') || !codings(node.scope).some(({ system, code }) => system === 'something' && code === scope);
}
