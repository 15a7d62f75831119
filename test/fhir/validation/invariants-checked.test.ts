/** Constraints of profiles as the whole validator meets them: in bundles, contained, on primitives, as warnings. */
import { checker, definitionOf, extensionOf, type Json, TEST } from './profiled.ts';

const error = (key: string, expression: string) => ({
  key,
  severity: 'error' as const,
  human: `Words of ${key}`,
  expression,
});
const warning = (key: string, expression: string) => ({ ...error(key, expression), severity: 'warning' as const });

function patientWith(...constraint: ReturnType<typeof error | typeof warning>[]) {
  return checker([definitionOf('one', 'Patient', { elements: [{ path: 'Patient', constraint }] })]);
}

const patient: Json = { resourceType: 'Patient', gender: 'male', name: [{ family: 'a' }, { family: 'b' }] };

test('a constraint of severity error is an error, with its words, its key and its place', () => {
  const [issue] = patientWith(error('t-1', "gender = 'female'")).issues(patient);
  expect(issue).toMatchObject({
    severity: 'error',
    code: 'invariant',
    expression: 'Patient',
    diagnostics: expect.stringContaining('Words of t-1 (t-1)'),
  });
});

test('a constraint of severity warning is said only where warnings are asked for', () => {
  const { findings, issues } = patientWith(warning('t-1', "gender = 'female'"));
  expect(findings(patient)).toEqual([]);
  const said = issues(patient, { warnings: true }).filter(({ diagnostics }) => diagnostics.includes('(t-1)'));
  expect(said.map(({ severity }) => severity)).toEqual(['warning']);
});

test.each([
  ['several items where one is needed', 'name or telecom'],
  ['a reference that leads nowhere', 'managingOrganization.resolve().active'],
  ['an unknown value set', "gender.memberOf('http://example.org/none')"],
  ['a pattern with look-ahead', "gender.matches('^(?=m)')"],
])(
  'a constraint that cannot be evaluated (%s) holds nothing back, and is said with its key where warnings are asked for',
  (_case, expression) => {
    const resource = { ...patient, managingOrganization: { reference: 'Organization/1' } };
    const { findings, issues } = patientWith(error('t-1', expression));
    expect(findings(resource)).toEqual([]);
    const said = issues(resource, { warnings: true }).filter(({ diagnostics }) => diagnostics.includes('t-1'));
    expect(said.map(({ severity }) => severity)).toEqual(['warning']);
  },
);

test('a constraint on a primitive sees its value and its extensions', () => {
  const { findings } = checker([
    definitionOf('one', 'Patient', {
      elements: [
        { path: 'Patient.birthDate', constraint: [error('t-1', "hasValue() or extension('http://reason').exists()")] },
        { path: 'Patient.name.given', constraint: [error('t-2', "matches('^[A-Z]')")] },
      ],
    }),
  ]);
  const reason = (url: string) => ({ extension: [{ url, valueCode: 'unknown' }] });
  expect(findings({ resourceType: 'Patient', birthDate: '2000-01-01' })).toEqual([]);
  expect(findings({ resourceType: 'Patient', _birthDate: reason('http://reason') })).toEqual([]);
  expect(findings({ resourceType: 'Patient', _birthDate: reason('http://other') })).toEqual([
    'invariant Patient.birthDate',
  ]);
  expect(findings({ resourceType: 'Patient', name: [{ given: ['A', 'b', 'C'] }] })).toEqual([
    'invariant Patient.name[0].given[1]',
  ]);
});

test('a constraint on each of several primitives sees the extensions beside it', () => {
  const { findings } = checker([
    definitionOf('one', 'Patient', {
      elements: [
        { path: 'Patient.name.given', constraint: [error('t-1', "hasValue() or extension('http://reason').exists()")] },
      ],
    }),
  ]);
  const reason = (url: string) => ({ extension: [{ url, valueCode: 'unknown' }] });
  const named = (name: Json) => findings({ resourceType: 'Patient', name: [name] });
  expect(named({ given: ['a', null, 'b'], _given: [null, reason('http://reason'), null] })).toEqual([]);
  expect(named({ given: ['a', null], _given: [null, reason('http://other')] })).toEqual([
    'invariant Patient.name[0].given[1]',
  ]);
  expect(named({ _given: [reason('http://reason')] })).toEqual([]);
  expect(named({ _given: [reason('http://reason'), reason('http://other')] })).toEqual([
    'invariant Patient.name[0].given[1]',
  ]);
  expect(named({ given: 'a', _given: { x: 1 } })).not.toEqual([]);
});

test('a constraint on a choice is asked of the type that is there', () => {
  const { findings } = checker([
    definitionOf('one', 'Observation', {
      elements: [
        { path: 'Observation.value[x]', constraint: [error('t-1', '($this is Quantity) implies $this.value > 0')] },
        {
          path: 'Observation.effective[x]',
          constraint: [error('t-2', '$this is dateTime implies $this.toString().length() >= 10')],
        },
      ],
    }),
  ]);
  const observation = (rest: Json) => ({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, ...rest });
  expect(findings(observation({ valueQuantity: { value: 1 }, effectiveDateTime: '2025-01-01' }))).toEqual([]);
  expect(findings(observation({ valueString: 'x', effectivePeriod: { start: '2025' } }))).toEqual([]);
  expect(findings(observation({ valueQuantity: { value: 0 }, effectiveDateTime: '2025' })).sort()).toEqual([
    'invariant Observation.effective.ofType(dateTime)',
    'invariant Observation.value.ofType(Quantity)',
  ]);
});

test('%resource is the resource that the node is in, %rootResource the one that contains it', () => {
  const { validator } = checker([
    definitionOf('one', 'Patient', {
      elements: [
        {
          path: 'Patient',
          constraint: [error('t-1', "%resource.id = id and (id = 'p' implies %rootResource.status = 'final')")],
        },
      ],
    }),
  ]);
  const claiming = { resourceType: 'Patient', id: 'p', meta: { profile: ['https://profiles.test/one'] } };
  const observation = (status: string) => ({
    resourceType: 'Observation',
    status,
    code: { text: 'x' },
    subject: { reference: '#p' },
    contained: [claiming],
  });
  const broken = (resource: unknown) =>
    validator
      .check(resource)
      .filter(({ code }) => code === 'invariant')
      .map(({ expression }) => expression);
  expect(broken(observation('final'))).toEqual([]);
  expect(broken(observation('preliminary'))).toEqual(['Observation.contained[0]']);
  const bundle = (resource: unknown) => ({ resourceType: 'Bundle', type: 'collection', entry: [{ resource }] });
  expect(broken(bundle(observation('final')))).toEqual([]);
  expect(broken(bundle(observation('preliminary')))).toEqual(['Bundle.entry[0].resource.contained[0]']);
});

test('a reference inside a bundle can be resolved by a constraint', () => {
  const { validator } = checker([
    definitionOf('one', 'Patient', {
      elements: [{ path: 'Patient.managingOrganization', constraint: [error('t-1', 'resolve().active = true')] }],
    }),
  ]);
  const bundle = (active: boolean) => ({
    resourceType: 'Bundle',
    type: 'collection',
    entry: [
      {
        fullUrl: 'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01',
        resource: { resourceType: 'Organization', name: 'x', active },
      },
      {
        fullUrl: 'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e02',
        resource: {
          resourceType: 'Patient',
          meta: { profile: ['https://profiles.test/one'] },
          managingOrganization: { reference: 'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01' },
        },
      },
    ],
  });
  expect(validator.check(bundle(true))).toEqual([]);
  expect(validator.check(bundle(false)).map(({ expression }) => expression)).toEqual([
    'Bundle.entry[1].resource.managingOrganization',
  ]);
});

test('a constraint of a profile asks for value sets and profiles that are known', () => {
  const { findings } = checker([
    definitionOf('one', 'Patient', {
      elements: [
        {
          path: 'Patient',
          constraint: [
            error('t-1', "gender.memberOf('http://hl7.org/fhir/ValueSet/administrative-gender')"),
            error('t-2', "conformsTo('https://profiles.test/two')"),
          ],
        },
      ],
    }),
    definitionOf('two', 'Patient', { elements: [{ path: 'Patient.birthDate', min: 1 }] }),
  ]);
  expect(findings({ resourceType: 'Patient', gender: 'male', birthDate: '2000' })).toEqual([]);
  expect(findings({ resourceType: 'Patient', gender: 'male' })).toEqual(['invariant Patient']);
});
test('the context of an extension may be FHIRPath: it selects elements, primitives by what stands beside them, in bounded time', () => {
  const context = (expression: string) =>
    checker([
      definitionOf('one', 'Patient', { elements: [{ path: 'Patient' }] }),
      extensionOf('note', { context: [{ type: 'fhirpath', expression }] }),
    ]);
  const note = [{ url: `${TEST}note`, valueString: 'x' }];
  const onBirthDate = { resourceType: 'Patient', birthDate: '2000-01-01', _birthDate: { extension: note } };
  const onName = { resourceType: 'Patient', name: [{ family: 'a' }, { family: 'b', extension: note }] };
  expect(context('Patient.birthDate').findings(onBirthDate)).toEqual([]);
  expect(context('Patient.birthDate').findings(onName)).not.toEqual([]);
  expect(context('Patient.name[1]').findings(onName)).toEqual([]);
  expect(context('Patient.name[0]').findings(onName)).not.toEqual([]);
  expect(context("descendants().where(family = 'b')").findings(onName)).toEqual([]);
  const bomb = { ...onName, name: [{ family: `${'a'.repeat(40)}!`, extension: note }] };
  const start = performance.now();
  context("Patient.name.where(family.matches('^(a+)+$'))").findings(bomb);
  expect(performance.now() - start).toBeLessThan(5000);
});
