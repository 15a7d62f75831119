import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ActivityDefinition, Bundle, CarePlan, Patient, PlanDefinition, Resource } from '@medplum/fhirtypes';
import { applyProtocol } from '../../src/kap/enrol.ts';
import { defaultPolicy } from '../../src/kap/policy.ts';
import { recordInfusion } from '../../src/kap/record-infusion.ts';
import { recordIntegration } from '../../src/kap/record-integration.ts';
import type { Recorded } from '../../src/kap/recorded.ts';
import type { SessionRequest } from '../../src/kap/session.ts';
import { identifiersOf } from '../../src/kap/transaction.ts';

/** A chart in memory that takes transactions as R4 defines them, as far as a course needs: for tests of pure functions. */
export class Chart {
  readonly resources = new Map<string, Resource>();
  #next = 1;

  newUuid = (): string => `00000000-0000-4000-8000-${String(this.#next++).padStart(12, '0')}`;

  all(): Resource[] {
    return [...this.resources.values()];
  }

  ofType<T extends Resource['resourceType']>(type: T): Extract<Resource, { resourceType: T }>[] {
    return this.all().filter((found): found is Extract<Resource, { resourceType: T }> => found.resourceType === type);
  }

  /** Applies a transaction. @returns the references that it created or changed */
  apply(bundle: Bundle): string[] {
    const references = new Map<string, string>();
    const writes: { key: string; resource: Resource }[] = [];
    for (const { fullUrl, request, resource } of bundle.entry ?? []) {
      if (request === undefined || resource === undefined) throw new Error('an entry without request or resource');
      const type = resource.resourceType;
      const criteria = request.ifNoneExist ?? /\?(.*)$/.exec(request.url)?.[1];
      const match = criteria === undefined ? undefined : this.find(type, criteria);
      const byId = request.method === 'PUT' && criteria === undefined ? request.url : undefined;
      const key = byId ?? match ?? `${type}/${this.newUuid()}`;
      if (fullUrl !== undefined) references.set(fullUrl, key);
      if (request.method === 'PUT' || match === undefined) writes.push({ key, resource });
    }
    const changed: string[] = [];
    for (const { key, resource } of writes) {
      const text = JSON.stringify(resource).replace(/"(reference|url)":"([^"]+)"/g, (whole, name, target) => {
        if (references.has(target)) return `"${name}":"${references.get(target)}"`;
        const conditional = /^([A-Za-z]+)\?(.*)$/.exec(target);
        const found = conditional && this.find(conditional[1] as string, conditional[2] as string);
        if (target.startsWith('urn:uuid:') || (conditional && found === undefined))
          throw new Error(`unresolved ${target}`);
        return found ? `"${name}":"${found}"` : whole;
      });
      const stored = { ...JSON.parse(text), id: key.split('/')[1] } as Resource;
      if (JSON.stringify(this.resources.get(key)) === JSON.stringify(stored)) continue;
      this.resources.set(key, stored);
      changed.push(key);
    }
    return changed;
  }

  find(type: string, criteria: string): string | undefined {
    const [, param, system, value] = /^(identifier|_tag)=([^|]*)\|(.*)$/.exec(decodeURIComponent(criteria)) ?? [];
    const found = this.all().filter(
      (resource) =>
        resource.resourceType === type &&
        (param === '_tag'
          ? resource.meta?.tag?.some((tag) => tag.system === system && tag.code === value)
          : identifiersOf(resource).some((own) => own.system === system && own.value === value)),
    );
    if (found.length > 1) throw new Error(`${type}?${criteria} matches ${found.length}`);
    return found[0] && `${type}/${found[0].id}`;
  }
}

const PROFILES = join(import.meta.dirname, '../../fhir-profiles');

export function profile<T extends Resource>(name: string): T {
  return JSON.parse(readFileSync(join(PROFILES, `${name}.json`), 'utf8')) as T;
}

export const plan = () => profile<PlanDefinition>('PlanDefinition-kap-iv-induction');
export const activities = () =>
  readdirSync(PROFILES)
    .filter((name) => name.startsWith('ActivityDefinition-'))
    .map((name) => profile<ActivityDefinition>(name.replace('.json', '')));

export const NOW = '2026-10-12T12:00:00-05:00';

export function bundleOf(recorded: Recorded): Bundle {
  if (!recorded.ok)
    throw new Error(recorded.issues.map(({ diagnostics, expression }) => `${expression}: ${diagnostics}`).join('\n'));
  return recorded.bundle;
}

/** Every refusal as `expression code`. */
export function placesOf(recorded: Recorded): string[] {
  if (recorded.ok) throw new Error('nothing was refused');
  return recorded.issues.map(({ expression, code }) => `${expression} ${code}`);
}

export type Parameter = { name: string; part?: Parameter[]; [value: `value${string}`]: unknown };

export function parameters(...parameter: Parameter[]) {
  return { resourceType: 'Parameters', parameter };
}

const person = (type: 'Practitioner' | 'Device' | 'Organization' | 'Location', id: string): Resource =>
  ({ resourceType: type, id, ...(type === 'Organization' ? { name: 'Clinic' } : {}) }) as Resource;

export const PATIENT: Patient = {
  resourceType: 'Patient',
  id: 'p1',
  birthDate: '1988-02-03',
  name: [{ family: 'Test', given: ['Ines'] }],
};

/** A patient enrolled in the shipped protocol, first infusion on 2026-09-14. */
export function enrolled(
  apply: Parameter[] = [],
  protocol: PlanDefinition = plan(),
  definitions: ActivityDefinition[] = activities(),
): Chart {
  const chart = new Chart();
  const condition = { resourceType: 'Condition', id: 'c1', subject: { reference: 'Patient/p1' } } as Resource;
  for (const resource of [
    PATIENT,
    condition,
    person('Practitioner', 'nurse'),
    person('Practitioner', 'doctor'),
    person('Practitioner', 'therapist'),
    person('Organization', 'clinic'),
    person('Device', 'pump'),
    person('Location', 'chair'),
  ]) {
    chart.resources.set(`${resource.resourceType}/${resource.id}`, resource);
  }
  chart.apply(
    bundleOf(
      applyProtocol({
        parameters: parameters(...applyParameters(apply)),
        planDefinition: protocol,
        activityDefinitions: definitions,
        patient: PATIENT,
        course: chart.all(),
        newUuid: chart.newUuid,
        now: NOW,
      }),
    ),
  );
  return chart;
}

export function applyParameters(more: Parameter[] = []): Parameter[] {
  const given = new Set(more.map(({ name }) => name));
  const usual: Parameter[] = [
    { name: 'subject', valueReference: { reference: 'Patient/p1' } },
    { name: 'practitioner', valueReference: { reference: 'Practitioner/doctor' } },
    { name: 'organization', valueReference: { reference: 'Organization/clinic' } },
    { name: 'condition', valueReference: { reference: 'Condition/c1' } },
    member('163W00000X', 'nurse'),
    member('103T00000X', 'therapist'),
    { name: 'start', valueDateTime: '2026-09-14T09:30:00-05:00' },
  ];
  return [...usual.filter(({ name }) => !given.has(name) && !(given.has('infusion') && name === 'start')), ...more];
}

function member(code: string, id: string): Parameter {
  const role = { coding: [{ system: 'http://nucc.org/provider-taxonomy', code }] };
  return {
    name: 'participant',
    part: [
      { name: 'role', valueCodeableConcept: role },
      { name: 'member', valueReference: { reference: `Practitioner/${id}` } },
    ],
  };
}

export function sessionOf(chart: Chart, ...parameter: Parameter[]): SessionRequest {
  const carePlan = chart.ofType('CarePlan')[0] as CarePlan;
  return {
    parameters: parameters(...parameter),
    carePlan,
    course: chart.all(),
    policy: defaultPolicy,
    newUuid: chart.newUuid,
    now: NOW,
  };
}

const MG = { unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' };

/** A complete infusion of 2026-09-14 09:35 to 10:22; `changes` replace parameters by name, null leaves one out. */
export function infusion(changes: Record<string, Parameter | Parameter[] | null> = {}): Parameter[] {
  const usual: Record<string, Parameter | Parameter[]> = {
    arrival: { name: 'arrival', valueDateTime: '2026-09-14T09:05:00-05:00' },
    start: { name: 'start', valueDateTime: '2026-09-14T09:35:00-05:00' },
    end: { name: 'end', valueDateTime: '2026-09-14T10:22:00-05:00' },
    departure: { name: 'departure', valueDateTime: '2026-09-14T11:35:00-05:00' },
    dose: { name: 'dose', valueQuantity: { value: 34, ...MG } },
    nurse: { name: 'nurse', valueReference: { reference: 'Practitioner/nurse' } },
  };
  return Object.values({ ...usual, ...changes }).flatMap((found) => (found === null ? [] : found));
}

/** A complete session after it, 2026-09-15 14:00 to 14:55. */
export function integration(changes: Record<string, Parameter | Parameter[] | null> = {}): Parameter[] {
  const usual: Record<string, Parameter | Parameter[]> = {
    start: { name: 'start', valueDateTime: '2026-09-15T14:00:00-05:00' },
    end: { name: 'end', valueDateTime: '2026-09-15T14:55:00-05:00' },
    therapist: { name: 'therapist', valueReference: { reference: 'Practitioner/therapist' } },
  };
  return Object.values({ ...usual, ...changes }).flatMap((found) => (found === null ? [] : found));
}

export const infused = (chart: Chart, changes?: Parameters<typeof infusion>[0]) =>
  recordInfusion(sessionOf(chart, ...infusion(changes)));
export const integrated = (chart: Chart, changes?: Parameters<typeof integration>[0]) =>
  recordIntegration(sessionOf(chart, ...integration(changes)));
