/** What the terminology operations take, as their OperationDefinitions of R4 say. */
import { splitCanonical } from '../../fhir/terminology/resources.ts';
import type { SystemVersions } from '../../fhir/terminology/value-set.ts';
import type { Given, ParameterDeclaration } from './operation-parameters.ts';

const SYSTEM_VERSIONS: readonly ParameterDeclaration[] = [
  { name: 'system-version', types: ['canonical'], max: '*' },
  { name: 'check-system-version', types: ['canonical'], max: '*' },
  { name: 'force-system-version', types: ['canonical'], max: '*' },
];

/** `system|version` of each of the three parameters. */
export function systemVersions(given: Given): SystemVersions {
  const named = (name: string) =>
    new Map(
      given
        .texts(name)
        .map(splitCanonical)
        .flatMap(({ url, version }) => (version === undefined ? [] : [[url, version] as const])),
    );
  return {
    preferred: named('system-version'),
    checked: named('check-system-version'),
    forced: named('force-system-version'),
  };
}

/** @see https://hl7.org/fhir/R4/valueset-operation-expand.html */
export const EXPAND: readonly ParameterDeclaration[] = [
  { name: 'url', types: ['uri'] },
  { name: 'valueSet', types: ['ValueSet'] },
  { name: 'valueSetVersion', types: ['string'] },
  { name: 'context', types: ['uri'] },
  { name: 'contextDirection', types: ['code'] },
  { name: 'filter', types: ['string'] },
  { name: 'date', types: ['dateTime'] },
  { name: 'offset', types: ['integer'] },
  { name: 'count', types: ['integer'] },
  { name: 'includeDesignations', types: ['boolean'] },
  { name: 'designation', types: ['string'], max: '*' },
  { name: 'includeDefinition', types: ['boolean'] },
  { name: 'activeOnly', types: ['boolean'] },
  { name: 'excludeNested', types: ['boolean'] },
  { name: 'excludeNotForUI', types: ['boolean'] },
  { name: 'excludePostCoordinated', types: ['boolean'] },
  { name: 'displayLanguage', types: ['code'] },
  { name: 'exclude-system', types: ['canonical'], max: '*' },
  ...SYSTEM_VERSIONS,
];

const CODE: readonly ParameterDeclaration[] = [
  { name: 'code', types: ['code'] },
  { name: 'coding', types: ['Coding'] },
];

const CHECKED_CODE: readonly ParameterDeclaration[] = [
  ...CODE,
  { name: 'codeableConcept', types: ['CodeableConcept'] },
  { name: 'display', types: ['string'] },
  { name: 'date', types: ['dateTime'] },
  { name: 'abstract', types: ['boolean'] },
  { name: 'displayLanguage', types: ['code'] },
];

/** @see https://hl7.org/fhir/R4/valueset-operation-validate-code.html */
export const VALIDATE_CODE: readonly ParameterDeclaration[] = [
  { name: 'url', types: ['uri'] },
  { name: 'valueSet', types: ['ValueSet'] },
  { name: 'valueSetVersion', types: ['string'] },
  { name: 'context', types: ['uri'] },
  { name: 'system', types: ['uri'] },
  { name: 'systemVersion', types: ['string'] },
  ...CHECKED_CODE,
  ...SYSTEM_VERSIONS,
];

/** @see https://hl7.org/fhir/R4/codesystem-operation-validate-code.html */
export const VALIDATE_CODE_SYSTEM: readonly ParameterDeclaration[] = [
  { name: 'url', types: ['uri'] },
  { name: 'codeSystem', types: ['CodeSystem'] },
  { name: 'version', types: ['string'] },
  ...CHECKED_CODE,
];

/** @see https://hl7.org/fhir/R4/codesystem-operation-lookup.html */
export const LOOKUP: readonly ParameterDeclaration[] = [
  ...CODE,
  { name: 'system', types: ['uri'] },
  { name: 'version', types: ['string'] },
  { name: 'date', types: ['dateTime'] },
  { name: 'displayLanguage', types: ['code'] },
  { name: 'property', types: ['code'], max: '*' },
];

/** @see https://hl7.org/fhir/R4/codesystem-operation-subsumes.html */
export const SUBSUMES: readonly ParameterDeclaration[] = [
  { name: 'codeA', types: ['code'] },
  { name: 'codeB', types: ['code'] },
  { name: 'system', types: ['uri'] },
  { name: 'version', types: ['string'] },
  { name: 'codingA', types: ['Coding'] },
  { name: 'codingB', types: ['Coding'] },
];

/** @see https://hl7.org/fhir/R4/conceptmap-operation-translate.html */
export const TRANSLATE: readonly ParameterDeclaration[] = [
  { name: 'url', types: ['uri'] },
  { name: 'conceptMap', types: ['ConceptMap'] },
  { name: 'conceptMapVersion', types: ['string'] },
  ...CODE,
  { name: 'codeableConcept', types: ['CodeableConcept'] },
  { name: 'system', types: ['uri'] },
  { name: 'version', types: ['string'] },
  { name: 'source', types: ['uri'] },
  { name: 'target', types: ['uri'] },
  { name: 'targetsystem', types: ['uri'] },
  {
    name: 'dependency',
    max: '*',
    part: [
      { name: 'element', types: ['uri'] },
      { name: 'concept', types: ['CodeableConcept'] },
    ],
  },
  { name: 'reverse', types: ['boolean'] },
];
