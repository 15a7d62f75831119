/** A code system, value sets and a concept map of a clinic, and questions about them. */
import type { CodeSystem, ConceptMap, OperationOutcome, Parameters, Resource, ValueSet } from '@medplum/fhirtypes';
import { fhir } from '../record/clinic.ts';
import { type Caller, startTestService } from './service.ts';

export const COLOURS = 'https://clinic.example/CodeSystem/colours';
export const colours: CodeSystem = {
  resourceType: 'CodeSystem',
  id: 'colours',
  url: COLOURS,
  version: '1',
  name: 'Colours',
  status: 'active',
  content: 'complete',
  caseSensitive: true,
  hierarchyMeaning: 'is-a',
  property: [
    { code: 'warm', type: 'boolean' },
    { code: 'inactive', uri: 'http://hl7.org/fhir/concept-properties#inactive', type: 'boolean' },
    { code: 'notSelectable', uri: 'http://hl7.org/fhir/concept-properties#notSelectable', type: 'boolean' },
    { code: 'parent', uri: 'http://hl7.org/fhir/concept-properties#parent', type: 'code' },
  ],
  concept: [
    {
      code: 'any',
      display: 'Any colour',
      property: [{ code: 'notSelectable', valueBoolean: true }],
      concept: [
        {
          code: 'red',
          display: 'Red',
          definition: 'The colour of blood',
          designation: [{ language: 'de', value: 'Rot' }],
          property: [{ code: 'warm', valueBoolean: true }],
          concept: [{ code: 'crimson', display: 'Crimson' }],
        },
        { code: 'blue', display: 'Blue', property: [{ code: 'warm', valueBoolean: false }] },
      ],
    },
    { code: 'rose', display: 'Rosé', property: [{ code: 'parent', valueCode: 'red' }] },
    { code: 'puce', display: 'Puce', property: [{ code: 'inactive', valueBoolean: true }] },
  ],
};
export const colourSet: ValueSet = {
  resourceType: 'ValueSet',
  id: 'colours',
  url: 'https://clinic.example/ValueSet/colours',
  version: '1',
  name: 'ColourSet',
  status: 'active',
  compose: { include: [{ system: COLOURS }] },
};
export const redOnes: ValueSet = {
  resourceType: 'ValueSet',
  id: 'red',
  url: 'https://clinic.example/ValueSet/red',
  status: 'active',
  compose: {
    include: [{ system: COLOURS, filter: [{ property: 'concept', op: 'is-a', value: 'red' }] }],
    exclude: [{ system: COLOURS, concept: [{ code: 'rose' }] }],
  },
};
export const GENDER = 'http://hl7.org/fhir/administrative-gender';
export const colourMap: ConceptMap = {
  resourceType: 'ConceptMap',
  id: 'colour-gender',
  url: 'https://clinic.example/ConceptMap/colour-gender',
  status: 'active',
  sourceUri: colourSet.url as string,
  targetUri: 'http://hl7.org/fhir/ValueSet/administrative-gender',
  group: [
    {
      source: COLOURS,
      target: GENDER,
      element: [
        { code: 'red', target: [{ code: 'female', equivalence: 'wider' }] },
        { code: 'crimson', target: [{ code: 'female', equivalence: 'narrower', comment: 'a shade' }] },
        { code: 'blue', target: [{ code: 'male', equivalence: 'equivalent' }] },
        { code: 'puce', target: [{ equivalence: 'unmatched', comment: 'none' }] },
      ],
      unmapped: { mode: 'fixed', code: 'unknown', display: 'Unknown' },
    },
  ],
};

/** A service whose clinic has the colours. */
export async function startWithColours() {
  const service = await startTestService();
  const caller = service.as(await service.token());
  for (const resource of [colours, colourSet, redOnes, colourMap]) {
    const { status, text } = await caller.put(`/fhir/${resource.resourceType}/${resource.id}`, resource);
    expect(status === 201 ? '' : text).toBe('');
  }
  return { service, caller };
}

export const url = (path: string, query: Record<string, string> = {}) => `/fhir/${path}?${new URLSearchParams(query)}`;
export const codes = (valueSet: ValueSet) => (valueSet.expansion?.contains ?? []).map(({ code }) => code);
/** Whatever is answered is R4 itself. */
export function valid<T extends Resource>(resource: T): T {
  expect(fhir.validator.validate(resource)).toEqual([]);
  return resource;
}
/** First value of each parameter by name. */
export const values = (parameters: Parameters) =>
  Object.fromEntries(
    (parameters.parameter ?? []).toReversed().map(({ name, ...value }) => [name, Object.values(value)[0]]),
  );

/** `callerOf` is asked when a question is: the service starts later. */
export function questions(callerOf: () => Caller) {
  return {
    expanded: async (path: string, query: Record<string, string> = {}) => {
      const response = await callerOf().get(url(path, query));
      expect(response.status).toBe(200);
      return valid(JSON.parse(response.text) as ValueSet);
    },
    refusal: async (path: string, query: Record<string, string> = {}) => {
      const response = await callerOf().get(url(path, query));
      const { code, expression } = (JSON.parse(response.text) as OperationOutcome).issue?.[0] ?? {};
      return `${response.status} ${code} ${expression ?? ''}`.trim();
    },
    asked: async (path: string, query: Record<string, string>) => {
      const response = await callerOf().get(url(path, query));
      expect({ status: response.status, text: response.text }).toMatchObject({ status: 200 });
      return values(valid(JSON.parse(response.text) as Parameters));
    },
    posted: async (path: string, body: Resource) => {
      const response = await callerOf().post(`/fhir/${path}`, body);
      return { status: response.status, body: JSON.parse(response.text) };
    },
  };
}
