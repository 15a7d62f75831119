import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { elementTypeAt } from '../../src/fhir/element-type.ts';
import { LINK_ELEMENTS, parseReference, REFERENCE_CHOICES, rewriteReferences } from '../../src/fhir/references.ts';
import { sessionResources, validResources } from '../fixtures/valid-resources.ts';

const definitions = loadDefinitions();
const OURS = ['https://kap.example.org/fhir'];

test.each([
  ['Patient/p1', { kind: 'local', type: 'Patient', id: 'p1' }],
  ['Patient/p1/_history/2', { kind: 'local', type: 'Patient', id: 'p1', version: '2' }],
  ['https://kap.example.org/fhir/Patient/p1', { kind: 'local', type: 'Patient', id: 'p1' }],
  [
    'https://kap.example.org/fhir/Patient?identifier=a|b',
    { kind: 'conditional', type: 'Patient', criteria: 'identifier=a|b' },
  ],
  [
    'https://ehr.example.org/r4/Patient/7',
    { kind: 'absolute', url: 'https://ehr.example.org/r4/Patient/7', type: 'Patient', id: '7' },
  ],
  ['https://ehr.example.org/about', { kind: 'absolute', url: 'https://ehr.example.org/about' }],
  [
    'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01',
    { kind: 'urn', urn: 'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01' },
  ],
  ['#ketamine', { kind: 'contained', id: 'ketamine' }],
  ['Patient?identifier=a|b', { kind: 'conditional', type: 'Patient', criteria: 'identifier=a|b' }],
  ['the patient', undefined],
  ['Patient', undefined],
  ['', undefined],
])('the reference %j is understood', (text, expected) => {
  expect(parseReference(text, OURS)).toEqual(expected);
});

test('each reference is asked about once, with its FHIRPath', () => {
  const asked: string[] = [];
  const resource = structuredClone(sessionResources.administration);
  rewriteReferences(resource, (reference, place) => {
    asked.push(`${place} = ${reference}`);
    return undefined;
  });
  expect(asked).toEqual([
    'MedicationAdministration.medication.ofType(Reference).reference = #ketamine',
    'MedicationAdministration.subject.reference = Patient/p1',
    'MedicationAdministration.context.reference = Encounter/e1',
    'MedicationAdministration.performer[0].actor.reference = Practitioner/pr1',
  ]);
  expect(resource).toEqual(sessionResources.administration);
});

test('a new reference is written in place, in contained resources too', () => {
  const resource = {
    resourceType: 'Observation',
    contained: [{ resourceType: 'Device', id: 'd', patient: { reference: 'urn:uuid:1' } }],
    subject: { reference: 'urn:uuid:1', display: 'urn:uuid:1' },
  };
  rewriteReferences(
    resource,
    (reference) => (reference === 'urn:uuid:1' ? 'Patient/p1' : undefined),
    'Bundle.entry[0].resource',
  );
  expect(resource.contained[0]?.patient.reference).toBe('Patient/p1');
  expect(resource.subject).toEqual({ reference: 'Patient/p1', display: 'urn:uuid:1' });
});

test('links of type uri and in the narrative follow their entry; identifiers and canonicals do not', () => {
  const link = 'urn:uuid:1';
  const resource = {
    resourceType: 'Communication',
    text: {
      status: 'generated',
      div: `<div><a href="${link}">x</a><img src = '${link}'/> ${link} <a href="${link}2">y</a></div>`,
    },
    identifier: [{ system: 'urn:ietf:rfc:3986', value: link }],
    extension: [
      { url: 'http://x', valueUri: link },
      { url: 'http://y', valueCanonical: link },
    ],
    payload: [{ contentAttachment: { url: link, title: link } }],
    instantiatesUri: [link, 'urn:uuid:2'],
  };
  rewriteReferences(resource, () => undefined, undefined, {
    resolve: (url) => (url === link ? 'Binary/b1' : undefined),
    isLink: (path) => ['uri', 'url'].includes(elementTypeAt(definitions, resource, path) ?? ''),
  });
  expect(resource).toEqual({
    resourceType: 'Communication',
    text: {
      status: 'generated',
      div: `<div><a href="Binary/b1">x</a><img src = 'Binary/b1'/> ${link} <a href="${link}2">y</a></div>`,
    },
    identifier: [{ system: 'urn:ietf:rfc:3986', value: link }],
    extension: [
      { url: 'http://x', valueUri: 'Binary/b1' },
      { url: 'http://y', valueCanonical: link },
    ],
    payload: [{ contentAttachment: { url: 'Binary/b1', title: link } }],
    instantiatesUri: ['Binary/b1', 'urn:uuid:2'],
  });
});

test('a rewrite and its reverse give the same resource', () => {
  fc.assert(
    fc.property(fc.constantFrom(...validResources), (original) => {
      const resource = structuredClone(original);
      rewriteReferences(resource, (reference) => `x${reference}`);
      rewriteReferences(resource, (reference) => reference.slice(1));
      expect(resource).toEqual(original);
    }),
  );
});

const types = [
  'Element',
  'Extension',
  'Meta',
  'Identifier',
  'Quantity',
  'Coding',
  'Attachment',
  'Signature',
  'Reference',
  'RelatedArtifact',
  'Expression',
  'DataRequirement',
  'ElementDefinition',
  'TriggerDefinition',
  'UsageContext',
  'Dosage',
  'Timing',
  'Annotation',
];
const elements = [...definitions.resourceTypes, ...types].flatMap(
  (type) => definitions.structure(type)?.elements ?? [],
);

function jsonNames(accept: (typeCode: string, isChoice: boolean) => boolean): string[] {
  const names = new Set<string>();
  for (const { path, types } of elements) {
    const last = path.slice(path.lastIndexOf('.') + 1);
    for (const { code } of types) {
      const isChoice = last.endsWith('[x]');
      if (accept(code, isChoice)) {
        names.add(isChoice ? last.slice(0, -3) + code.charAt(0).toUpperCase() + code.slice(1) : last);
      }
    }
  }
  return [...names].sort();
}

test('the names of links and of choices with a reference are those of the definitions', () => {
  expect([...LINK_ELEMENTS].sort()).toEqual(jsonNames((code) => ['uri', 'url', 'oid', 'uuid'].includes(code)));
  const choices = jsonNames((code, isChoice) => isChoice && code === 'Reference');
  expect([...REFERENCE_CHOICES].sort()).toEqual(choices);
});
