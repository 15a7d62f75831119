/**
 * What R4's own profiles and extensions say of themselves, and R4 does otherwise. Its errata and the later package of
 * its extensions have the same corrections.
 *
 * @see https://hl7.org/fhir/extensions/
 */
import type { ElementDefinition, StructureDefinition, StructureDefinitionContext } from '@medplum/fhirtypes';
import { CANONICAL_TYPES } from '../canonical-types.ts';
import { withoutVersion } from '../definitions/structure.ts';

const BASE = 'http://hl7.org/fhir/StructureDefinition/';

/**
 * Three have elements that contradict each other, so that nothing could satisfy them, and one is on elements that the
 * definitions at hand do not have: they are left out, as if they were not known.
 */
const LEFT_OUT: ReadonlySet<string> = new Set(
  ['familymemberhistory-genetic', 'catalog', 'codesystem-history', 'picoelement'].map((id) => `${BASE}${id}`),
);

export function isLeftOut(url: string): boolean {
  return LEFT_OUT.has(url);
}

/** Places where R4's definitions and US Core have extensions, beside those that the extensions say they are for. */
const FURTHER_PLACES: Readonly<Record<string, readonly string[]>> = {
  'structuredefinition-fhir-type': ['ElementDefinition.type'],
  'structuredefinition-normative-version': ['ElementDefinition', ...CANONICAL_TYPES],
  regex: ['ElementDefinition.type'],
  'valueset-concept-comments': ['CodeSystem.concept', 'ValueSet.expansion.contains'],
  'capabilitystatement-expectation': [
    ...['instantiates', 'imports', 'format', 'patchFormat', 'implementationGuide', 'rest', 'rest.resource'].map(
      (step) => `CapabilityStatement.${step}`,
    ),
    ...['profile', 'supportedProfile', 'versioning', 'readHistory', 'updateCreate', 'referencePolicy', 'operation'].map(
      (step) => `CapabilityStatement.rest.resource.${step}`,
    ),
    ...['multipleOr', 'multipleAnd', 'comparator', 'modifier', 'chain'].map((step) => `SearchParameter.${step}`),
  ],
};

/** Extensions inside of which R4 and US Core have others. */
const FURTHER_EXTENSIONS: Readonly<Record<string, readonly string[]>> = {
  'capabilitystatement-expectation': ['capabilitystatement-search-parameter-combination'],
};

/** Code systems that went on after R4: their codes are no error. */
const STILL_GROWING: ReadonlySet<string> = new Set(['http://hl7.org/fhir/ValueSet/hl7-work-group']);

export function corrected(definition: StructureDefinition): StructureDefinition {
  const id = definition.url.slice(BASE.length);
  const context: StructureDefinitionContext[] = [
    ...(definition.context ?? []),
    ...(FURTHER_PLACES[id] ?? []).map((expression) => ({ type: 'element' as const, expression })),
    ...(FURTHER_EXTENSIONS[id] ?? []).map((other) => ({ type: 'extension' as const, expression: `${BASE}${other}` })),
  ];
  const element = (definition.snapshot?.element ?? []).map(withGrowingCodes);
  return { ...definition, ...(context.length === 0 ? {} : { context }), snapshot: { element } };
}

function withGrowingCodes(element: ElementDefinition): ElementDefinition {
  const { binding } = element;
  if (binding === undefined || !STILL_GROWING.has(withoutVersion(binding.valueSet ?? ''))) return element;
  return { ...element, binding: { ...binding, strength: 'extensible' } };
}
