/**
 * Constraints of R4 that are functions of ours, by their expression: those that the compiler does not take, and those
 * whose published expression is not what R4 says in words.
 *
 * A profile's constraint with the same expression gets the same function. Each maker is called once per place, and its
 * function is total: the value may be wrong in any way. What differs from the engine on purpose is in `CORRECTED`, with
 * the reason.
 */

import { primitives } from '../primitives.ts';
import {
  codings,
  contained,
  type FhirNode,
  has,
  hasKeyStartingWith,
  type InvariantMaker,
  isNode,
  list,
  nodes,
  presence,
} from './invariant.ts';
import {
  areContainedReferred,
  codingKey,
  endsBeforeStart,
  hasDistinctCodes,
  hasDistinctLinkIds,
  isAbove,
  isResolved,
} from './walks.ts';

const UCUM = 'http://unitsofmeasure.org';
const VERIFICATION = 'http://terminology.hl7.org/CodeSystem/condition-ver-status';

/** Functions that give what the engine gives, or what it would give if it knew the function that is asked for. */
const EQUAL: Readonly<Record<string, InvariantMaker>> = {
  // ext-1
  'extension.exists() != value.exists()': () => (node) =>
    !isNode(node) || (node.extension !== undefined) !== hasKeyStartingWith(node, 'value', '_value'),
  // dom-2
  'contained.contained.empty()': () => (node) => contained(node).every((resource) => resource.contained === undefined),
  // dom-3
  "contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | %resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#').exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()":
    () => areContainedReferred,
  // ref-1
  "reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))":
    (_on, scope) => (node) =>
      isResolved(node?.reference, scope),
  // cnt-3
  "(code.exists() or value.empty()) and (system.empty() or system = %ucum) and (code.empty() or code = '1') and (value.empty() or value.hasValue().not() or value.toString().contains('.').not())":
    () => (node) =>
      !isNode(node) ||
      ((has(node, 'code') || !has(node, 'value')) &&
        (!has(node, 'system') || node.system === UCUM) &&
        (!has(node, 'code') || node.code === '1') &&
        (typeof node.value !== 'number' || Number.isInteger(node.value))),
  // txt-1, txt-2: by the format of an xhtml value
  'htmlChecks()': () => (value: unknown) =>
    primitives.xhtml?.json === 'string' && typeof value === 'string' && primitives.xhtml.test(value),

  // csd-1
  'concept.code.combine($this.descendants().concept.code).isDistinct()': () => hasDistinctCodes,
  // evv-1, of R5: base R4 has only the first three of these
  '(definitionReference.count() + definitionCanonical.count() + definitionCodeableConcept.count() + definitionId.count() + definitionByTypeAndValue.count() + definitionByCombination.count())  < 2':
    () => (node) =>
      ['definitionReference', 'definitionCanonical', 'definitionCodeableConcept'].filter((name) => has(node, name))
        .length < 2,
  // ig-1
  'resource.groupingId.all(%context.grouping.id contains $this)': () => (node) => {
    const groups = new Set<unknown>(nodes(node?.grouping).map(({ id }) => id));
    return nodes(node?.resource).every(
      (resource) =>
        !has(resource, 'groupingId') || (resource.groupingId !== undefined && groups.has(resource.groupingId)),
    );
  },
  // ig-2
  'definition.resource.fhirVersion.all(%context.fhirVersion contains $this)': () => (node) => {
    const versions = new Set(list(node?.fhirVersion));
    const resources = isNode(node?.definition) ? nodes(node.definition.resource) : [];
    return resources.every(
      ({ fhirVersion, _fhirVersion }) =>
        list(fhirVersion).every((version) => versions.has(version)) && (fhirVersion ?? _fhirVersion) === fhirVersion,
    );
  },
  // mea-1
  'group.stratifier.all((code | description | criteria).exists() xor component.exists())': () => (node) =>
    nodes(node?.group)
      .flatMap(({ stratifier }) => nodes(stratifier))
      .every(
        (entry) =>
          (has(entry, 'code') || has(entry, 'description') || has(entry, 'criteria')) !== has(entry, 'component'),
      ),
  // obs-7
  'value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()': (on, scope) => {
    const hasValue = presence(on, 'value');
    return (node) => {
      if (!isNode(node) || node.component === undefined || !hasValue(node)) return true;
      const own = new Set(codings(scope.resource.code).map(codingKey));
      return nodes(node.component).every(({ code }) => !codings(code).some((coding) => own.has(codingKey(coding))));
    };
  },
  // que-2
  'descendants().linkId.isDistinct()': () => hasDistinctLinkIds,
  // sdf-8
  "(%resource.kind = 'logical' or element.first().path = %resource.type) and element.tail().all(path.startsWith(%resource.snapshot.element.first().path&'.'))":
    (_on, scope) => (node) => {
      const first = pathOf(elements(node)[0]);
      const all = elements(scope.resource.snapshot);
      return (
        (scope.resource.kind === 'logical' || (first !== undefined && first === scope.resource.type)) &&
        startAfterFirst(elements(node), `${pathOf(all[0]) ?? ''}.`)
      );
    },
  // sdf-8a
  "(%resource.kind = 'logical' or element.first().path.startsWith(%resource.type)) and (element.tail().empty() or element.tail().all(path.startsWith(%resource.differential.element.first().path.replaceMatches('\\\\..*','')&'.')))":
    (_on, scope) => (node) => {
      const { kind, type, differential } = scope.resource;
      const all = elements(node);
      const root = pathOf(elements(differential)[0])?.replace(/\..*/s, '') ?? '';
      const startsWithType = typeof type === 'string' && pathOf(all[0])?.startsWith(type) === true;
      return (kind === 'logical' || startsWithType) && startAfterFirst(all, `${root}.`);
    },
  // sdf-9
  "children().element.where(path.contains('.').not()).label.empty() and children().element.where(path.contains('.').not()).code.empty() and children().element.where(path.contains('.').not()).requirements.empty()":
    () => (node) =>
      rootElements(node?.snapshot, node?.differential).every(
        (element) => !has(element, 'label') && !has(element, 'code') && !has(element, 'requirements'),
      ),
  // sdf-23
  "(snapshot | differential).element.all(path.contains('.').not() implies sliceName.empty())": () => (node) =>
    [...elements(node?.snapshot), ...elements(node?.differential)].every(
      (element) => pathOf(element)?.includes('.') === true || !has(element, 'sliceName'),
    ),
};

/** Functions that say what R4 says in words, where its expression does not. */
const CORRECTED: Readonly<Record<string, InvariantMaker>> = {
  // per-1: of 2025 and 2025-03-01 the engine knows no order, although the first may well be the earlier one.
  'start.hasValue().not() or end.hasValue().not() or (start <= end)': () => (node) =>
    !endsBeforeStart(node?.start, node?.end),
  // mdd-1: as per-1
  'whenHandedOver.empty() or whenPrepared.empty() or whenHandedOver >= whenPrepared': () => (node) =>
    !endsBeforeStart(node?.whenPrepared, node?.whenHandedOver),
  // inv-1 of Task: as per-1
  'lastModified.exists().not() or authoredOn.exists().not() or lastModified >= authoredOn': () => (node) =>
    !endsBeforeStart(node?.authoredOn, node?.lastModified),
  // rng-2: the engine has an order only for UCUM units, and takes any two quantities without units as ordered.
  'low.empty() or high.empty() or (low <= high)': () => (node) => !isAbove(node?.low, node?.high),
  // que-7: `is Boolean` names the type of FHIRPath, which an element never has.
  "operator = 'exists' implies (answer is Boolean)": () => (node) =>
    node?.operator !== 'exists' || has(node, 'answerBoolean'),
  // ctm-1: resolve() finds nothing outside of what is at hand; a literal reference says its type as well.
  'onBehalfOf.exists() implies (member.resolve().iif(empty(), true, ofType(Practitioner).exists()))':
    (_on, scope) => (node) => {
      if (!has(node, 'onBehalfOf') || !isNode(node?.member) || typeof node.member.reference !== 'string') return true;
      const target = scope.resolve?.(node.member.reference);
      const type = target?.resourceType ?? /^([A-Z][A-Za-z]*)\//.exec(node.member.reference)?.[1];
      return type === undefined || type === 'Practitioner';
    },
  // con-3: a CodeableConcept is never equal to a code, and select() gives an item for each category.
  "clinicalStatus.exists() or verificationStatus.coding.where(system='http://terminology.hl7.org/CodeSystem/condition-ver-status' and code = 'entered-in-error').exists() or category.select($this='problem-list-item').empty()":
    () => (node) =>
      has(node, 'clinicalStatus') ||
      codings(node?.verificationStatus).some(
        (coding) => coding.system === VERIFICATION && coding.code === 'entered-in-error',
      ) ||
      !nodes(node?.category).some((category) => codings(category).some(({ code }) => code === 'problem-list-item')),
  // eld-19: matches() finds a part, and any text has a part of one character; R5 has the same pattern with ^ and $.
  "path.matches('[^\\\\s\\\\.,:;\\\\\\'\"\\\\/|?!@#$%&*()\\\\[\\\\]{}]{1,64}(\\\\.[^\\\\s\\\\.,:;\\\\\\'\"\\\\/|?!@#$%&*()\\\\[\\\\]{}]{1,64}(\\\\[x\\\\])?(\\\\:[^\\\\s\\\\.]+)?)*')":
    () => (node) =>
      typeof node?.path !== 'string' || PATH.test(node.path),
  // eld-20: as eld-19
  "path.matches('[A-Za-z][A-Za-z0-9]*(\\\\.[a-z][A-Za-z0-9]*(\\\\[x])?)*')": () => (node) =>
    typeof node?.path !== 'string' || PLAIN_PATH.test(node.path),
  // cpb-0, vsd-0 and the like: as eld-19; and without a name there is nothing to say of it. A ChargeItemDefinition has none.
  "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')": () => (node) =>
    typeof node?.name !== 'string' || /^[A-Z][A-Za-z0-9_]{0,254}$/.test(node.name),
};

export const invariants: ReadonlyMap<string, InvariantMaker> = new Map(Object.entries({ ...EQUAL, ...CORRECTED }));
export const correctedExpressions: readonly string[] = Object.keys(CORRECTED);

const SEGMENT = '[^\\s.,:;\'"/|?!@#$%&*()[\\]{}]{1,64}';
const PATH = new RegExp(`^${SEGMENT}(?:\\.${SEGMENT}(?:\\[x\\])?(?::[^\\s.]+)?)*$`);
const PLAIN_PATH = /^[A-Za-z][A-Za-z0-9]*(?:\.[a-z][A-Za-z0-9]*(?:\[x\])?)*$/;

function elements(part: unknown): readonly FhirNode[] {
  return isNode(part) ? nodes(part.element) : [];
}

function pathOf(element: FhirNode | undefined): string | undefined {
  return typeof element?.path === 'string' ? element.path : undefined;
}

function rootElements(...parts: readonly unknown[]): readonly FhirNode[] {
  return parts.flatMap(elements).filter((element) => pathOf(element)?.includes('.') === false);
}

function startAfterFirst(all: readonly FhirNode[], start: string): boolean {
  return all.slice(1).every((element) => pathOf(element)?.startsWith(start) === true);
}
