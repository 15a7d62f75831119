/** `:in`, `:not-in`, `:below` and `:above` over stored and shipped terminology. @see https://hl7.org/fhir/R4/search.html#token */
import type { Bundle, CodeSystem, Observation, OperationOutcome, ValueSet } from '@medplum/fhirtypes';
import { type Caller, startTestService, type TestService } from './service.ts';

let service: TestService;
let caller: Caller;

const COLOURS = 'https://clinic.example/CodeSystem/shades';
const colours: CodeSystem = {
  resourceType: 'CodeSystem',
  id: 'shades',
  url: COLOURS,
  status: 'active',
  content: 'complete',
  concept: [{ code: 'any', concept: [{ code: 'red', concept: [{ code: 'crimson' }] }, { code: 'blue' }] }],
};
const reds: ValueSet = {
  resourceType: 'ValueSet',
  id: 'reds',
  url: 'https://clinic.example/ValueSet/reds',
  status: 'active',
  compose: { include: [{ system: COLOURS, filter: [{ property: 'concept', op: 'is-a', value: 'red' }] }] },
};
const observation = (id: string, code: string, system = COLOURS): Observation => ({
  resourceType: 'Observation',
  id,
  status: 'final',
  code: { coding: [{ system, code }] },
});

beforeAll(async () => {
  service = await startTestService();
  caller = service.as(await service.token());
  const resources = [
    colours,
    reds,
    observation('any', 'any'),
    observation('red', 'red'),
    observation('crimson', 'crimson'),
    observation('blue', 'blue'),
    observation('red-of-others', 'red', 'https://other.example/colours'),
    { resourceType: 'Patient' as const, id: 'p', gender: 'male' as const },
    {
      resourceType: 'Encounter' as const,
      id: 'e',
      status: 'finished' as const,
      class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: 'AMB' },
      subject: { reference: 'Patient/p' },
    },
  ];
  for (const resource of resources) {
    const { status, text } = await caller.put(`/fhir/${resource.resourceType}/${resource.id}`, resource);
    expect(status === 201 ? '' : text).toBe('');
  }
});
afterAll(() => service.close());

const found = async (search: string) => {
  const { status, text } = await caller.get(`/fhir/${search}`);
  expect(status === 200 ? '' : text).toBe('');
  return ((JSON.parse(text) as Bundle).entry ?? []).map(({ resource }) => resource?.id).sort();
};

test.each([
  ['Observation?code:in=https://clinic.example/ValueSet/reds', ['crimson', 'red']],
  ['Observation?code:in=ValueSet/reds', ['crimson', 'red']],
  ['Observation?code:not-in=https://clinic.example/ValueSet/reds', ['any', 'blue', 'red-of-others']],
  [`Observation?code:below=${COLOURS}|red`, ['crimson', 'red']],
  [`Observation?code:above=${COLOURS}|crimson`, ['any', 'crimson', 'red']],
  [`Observation?code:below=${COLOURS}|blue,${COLOURS}|crimson`, ['blue', 'crimson']],
  ['Observation?code:below=https://other.example/colours|red', ['red-of-others']],
  ['Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender', ['p']],
  ['Encounter?class:below=http://terminology.hl7.org/CodeSystem/v3-ActCode|_ActEncounterCode', ['e']],
  ['Encounter?class:above=http://terminology.hl7.org/CodeSystem/v3-ActCode|AMB', ['e']],
  ['Encounter?patient.gender:in=http://hl7.org/fhir/ValueSet/administrative-gender', ['e']],
])('%s finds what the codes mean', async (search, ids) => {
  expect(await found(search)).toEqual(ids);
});

test('a value set that changes changes what is found', async () => {
  const changing = { ...reds, id: 'changing', url: 'https://clinic.example/ValueSet/changing' };
  const search = `Observation?code:in=${changing.url}`;
  await caller.put('/fhir/ValueSet/changing', changing);
  expect(await found(search)).toEqual(['crimson', 'red']);
  await caller.put('/fhir/ValueSet/changing', {
    ...changing,
    compose: { include: [{ system: COLOURS, concept: [{ code: 'blue' }] }] },
  });
  expect(await found(search)).toEqual(['blue']);
});

test.each([
  ['Observation?code:in=http://nowhere', 400],
  ['Observation?code:in=http://hl7.org/fhir/ValueSet/observation-codes', 400],
])('%s is refused with the reason', async (search, expected) => {
  const { status, text } = await caller.get(`/fhir/${search}`);
  const [issue] = (JSON.parse(text) as OperationOutcome).issue ?? [];
  expect({ status, place: issue?.expression }).toEqual({ status: expected, place: ['http.code:in'] });
});
