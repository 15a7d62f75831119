/** Constraints of definitions, terminology, tests and of types that a course of treatment does not use. */
import {
  distinct,
  type FhirNode,
  has,
  type InvariantMaker,
  isNumber,
  isOneOf,
  list,
  nodes,
  notBoth,
  one,
  requires,
  some,
} from './invariant.ts';

const UCUM = 'http://unitsofmeasure.org';

export const conformanceInvariants: Readonly<Record<string, InvariantMaker>> = {
  'cpb-1': some('rest', 'messaging', 'document'),
  'cpb-2': some('description', 'software', 'implementation'),
  'cpb-3': () => (node) => node.kind === 'instance' || !nodes(node.messaging).some((entry) => has(entry, 'endpoint')),
  'cpb-7': () => (node) => distinct(nodes(node.document).map(({ profile, mode }) => `${profile ?? ''}${mode ?? ''}`)),
  'cpb-9': () => (node) => distinct(present(nodes(node.resource).map(({ type }) => type))),
  'cpb-12': () => (node) => distinct(present(nodes(node.searchParam).map(({ name }) => name))),
  'cpb-14': instanceHasImplementation,
  'cpb-15': capabilityIsSoftware,
  'cpb-16': requirementsAreNeither,
  'tcp-2': some('description', 'software', 'implementation'),
  'tcp-3': instanceHasImplementation,
  'tcp-4': capabilityIsSoftware,
  'tcp-5': requirementsAreNeither,
  'tcp-1': () => (node) =>
    nodes(node.version).length <= 1 || nodes(node.version).every((version) => has(version, 'code')),

  'csd-1': () => hasDistinctCodes,
  'cmd-1': () => (node) => has(node, 'comment') || !isOneOf(node.equivalence, 'narrower', 'inexact'),
  'cmd-2': () => (node) => node.mode !== 'fixed' || has(node, 'code'),
  'cmd-3': () => (node) => node.mode !== 'other-map' || has(node, 'url'),
  'nsd-1': () => (node) => node.kind !== 'root' || nodes(node.uniqueId).every(({ type }) => type !== 'uuid'),
  'nsd-2': () => (node) =>
    distinct(present(nodes(node.uniqueId).flatMap(({ preferred, type }) => (preferred === true ? [type] : [])))),
  'opd-1': some('type', 'part'),
  'opd-2': () => (node) => !has(node, 'searchType') || node.type === 'string',
  'opd-3': () => (node) => !has(node, 'targetProfile') || isOneOf(node.type, 'Reference', 'canonical'),
  'spd-1': requires('xpath', 'xpathUsage'),
  'spd-2': () => (node) => !has(node, 'chain') || node.type === 'reference',
  'smp-1': requires('element', 'context'),
  'smp-2': requires('context', 'contextType'),
  'sdf-2': some('name', 'uri'),
  'sdf-4': () => (node) => node.abstract === true || has(node, 'baseDefinition'),
  'sdf-6': some('snapshot', 'differential'),
  'sdf-18': () => (node) => !has(node, 'contextInvariant') || node.type === 'Extension',
  'eld-1': some('discriminator', 'description'),
  'eld-6': (on) => {
    const hasFixed = on.has('fixed');
    return (node) => !hasFixed(node) || list(node.type).length <= 1;
  },
  'eld-7': (on) => {
    const hasPattern = on.has('pattern');
    return (node) => !hasPattern(node) || list(node.type).length <= 1;
  },
  'eld-8': notBoth('pattern', 'fixed'),
  'eld-13': () => (node) => distinct(present(nodes(node.type).map(({ code }) => code))),
  'eld-14': () => (node) => distinct(present(nodes(node.constraint).map(({ key }) => key))),
  'eld-15': notBoth('defaultValue', 'meaningWhenMissing'),
  'eld-18': () => (node) => node.isModifier !== true || has(node, 'isModifierReason'),
  'eld-22': requires('sliceIsConstraining', 'sliceName'),

  'ces-1': one('category', 'productOrService'),
  'evv-1': atMostOne(
    'definitionReference',
    'definitionCanonical',
    'definitionCodeableConcept',
    'definitionId',
    'definitionByTypeAndValue',
    'definitionByCombination',
  ),
  'mea-1': () => (node) =>
    stratifiers(node).every(
      (entry) =>
        (has(entry, 'code') || has(entry, 'description') || has(entry, 'criteria')) !== has(entry, 'component'),
    ),
  'mrp-1': () => (node) => node.type !== 'data-collection' || !has(node, 'group'),
  'mrp-2': () => (node) =>
    stratifiers(node)
      .flatMap(({ stratum }) => nodes(stratum))
      .every((stratum) => has(stratum, 'value') !== has(stratum, 'component')),
  'msq-3': () => (node) => node.coordinateSystem === 0 || node.coordinateSystem === 1,
  'msq-5': () => (node) => has(node, 'chromosome') === has(node, 'genomeBuild'),
  'msq-6': () => (node) =>
    count(node, 'genomeBuild', 'referenceSeqId', 'referenceSeqPointer', 'referenceSeqString') === 1,
  'ras-1': () => (node) => [node.low, node.high].every((limit) => limit === undefined || isPercent(limit)),
  'ras-2': () => (node) => !isNumber(node.probabilityDecimal) || node.probabilityDecimal <= 100,
  'trd-3': (on) => {
    const hasTiming = on.has('timing');
    return (node) =>
      (node.type !== 'named-event' || has(node, 'name')) &&
      (node.type !== 'periodic' || hasTiming(node)) &&
      (!String(node.type).startsWith('data-') || has(node, 'data'));
  },

  'tst-1': one('operation', 'assert'),
  'tst-2': one('operation', 'assert'),
  'tst-3': () => (node) => count(node, 'expression', 'headerField', 'path') < 3,
  'tst-4': () => (node) =>
    nodes(node.capability).some((capability) => has(capability, 'required') || has(capability, 'validated')),
  'tst-5': onlyOneAssertion,
  'tst-6': onlyOneAssertion,
  'tst-7': hasOneTarget,
  'tst-8': hasOneTarget,
  'tst-9': hasOneTarget,
  'tst-10': comparesToSource,
  'tst-11': comparesToSource,
  'tst-12': requestHasNoResponse,
  'tst-13': requestHasNoResponse,
};

function instanceHasImplementation() {
  return (node: FhirNode) => node.kind !== 'instance' || has(node, 'implementation');
}

function capabilityIsSoftware() {
  return (node: FhirNode) => node.kind !== 'capability' || (!has(node, 'implementation') && has(node, 'software'));
}

function requirementsAreNeither() {
  return (node: FhirNode) => node.kind !== 'requirements' || !(has(node, 'implementation') || has(node, 'software'));
}

function onlyOneAssertion() {
  return (node: FhirNode) =>
    has(node, 'extension') ||
    count(
      node,
      'contentType',
      'expression',
      'headerField',
      'minimumId',
      'navigationLinks',
      'path',
      'requestMethod',
      'resource',
      'responseCode',
      'response',
      'validateProfileId',
    ) <= 1;
}

function hasOneTarget() {
  return (node: FhirNode) =>
    has(node, 'sourceId') ||
    count(node, 'targetId', 'url', 'params') === 1 ||
    nodes([node.type]).some(({ code }) => isOneOf(code, 'capabilities', 'search', 'transaction', 'history'));
}

function comparesToSource() {
  return (node: FhirNode) =>
    has(node, 'compareToSourceId') === (has(node, 'compareToSourceExpression') || has(node, 'compareToSourcePath'));
}

function requestHasNoResponse() {
  return (node: FhirNode) =>
    !has(node, 'direction') ||
    node.direction === 'response' ||
    (node.direction === 'request' && !has(node, 'response') && !has(node, 'responseCode'));
}

function atMostOne(...names: string[]): InvariantMaker {
  return () => (node) => count(node, ...names) <= 1;
}

function count(node: FhirNode, ...names: string[]): number {
  return names.filter((name) => has(node, name)).length;
}

function present(values: readonly unknown[]): readonly unknown[] {
  return values.filter((value) => value !== undefined);
}

function stratifiers(node: FhirNode): readonly FhirNode[] {
  return nodes(node.group).flatMap(({ stratifier }) => nodes(stratifier));
}

function isPercent(limit: unknown): boolean {
  return nodes([limit]).some(({ code, system }) => code === '%' && system === UCUM);
}

function hasDistinctCodes(codeSystem: FhirNode): boolean {
  const codesUnder = (node: FhirNode): unknown[] =>
    nodes(node.concept).flatMap((concept) => [concept.code, ...codesUnder(concept)]);
  return distinct(present(codesUnder(codeSystem)));
}
