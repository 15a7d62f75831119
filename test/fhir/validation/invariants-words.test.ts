/**
 * Constraints by the words of R4: those that the FHIRPath engine does not judge (invariants-engine.test.ts names them), and
 * those whose published expression does not say what its words say.
 */

import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import type { Issue } from '../../../src/fhir/failure.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);

/** `key place` of each constraint that is broken. */
function broken(issues: readonly Issue[]): string[] {
  return issues.flatMap(({ code, diagnostics, expression }) => {
    const key = /\(([a-z]+-\d+[a-z]?)\)/.exec(diagnostics)?.[1];
    return code === 'invariant' ? [`${key} ${expression}`] : [];
  });
}

test.each([
  ['2025-03-02', '2025-03-01', false],
  ['2025-03-01', '2025-03-01', true],
  ['2025-03', '2025', true],
  ['2026', '2025-12-31T23:59:59Z', true], // 2026 may begin earlier, east of Greenwich
  ['2026-01-02', '2025-12-31T23:59:59Z', false],
  ['2025-03-01T10:00:00+02:00', '2025-03-01T08:00:00Z', true],
  ['2025-03-01T10:00:01+02:00', '2025-03-01T08:00:00Z', false],
  ['2025-03-01T08:00:00.900Z', '2025-03-01T08:00:00Z', true],
])('a period from %s to %s is refused only when its end is certainly earlier', (start, end, isValid) => {
  const encounter = { resourceType: 'Encounter', status: 'planned', class: { code: 'AMB' }, period: { start, end } };
  expect(validator.validate(encounter).map(({ expression }) => expression)).toEqual(
    isValid ? [] : ['Encounter.period'],
  );
});

test.each<[string, Record<string, unknown>, string[]]>([
  [
    'contained and referred to',
    { subject: { reference: '#p' }, contained: [{ resourceType: 'Patient', id: 'p' }] },
    [],
  ],
  ['contained and never referred to', { contained: [{ resourceType: 'Patient', id: 'p' }] }, ['dom-3']],
  [
    'contained and referring to its container',
    {
      contained: [
        {
          resourceType: 'Provenance',
          id: 'p',
          target: [{ reference: '#' }],
          recorded: '2025-01-01T00:00:00Z',
          agent: [{ who: { display: 'x' } }],
        },
      ],
    },
    [],
  ],
  [
    'contained in what is contained',
    {
      subject: { reference: '#p' },
      contained: [{ resourceType: 'Patient', id: 'p', contained: [{ resourceType: 'Patient', id: 'q' }] }],
    },
    ['dom-2', 'dom-3'],
  ],
  [
    'contained with a version',
    { subject: { reference: '#p' }, contained: [{ resourceType: 'Patient', id: 'p', meta: { versionId: '1' } }] },
    ['dom-4'],
  ],
  [
    'contained with a label',
    {
      subject: { reference: '#p' },
      contained: [{ resourceType: 'Patient', id: 'p', meta: { security: [{ code: 'R' }] } }],
    },
    ['dom-5'],
  ],
  [
    'referred to from a contained one',
    {
      subject: { reference: '#p' },
      contained: [
        { resourceType: 'Patient', id: 'p', managingOrganization: { reference: '#o' } },
        { resourceType: 'Organization', id: 'o', name: 'x' },
      ],
    },
    [],
  ],
  ['referred to and absent', { subject: { reference: '#p' } }, ['ref-1']],
])('a resource that is %s', (_case, elements, keys) => {
  const resource = { resourceType: 'Observation', status: 'final', code: { text: 'x' }, ...elements };
  const found = validator.validate(resource).map(({ diagnostics }) => /\(([a-z]+-\d+)\)$/.exec(diagnostics)?.[1]);
  expect(found.sort()).toEqual(keys);
});

test('a value beside a component of the same code is refused, one of another code is not', () => {
  const same = { coding: [{ system: 'http://loinc.org', code: '8480-6' }] };
  const observation = { resourceType: 'Observation', status: 'final', code: same, valueInteger: 1 };
  const places = (component: unknown) =>
    validator.validate({ ...observation, component }).map(({ expression }) => expression);
  expect(places([{ code: { text: 'other' } }, { code: same }])).toEqual(['Observation']);
  expect(places([{ code: { coding: [{ system: 'http://loinc.org', code: '8462-4' }] } }])).toEqual([]);
});

test('a linkId that is used twice is refused at any depth', () => {
  const questionnaire = (inner: string) => ({
    resourceType: 'Questionnaire',
    status: 'draft',
    item: [{ linkId: '1', type: 'group', item: [{ linkId: inner, type: 'string' }] }],
  });
  expect(validator.validate(questionnaire('1')).map(({ expression }) => expression)).toEqual(['Questionnaire']);
  expect(validator.validate(questionnaire('1.1'))).toEqual([]);
});

const base = { status: 'draft', experimental: true };

test.each<[string, Record<string, unknown>, string[]]>([
  [
    'a Count of whole things',
    {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      extension: [{ url: 'http://a', valueCount: { value: 3, code: '1', system: 'http://unitsofmeasure.org' } }],
    },
    [],
  ],
  [
    'a Count with a fraction',
    {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      extension: [{ url: 'http://a', valueCount: { value: 3.5, code: '1', system: 'http://unitsofmeasure.org' } }],
    },
    ['cnt-3 Observation.extension[0].value.ofType(Count)'],
  ],
  [
    'a Count in milligrams',
    {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      extension: [{ url: 'http://a', valueCount: { value: 3, code: 'mg', system: 'http://unitsofmeasure.org' } }],
    },
    ['cnt-3 Observation.extension[0].value.ofType(Count)'],
  ],
  [
    'a Range whose low is above its high in one unit',
    {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      valueRange: { low: { value: 2, unit: 'mg' }, high: { value: 1, unit: 'mg' } },
    },
    ['rng-2 Observation.value.ofType(Range)'],
  ],
  [
    'a Range in two units',
    {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      valueRange: {
        low: { value: 2, code: 'mg', system: 'http://unitsofmeasure.org' },
        high: { value: 1, code: 'g', system: 'http://unitsofmeasure.org' },
      },
    },
    [],
  ],
  [
    'a question that is enabled by the existence of an answer',
    {
      resourceType: 'Questionnaire',
      ...base,
      item: [
        { linkId: '1', type: 'string' },
        { linkId: '2', type: 'string', enableWhen: [{ question: '1', operator: 'exists', answerBoolean: false }] },
      ],
    },
    [],
  ],
  [
    'a question that is enabled by the existence of a text',
    {
      resourceType: 'Questionnaire',
      ...base,
      item: [
        { linkId: '1', type: 'string' },
        { linkId: '2', type: 'string', enableWhen: [{ question: '1', operator: 'exists', answerString: 'true' }] },
      ],
    },
    ['que-7 Questionnaire.item[1].enableWhen[0]'],
  ],
  [
    'a practitioner of a care team on behalf of an organization',
    {
      resourceType: 'CareTeam',
      participant: [{ member: { reference: 'Practitioner/1' }, onBehalfOf: { reference: 'Organization/1' } }],
    },
    [],
  ],
  [
    'a patient of a care team on behalf of an organization',
    {
      resourceType: 'CareTeam',
      participant: [{ member: { reference: 'Patient/1' }, onBehalfOf: { reference: 'Organization/1' } }],
    },
    ['ctm-1 CareTeam.participant[0]'],
  ],
  [
    'a member of unknown kind on behalf of an organization',
    {
      resourceType: 'CareTeam',
      participant: [
        {
          member: { reference: 'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01' },
          onBehalfOf: { reference: 'Organization/1' },
        },
      ],
    },
    [],
  ],
  [
    'a dispense that is handed over before it is prepared',
    {
      resourceType: 'MedicationDispense',
      status: 'completed',
      medicationCodeableConcept: { text: 'x' },
      whenPrepared: '2025-03-02',
      whenHandedOver: '2025-03-01',
    },
    ['mdd-1 MedicationDispense'],
  ],
  [
    'a dispense that is prepared and handed over on a day, at some time',
    {
      resourceType: 'MedicationDispense',
      status: 'completed',
      medicationCodeableConcept: { text: 'x' },
      whenPrepared: '2025-03-02T10:00:00Z',
      whenHandedOver: '2025-03-02',
    },
    [],
  ],
  [
    'a task that is changed before it was made',
    {
      resourceType: 'Task',
      status: 'requested',
      intent: 'order',
      authoredOn: '2025-03-02',
      lastModified: '2025-03-01',
    },
    ['inv-1 Task'],
  ],
  [
    'a constraint on the maximum of an element',
    {
      resourceType: 'StructureDefinition',
      ...base,
      url: 'http://a',
      name: 'A',
      kind: 'resource',
      abstract: false,
      type: 'Basic',
      baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Basic',
      derivation: 'constraint',
      differential: { element: [{ id: 'Basic', path: 'Basic', max: '-1' }] },
    },
    ['eld-3 StructureDefinition.differential.element[0].max'],
  ],
  [
    'an element with a path that is none',
    {
      resourceType: 'StructureDefinition',
      ...base,
      url: 'http://a',
      name: 'A',
      kind: 'resource',
      abstract: false,
      type: 'Basic',
      baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Basic',
      derivation: 'constraint',
      differential: {
        element: [
          { id: 'Basic', path: 'Basic' },
          { id: 'Basic.x', path: 'Basic.a b' },
        ],
      },
    },
    ['eld-19 StructureDefinition.differential.element[1]'],
  ],
  [
    'a resource in a guide that belongs to a group that is not there',
    {
      resourceType: 'ImplementationGuide',
      status: 'draft',
      url: 'http://a',
      name: 'A',
      packageId: 'a.b',
      fhirVersion: ['4.0.1'],
      definition: {
        grouping: [{ id: 'one', name: 'One' }],
        resource: [
          { reference: { reference: 'Patient/1' }, groupingId: 'one' },
          { reference: { reference: 'Patient/2' }, groupingId: 'two' },
        ],
      },
    },
    ['ig-1 ImplementationGuide.definition'],
  ],
  [
    'an extension with a value and extensions',
    {
      resourceType: 'Patient',
      extension: [{ url: 'http://a', valueCode: 'x', extension: [{ url: 'b', valueCode: 'y' }] }],
    },
    ['ext-1 Patient.extension[0]'],
  ],
  [
    'an extension with neither',
    { resourceType: 'Patient', extension: [{ url: 'http://a' }] },
    ['ext-1 Patient.extension[0]'],
  ],
])('%s is judged by the words of R4', (_case, resource, expected) => {
  expect(broken(validator.validate(resource))).toEqual(expected);
});

test.each<[string, Record<string, unknown>, string[]]>([
  [
    'a problem without a clinical status',
    {
      resourceType: 'Condition',
      subject: { reference: 'Patient/1' },
      category: [{ coding: [{ code: 'problem-list-item' }] }],
    },
    ['con-3 Condition', 'dom-6 Condition'],
  ],
  [
    'a diagnosis of an encounter without a clinical status',
    {
      resourceType: 'Condition',
      subject: { reference: 'Patient/1' },
      category: [{ coding: [{ code: 'encounter-diagnosis' }] }],
    },
    ['dom-6 Condition'],
  ],
  [
    'a name for people',
    { resourceType: 'ValueSet', status: 'draft', name: 'My codes' },
    ['dom-6 ValueSet', 'vsd-0 ValueSet'],
  ],
  ['a name for machines', { resourceType: 'ValueSet', status: 'draft', name: 'My_codes1' }, ['dom-6 ValueSet']],
  ['no name', { resourceType: 'ValueSet', status: 'draft' }, ['dom-6 ValueSet']],
  [
    'a definition that has no name by definition',
    { resourceType: 'ChargeItemDefinition', status: 'draft', url: 'http://a' },
    ['dom-6 ChargeItemDefinition'],
  ],
])('%s is worth a warning, or not', (_case, resource, expected) => {
  expect(validator.validate(resource)).toEqual([]);
  const warned = validator.check(resource, { warnings: true }).filter(({ severity }) => severity === 'warning');
  expect(broken(warned).sort()).toEqual(expected);
});
