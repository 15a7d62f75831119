/** @see https://hl7.org/fhir/R4/search.html#summary and https://hl7.org/fhir/R4/search.html#elements */
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { Failure } from '../../../src/fhir/failure.ts';
import { parseJson, stringifyJson } from '../../../src/fhir/json.ts';
import { parseView, type SearchView, viewOf } from '../../../src/fhir/search/view.ts';
import { anyResource } from '../any-resource.ts';

const definitions = loadDefinitions();
const SUBSETTED = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };

function viewed(query: string, resource: object): unknown {
  const type = (resource as Resource).resourceType;
  const view = parseView(new URLSearchParams(query), [type], definitions, true) as SearchView;
  return viewOf(view, definitions)(resource as Resource);
}

const observation = {
  resourceType: 'Observation',
  id: 'o',
  meta: { versionId: '2', tag: [{ code: 'mine' }] },
  text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">5 mg</div>' },
  extension: [{ url: 'http://x', valueString: 'y' }],
  modifierExtension: [{ url: 'http://not', valueBoolean: true }],
  status: 'final',
  category: [{ text: 'vital' }],
  code: { coding: [{ system: 'http://loinc.org', code: '1', display: 'one' }], text: 'one' },
  valueQuantity: { value: 5, unit: 'mg' },
  note: [{ text: 'fine' }],
  component: [{ code: { text: 'part' }, valueString: 'v', interpretation: [{ text: 'high' }] }],
};
const start = { resourceType: 'Observation', id: 'o', meta: { versionId: '2', tag: [{ code: 'mine' }, SUBSETTED] } };
const { modifierExtension, text, status, category, code, valueQuantity } = observation;

test.each<[string, object]>([
  [
    '_summary=true',
    {
      ...start,
      modifierExtension,
      status,
      code,
      valueQuantity,
      component: [{ code: { text: 'part' }, valueString: 'v' }],
    },
  ],
  ['_summary=text', { ...start, text, modifierExtension, status, code }],
  ['_summary=data', (({ text: _, ...rest }) => ({ ...rest, ...start }))(observation)],
  ['_elements=category', { ...start, modifierExtension, status, category, code }],
  ['_elements=value', { ...start, modifierExtension, status, code, valueQuantity }],
  ['_elements=valueQuantity.unit', { ...start, modifierExtension, status, code, valueQuantity: { unit: 'mg' } }],
  [
    '_elements=Observation.value,component.valueString',
    {
      ...start,
      modifierExtension,
      status,
      code,
      valueQuantity,
      component: [{ code: { text: 'part' }, valueString: 'v' }],
    },
  ],
  ['_elements=id', { ...start, modifierExtension, status, code }],
])('%s', (query, expected) => {
  expect(viewed(query, observation)).toEqual(expected);
});

test('the order of elements stays, and nothing of the resource itself changes', () => {
  const before = JSON.stringify(observation);
  const view = viewed('_summary=true', observation) as object;
  expect(Object.keys(view)).toEqual([
    'resourceType',
    'id',
    'meta',
    'modifierExtension',
    'status',
    'code',
    'valueQuantity',
    'component',
  ]);
  expect(JSON.stringify(observation)).toBe(before);
});

test('a summary leaves out what types have beyond it: the bytes of an attachment', () => {
  const document = {
    resourceType: 'DocumentReference',
    status: 'current',
    content: [{ attachment: { contentType: 'text/plain', data: 'aGk=', title: 'hi' } }],
  };
  expect(viewed('_summary=true', document)).toMatchObject({
    content: [{ attachment: { contentType: 'text/plain', title: 'hi' } }],
  });
  expect(JSON.stringify(viewed('_summary=true', document))).not.toContain('aGk=');
});

test('an element that is said to be missing stays with why it is', () => {
  const patient = { resourceType: 'Patient', _birthDate: { extension: [{ url: 'http://why', valueCode: 'unknown' }] } };
  expect(viewed('_elements=birthDate', patient)).toMatchObject({ _birthDate: patient._birthDate });
});

test.each(['_summary=true', '_summary=data', '_elements=value', '_elements=valueQuantity.value,component'])(
  '%s keeps the digits of decimals',
  (query) => {
    const source =
      '{"resourceType":"Observation","status":"final","code":{"text":"c"},"valueQuantity":{"value":0.50,"unit":"mg"}}';
    expect(stringifyJson(viewed(query, parseJson(source) as object))).toContain('"value":0.50');
  },
);

test.each([
  '_summary=count',
  '_summary=maybe',
  '_summary=true&_elements=id',
  '_elements=nothing',
  '_elements=code.nothing',
])('a read with %s is refused', (query) => {
  expect(() => viewed(query, observation)).toThrow(Failure);
});

test('an unknown element is left out where handling is lenient', () => {
  const view = parseView([['_elements', 'nothing,code']], ['Observation'], definitions, false);
  expect(view).toEqual({ kind: 'elements', elements: [{ path: 'code' }] });
});

test('every view of any resource has what is mandatory, and nothing that was not there', () => {
  const views: SearchView[] = [
    { kind: 'summary' },
    { kind: 'text' },
    { kind: 'data' },
    { kind: 'elements', elements: [] },
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...definitions.resourceTypes).chain((type) => anyResource(definitions, type)),
      fc.constantFrom(...views),
      (resource, view) => {
        const given = resource as unknown as Record<string, unknown>;
        const seen = viewOf(view, definitions)(resource) as unknown as Record<string, unknown>;
        expect(seen.meta).toMatchObject({ tag: expect.arrayContaining([SUBSETTED]) });
        expect(Object.keys(given)).toEqual(expect.arrayContaining(Object.keys(seen).filter((key) => key !== 'meta')));
        for (const { path, min } of definitions.elementsOf(resource.resourceType)) {
          const name = path.split('.')[1] as string;
          if (min > 0 && name in given) expect(seen).toHaveProperty(name);
        }
      },
    ),
  );
});
