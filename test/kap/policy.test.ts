import type { Extension, PlanDefinition, PlanDefinitionAction, Quantity } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { EXTENSION, kapConcept, SYSTEM } from '../../src/kap/codes.ts';
import {
  defaultPolicy,
  type Policy,
  policyIssues,
  policyOf,
  policyParameters,
  policyTimings,
} from '../../src/kap/policy.ts';
import { quantity } from './course-builder.ts';

const plan = (rest: Partial<PlanDefinition> = {}): PlanDefinition => ({
  resourceType: 'PlanDefinition',
  url: 'https://clinic.example/PlanDefinition/iv',
  version: '2.1.0',
  status: 'active',
  ...rest,
});

const parameter = (name: string, value: Partial<Extension>, effectivePeriod?: Extension['valuePeriod']): Extension => ({
  url: EXTENSION.policyParameter,
  extension: [
    { url: 'name', valueCode: name },
    { url: 'value', ...value } as Extension,
    ...(effectivePeriod === undefined ? [] : [{ url: 'effectivePeriod', valuePeriod: effectivePeriod }]),
  ],
});

/** A plan that states this policy whole. */
function planOf(policy: Policy): PlanDefinition {
  const { infusion, integrationOffset, nextInfusionOffset } = policyTimings(policy);
  const infusions = Array.from(
    { length: policy.inductionInfusions },
    (_, index): PlanDefinitionAction => ({
      id: `infusion-${index + 1}`,
      code: [kapConcept('kap-infusion')],
      timingRange: infusion,
      ...(index === 0
        ? {}
        : {
            relatedAction: [
              { actionId: `infusion-${index}`, relationship: 'after-end', offsetRange: nextInfusionOffset },
            ],
          }),
    }),
  );
  const relations: NonNullable<PlanDefinitionAction['relatedAction']> = [];
  if (policy.therapyModel !== 'during-infusion') {
    relations.push({ actionId: 'infusion-1', relationship: 'after-end', offsetRange: integrationOffset });
  }
  if (policy.therapyModel !== 'post-infusion') relations.push({ actionId: 'infusion-1', relationship: 'concurrent' });
  const integration: PlanDefinitionAction = {
    id: 'integration-1',
    code: [kapConcept('kap-integration-session')],
    relatedAction: relations,
  };
  return plan({
    action: [{ id: 'induction', action: [...infusions, integration] }],
    extension: policyParameters(policy),
  });
}

test('a plan that states nothing has the defaults, under its own name', () => {
  expect(policyOf(plan())).toEqual({ ...defaultPolicy, reference: 'https://clinic.example/PlanDefinition/iv|2.1.0' });
  expect(policyIssues(plan())).toEqual([]);
});

test('the defaults are those of the domain reference', () => {
  expect(defaultPolicy).toMatchObject({
    infusionMinimumMinutes: 45,
    infusionMaximumMinutes: 60,
    integrationWindowStartHours: 24,
    integrationWindowEndHours: 48,
    integrationMissedAfterDays: 7,
    infusionIntervalMinimumHours: 48,
    infusionIntervalMaximumHours: 168,
    doseHardStopMgPerKg: 2,
    therapyModel: 'post-infusion',
  });
});

test('a policy written to a plan is read back whole', () => {
  const policies = fc
    .record({
      infusionMinimumMinutes: fc.integer({ min: 5, max: 45 }),
      integrationWindowStartHours: fc.integer({ min: 0, max: 24 }),
      integrationWindowEndHours: fc.integer({ min: 24, max: 96 }),
      infusionIntervalMaximumHours: fc.integer({ min: 48, max: 500 }),
      inductionInfusions: fc.integer({ min: 2, max: 8 }),
      therapyModel: fc.constantFrom('post-infusion' as const, 'both' as const),
      consultRoles: fc.uniqueArray(fc.stringMatching(/^[0-9A-Z]{10}$/), { minLength: 1, maxLength: 4 }),
      consentForms: fc.uniqueArray(fc.webUrl(), { maxLength: 2 }),
      phq9Bands: fc.tuple(fc.nat(6), fc.nat(6), fc.nat(6), fc.nat(6)),
      doseHardStopMgPerKg: fc.double({ min: 1, max: 3, noNaN: true }),
      bloodPressureHoldSystolic: fc.integer({ min: 100, max: 160 }),
      remissionBelowScore: fc.integer({ min: 0, max: 27 }),
    })
    .map(
      (changed): Policy => ({
        ...defaultPolicy,
        ...changed,
        reference: 'https://clinic.example/PlanDefinition/iv|2.1.0',
      }),
    );
  fc.assert(
    fc.property(policies, (policy) => {
      expect(policyOf(planOf(policy))).toEqual(policy);
      expect(policyIssues(planOf(policy))).toEqual([]);
    }),
  );
});

test('therapy during the infusion is read from the relation of the actions', () => {
  const policy: Policy = { ...defaultPolicy, therapyModel: 'during-infusion' };
  expect(policyOf(planOf(policy)).therapyModel).toBe('during-infusion');
});

test('times convert between units', () => {
  const extension = [parameter('integration-missed-after-days', { valueQuantity: quantity(2, 'wk') })];
  expect(policyOf(plan({ extension })).integrationMissedAfterDays).toBe(14);
});

test('a parameter out of its effective period is passed over', () => {
  const extension = [
    parameter('consult-valid-days', { valueQuantity: quantity(30, 'd') }, { end: '2026-01-01T00:00:00Z' }),
  ];
  expect(policyOf(plan({ extension }), new Date('2025-06-01')).consultValidDays).toBe(30);
  expect(policyOf(plan({ extension }), new Date('2026-06-01')).consultValidDays).toBe(90);
});

const unitless: Quantity = { value: 30 };

test.each<[string, PlanDefinition, string, string]>([
  [
    'an unknown name',
    plan({ extension: [parameter('no-such', { valueDecimal: 1 })] }),
    'code-invalid',
    'PlanDefinition.extension[0]',
  ],
  [
    'a wrong unit',
    plan({ extension: [parameter('consult-valid-days', { valueQuantity: quantity(90, 'mg') })] }),
    'value',
    'PlanDefinition.extension[0]',
  ],
  [
    'no unit',
    plan({ extension: [parameter('consult-valid-days', { valueQuantity: unitless })] }),
    'value',
    'PlanDefinition.extension[0]',
  ],
  [
    'what the actions state',
    plan({ extension: [parameter('integration-window-end-hours', { valueQuantity: quantity(72, 'h') })] }),
    'conflict',
    'PlanDefinition.extension[0]',
  ],
  [
    'two values',
    plan({
      extension: [
        parameter('consult-valid-days', { valueQuantity: quantity(30, 'd') }),
        parameter('consult-valid-days', { valueQuantity: quantity(60, 'd') }),
      ],
    }),
    'conflict',
    'PlanDefinition.extension[1]',
  ],
  [
    'a lower limit above the upper one',
    plan({ extension: [parameter('blood-pressure-hold-systolic', { valueQuantity: quantity(170, 'mm[Hg]') })] }),
    'value',
    'PlanDefinition',
  ],
  [
    'no version',
    { resourceType: 'PlanDefinition', status: 'active', url: 'https://clinic.example/p' },
    'required',
    'PlanDefinition',
  ],
  [
    'an action with a range in another unit',
    plan({
      action: [
        {
          id: 'i',
          code: [{ coding: [{ system: SYSTEM.kap, code: 'kap-infusion' }] }],
          timingRange: { low: quantity(45, 'mg'), high: quantity(60, 'min') },
        },
      ],
    }),
    'value',
    'PlanDefinition.action[0].timing.ofType(Range).low',
  ],
])('%s is an issue', (_case, wrong, code, expression) => {
  expect(policyIssues(wrong)).toEqual([expect.objectContaining({ code, expression })]);
});
