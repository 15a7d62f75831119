/**
 * The two definitions that follow from all others: the ImplementationGuide, which lists them, and the
 * CapabilityStatement, which says what a server of this guide does with them. The same input gives the same bytes.
 */
import type {
  CapabilityStatement,
  CapabilityStatementRestResource,
  CapabilityStatementRestResourceSearchParam,
  ImplementationGuide,
  ImplementationGuideDefinitionGrouping,
  ImplementationGuideDefinitionResource,
  OperationDefinition,
  SearchParameter,
  StructureDefinition,
} from '@medplum/fhirtypes';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { furtherSearchParameters } from '../../src/fhir/search/further-search-parameters.ts';
import { searchParameterRegistry } from '../../src/fhir/search/parameters.ts';
import { jsonText } from './json-text.ts';
import { type Definition, exampleName, type GuideSource, ofType, profilesIn, titleOf } from './source.ts';

export type GeneratedFile = { readonly file: string; readonly text: string };

const BASE = 'https://kap.example.org/fhir';
const VERSION = '1.0.0';
const DATE = '2026-11-22';
const PUBLISHER = 'kap-bridge';
const GUIDE = 'kap-bridge';
const SERVER = 'kap-server';
const US_CORE = { uri: 'http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core', version: '6.1.0' };

/** What the two files must say, given all other definitions of the guide. */
export function generatedDefinitions(source: GuideSource): readonly GeneratedFile[] {
  const statement = capabilityStatement(source);
  return [
    { file: `CapabilityStatement-${SERVER}.json`, text: jsonText(statement) },
    { file: `ImplementationGuide-${GUIDE}.json`, text: jsonText(implementationGuide(source, statement)) },
  ];
}

// ---- ImplementationGuide

type Grouping = ImplementationGuideDefinitionGrouping & { readonly id: string };

const GROUPINGS: readonly (readonly [types: readonly string[], grouping: Grouping])[] = [
  [
    ['StructureDefinition'],
    { id: 'profiles', name: 'Profiles', description: 'What the resources of a KAP course look like on the wire.' },
  ],
  [
    ['Extension'],
    { id: 'extensions', name: 'Extensions', description: 'Where FHIR R4 has no place for what has to be said.' },
  ],
  [
    ['CodeSystem', 'ValueSet', 'ConceptMap'],
    { id: 'terminology', name: 'Terminology', description: 'Codes, what may stand where, and what it is elsewhere.' },
  ],
  [
    ['PlanDefinition', 'ActivityDefinition', 'Questionnaire'],
    { id: 'protocol', name: 'Protocol', description: 'The course as a plan, what it orders, and the forms it uses.' },
  ],
  [
    ['CapabilityStatement', 'SearchParameter', 'OperationDefinition'],
    { id: 'behaviour', name: 'Behaviour', description: 'What a server of this guide answers.' },
  ],
  [['example'], { id: 'examples', name: 'Examples', description: 'One course, resource by resource.' }],
];

function groupOf(kind: string): string {
  return GROUPINGS.find(([types]) => types.includes(kind))?.[1].id ?? 'behaviour';
}

function implementationGuide(source: GuideSource, statement: CapabilityStatement): ImplementationGuide {
  const definitions = [
    ...source.definitions
      .map(({ resource }) => resource)
      .filter(({ resourceType, id }) => resourceType !== 'ImplementationGuide' && id !== statement.id),
    statement,
  ];
  const listed = definitions.map(listedDefinition);
  const resource = [...listed, ...listedExamples(source)].sort(
    (a, b) => rank(a) - rank(b) || compare(a.reference.reference ?? '', b.reference.reference ?? ''),
  );
  const used = new Set(resource.map(({ groupingId }) => groupingId));
  return {
    resourceType: 'ImplementationGuide',
    id: GUIDE,
    url: `${BASE}/ImplementationGuide/${GUIDE}`,
    version: VERSION,
    name: 'KapBridge',
    title: 'Ketamine-assisted psychotherapy',
    status: 'active',
    experimental: false,
    date: DATE,
    publisher: PUBLISHER,
    description:
      'What comes over the wire from a clinic of ketamine-assisted psychotherapy: a course with its plan, infusions with their monitoring, integration therapy, scores, findings of the rules, consents and notes.',
    packageId: 'org.example.kap-bridge',
    license: 'Apache-2.0',
    fhirVersion: ['4.0.1'],
    dependsOn: [{ ...US_CORE, packageId: 'hl7.fhir.us.core' }],
    definition: {
      grouping: GROUPINGS.map(([, grouping]) => grouping).filter(({ id }) => used.has(id)),
      resource,
      page: { nameUrl: 'index.html', title: 'Ketamine-assisted psychotherapy', generation: 'html' },
    },
  };
}

function rank({ groupingId }: ImplementationGuideDefinitionResource): number {
  return GROUPINGS.findIndex(([, { id }]) => id === groupingId);
}

function listedDefinition(resource: Definition): ImplementationGuideDefinitionResource {
  const isExtension = resource.resourceType === 'StructureDefinition' && resource.type === 'Extension';
  const description = 'description' in resource ? resource.description : undefined;
  return {
    reference: { reference: `${resource.resourceType}/${resource.id}` },
    name: titleOf(resource),
    ...(typeof description === 'string' ? { description } : {}),
    exampleBoolean: false,
    groupingId: groupOf(isExtension ? 'Extension' : resource.resourceType),
  };
}

/** The valid ones: what is invalid is no example to follow. Of one resource under two profiles the first counts. */
function listedExamples(source: GuideSource): ImplementationGuideDefinitionResource[] {
  const urls = new Map(profilesIn(source).map(({ resource }) => [resource.id ?? '', resource.url ?? '']));
  const listed = new Map<string, ImplementationGuideDefinitionResource>();
  for (const { profile, examples } of [...source.examples.values()].sort((a, b) => compare(a.profile, b.profile))) {
    for (const { file, isValid, resource } of examples) {
      const reference = `${resource.resourceType}/${resource.id}`;
      const url = urls.get(profile);
      if (!isValid || resource.id === undefined || url === undefined || listed.has(reference)) continue;
      listed.set(reference, {
        reference: { reference },
        name: `${profile}: ${exampleName(file)}`,
        exampleCanonical: url,
        groupingId: groupOf('example'),
      });
    }
  }
  return [...listed.values()];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

// ---- CapabilityStatement

/** What auditors and receivers ask of each type, beside the parameters of this guide. */
const SEARCHES: Readonly<Record<string, readonly string[]>> = {
  AdverseEvent: ['date', 'event', 'seriousness', 'severity', 'subject'],
  CarePlan: ['category', 'date', 'identifier', 'instantiates-canonical', 'patient', 'status'],
  Consent: ['category', 'patient', 'period', 'scope', 'status'],
  DetectedIssue: ['code', 'identified', 'identifier', 'implicated', 'patient'],
  DocumentReference: ['category', 'date', 'encounter', 'patient', 'security-label', 'type'],
  Encounter: ['date', 'episode-of-care', 'identifier', 'patient', 'reason-reference', 'status', 'type'],
  EpisodeOfCare: ['date', 'identifier', 'patient', 'status', 'type'],
  MedicationAdministration: ['context', 'effective-time', 'identifier', 'patient', 'request', 'status'],
  MedicationRequest: ['authoredon', 'identifier', 'intent', 'patient', 'status'],
  Observation: ['category', 'code', 'date', 'derived-from', 'encounter', 'part-of', 'patient'],
  Patient: ['birthdate', 'family', 'gender', 'given', 'identifier', 'name'],
  Procedure: ['code', 'date', 'encounter', 'identifier', 'part-of', 'patient', 'reason-reference', 'status'],
  Provenance: ['patient', 'target'],
  QuestionnaireResponse: ['authored', 'encounter', 'patient', 'questionnaire'],
  ServiceRequest: ['authored', 'based-on', 'identifier', 'patient', 'requisition', 'status'],
  Task: ['code', 'focus', 'owner', 'patient', 'status'],
};

const OF_ALL_TYPES = ['_id', '_lastUpdated', '_profile', '_security', '_tag'];

function capabilityStatement(source: GuideSource): CapabilityStatement {
  return {
    resourceType: 'CapabilityStatement',
    id: SERVER,
    url: `${BASE}/CapabilityStatement/${SERVER}`,
    version: VERSION,
    name: 'KapServer',
    title: 'Server of a KAP record',
    status: 'active',
    experimental: false,
    date: DATE,
    publisher: PUBLISHER,
    description:
      'What a server must do that serves the record of a KAP course to other systems. What kap-bridge does beyond it is in its own CapabilityStatement, at its address with /metadata.',
    kind: 'requirements',
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'application/fhir+xml'],
    implementationGuide: [`${BASE}/ImplementationGuide/${GUIDE}|${VERSION}`],
    rest: [
      {
        mode: 'server',
        documentation:
          'Everything that is listed here SHALL be supported. Reads and searches answer what the scopes of the caller and the consents of the patient permit; what they do not permit is as if it were not there. Psychotherapy notes are no part of any answer without their own authorization.',
        security: {
          description: 'SMART Backend Services: client credentials with a signed assertion, scopes by type.',
        },
        resource: resourceTypes(source).map((type) => requirementsOf(type, source)),
        searchParam: standardParameters('Patient', OF_ALL_TYPES),
      },
    ],
  };
}

/** Types that a profile describes, and types that are asked about beside them. */
function resourceTypes(source: GuideSource): readonly string[] {
  const profiled = profilesIn(source).flatMap(({ resource }) => (resource.kind === 'resource' ? [resource.type] : []));
  return [...new Set([...profiled, ...Object.keys(SEARCHES)])].sort();
}

function requirementsOf(type: string, source: GuideSource): CapabilityStatementRestResource {
  const profiles = profilesIn(source).filter(({ resource }) => isServedProfile(resource, type));
  const own = ofType(source, 'SearchParameter').filter(({ resource }) => resource.base?.includes(type as never));
  const references = own.filter(({ resource }) => resource.type === 'reference').map(({ resource }) => resource.code);
  const operations = ofType(source, 'OperationDefinition').filter(({ resource }) => isOn(resource, type));
  const searchParam = [
    ...standardParameters(type, SEARCHES[type] ?? []),
    ...own.map(({ resource }) => ownParameter(resource)).sort((a, b) => compare(a.name ?? '', b.name ?? '')),
  ];
  return {
    type: type as never,
    ...(profiles.length === 0
      ? {}
      : { supportedProfile: profiles.map(({ resource }) => resource.url ?? '').sort(compare) }),
    interaction: (['read', 'search-type'] as const).map((code) => ({ code })),
    ...(references.length === 0 ? {} : { searchInclude: references.map((code) => `${type}:${code}`).sort(compare) }),
    ...(searchParam.length === 0 ? {} : { searchParam }),
    ...(operations.length === 0
      ? {}
      : {
          operation: operations.map(({ resource }) => ({ name: resource.code ?? '', definition: resource.url ?? '' })),
        }),
  };
}

function isServedProfile({ type: constrained, abstract, url }: StructureDefinition, type: string): boolean {
  return constrained === type && abstract !== true && url !== undefined;
}

function isOn({ resource = [], instance, type: onType }: OperationDefinition, type: string): boolean {
  return (instance === true || onType === true) && resource.includes(type as never);
}

/** @throws Error for a parameter that R4 has not on the type */
function standardParameters(type: string, codes: readonly string[]): CapabilityStatementRestResourceSearchParam[] {
  const known = registry().of(type);
  return codes.map((code) => {
    const parameter = known.get(code);
    if (parameter === undefined) throw new Error(`R4 has no search parameter ${code} on ${type}`);
    return { name: code, definition: parameter.url, type: parameter.kind as never };
  });
}

function ownParameter(parameter: SearchParameter): CapabilityStatementRestResourceSearchParam {
  const { code, url, type, description } = parameter;
  return { name: code, definition: url, type, documentation: description } as never;
}

let made: ReturnType<typeof searchParameterRegistry> | undefined;

function registry() {
  made ??= searchParameterRegistry(loadDefinitions(), furtherSearchParameters());
  return made;
}
