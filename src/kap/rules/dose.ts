/**
 * what was given against what was ordered and what a body of this weight may get.
 *
 * Above the hard stop the write is refused as a probable unit error, unless a prescriber is named who confirms the
 * dose. Esketamine is a nasal spray of fixed strengths: only its doses are checked.
 */
import type {
  CodeableConcept,
  MedicationAdministration,
  MedicationRequest,
  Observation,
  Quantity,
  Resource,
} from '@medplum/fhirtypes';
import { ALERT, ESKETAMINE_CODES, EXTENSION, hasCode, KETAMINE_CODES, LOINC, SYSTEM } from '../codes.ts';
import { type Course, effectiveOf, type Key, keyOf, target } from '../course.ts';
import type { CoursePolicies } from '../course-policies.ts';
import { DAY, type Moment, momentOf, rounded } from '../moments.ts';
import type { Policy } from '../policy.ts';
import { type Finding, fail, indeterminate, type Outcome, pass, refused } from './outcome.ts';

/** What is judged as one dose: all rate segments of an infusion, or one administration that belongs to none. */
type Given = {
  readonly subject: Key;
  readonly administrations: readonly MedicationAdministration[];
  readonly at: Moment | undefined;
};

export function dosesOf(course: Course, policies: CoursePolicies): readonly Outcome[] {
  const given: Given[] = course.infusions.map((infusion) => ({
    subject: infusion.key,
    administrations: infusion.administrations.filter((each) => drugOf(each, course) !== 'other'),
    at: infusion.start,
  }));
  for (const administration of course.looseAdministrations) {
    const drug = drugOf(administration, course);
    if (drug === 'other' || drug === 'unknown') continue;
    const at = momentOf(administration.effectivePeriod?.start ?? administration.effectiveDateTime);
    given.push({ subject: keyOf(administration), administrations: [administration], at });
  }
  return given
    .filter(({ administrations }) => administrations.length > 0)
    .flatMap((each) => judge(each, course, policies.of(each.subject)));
}

type Drug = 'ketamine' | 'esketamine' | 'other' | 'unknown';

/** By code, by ingredient, by name. Without any of them the drug of an infusion is taken to be the infused one. */
export function drugOf(administration: MedicationAdministration, course: Course): Drug {
  const concepts = [...conceptsOf(administration.medicationCodeableConcept)];
  const reference = administration.medicationReference?.reference;
  const medication = reference?.startsWith('#')
    ? administration.contained?.find(({ id }) => id === reference.slice(1))
    : course.byKey.get(target(administration.medicationReference) ?? '');
  if (medication?.resourceType === 'Medication') {
    concepts.push(...conceptsOf(medication.code));
    for (const { itemCodeableConcept } of medication.ingredient ?? [])
      concepts.push(...conceptsOf(itemCodeableConcept));
  }
  const codes = concepts.flatMap(({ coding }) => (coding ?? []).map(({ system, code }) => `${system}|${code}`));
  const words = concepts.flatMap(({ text, coding }) => [
    text ?? '',
    ...(coding ?? []).map(({ display }) => display ?? ''),
  ]);
  const name = [...words, administration.medicationReference?.display ?? ''].join(' ').trim();
  if (codes.some((code) => ESKETAMINE_CODES.has(code)) || /esketamine|spravato/i.test(name)) return 'esketamine';
  if (codes.some((code) => KETAMINE_CODES.has(code)) || /ketamine|ketalar/i.test(name)) return 'ketamine';
  return codes.length === 0 && name === '' ? 'unknown' : 'other';
}

function conceptsOf(concept: CodeableConcept | undefined): readonly CodeableConcept[] {
  return concept === undefined ? [] : [concept];
}

function judge(given: Given, course: Course, policy: Policy): readonly Outcome[] {
  const { subject, administrations, at } = given;
  const withoutUnit = administrations.filter(({ dosage }) => dosage?.dose !== undefined && !hasUnit(dosage.dose));
  if (withoutUnit.length > 0) return withoutUnit.map(unitRefusal);
  const doses = administrations.map(({ dosage }) => milligrams(dosage?.dose));
  if (doses.includes(undefined)) return [indeterminate('R-08', subject, 'a dose is missing or is not a mass')];
  const mg = rounded(
    doses.reduce<number>((sum, dose) => sum + (dose ?? 0), 0),
    6,
  );
  const identified = at?.text ?? identifiedText(administrations);
  if (identified === undefined) return [indeterminate('R-08', subject, 'the administration has no time')];
  if (administrations.some((each) => drugOf(each, course) === 'esketamine')) {
    return [esketamine(given, mg, identified, policy)];
  }
  return [ketamine(given, mg, identified, course, policy)];
}

function identifiedText(administrations: readonly MedicationAdministration[]): string | undefined {
  const [first] = administrations;
  return first?.effectivePeriod?.start ?? first?.effectiveDateTime;
}

function hasUnit({ code, unit, system }: Quantity): boolean {
  return system === SYSTEM.ucum ? code !== undefined : unit !== undefined || code !== undefined;
}

function unitRefusal(administration: MedicationAdministration): Outcome {
  const key = keyOf(administration);
  return refused({
    severity: 'error',
    code: 'value',
    rule: 'R-08',
    diagnostics: 'Rule R-08: a dose needs its UCUM unit, for example system http://unitsofmeasure.org and code mg',
    resource: key,
    expression: 'MedicationAdministration.dosage.dose',
    involved: [key],
  });
}

const MILLIGRAMS: Readonly<Record<string, number>> = { mg: 1, g: 1000, ug: 0.001 };
const KILOGRAMS: Readonly<Record<string, number>> = { kg: 1, g: 0.001, '[lb_av]': 0.45359237 };

function milligrams(dose: Quantity | undefined): number | undefined {
  return converted(dose, MILLIGRAMS);
}

function converted(quantity: Quantity | undefined, factors: Readonly<Record<string, number>>): number | undefined {
  if (quantity?.value === undefined || quantity.system !== SYSTEM.ucum || quantity.comparator !== undefined)
    return undefined;
  const factor = factors[quantity.code ?? ''];
  return factor === undefined ? undefined : quantity.value * factor;
}

function esketamine(given: Given, mg: number, identified: string, policy: Policy): Outcome {
  if (policy.esketamineDosesMg.includes(mg)) return pass('R-08', given.subject);
  const detail = `${mg} mg of esketamine given; allowed are ${policy.esketamineDosesMg.join(', ')} mg`;
  return fail(given.subject, ceiling(given, detail, identified, [], 'high'));
}

function ketamine(given: Given, mg: number, identified: string, course: Course, policy: Policy): Outcome {
  const { subject, administrations } = given;
  const weight = weightOf(given, course, policy);
  const perKg = weight === undefined ? undefined : mg / weight.kg;
  if (perKg !== undefined && exceeds(perKg, policy.doseHardStopMgPerKg)) {
    const confirmed = administrations.every(isConfirmed);
    if (!confirmed) return hardStop(given, weight?.key as Key, policy);
    const detail = `${dose(mg, perKg)} given; above the hard stop of ${policy.doseHardStopMgPerKg} mg/kg, confirmed by a prescriber`;
    return fail(subject, ceiling(given, detail, identified, [weight?.key as Key], 'high'));
  }
  const ordered = orderedFor(administrations, course);
  const needsOrder = perKg !== undefined && exceeds(perKg, policy.doseOrderNeededAboveMgPerKg);
  if (
    needsOrder &&
    (ordered === undefined || !exceeds(orderedPerKg(ordered, weight?.kg) ?? 0, policy.doseOrderNeededAboveMgPerKg))
  ) {
    const detail =
      `${dose(mg, perKg)} given; above ${policy.doseOrderNeededAboveMgPerKg} mg/kg ` +
      `${ordered === undefined ? 'without a prescriber order' : 'and the order asks for less'}`;
    return fail(subject, ceiling(given, detail, identified, [weight?.key as Key], 'high'));
  }
  const orderedMg = ordered === undefined ? undefined : orderedMilligrams(ordered, weight?.kg);
  if (orderedMg !== undefined && exceeds(mg, orderedMg * (1 + policy.doseOverOrderPercent / 100))) {
    const detail = `${dose(mg, perKg)} given; more than ${policy.doseOverOrderPercent} % above the ordered ${rounded(orderedMg, 2)} mg`;
    return fail(subject, ceiling(given, detail, identified, ordered === undefined ? [] : [ordered.key], 'moderate'));
  }
  if (perKg === undefined)
    return indeterminate('R-08', subject, `no weight at most ${policy.doseWeightAgeDays} d old is recorded`);
  return pass('R-08', subject);
}

/** Above a limit by more than the noise of floating point: 38.5 mg is not more than 35 mg and 10 %. */
function exceeds(value: number, limit: number): boolean {
  return value > limit * (1 + 1e-9);
}

function dose(mg: number, perKg: number | undefined): string {
  return perKg === undefined ? `${mg} mg` : `${mg} mg (${rounded(perKg, 3)} mg/kg)`;
}

function isConfirmed({ extension }: MedicationAdministration): boolean {
  return (extension ?? []).some(
    ({ url, valueReference }) =>
      url === EXTENSION.doseConfirmedBy && /^Practitioner(Role)?\//.test(target(valueReference) ?? ''),
  );
}

function hardStop(given: Given, weight: Key, policy: Policy): Outcome {
  const unconfirmed = given.administrations.filter((each) => !isConfirmed(each));
  const largest = unconfirmed.reduce((a, b) =>
    (milligrams(b.dosage?.dose) ?? 0) > (milligrams(a.dosage?.dose) ?? 0) ? b : a,
  );
  return refused({
    severity: 'error',
    code: 'business-rule',
    rule: 'R-08',
    diagnostics:
      `Rule R-08: the dose is above ${policy.doseHardStopMgPerKg} mg/kg, which is probably an error of unit; ` +
      `correct dose or weight, or name the prescriber who confirms it in the extension ${EXTENSION.doseConfirmedBy}`,
    resource: keyOf(largest),
    expression: 'MedicationAdministration.dosage.dose',
    involved: [given.subject, ...given.administrations.map(keyOf), weight],
  });
}

type Weight = { readonly key: Key; readonly kg: number };

/** The weight the dose was calculated from, else the last one before it; neither older than the policy allows. */
function weightOf(given: Given, course: Course, policy: Policy): Weight | undefined {
  const at = given.at?.at;
  if (at === undefined) return undefined;
  const supporting = given.administrations.flatMap(({ supportingInformation }) =>
    (supportingInformation ?? []).map((reference) => course.byKey.get(target(reference) ?? '')),
  );
  const named = newest(supporting.filter(isObservation), at, policy, DAY);
  // The dosing weight may be timed after the start of the pump; any other weight must lie before it.
  return named ?? newest(course.observations, at, policy, 0);
}

function isObservation(resource: Resource | undefined): resource is Observation {
  return resource?.resourceType === 'Observation' && resource.status !== 'entered-in-error';
}

function newest(
  observations: readonly Observation[],
  at: number,
  policy: Policy,
  allowedAfter: number,
): Weight | undefined {
  let found: (Weight & { readonly at: number }) | undefined;
  for (const observation of observations) {
    if (!hasCode(observation.code, SYSTEM.loinc, LOINC.weight.code as string)) continue;
    const kg = converted(observation.valueQuantity, KILOGRAMS);
    const moment = effectiveOf(observation);
    if (kg === undefined || !(kg > 0) || moment === undefined) continue;
    const age = at - moment.at;
    if (age < -allowedAfter || age > policy.doseWeightAgeDays * DAY) continue;
    if (found === undefined || moment.at > found.at) found = { key: keyOf(observation), kg, at: moment.at };
  }
  return found;
}

type Ordered = { readonly key: Key; readonly mgPerKg?: number; readonly mg?: number };

function orderedFor(administrations: readonly MedicationAdministration[], course: Course): Ordered | undefined {
  for (const { request } of administrations) {
    const order = course.byKey.get(target(request) ?? '');
    if (order?.resourceType !== 'MedicationRequest' || !isInForce(order)) continue;
    for (const { doseAndRate } of order.dosageInstruction ?? []) {
      for (const { doseQuantity, doseRange } of doseAndRate ?? []) {
        const quantity = doseQuantity ?? doseRange?.high;
        const mgPerKg = converted(quantity, { 'mg/kg': 1, 'ug/kg': 0.001 });
        const mg = milligrams(quantity);
        if (mgPerKg !== undefined) return { key: keyOf(order), mgPerKg };
        if (mg !== undefined) return { key: keyOf(order), mg };
      }
    }
  }
  return undefined;
}

function isInForce({ status, intent }: MedicationRequest): boolean {
  return status !== 'entered-in-error' && status !== 'cancelled' && status !== 'draft' && intent !== 'proposal';
}

function orderedPerKg({ mgPerKg, mg }: Ordered, kg: number | undefined): number | undefined {
  return mgPerKg ?? (mg === undefined || kg === undefined ? undefined : mg / kg);
}

function orderedMilligrams({ mgPerKg, mg }: Ordered, kg: number | undefined): number | undefined {
  return mg ?? (mgPerKg === undefined || kg === undefined ? undefined : mgPerKg * kg);
}

function ceiling(
  { subject, administrations }: Given,
  detail: string,
  identified: string,
  shown: readonly Key[],
  severity: Finding['severity'],
): Finding {
  const implicated = [...new Set([subject, ...administrations.map(keyOf), ...shown])];
  return { rule: 'R-08', code: 'dose-ceiling', alert: ALERT.highDose, severity, detail, identified, implicated };
}
