import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { parseJson } from '../../src/fhir/json.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { type Json, sessionResources, validResources } from '../fixtures/valid-resources.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);

const findings = (resource: unknown, place?: string) =>
  validator.validate(resource, place).map(({ code, expression }) => `${code} ${expression}`);

const { patient, bloodPressure, administration, encounter, response, order, condition } = sessionResources;
const component = (index: number, changes: Json) => ({
  ...bloodPressure,
  component: (bloodPressure.component as Json[]).map((entry, at) => (at === index ? { ...entry, ...changes } : entry)),
});

test.each(validResources.map((resource) => [resource.resourceType, resource]))(
  'a valid %s has no issue',
  (_type, resource) => {
    expect(validator.validate(resource)).toEqual([]);
  },
);

test('every R4 type compiles and says what it needs', () => {
  for (const type of definitions.resourceTypes) {
    for (const { code } of validator.validate({ resourceType: type })) expect(code).toMatch(/required|invariant/);
  }
});

test.each<[string, unknown, string[]]>([
  ['null', null, ['structure undefined']],
  ['a list', [], ['structure undefined']],
  ['no resourceType', { id: 'x' }, ['required resourceType']],
  ['an unknown type', { resourceType: 'Observaton' }, ['structure resourceType']],
  ['a type that every object has', { resourceType: 'constructor' }, ['structure resourceType']],
  ['an unknown element', { ...bloodPressure, stauts: 'final' }, ['structure Observation.stauts']],
  ['an element of another level', { ...bloodPressure, unit: 'mg' }, ['structure Observation.unit']],
  ['a missing element', { resourceType: 'Observation', code: { text: 'x' } }, ['required Observation.status']],
  [
    'three missing elements',
    { resourceType: 'MedicationAdministration', status: 'completed' },
    [
      'required MedicationAdministration.medication',
      'required MedicationAdministration.subject',
      'required MedicationAdministration.effective',
    ],
  ],
  ['one value instead of a list', { ...patient, name: { family: 'Test' } }, ['structure Patient.name']],
  ['a list instead of one value', { ...patient, gender: ['female'] }, ['structure Patient.gender']],
  ['an empty list', { ...patient, contact: [] }, ['structure Patient.contact']],
  ['an empty object', { ...patient, maritalStatus: {} }, ['invariant Patient.maritalStatus']],
  ['an element with an id alone', { ...patient, maritalStatus: { id: 'a' } }, ['invariant Patient.maritalStatus']],
  [
    'an empty string',
    component(0, { valueString: '', valueQuantity: undefined }),
    ['value Observation.component[0].value.ofType(string)'],
  ],
  ['a choice without its type', { ...condition, onset: '2020' }, ['structure Condition.onset']],
  ['two types of one choice', { ...patient, deceasedDateTime: '2025-01-01' }, ['structure Patient.deceased']],
  [
    'a type that the choice has not',
    { ...condition, onsetQuantity: { value: 1 } },
    ['structure Condition.onsetQuantity'],
  ],
  [
    'a number as text',
    component(1, { valueQuantity: { value: '82' } }),
    ['structure Observation.component[1].value.ofType(Quantity).value'],
  ],
  [
    'an unknown element inside a choice',
    component(1, { valueQuantity: { vlue: 82 } }),
    ['structure Observation.component[1].value.ofType(Quantity).vlue'],
  ],
  ['a day that no calendar has', { ...patient, birthDate: '2023-02-30' }, ['value Patient.birthDate']],
  ['an instant without seconds', { ...bloodPressure, issued: '2025-03-01T09:16Z' }, ['value Observation.issued']],
  [
    'a code that is not in a required value set',
    { ...bloodPressure, status: 'finl' },
    ['code-invalid Observation.status'],
  ],
  [
    'a CodeableConcept that is not in a required value set',
    { ...condition, clinicalStatus: { text: 'active' } },
    ['code-invalid Condition.clinicalStatus'],
  ],
  [
    'a reference to a type that is not allowed',
    { ...bloodPressure, subject: { reference: 'Encounter/e1' } },
    ['value Observation.subject.reference'],
  ],
  [
    'a conditional reference to a type that is not allowed',
    { ...bloodPressure, subject: { reference: 'Encounter?identifier=x' } },
    ['value Observation.subject.reference'],
  ],
  [
    'a reference of no form',
    { ...bloodPressure, subject: { reference: 'the patient' } },
    ['value Observation.subject.reference'],
  ],
  [
    'a reference to nothing contained',
    { ...bloodPressure, subject: { reference: '#p' } },
    ['invariant Observation.subject'],
  ],
  [
    'a contained resource that is wrong',
    { ...administration, contained: [{ resourceType: 'Medication', id: 'ketamine', status: 'x' }] },
    ['code-invalid MedicationAdministration.contained[0].status'],
  ],
  [
    'two contained resources with one id',
    {
      ...administration,
      contained: [...(administration.contained as Json[]), ...(administration.contained as Json[])],
    },
    ['duplicate MedicationAdministration.contained[1].id'],
  ],
  [
    'a contained resource of no type',
    { ...administration, contained: [{ id: 'ketamine' }] },
    ['required MedicationAdministration.contained[0].resourceType'],
  ],
  [
    'an extension without url',
    { ...patient, extension: [{ valueString: 'x' }] },
    ['required Patient.extension[0].url'],
  ],
  ['an extension without value', { ...patient, extension: [{ url: 'http://x' }] }, ['invariant Patient.extension[0]']],
  [
    'a wrong extension of a primitive',
    { ...patient, _birthDate: { extension: [{ url: 'a b', valueCode: 'c' }] } },
    ['value Patient.birthDate.extension[0].url'],
  ],
  [
    'more than id and extension beside a primitive',
    { ...patient, _birthDate: { value: 'x' } },
    ['structure Patient.birthDate.value'],
  ],
  ['null with nothing beside it', { ...patient, name: [{ given: [null] }] }, ['structure Patient.name[0].given[0]']],
  [
    'a wrong entry in a list of primitives',
    { ...patient, name: [{ given: ['Ada', 5] }] },
    ['structure Patient.name[0].given[1]'],
  ],
  [
    'a narrative that is no div',
    { ...patient, text: { status: 'generated', div: '<p>x</p>' } },
    ['value Patient.text.`div`'],
  ],
  [
    'a script in the narrative',
    { ...patient, text: { status: 'generated', div: '<div><script>1</script></div>' } },
    ['value Patient.text.`div`'],
  ],
  [
    'an event handler in the narrative',
    { ...patient, text: { status: 'generated', div: '<div><b onclick="x()">x</b></div>' } },
    ['value Patient.text.`div`'],
  ],
  [
    'a narrative without content',
    { ...patient, text: { status: 'generated', div: '<div> <br/> </div>' } },
    ['value Patient.text.`div`'],
  ],
  [
    'a fault in recursive content',
    { ...response, item: [{ linkId: '1', item: [{ linkId: '2', answer: [{ valueInteger: 1.5 }] }] }] },
    ['structure QuestionnaireResponse.item[0].item[0].answer[0].value.ofType(integer)'],
  ],
  [
    'a time of day in a list',
    { ...order, occurrenceTiming: { repeat: { timeOfDay: ['9:00'] } } },
    ['value ServiceRequest.occurrence.ofType(Timing).repeat.timeOfDay[0]'],
  ],
  [
    'an end before its start',
    { ...encounter, period: { start: '2025-03-02', end: '2025-03-01' } },
    ['invariant Encounter.period'],
  ],
  [
    'a simple quantity with a comparator',
    { ...administration, dosage: { dose: { value: 1, comparator: '<' } } },
    ['invariant MedicationAdministration.dosage.dose', 'structure MedicationAdministration.dosage.dose.comparator'],
  ],
])('%s is refused at its place', (_case, resource, expected) => {
  expect(findings(JSON.parse(JSON.stringify(resource)))).toEqual(expected);
});

test('all issues of a resource come at once', () => {
  const resource = {
    ...patient,
    gender: 'f',
    birthDate: 'yesterday',
    active: 'yes',
    nme: [],
    photo: [{ data: '***' }],
  };
  expect(findings(resource).sort()).toEqual([
    'code-invalid Patient.gender',
    'invariant Patient.photo[0]',
    'structure Patient.active',
    'structure Patient.nme',
    'value Patient.birthDate',
    'value Patient.photo[0].data',
  ]);
});

test('an unknown element is answered with the name that was probably meant', () => {
  const [issue] = validator.validate({ ...bloodPressure, efectiveDateTime: '2025' });
  expect(issue?.diagnostics).toBe('Unknown element efectiveDateTime in Observation: did you mean effectiveDateTime?');
});

test('issues in a bundle and in parameters name the entry and the parameter', () => {
  const bundle = {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [
      { resource: patient, request: { method: 'POST', url: 'Patient' } },
      { resource: { ...bloodPressure, status: 'x' }, request: { method: 'POST', url: 'Observation' } },
    ],
  };
  expect(findings(bundle)).toEqual(['code-invalid Bundle.entry[1].resource.status']);
  const parameters = {
    resourceType: 'Parameters',
    parameter: [{ name: 'a', part: [{ name: 'b', resource: { ...patient, gender: 1 } }] }],
  };
  expect(findings(parameters)).toEqual(['structure Parameters.parameter[0].part[0].resource.gender']);
});

test('a resource with more than 200 issues shows the first ones and says so', () => {
  const issues = validator.validate({ ...bloodPressure, component: Array(300).fill({ code: 1 }) });
  expect(issues).toHaveLength(201);
  expect(issues[199]?.expression).toBe('Observation.component[199].code');
  expect(issues[200]).toMatchObject({ severity: 'information', code: 'incomplete' });
});

test('a given place stands for the resource', () => {
  expect(findings({ ...patient, gender: 'f' }, 'Bundle.entry[2].resource')).toEqual([
    'code-invalid Bundle.entry[2].resource.gender',
  ]);
  expect(findings('x', 'Bundle.entry[2].resource')).toEqual(['structure Bundle.entry[2].resource']);
});

test('diagnostics never repeat free text or dates', () => {
  const secret = 'Ada Test 1984';
  const resource = {
    ...patient,
    birthDate: secret,
    gender: secret,
    name: [{ family: ` ${'\u0001'}${secret}` }],
    [secret]: secret,
    text: { status: 'generated', div: secret },
    managingOrganization: { reference: secret },
  };
  const issues = validator.validate(resource);
  expect(issues.length).toBeGreaterThan(5);
  expect(JSON.stringify(issues)).not.toContain('Ada');
});

test('names that every object has are unknown elements like others', () => {
  const resource = JSON.parse(
    '{"resourceType":"Patient","__proto__":{"gender":"x"},"constructor":1,"hasOwnProperty":{},"toString":[]}',
  );
  expect(findings(resource)).toEqual([
    'structure Patient',
    'structure Patient.constructor',
    'structure Patient.hasOwnProperty',
    'structure Patient.toString',
  ]);
});

test('resources stand inside resources in contained, Bundle and Parameters only', () => {
  const places = definitions.resourceTypes
    .flatMap((type) => definitions.structure(type)?.elements ?? [])
    .filter(({ types }) => types.some(({ code }) => code === 'Resource' || definitions.isResourceType(code)))
    .map(({ path }) => path)
    .filter((path) => !path.endsWith('.contained'));
  expect(places).toEqual(['Bundle.entry.resource', 'Bundle.entry.response.outcome', 'Parameters.parameter.resource']);
});

function nested(levels: number): unknown {
  let value: unknown = { url: 'x', valueString: 'x' };
  for (let at = 0; at < levels; at++) value = { url: 'x', extension: [value] };
  return { resourceType: 'Patient', extension: [value] };
}

test.each<[string, () => unknown]>([
  ['100,000 levels', () => nested(100_000)],
  ['a million wrong entries', () => ({ ...bloodPressure, component: Array(1_000_000).fill(0) })],
  ['a million empty entries', () => ({ ...bloodPressure, component: Array(1_000_000).fill({}) })],
  ['a million wrong primitives', () => ({ ...patient, name: [{ given: Array(1_000_000).fill(0) }] })],
  [
    '100,000 unknown elements',
    () => ({ ...patient, ...Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`k${at}`, at])) }),
  ],
  [
    'a million open tags',
    () => ({ ...patient, text: { status: 'generated', div: `<div>${'<a'.repeat(1_000_000)}</div>` } }),
  ],
  [
    'a million open comments',
    () => ({ ...patient, text: { status: 'generated', div: `<div>${'<!--'.repeat(1_000_000)}</div>` } }),
  ],
  ['a code of a million words', () => ({ ...bloodPressure, status: 'a '.repeat(1_000_000) })],
  ['a reference of a million letters', () => ({ ...bloodPressure, subject: { reference: 'A'.repeat(1_000_000) } })],
  [
    'ten thousand contained resources',
    () => ({
      ...patient,
      contained: Array.from({ length: 10_000 }, (_, at) => ({
        resourceType: 'Patient',
        id: `c${at}`,
        link: [{ other: { reference: `#c${at}` }, type: 'seealso' }],
      })),
    }),
  ],
  [
    'many equal codes in code and components',
    () => ({
      ...bloodPressure,
      valueInteger: 1,
      code: { coding: Array(2000).fill({ system: 'a', code: 'b' }) },
      component: Array(1000).fill({ code: { coding: Array(50).fill({ system: 'a', code: 'c' }) } }),
    }),
  ],
])('%s are answered in bounded time with a bounded list', (_case, make) => {
  const resource = make();
  const start = process.cpuUsage();
  const issues = validator.validate(resource);
  const { user } = process.cpuUsage(start);
  expect(issues.length).toBeLessThanOrEqual(201);
  expect(user / 1000).toBeLessThan(5000);
});

test('a whole number with a fraction or an exponent is no integer, and may be a decimal', () => {
  const text = (number: string) =>
    `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":${number}},
      "component":[{"code":{"text":"y"},"valueInteger":${number}}]}`;
  for (const number of ['1.0', '1e2']) {
    expect(findings(parseJson(text(number)))).toEqual(['value Observation.component[0].value.ofType(integer)']);
  }
  for (const number of ['1', '-1', '100']) expect(findings(parseJson(text(number)))).toEqual([]);
});

test.each([
  ['integers', `{"resourceType":"ExplanationOfBenefit","item":[{"diagnosisSequence":[${'1.0,'.repeat(500_000)}1]}]}`],
  ['contained resources', `{"resourceType":"Patient","contained":[${'{"id":"a"},'.repeat(300_000)}{}]}`],
])('very many %s that are wrong in one way are told up to the bound', (_about, text) => {
  expect(validator.validate(parseJson(text)).length).toBeLessThanOrEqual(201);
});
