import type {
  ActivityDefinition,
  PlanDefinition,
  PlanDefinitionAction,
  PlanDefinitionGoal,
  Range,
} from '@medplum/fhirtypes';
import type { Issue } from '../fhir/failure.ts';
import { hasKapCode } from './codes.ts';
import { fault } from './parameters.ts';

/**
 * A clinic's protocol, read from its PlanDefinition: how many infusions, how long, how far apart, when the therapy.
 *
 * An infusion is an action with the KAP code `kap-infusion`, a therapy one with `kap-integration-session` that is
 * related to an infusion: `after-end` with an offset range, or `concurrent` for therapy during the infusion.
 * Maintenance carries no such code: it is planned when re-assessment asks for it.
 */
export type Protocol = {
  /** url|version, as every request and event of a course cites it. */
  readonly canonical: string;
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly infusions: readonly PlannedInfusion[];
  readonly therapies: readonly PlannedTherapy[];
  readonly order?: ActivityDefinition;
  readonly goals: readonly PlanDefinitionGoal[];
};

export type PlannedInfusion = {
  readonly number: number;
  readonly title: string;
  readonly activity: ActivityDefinition;
  readonly minutes: { readonly low: number; readonly high: number };
  /** After the end of the previous infusion; absent for the first. */
  readonly hoursApart?: { readonly low: number; readonly high: number };
};

export type PlannedTherapy = {
  /** The infusion it belongs to. */
  readonly infusion: number;
  readonly title: string;
  readonly activity: ActivityDefinition;
  /** After the end of the infusion; `during` when it is held while the infusion runs. */
  readonly window: { readonly low: number; readonly high: number } | 'during';
};

export type ReadProtocol =
  | { readonly ok: true; readonly protocol: Protocol }
  | { readonly ok: false; readonly issues: readonly Issue[] };

/** Every gap of the definition at once, each with its FHIRPath in the PlanDefinition. */
export function readProtocol(plan: PlanDefinition, activities: readonly ActivityDefinition[]): ReadProtocol {
  const issues: Issue[] = [];
  const reader = new ActionReader(activities, issues);
  const actions = flatten(plan.action ?? [], 'PlanDefinition.action');
  const infusions = reader.infusions(actions);
  const therapies = reader.therapies(
    actions,
    infusions.map((found) => found.actionId),
  );
  const order = actions
    .map(({ action }) => reader.activityOf(action))
    .find((activity) => activity?.kind === 'MedicationRequest');
  if (plan.status !== 'active')
    issues.push(fault('business-rule', 'The protocol is not active.', 'PlanDefinition.status'));
  if (plan.url === undefined || plan.version === undefined) {
    issues.push(fault('required', 'A protocol needs url and version: courses cite both.', 'PlanDefinition'));
  }
  if (infusions.length === 0)
    issues.push(fault('required', 'The protocol has no action with the code kap-infusion.', 'PlanDefinition.action'));
  if (issues.length > 0) return { ok: false, issues };
  const protocol: Protocol = {
    canonical: `${plan.url}|${plan.version}`,
    id: plan.id ?? plan.name ?? 'protocol',
    title: plan.title ?? plan.name ?? 'KAP course',
    description: plan.description ?? plan.title ?? '',
    infusions: infusions.map(({ planned }) => planned),
    therapies,
    ...(order === undefined ? {} : { order }),
    goals: plan.goal ?? [],
  };
  return { ok: true, protocol };
}

type PlacedAction = { readonly action: PlanDefinitionAction; readonly place: string };

function flatten(actions: readonly PlanDefinitionAction[], parent: string): PlacedAction[] {
  return actions.flatMap((action, index) => {
    const place = `${parent}[${index}]`;
    return [{ action, place }, ...flatten(action.action ?? [], `${place}.action`)];
  });
}

class ActionReader {
  readonly #activities: readonly ActivityDefinition[];
  readonly #issues: Issue[];

  constructor(activities: readonly ActivityDefinition[], issues: Issue[]) {
    this.#activities = activities;
    this.#issues = issues;
  }

  activityOf(action: PlanDefinitionAction): ActivityDefinition | undefined {
    const [url, version] = (action.definitionCanonical ?? '').split('|');
    return this.#activities.find((found) => found.url === url && (version === undefined || found.version === version));
  }

  infusions(actions: readonly PlacedAction[]): { actionId: string; planned: PlannedInfusion }[] {
    const own = actions.filter(({ action }) => (action.code ?? []).some((code) => hasKapCode(code, 'kap-infusion')));
    const ids = own.map(({ action }) => action.id);
    return own.flatMap(({ action, place }, index) => {
      const activity = this.#required(action, place);
      const minutes = rangeIn(action.timingRange ?? activity?.timingRange, MINUTES);
      if (minutes === undefined)
        this.#issues.push(fault('required', 'An infusion needs a timingRange in minutes.', `${place}.timingRange`));
      const previous = (action.relatedAction ?? []).find((related) => ids.includes(related.actionId ?? ''));
      const hoursApart = rangeIn(previous?.offsetRange, HOURS);
      if (index > 0 && hoursApart === undefined) {
        this.#issues.push(
          fault(
            'required',
            'A later infusion needs an offsetRange after the end of the one before.',
            `${place}.relatedAction`,
          ),
        );
      }
      if (activity === undefined || minutes === undefined) return [];
      const number = index + 1;
      const planned = {
        number,
        title: action.title ?? `Infusion ${number}`,
        activity,
        minutes,
        ...(hoursApart && { hoursApart }),
      };
      return [{ actionId: action.id ?? '', planned }];
    });
  }

  therapies(actions: readonly PlacedAction[], infusionIds: readonly string[]): PlannedTherapy[] {
    const own = actions.filter(({ action }) =>
      (action.code ?? []).some((code) => hasKapCode(code, 'kap-integration-session')),
    );
    return own.flatMap(({ action, place }) => {
      const activity = this.#required(action, place);
      const related = (action.relatedAction ?? []).find(({ actionId }) => infusionIds.includes(actionId ?? ''));
      const offset = related?.relationship === 'after-end' ? rangeIn(related.offsetRange, HOURS) : undefined;
      const window = related?.relationship === 'concurrent' ? 'during' : offset;
      if (window === undefined) {
        const text =
          'A therapy needs a relatedAction to an infusion: after-end with an offsetRange in hours, or concurrent.';
        this.#issues.push(fault('required', text, `${place}.relatedAction`));
      }
      if (activity === undefined || window === undefined) return [];
      const infusion = infusionIds.indexOf(related?.actionId ?? '') + 1;
      return [{ infusion, title: action.title ?? `Therapy for infusion ${infusion}`, activity, window }];
    });
  }

  #required(action: PlanDefinitionAction, place: string): ActivityDefinition | undefined {
    const activity = this.activityOf(action);
    if (activity === undefined) {
      this.#issues.push(
        fault(
          'not-found',
          'The ActivityDefinition of this action is not in the record.',
          `${place}.definitionCanonical`,
        ),
      );
    }
    return activity;
  }
}

const MINUTES: Readonly<Record<string, number>> = { min: 1, h: 60 };
const HOURS: Readonly<Record<string, number>> = { min: 1 / 60, h: 1, d: 24, wk: 168 };

function rangeIn(
  range: Range | undefined,
  factors: Readonly<Record<string, number>>,
): { low: number; high: number } | undefined {
  const low = inUnit(range?.low, factors);
  const high = inUnit(range?.high, factors);
  return low === undefined || high === undefined || low > high ? undefined : { low, high };
}

function inUnit(quantity: Range['low'], factors: Readonly<Record<string, number>>): number | undefined {
  const factor = factors[quantity?.code ?? ''];
  return quantity?.value === undefined || factor === undefined ? undefined : quantity.value * factor;
}
