/**
 * The orders of the course: an order is completed when its Procedure is, and the order of an integration session
 * carries the window that follows from the actual end of its infusion.
 */
import type { Procedure, ServiceRequest } from '@medplum/fhirtypes';
import { hasKapCode } from '../codes.ts';
import { type Course, compareText, type Infusion, type Key, keyOf, target } from '../course.ts';
import type { CoursePolicies } from '../course-policies.ts';
import { HOUR, later, type Moment, momentOf } from '../moments.ts';
import { type Changes, referenceTo } from './difference.ts';
import type { Session } from './integration-window.ts';

export function settleOrders(
  course: Course,
  sessions: readonly Session[],
  changes: Changes,
  policies: CoursePolicies,
): void {
  for (const order of course.orders) settleCompletion(order, course, changes);
  for (const [order, infusion] of integrationOrders(course, sessions)) {
    const policy = policies.of(infusion.key);
    if (policy.therapyModel === 'during-infusion') continue;
    if (infusion.end === undefined || order.status === 'revoked') continue;
    const window = {
      start: later(infusion.end, policy.integrationWindowStartHours * HOUR),
      end: later(infusion.end, policy.integrationWindowEndHours * HOUR),
    };
    settleWindow(order, infusion, window, changes);
  }
}

/** One that only a mistake had completed is active again. */
function settleCompletion(order: ServiceRequest, { byKey }: Course, changes: Changes): void {
  const key = keyOf(order);
  if (order.status !== 'active' && order.status !== 'completed') return;
  let mistaken = false;
  for (const resource of byKey.values()) {
    if (resource.resourceType !== 'Procedure' || !isBasedOn(resource, key)) continue;
    if (resource.status === 'completed') {
      if (order.status === 'active') changes.put({ ...changes.get(order), status: 'completed' });
      return;
    }
    if (resource.status !== 'entered-in-error') return;
    mistaken = true;
  }
  if (mistaken && order.status === 'completed') changes.put({ ...changes.get(order), status: 'active' });
}

function isBasedOn({ basedOn }: Procedure, order: Key): boolean {
  return (basedOn ?? []).some((each) => target(each) === order);
}

/**
 * Which integration order belongs to which infusion: the one that names it in supportingInfo, then the one its session
 * is based on. Orders that a plan made in advance name no infusion yet: those left over of one requisition pair up with
 * the infusion orders left over, in the order of their planned times.
 */
function integrationOrders(course: Course, sessions: readonly Session[]): ReadonlyMap<ServiceRequest, Infusion> {
  const orders = course.orders.filter(({ code }) => hasKapCode(code, 'kap-integration-session'));
  const byInfusion = new Map(course.infusions.map((infusion) => [infusion.key, infusion]));
  const paired = new Map<ServiceRequest, Infusion>();
  for (const order of orders) {
    const named = (order.supportingInfo ?? []).flatMap((each) => byInfusion.get(target(each) ?? '') ?? []);
    if (named[0] !== undefined) paired.set(order, named[0]);
  }
  const bySession = new Map(
    sessions.flatMap(({ therapy, infusion }) =>
      [...(therapy.procedure?.basedOn ?? []), ...(therapy.encounter?.basedOn ?? [])].map(
        (each) => [target(each), infusion] as const,
      ),
    ),
  );
  for (const order of orders) {
    const infusion = bySession.get(keyOf(order));
    if (infusion !== undefined && !paired.has(order)) paired.set(order, infusion);
  }
  const taken = new Set(paired.values());
  const infusionOrders = course.orders.filter(({ code }) => hasKapCode(code, 'kap-infusion'));
  for (const requisition of new Set(orders.map(requisitionOf))) {
    if (requisition === undefined) continue;
    const left = byPlannedStart(orders.filter((each) => requisitionOf(each) === requisition && !paired.has(each)));
    const planned = byPlannedStart(infusionOrders.filter((each) => requisitionOf(each) === requisition))
      .map((each) => infusionOf(each, course))
      .filter((infusion) => infusion === undefined || !taken.has(infusion));
    if (left.length !== planned.length) continue;
    left.forEach((order, index) => {
      const infusion = planned[index];
      if (infusion !== undefined) paired.set(order, infusion);
    });
  }
  return paired;
}

function requisitionOf({ requisition }: ServiceRequest): string | undefined {
  return requisition?.value === undefined ? undefined : `${requisition.system}|${requisition.value}`;
}

function infusionOf(order: ServiceRequest, { infusions }: Course): Infusion | undefined {
  return infusions.find(({ procedure }) => isBasedOn(procedure, keyOf(order)));
}

function byPlannedStart(orders: readonly ServiceRequest[]): readonly ServiceRequest[] {
  const start = ({ occurrencePeriod, occurrenceDateTime }: ServiceRequest): number =>
    momentOf(occurrencePeriod?.start ?? occurrenceDateTime)?.at ?? Number.POSITIVE_INFINITY;
  return [...orders].sort((a, b) => {
    const [x, y] = [start(a), start(b)];
    return x === y ? compareText(keyOf(a), keyOf(b)) : x - y;
  });
}

/** The same instants written at another offset are the same window. */
function settleWindow(
  original: ServiceRequest,
  infusion: Infusion,
  window: { readonly start: Moment; readonly end: Moment },
  changes: Changes,
): void {
  const order = changes.get(original);
  const named = (order.supportingInfo ?? []).some((each) => target(each) === infusion.key);
  const same =
    momentOf(order.occurrencePeriod?.start)?.at === window.start.at &&
    momentOf(order.occurrencePeriod?.end)?.at === window.end.at;
  if (same && named) return;
  const { occurrenceDateTime: _at, occurrenceTiming: _timing, ...rest } = order;
  changes.put({
    ...rest,
    ...(same ? {} : { occurrencePeriod: { start: window.start.text, end: window.end.text } }),
    ...(named ? {} : { supportingInfo: [...(order.supportingInfo ?? []), referenceTo(infusion.key)] }),
  });
}
