/** Constraints of profiles: those of the guide, of US Core and of others, compiled or through the engine. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StructureDefinition } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { compileInvariant } from '../../../src/fhir/validation/invariants/compiler.ts';
import { elementsOf } from '../../../src/fhir/validation/invariants/elements.ts';
import type { InvariantScope } from '../../../src/fhir/validation/invariants/invariant.ts';
import { parseInvariant } from '../../../src/fhir/validation/invariants/parser.ts';
import { invariantOf } from '../../../src/fhir/validation/invariants/source.ts';
import { agreesWithEngine, emptyScope, type Place } from './engine.ts';

const definitions = loadDefinitions();
const guide = join(import.meta.dirname, '../../../fhir-profiles');

type Published = readonly [content: string, expression: string, path: string];

/** The path is that of the content, unless it is one type of a choice. */
function placed(
  list: readonly (readonly [content: string, expression: string, path?: string])[],
): readonly Published[] {
  return list.map(([content, expression, path = content]) => [content, expression, path]);
}

/** As in the StructureDefinitions of US Core 6.1.0 and 7.0.0, and of the vital signs of R4. */
const PUBLISHED = placed([
  ['Observation', 'dataAbsentReason.exists() or value.exists()'],
  ['Observation', '(component.empty() and hasMember.empty()) implies (dataAbsentReason.exists() or value.exists())'],
  ['Observation.component', 'value.exists() or dataAbsentReason.exists()'],
  ['dateTime', '$this is dateTime implies $this.toString().length() >= 10', 'Observation.effective[x]'],
  ['Period', '$this is dateTime implies $this.toString().length() >= 10', 'Observation.effective[x]'],
  ['dateTime', '$this is DateTime implies $this.toString().length() >= 10', 'Observation.effective[x]'],
  [
    'Observation',
    "value.ofType(Quantity).system.empty() or value.ofType(Quantity).system = 'http://unitsofmeasure.org'",
  ],
  ['Observation', "code.coding.where(code in '72166-2'|'11367-0').exists() implies value.is(CodeableConcept)"],
  [
    'Observation.referenceRange',
    "(low.system.empty() or low.system = 'x') and (high.system.empty() or high.system = 'x')",
  ],
  ['CodeableConcept', "coding.system.empty() or (coding.system contains 'http://snomed.info/sct')"],
  ['DiagnosticReport', "(status='partial' or status='final' or status='appended' ) implies effective.exists()"],
  ['Coverage', "identifier.type.coding.where(system='x' and code='MB').exists() or subscriberId.exists()"],
  ['Immunization', "vaccineCode.coding.where(system='http://hl7.org/fhir/sid/ndc').empty()"],
  ['MedicationDispense', "status='completed' implies whenHandedOver.exists()"],
  ['Identifier', "value.matches('^[0-9]{10}$')"],
  ['Identifier', "value.matches('^[0-9]{2}D[0-9]{7}$')"],
  ['HumanName', "(family.exists() or given.exists()) xor extension.where(url='x').exists()"],
  ['PractitionerRole', 'telecom or endpoint'],
  ['PractitionerRole', 'practitioner or organization or healthcareService or location'],
  [
    'Extension',
    "extension.where(url = 'x').value.where(code in 'ASKU'|'UNK').exists() implies extension.where(url = 'x').count() = 1",
  ],
  ['Encounter', 'period.start.exists() implies period.start <= period.end'],
  ['Encounter', "status = 'x' implies period.end.exists() and statusHistory.all(period.start.exists())"],
  ['Procedure', 'performed.ofType(Period).start < performed.ofType(Period).end'],
  ['Observation', "component.where(code.coding.code = 'x').value.ofType(Quantity).value > 0"],
  [
    'Observation',
    "component.where(code.coding.exists(code = 'x')).value.ofType(Quantity).all(value > 0 and value <= 100)",
  ],
  ['Observation', "extension('x').exists() implies extension('x').value.ofType(code) = 'unknown'"],
  [
    'Observation',
    'component.first().value.ofType(Quantity).exists() or component.where(code.exists()).value.ofType(Quantity).empty()',
  ],
  ['Observation', "iif(status = 'final', value.exists(), dataAbsentReason.exists())"],
  [
    'Observation',
    "category.coding.code.first() = 'x' or category[1].coding.code.last() = 'x' or category.tail().exists()",
  ],
  ['Observation', '(issued > effective.ofType(dateTime)) or issued.empty()'],
  ['Patient', 'birthDate <= deceased.ofType(dateTime) or deceased.empty()'],
  ['Patient', 'name.given.isDistinct() and name.select(given.first() & family).isDistinct()'],
  ['Patient', 'active and (multipleBirth is integer or multipleBirth.ofType(boolean) = true)'],
  ['Patient', "link.other.reference.all(startsWith('Patient/') or endsWith('x') or contains('b'))"],
  ['Patient', "gender in ('x' | 'male') and gender != 'male' or {}.exists()"],
  ['Patient', 'name.count() + telecom.count() > 1 and -1 < 0'],
  ['Patient', 'contact.all(%resource.name.exists() or %context.telecom.exists())'],
  ['Quantity', 'value.all($this >= 0 and $this <= 27 and $this.truncate() = $this)', 'Observation.value[x]'],
  ['CodeableConcept', 'ofType(integer).all($this >= 0 and $this <= 3)', 'Observation.value[x]'],
  [
    'Consent',
    "(provision | provision.provision | provision.provision.provision).where(type = 'permit').purpose.where(code = 'x').empty()",
  ],
  ['Measure', 'group.stratifier.all((code | description).exists() xor component.exists())'],
  ['QuestionnaireResponse.item', 'answer.value.is(decimal) or answer.value.is(string) and linkId.length() > 1'],
  ['ServiceRequest', 'occurrence is Timing or occurrence.as(Period).start.exists()'],
]);

/** What only the engine takes. */
const BEYOND = placed([
  ['Observation', 'component.value.where($this is Quantity).exists() = component.value.ofType(Quantity).exists()'],
  ['Observation', "component.value.first().ofType(string) = 'x' or component.empty()"],
  ['Patient', 'birthDate <= today()'],
  ['Observation', "value.ofType(Quantity) < 10 'mg' or value.empty()"],
  ['Patient', "name.given.trace('x').distinct().count() = name.given.count()"],
  ['Identifier', "value.replaceMatches('[^0-9]', '').length() > 0"],
  ['Patient', 'descendants().count() < 1000'],
  ['Identifier', '(value.substring(0, 1).toInteger() * 2) mod 10 = 0'],
  ['Observation', 'value.ofType(Quantity).value * 1.5 > 1'],
]);

test.each(PUBLISHED)(
  'for %s the constraint %s is compiled, and gives what the engine gives',
  (content, expression, path) => {
    const tree = parseInvariant(expression);
    const compiled = tree && compileInvariant(tree, path, elementsOf(content, definitions), emptyScope());
    expect(compiled).toBeDefined();
    agreesWithEngine({ constraint: { key: 'x-1', expression }, path, content }, definitions, 100);
  },
);

test.each(BEYOND)('for %s the constraint %s is given to the engine', (content, expression, path) => {
  agreesWithEngine({ constraint: { key: 'x-1', expression }, path, content }, definitions, 30);
});

/** The constraints that the guide's own definitions have. */
function guidePlaces(): Place[] {
  const places = new Map<string, Place>();
  for (const file of readdirSync(guide).filter((name) => name.startsWith('StructureDefinition-'))) {
    const { type = '', differential } = JSON.parse(readFileSync(join(guide, file), 'utf8')) as StructureDefinition;
    for (const { path = '', constraint = [] } of differential?.element ?? []) {
      const contents = contentsAt(path);
      for (const { key = '', expression = '' } of constraint) {
        for (const content of contents) {
          if (type !== 'Parameters')
            places.set(`${key} ${content}`, { constraint: { key, expression }, path, content });
        }
      }
    }
  }
  return [...places.values()];
}

/** What may stand at a path, which may go on into the types of data. */
function contentsAt(path: string): string[] {
  const [root = '', ...steps] = path.split('.');
  let contents = [root];
  for (const step of steps) {
    contents = contents.flatMap((content) =>
      (elementsOf(content, definitions).element(step.replace('[x]', ''))?.types ?? []).map((type) => type.content),
    );
  }
  return [...new Set(contents)];
}

test('each constraint of the guide gives what the engine gives', () => {
  const places = guidePlaces();
  for (const place of places) {
    if (/resolve\(\)|memberOf|conformsTo/.test(place.constraint.expression ?? '')) continue;
    try {
      agreesWithEngine(place, definitions, 20);
    } catch (error) {
      throw new Error(`${place.constraint.key} at ${place.path} (${place.content}): ${place.constraint.expression}`, {
        cause: error,
      });
    }
  }
});

test('a check takes any JSON value at all', () => {
  const scope = emptyScope();
  const places = [
    ...PUBLISHED.map(([content, expression, path]) => ({
      constraint: { key: 'x', expression },
      path,
      content,
    })),
    ...definitions.resourceTypes.flatMap((type) =>
      (definitions.structure(type)?.elements ?? []).flatMap(({ path, constraints = [] }) =>
        constraints.map((constraint) => ({ constraint, path, content: path })),
      ),
    ),
  ];
  const checks = places.map(({ constraint, path, content }) =>
    invariantOf(constraint, path, elementsOf(content, definitions), scope),
  );
  const names =
    'code coding system value name status type contained entry resource item element path snapshot id url extension constructor __proto__';
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(null, true, 0, -1.5, '', 'x', '#a', '2025-01-01', [], {}),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names.split(' ')), tie('any'), { maxKeys: 6 }),
    ),
  })).any;
  fc.assert(
    fc.property(
      value,
      fc.array(fc.nat({ max: checks.length - 1 }), { minLength: 20, maxLength: 60 }),
      (json, which) => {
        const node = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>;
        Object.assign(scope, { resource: node, root: node, containedIds: undefined, engineWork: 0 });
        for (const at of which) expect([true, false, undefined]).toContain(checks[at]?.(json));
      },
    ),
    { numRuns: 300 },
  );
});

function checkOf(expression: string, content: string, scope: InvariantScope = emptyScope()) {
  return invariantOf({ key: 'x-1', expression }, content, elementsOf(content, definitions), scope);
}

test.each([
  ['no FHIRPath', 'name.('],
  ['a function that nobody knows', 'name.guess()'],
  ['several items where one is needed', 'name or telecom'],
  ['a variable that nobody knows', '%unknown.exists()'],
  ['a value set that is not here', "gender.memberOf('http://example.org/ValueSet/x')"],
  ['a profile that is not here', "conformsTo('http://example.org/StructureDefinition/x')"],
  ['a reference that leads nowhere', 'managingOrganization.resolve().active'],
  ['a pattern with look-ahead', "id.matches('^(?=a)b')"],
  ['thousands of parentheses', `${'('.repeat(4900)}name.first().guess()${')'.repeat(4900)}`],
  ['a text without end', `name.exists() and '${'x'.repeat(20_000)}' = ''`],
])('%s cannot be evaluated, which is neither true nor false', (_case, expression) => {
  const patient = {
    resourceType: 'Patient',
    id: 'x',
    gender: 'male',
    name: [{ text: 'a' }, { text: 'b' }],
    managingOrganization: { reference: 'Organization/1' },
  };
  const scope = { ...emptyScope(), resource: patient, root: patient };
  expect(checkOf(expression, 'Patient', scope)(patient)).toBeUndefined();
});

test('what a reference leads to can be asked where it is at hand', () => {
  const organization = { resourceType: 'Organization', id: 'o', active: true };
  const patient = { resourceType: 'Patient', managingOrganization: { reference: '#o' }, contained: [organization] };
  const scope = { ...emptyScope(), resource: patient, root: patient };
  const check = (expression: string) => checkOf(expression, 'Patient', scope)(patient);
  expect(check('managingOrganization.resolve() is Organization')).toBe(true);
  expect(check('managingOrganization.resolve().active')).toBe(true);
  expect(check('managingOrganization.resolve() is Patient')).toBe(false);
  expect(check('managingOrganization.all(resolve() is Organization)')).toBe(true);
  const beside = { ...scope, resolve: (reference: string) => (reference === 'urn:x' ? organization : undefined) };
  const other = { ...patient, managingOrganization: { reference: 'urn:x' } };
  expect(checkOf('managingOrganization.resolve().active', 'Patient', beside)(other)).toBe(true);
});

test('value sets and profiles can be asked where they are known', () => {
  const scope = {
    ...emptyScope(),
    memberOf: (value: unknown, url: string) => (url === 'http://vs' ? value === 'male' : undefined),
    conformsTo: (_node: unknown, url: string) => url === 'http://profile',
  };
  const patient = { resourceType: 'Patient', gender: 'male' };
  const check = (expression: string) => checkOf(expression, 'Patient', scope)(patient);
  expect(check("gender.memberOf('http://vs')")).toBe(true);
  expect(check("gender.memberOf('http://other')")).toBeUndefined();
  expect(check("conformsTo('http://profile')")).toBe(true);
  expect(check("conformsTo('http://other')")).toBe(false);
});

test('a primitive is judged with its extensions', () => {
  const reason = { extension: [{ url: 'http://reason', valueCode: 'unknown' }] };
  expect(checkOf('hasValue()', 'date')('2025-01-01')).toBe(true);
  expect(checkOf('hasValue()', 'date')(undefined, reason)).toBe(false);
  expect(checkOf("hasValue() or extension('http://reason').exists()", 'date')(undefined, reason)).toBe(true);
  expect(checkOf("extension('http://reason').exists()", 'date')('2025-01-01', reason)).toBe(true);
  expect(checkOf("extension('http://reason').exists()", 'date')('2025-01-01')).toBe(false);
  expect(checkOf('$this > 1.5', 'decimal')(2)).toBe(true);
  expect(checkOf("$this.matches('^[0-9]+$')", 'string')('12a')).toBe(false);
});

test('the engine leaves no trace in what it looks at', () => {
  const patient = { resourceType: 'Patient', name: [{ given: ['a'] }] };
  checkOf('name.distinct()', 'Patient')(patient);
  expect(Object.getOwnPropertyNames(patient.name[0])).toEqual(['given']);
});

test('a variable names a value set or an extension of R4', () => {
  const url = 'http://hl7.org/fhir/ValueSet/administrative-gender';
  const check = checkOf('implicitRules = %`vs-administrative-gender` or implicitRules = %`ext-x`', 'Patient');
  expect(check({ resourceType: 'Patient', implicitRules: url })).toBe(true);
  expect(check({ resourceType: 'Patient', implicitRules: 'http://hl7.org/fhir/StructureDefinition/x' })).toBe(true);
  expect(check({ resourceType: 'Patient', implicitRules: 'x' })).toBe(false);
});
