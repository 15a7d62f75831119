import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Definitions, loadDefinitions } from '../../src/fhir/definitions.ts';

let cacheFolder: string;
let definitions: Definitions;

beforeAll(() => {
  cacheFolder = mkdtempSync(join(tmpdir(), 'definitions-'));
  definitions = loadDefinitions({ cacheFolder });
});
afterAll(() => rmSync(cacheFolder, { recursive: true }));

function cacheFile(): string {
  const [file] = readdirSync(cacheFolder);
  return join(cacheFolder, file ?? '');
}

test('every concrete R4 resource type is known, and no type of another release', () => {
  expect(definitions.resourceTypes).toHaveLength(146);
  expect(definitions.isResourceType('MedicationAdministration')).toBe(true);
  for (const name of [
    'DomainResource',
    'Resource',
    'SubscriptionStatus',
    'MetadataResource',
    'Quantity',
    'constructor',
  ]) {
    expect(definitions.isResourceType(name)).toBe(false);
  }
});

test('a structure is found by name, by url and by versioned url', () => {
  const observation = definitions.structure('Observation');
  expect(definitions.structure('http://hl7.org/fhir/StructureDefinition/Observation')).toBe(observation);
  expect(definitions.structure('http://hl7.org/fhir/StructureDefinition/Observation|4.0.1')).toBe(observation);
  expect(definitions.structure('toString')).toBeUndefined();
});

test('elements carry cardinality, types, targets, bindings and constraints', () => {
  const byPath = new Map(definitions.structure('Observation')?.elements.map((element) => [element.path, element]));
  expect(byPath.get('Observation.status')).toMatchObject({
    min: 1,
    max: 1,
    types: [{ code: 'code' }],
    binding: { strength: 'required', valueSet: 'http://hl7.org/fhir/ValueSet/observation-status' },
  });
  expect(byPath.get('Observation.subject')?.types).toEqual([
    { code: 'Reference', targets: ['Patient', 'Group', 'Device', 'Location'] },
  ]);
  expect(byPath.get('Observation.component')?.max).toBe(Number.POSITIVE_INFINITY);
  expect(byPath.get('Observation.id')?.types).toEqual([{ code: 'id' }]);
  expect(byPath.get('Observation')?.constraints?.map(({ key }) => key)).toEqual(
    expect.arrayContaining(['obs-6', 'obs-7', 'dom-2']),
  );
});

test('the status of a DetectedIssue has the codes of R4, not those of R5', () => {
  const status = definitions.structure('DetectedIssue')?.elements.find(({ path }) => path === 'DetectedIssue.status');
  expect(status?.binding?.valueSet).toBe('http://hl7.org/fhir/ValueSet/observation-status');
});

test('the elements of a content reference are those of the element it names', () => {
  expect(definitions.elementsOf('Observation.component.referenceRange')).toEqual(
    definitions.elementsOf('Observation.referenceRange'),
  );
  expect(definitions.elementsOf('Questionnaire.item.item').map(({ path }) => path)).toContain(
    'Questionnaire.item.item',
  );
});

test('a value set says which codes it allows, and when it cannot say', () => {
  const status = definitions.valueSet('http://hl7.org/fhir/ValueSet/observation-status|4.0.1');
  expect(status?.enumerable).toBe(true);
  expect(status?.allows('http://hl7.org/fhir/observation-status', 'final')).toBe(true);
  expect(status?.allows('http://hl7.org/fhir/observation-status', 'finished')).toBe(false);
  expect(status?.allows('http://example.org', 'final')).toBe(false);
  const mimeTypes = definitions.valueSet('http://hl7.org/fhir/ValueSet/mimetypes');
  expect(mimeTypes?.enumerable).toBe(false);
  expect(mimeTypes?.allows('urn:ietf:bcp:13', 'text/csv')).toBe(true);
});

test('the patient compartment names the search parameters that make a member', () => {
  expect(definitions.patientCompartment('Observation')).toEqual(['subject', 'performer']);
  expect(definitions.patientCompartment('PlanDefinition')).toEqual([]);
});

test('a second start reads the digest from disk and finds the same definitions', () => {
  const again = loadDefinitions({ cacheFolder });
  expect(readdirSync(cacheFolder)).toHaveLength(1);
  expect(again.structure('Timing')).toEqual(definitions.structure('Timing'));
  expect(again.searchParameters).toEqual(definitions.searchParameters);
});

test.each([
  ['is cut off', (text: string) => text.slice(0, text.length / 2)],
  ['was altered', (text: string) => text.replace('observation-status', 'observation-stutas')],
  ['is of another format', (text: string) => text.replace('kap-bridge-definitions-', 'kap-bridge-definitions-0')],
  ['is empty', () => ''],
])('a digest on disk that %s is rebuilt', (_case, damage) => {
  const whole = readFileSync(cacheFile(), 'utf8');
  writeFileSync(cacheFile(), damage(whole));
  expect(loadDefinitions({ cacheFolder }).resourceTypes).toHaveLength(146);
  expect(readFileSync(cacheFile(), 'utf8')).toBe(whole);
});

test('definitions load although nothing can be kept on disk', () => {
  expect(loadDefinitions({ cacheFolder: '/dev/null/nowhere' }).resourceTypes).toHaveLength(146);
});

test('elements that the package adds to R4 are none of R4', () => {
  const names = (type: string) => definitions.elementsOf(type).map(({ path }) => path.slice(type.length + 1));
  expect(names('Meta')).toEqual([
    'id',
    'extension',
    'versionId',
    'lastUpdated',
    'source',
    'profile',
    'security',
    'tag',
  ]);
  expect(names('Binary')).toEqual([
    'id',
    'meta',
    'implicitRules',
    'language',
    'contentType',
    'securityContext',
    'data',
  ]);
  expect(names('ResearchStudy')).not.toContain('progressStatus');
  expect(definitions.elementsOf('ResearchStudy.progressStatus')).toEqual([]);
  const outcome = definitions.elementsOf('Bundle.entry.response').find(({ path }) => path.endsWith('.outcome'));
  expect(outcome?.types).toMatchObject([{ code: 'Resource' }]);
});
