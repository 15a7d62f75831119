/**
 * The clinic's clinical thresholds. Policy is data: it travels in one version of the protocol's PlanDefinition.
 *
 * Where an action of the plan states a number (duration of an infusion, window of the integration session, interval
 * between infusions, number of infusions), that number is the parameter. All others are extensions
 * `kap-policy-parameter` with the sub-extensions `name`, `value` and optionally `effectivePeriod`; a list is several
 * entries of one name. What is absent has the default below. The defaults are those of the domain reference and need
 * the signature of the medical director.
 */
import type { Extension, PlanDefinition, PlanDefinitionAction, Quantity, Range } from '@medplum/fhirtypes';
import { CANONICAL_BASE, EXTENSION, kebab, SYSTEM } from './codes.ts';
import { millisecondsOf } from './instant.ts';

type NumberParameter = { readonly kind: 'number'; readonly unit: string; readonly byDefault: number };
type NumbersParameter = { readonly kind: 'numbers'; readonly unit: string; readonly byDefault: readonly number[] };
type CodesParameter = { readonly kind: 'codes'; readonly byDefault: readonly string[] };
type ChoiceParameter = { readonly kind: 'choice'; readonly choices: readonly string[]; readonly byDefault: string };
type ExtensionParameter = NumberParameter | NumbersParameter | CodesParameter;
type Parameter = ExtensionParameter | ChoiceParameter;

const number = (unit: string, byDefault: number): NumberParameter => ({ kind: 'number', unit, byDefault });
const numbers = (unit: string, ...byDefault: readonly number[]): NumbersParameter => ({
  kind: 'numbers',
  unit,
  byDefault,
});
const codes = (...byDefault: readonly string[]): CodesParameter => ({ kind: 'codes', byDefault });

export type TherapyModel = 'post-infusion' | 'during-infusion' | 'both';

/** Stated by the actions of the PlanDefinition, never by an extension. */
const statedByActions = {
  /** R-03, closed interval. */
  infusionMinimumMinutes: number('min', 45),
  infusionMaximumMinutes: number('min', 60),
  /** R-04, closed interval after the end of the infusion. */
  integrationWindowStartHours: number('h', 24),
  integrationWindowEndHours: number('h', 48),
  /** R-09, from the end of one infusion to the start of the next. */
  infusionIntervalMinimumHours: number('h', 48),
  infusionIntervalMaximumHours: number('h', 168),
  /** whether the plan relates its integration actions to the infusion as `after-end`, `concurrent`, or has both. */
  therapyModel: {
    kind: 'choice',
    choices: ['post-infusion', 'during-infusion', 'both'],
    byDefault: 'post-infusion',
  } as ChoiceParameter,
} as const;

const statedByExtensions = {
  /** with no session by then the integration is missed, and no session is matched to an older infusion. */
  integrationMissedAfterDays: number('d', 7),
  /** addresses of the consent forms in force (Consent.policy.uri). None: any treatment consent. */
  consentForms: codes(),
  /** */
  consultValidDays: number('d', 90),
  /** NUCC codes of those who may clear a patient: psychiatry, anesthesiology, nurse practitioner, CRNA. */
  consultRoles: codes('2084P0800X', '207L00000X', '363L00000X', '367500000X'),
  /** hold above these, no start at or above those. */
  bloodPressureHoldSystolic: number('mm[Hg]', 140),
  bloodPressureHoldDiastolic: number('mm[Hg]', 90),
  bloodPressureNoStartSystolic: number('mm[Hg]', 160),
  bloodPressureNoStartDiastolic: number('mm[Hg]', 100),
  bloodPressureBaselineAgeMinutes: number('min', 30),
  /** stop at or above these on two readings so far apart, or above those on one. */
  bloodPressureStopSystolic: number('mm[Hg]', 180),
  bloodPressureStopDiastolic: number('mm[Hg]', 110),
  bloodPressureStopApartMinutes: number('min', 5),
  bloodPressureStopAtOnceSystolic: number('mm[Hg]', 200),
  bloodPressureStopAtOnceDiastolic: number('mm[Hg]', 120),
  /** */
  monitoringBaselineMinutes: number('min', 30),
  monitoringFirstReadingMinutes: number('min', 15),
  monitoringGapMinutes: number('min', 15),
  monitoringGapToleranceMinutes: number('min', 2),
  monitoringAfterEndMinutes: number('min', 20),
  monitoringDepartureMinutes: number('min', 15),
  /** */
  doseOverOrderPercent: number('%', 10),
  doseOrderNeededAboveMgPerKg: number('mg/kg', 1),
  doseHardStopMgPerKg: number('mg/kg', 2),
  doseWeightAgeDays: number('d', 14),
  esketamineDosesMg: numbers('mg', 28, 56, 84),
  /** a fall of so many percent is a response, a total below this is remission. */
  responseFallPercent: number('%', 50),
  remissionBelowScore: number('{score}', 5),
  baselineAgeDays: number('d', 14),
  /** the lowest score of each band but the first. */
  phq9Bands: numbers('{score}', 5, 10, 15, 20),
  gad7Bands: numbers('{score}', 5, 10, 15),
  qidsBands: numbers('{score}', 6, 11, 16, 21),
  madrsBands: numbers('{score}', 7, 20, 35),
  ybocsBands: numbers('{score}', 8, 16, 24, 32),
  pcl5Positive: number('{score}', 33),
  auditPositive: number('{score}', 8),
  dast10Positive: number('{score}', 3),
  cadssDissociationAbove: number('{score}', 4),
  meq30CompletePercent: number('%', 60),
  /** */
  suicidalityScreenMinutes: number('min', 60),
  /** */
  phq9RecallDays: number('d', 7),
  /** questionnaires whose recall period is short enough for frequent use. */
  modifiedRecallForms: codes(),
} as const;

const definitions = { ...statedByActions, ...statedByExtensions };

type ValueOf<P extends Parameter> = P extends NumberParameter
  ? number
  : P extends NumbersParameter
    ? readonly number[]
    : P extends CodesParameter
      ? readonly string[]
      : TherapyModel;

type Values = { readonly [Name in keyof typeof definitions]: ValueOf<(typeof definitions)[Name]> };

/** The thresholds in force. The unit of a number is that of its name or, for a pressure, mm[Hg]; for a score, points. */
export type Policy = Values & {
  /** infusions of the induction. The number of infusion actions of the plan that do not repeat; 6 without a plan. */
  readonly inductionInfusions: number;
  /** `canonical|version` of the plan, written to every finding. */
  readonly reference: string;
};

/** What is wrong with a plan's policy. `expression` is a FHIRPath in the PlanDefinition. */
export type PolicyIssue = {
  readonly severity: 'error';
  readonly code: 'value' | 'code-invalid' | 'conflict' | 'required';
  readonly diagnostics: string;
  readonly expression: string;
};

/** What holds where a course follows no stored plan. The reference says so to the auditor. */
export const defaultPolicy: Policy = {
  ...(Object.fromEntries(
    Object.entries(definitions).map(([name, parameter]) => [name, parameter.byDefault]),
  ) as Values),
  inductionInfusions: 6,
  reference: `${CANONICAL_BASE}/PlanDefinition/built-in-defaults|1.0.0`,
};

/**
 * The policy a PlanDefinition carries. Whatever it does not state, or states wrongly, has its default; what is wrong
 * says policyIssues.
 *
 * @param at when given, extensions whose `effectivePeriod` does not hold then are passed over
 */
export function policyOf(plan: PlanDefinition, at?: Date): Policy {
  return readPolicy(plan, at).policy;
}

/** What is wrong with the policy of a plan. Whoever stores a plan refuses it for these. */
export function policyIssues(plan: PlanDefinition): readonly PolicyIssue[] {
  return readPolicy(plan).issues;
}

function readPolicy(plan: PlanDefinition, at?: Date): { policy: Policy; issues: readonly PolicyIssue[] } {
  const issues: PolicyIssue[] = [];
  const reference = plan.version === undefined ? (plan.url ?? '') : `${plan.url ?? ''}|${plan.version}`;
  if (plan.url === undefined || plan.version === undefined) {
    issues.push({
      severity: 'error',
      code: 'required',
      diagnostics: 'a protocol needs url and version: both are written to every finding',
      expression: 'PlanDefinition',
    });
  }
  const policy = {
    ...defaultPolicy,
    reference,
    ...fromExtensions(plan.extension ?? [], at, issues),
    ...fromActions(plan.action ?? [], issues),
  };
  checkOrder(policy, issues);
  return { policy, issues };
}

/** The extensions of a PlanDefinition that carry this policy: all that its actions do not state. */
export function policyParameters(policy: Policy): Extension[] {
  return Object.entries(statedByExtensions).flatMap(([name, parameter]) =>
    valuesOf(policy, name as keyof typeof statedByExtensions).map((value) => ({
      url: EXTENSION.policyParameter,
      extension: [
        { url: 'name', valueCode: kebab(name) },
        typeof value === 'number'
          ? { url: 'value', valueQuantity: quantity(value, 'unit' in parameter ? parameter.unit : '') }
          : { url: 'value', valueString: value },
      ],
    })),
  );
}

/** The ranges that the actions of the plan state. */
export function policyTimings(policy: Policy): {
  readonly infusion: Range;
  readonly integrationOffset: Range;
  readonly nextInfusionOffset: Range;
} {
  return {
    infusion: range(policy.infusionMinimumMinutes, policy.infusionMaximumMinutes, 'min'),
    integrationOffset: range(policy.integrationWindowStartHours, policy.integrationWindowEndHours, 'h'),
    nextInfusionOffset: range(policy.infusionIntervalMinimumHours, policy.infusionIntervalMaximumHours, 'h'),
  };
}

function valuesOf(policy: Policy, name: keyof typeof statedByExtensions): readonly (number | string)[] {
  const value: number | string | readonly number[] | readonly string[] = policy[name];
  return Array.isArray(value) ? value : [value as number | string];
}

function quantity(value: number, unit: string): Quantity {
  return { value, unit, system: SYSTEM.ucum, code: unit };
}

function range(low: number, high: number, unit: string): Range {
  return { low: quantity(low, unit), high: quantity(high, unit) };
}

const parameterNames = new Map(Object.keys(definitions).map((name) => [kebab(name), name as keyof typeof definitions]));

function fromExtensions(
  extensions: readonly Extension[],
  at: Date | undefined,
  issues: PolicyIssue[],
): Partial<Policy> {
  const found: Record<string, number | string | (number | string)[]> = {};
  for (const [index, extension] of extensions.entries()) {
    if (extension.url !== EXTENSION.policyParameter) continue;
    const place = `PlanDefinition.extension[${index}]`;
    const wrong = (code: PolicyIssue['code'], diagnostics: string): void => {
      issues.push({ severity: 'error', code, diagnostics, expression: place });
    };
    const part = (url: string): Extension | undefined => extension.extension?.find((each) => each.url === url);
    const written = part('name')?.valueCode ?? part('name')?.valueString;
    const name = written === undefined ? undefined : parameterNames.get(written);
    if (name === undefined) {
      wrong('code-invalid', `policy parameter '${written ?? ''}' is not known: correct its name or remove it`);
      continue;
    }
    if (name in statedByActions) {
      wrong('conflict', `policy parameter '${written}' is stated by the actions of the plan: change it there`);
      continue;
    }
    if (at !== undefined && !holds(part('effectivePeriod')?.valuePeriod, at)) continue;
    const parameter = statedByExtensions[name as keyof typeof statedByExtensions];
    const value = parameterValue(part('value'), parameter);
    if (value === undefined) {
      wrong('value', `policy parameter '${written}' must be ${expected(parameter)}`);
    } else if (parameter.kind === 'numbers' || parameter.kind === 'codes') {
      const list = found[name];
      if (Array.isArray(list)) list.push(value);
      else found[name] = [value];
    } else if (name in found && found[name] !== value) {
      wrong('conflict', `policy parameter '${written}' is stated twice with different values`);
    } else {
      found[name] = value;
    }
  }
  return found as Partial<Policy>;
}

function holds(period: Extension['valuePeriod'], at: Date): boolean {
  const start = millisecondsOf(period?.start) ?? Date.parse(period?.start ?? '');
  const end = millisecondsOf(period?.end) ?? Date.parse(period?.end ?? '');
  return !(start > at.getTime()) && !(end <= at.getTime());
}

function expected(parameter: ExtensionParameter): string {
  if (parameter.kind === 'codes') return 'a text';
  return `a quantity of at least 0 in ${parameter.unit}`;
}

function parameterValue(value: Extension | undefined, parameter: ExtensionParameter): number | string | undefined {
  if (value === undefined) return undefined;
  if (parameter.kind === 'codes') return value.valueString ?? value.valueCode ?? value.valueUri ?? value.valueCanonical;
  const plain = value.valueDecimal ?? value.valueInteger;
  // A plain number is a score; whatever has a unit must say it.
  if (plain !== undefined) return parameter.unit === '{score}' && plain >= 0 ? plain : undefined;
  return inUnit(value.valueQuantity, parameter.unit);
}

const seconds: Readonly<Record<string, number>> = { s: 1, min: 60, h: 3600, d: 86_400, wk: 604_800 };

/** The value in the unit wanted; times are converted, anything else must be in that very unit. */
function inUnit(given: Quantity | undefined, unit: string): number | undefined {
  const value = given?.value;
  if (value === undefined || given?.system !== SYSTEM.ucum || !(value >= 0) || given.comparator !== undefined) {
    return undefined;
  }
  if (given.code === unit) return value;
  const from = seconds[given.code ?? ''];
  const to = seconds[unit];
  return from === undefined || to === undefined ? undefined : (value * from) / to;
}

/** An action with its place. */
type PlacedAction = { readonly action: PlanDefinitionAction; readonly place: string };

function* allActions(actions: readonly PlanDefinitionAction[], place: string): Generator<PlacedAction> {
  for (const [index, action] of actions.entries()) {
    const here = `${place}.action[${index}]`;
    yield { action, place: here };
    yield* allActions(action.action ?? [], here);
  }
}

function isCoded(action: PlanDefinitionAction, code: string): boolean {
  return (action.code ?? []).some((each) =>
    (each.coding ?? []).some((coding) => coding.system === SYSTEM.kap && coding.code === code),
  );
}

/** The numbers that actions state. Two actions that differ are a conflict: the first one counts. */
function fromActions(actions: readonly PlanDefinitionAction[], issues: PolicyIssue[]): Partial<Policy> {
  const all = [...allActions(actions, 'PlanDefinition')];
  const infusions = all.filter(
    ({ action }) => isCoded(action, 'kap-infusion') && action.cardinalityBehavior !== 'multiple',
  );
  const infusionIds = new Set(infusions.map(({ action }) => action.id));
  const found: Record<string, number> = {};
  const models = new Set<TherapyModel>();

  const state = (range: Range | undefined, place: string, low: string, high: string, unit: string): void => {
    if (range === undefined) return;
    for (const [name, end] of [
      [low, 'low'],
      [high, 'high'],
    ] as const) {
      if (range[end] === undefined) continue;
      const value = inUnit(range[end], unit);
      const expression = `${place}.${end}`;
      if (value === undefined) {
        const diagnostics = `must be a quantity of at least 0 that converts to ${unit}`;
        issues.push({ severity: 'error', code: 'value', diagnostics, expression });
      } else if (name in found && found[name] !== value) {
        const diagnostics = 'differs from another action of the plan: one protocol has one value';
        issues.push({ severity: 'error', code: 'conflict', diagnostics, expression });
      } else {
        found[name] = value;
      }
    }
  };

  for (const { action, place } of infusions) {
    state(
      action.timingRange,
      `${place}.timing.ofType(Range)`,
      'infusionMinimumMinutes',
      'infusionMaximumMinutes',
      'min',
    );
  }
  for (const { action, place } of all) {
    const integration = isCoded(action, 'kap-integration-session');
    if (!integration && !infusionIds.has(action.id)) continue;
    for (const [index, related] of (action.relatedAction ?? []).entries()) {
      if (!infusionIds.has(related.actionId)) continue;
      if (integration && related.relationship?.startsWith('concurrent')) models.add('during-infusion');
      if (related.relationship !== 'after-end') continue;
      if (integration) models.add('post-infusion');
      const at = `${place}.relatedAction[${index}].offset.ofType(Range)`;
      if (integration) {
        state(related.offsetRange, at, 'integrationWindowStartHours', 'integrationWindowEndHours', 'h');
      } else {
        state(related.offsetRange, at, 'infusionIntervalMinimumHours', 'infusionIntervalMaximumHours', 'h');
      }
    }
  }
  if (infusions.length > 0) found.inductionInfusions = infusions.length;
  const therapyModel = models.size > 1 ? 'both' : [...models][0];
  return { ...(found as Partial<Policy>), ...(therapyModel === undefined ? {} : { therapyModel }) };
}

/** Pairs that make no sense the other way round. */
function checkOrder(policy: Policy, issues: PolicyIssue[]): void {
  const pairs: readonly (readonly [keyof Values, keyof Values])[] = [
    ['infusionMinimumMinutes', 'infusionMaximumMinutes'],
    ['integrationWindowStartHours', 'integrationWindowEndHours'],
    ['infusionIntervalMinimumHours', 'infusionIntervalMaximumHours'],
    ['bloodPressureHoldSystolic', 'bloodPressureNoStartSystolic'],
    ['bloodPressureHoldDiastolic', 'bloodPressureNoStartDiastolic'],
    ['bloodPressureStopSystolic', 'bloodPressureStopAtOnceSystolic'],
    ['bloodPressureStopDiastolic', 'bloodPressureStopAtOnceDiastolic'],
    ['doseOrderNeededAboveMgPerKg', 'doseHardStopMgPerKg'],
  ];
  for (const [low, high] of pairs) {
    if (policy[low] <= policy[high]) continue;
    issues.push({
      severity: 'error',
      code: 'value',
      diagnostics: `policy parameter '${kebab(low)}' must not be above '${kebab(high)}'`,
      expression: 'PlanDefinition',
    });
  }
}
