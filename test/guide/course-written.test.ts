/** What the service writes of a course claims the profiles of the guide, and is what it claims. */
import { readFileSync } from 'node:fs';
import type { CodeableConcept, Coding, Resource } from '@medplum/fhirtypes';
import { compile, type ReferenceFate } from '../../src/ehr/compile.ts';
import { referencesOf } from '../../src/ehr/references.ts';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { digestPackages } from '../../src/fhir/profiles/load.ts';
import { readPackage } from '../../src/fhir/profiles/package.ts';
import { profilesOf } from '../../src/fhir/profiles/registry.ts';
import { shippedProfiles } from '../../src/fhir/profiles/shipped.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { type KapProfile, SYSTEM } from '../../src/kap/codes.ts';
import { applyProtocol } from '../../src/kap/enrol.ts';
import { mayLeave } from '../../src/kap/labels.ts';
import { playExampleCourse } from '../http/example-course.ts';
import { startTestService, type TestService } from '../http/service.ts';
import {
  activities,
  applyParameters,
  bundleOf,
  Chart,
  enrolled,
  infused,
  integrated,
  NOW,
  PATIENT,
  type Parameter,
  parameters,
  plan,
} from '../kap/chart.ts';
import { usCorePackage, usCoreVersions, withPackages } from '../us-core/package-file.ts';

const GUIDE = 'https://kap.example.org/fhir/StructureDefinition/';
const validator = createValidator(loadDefinitions(), shippedProfiles());

/** What only others write claims its profile too, in the examples. */
type Described = KapProfile | 'kap-patient' | 'kap-treatment-consent';

/** The profile of what has only one in a course. */
const BY_TYPE: Readonly<Record<string, Described>> = {
  Patient: 'kap-patient',
  EpisodeOfCare: 'kap-course',
  CarePlan: 'kap-care-plan',
  MedicationRequest: 'kap-ketamine-order',
  MedicationAdministration: 'kap-ketamine-administration',
  DetectedIssue: 'kap-rule-finding',
  AdverseEvent: 'kap-adverse-event',
};

/** The profile by type and code, of the codes that the guide describes. */
const BY_CODE: Readonly<Record<string, Described>> = {
  'Consent consent-ketamine-treatment': 'kap-treatment-consent',
  'ServiceRequest kap-infusion': 'kap-infusion-request',
  'ServiceRequest kap-integration-session': 'kap-integration-request',
  'Encounter kap-infusion-session': 'kap-infusion-encounter',
  'Encounter kap-integration-session': 'kap-integration-encounter',
  'Procedure kap-infusion': 'kap-infusion-procedure',
  'Procedure kap-integration-session': 'kap-integration-procedure',
  'Observation 85354-9': 'kap-infusion-blood-pressure',
  'Observation 8867-4': 'kap-infusion-heart-rate',
  'Observation 9279-1': 'kap-infusion-respiratory-rate',
  'Observation 59408-5': 'kap-infusion-oxygen-saturation',
  'Observation infusion-to-integration-interval': 'kap-integration-interval',
  'Observation moaa-s': 'kap-sedation-score',
  'Observation cadss-total': 'kap-dissociation-score',
  'Observation 44261-6': 'kap-phq9-score',
  'Observation 44260-8': 'kap-phq9-item9',
  'Observation 70274-6': 'kap-gad7-score',
  'Observation 101698-9': 'kap-pcl5-score',
  'Observation 93374-7': 'kap-cssrs-risk',
  'Observation ybocs-total': 'kap-ybocs-score',
  'Observation madrs-total': 'kap-madrs-score',
  'Observation 75624-7': 'kap-audit-score',
  'DocumentReference 78472-8': 'kap-clinical-note',
  'DocumentReference 34904-3': 'kap-clinical-note',
  'DocumentReference psychotherapy-note': 'kap-psychotherapy-note',
};

function codings(resource: Resource): readonly Coding[] {
  const { code, type } = resource as { code?: CodeableConcept; type?: CodeableConcept | CodeableConcept[] };
  const category = resource.resourceType === 'Consent' ? resource.category : [];
  return [code, type, category].flat().flatMap((each) => each?.coding ?? []);
}

function describedBy(resource: Resource): Described | undefined {
  const type = resource.resourceType;
  return BY_TYPE[type] ?? codings(resource).flatMap(({ code }) => BY_CODE[`${type} ${code}`] ?? [])[0];
}

/** What a resource of a course lacks: the claim of its profile, or something that the profile asks for. */
function faultsOf(resource: Resource): string[] {
  const described = describedBy(resource);
  const unclaimed = described !== undefined && !resource.meta?.profile?.includes(GUIDE + described);
  const broken = validator
    .check(resource)
    .filter(({ severity }) => severity === 'error')
    .map(({ diagnostics, expression, profile }) => `${expression}: ${diagnostics} (${profile ?? 'R4'})`);
  return [...(unclaimed ? [`${resource.resourceType} does not claim ${described}`] : []), ...broken];
}

/** Of a chart that the pure operations wrote: without the people, whom tests make up in one line. */
function written(chart: Chart): Resource[] {
  return chart.all().filter(({ meta }) => meta !== undefined);
}

function claimed(resources: readonly Resource[]): Set<string> {
  return new Set(resources.flatMap(({ meta }) => meta?.profile ?? []));
}

const at = (day: string, time: string) => `2026-09-${day}T${time}:00-05:00`;
const reason = { name: 'statusReason', valueCodeableConcept: { text: 'Blood pressure' } };

describe('the example course over HTTP', () => {
  let service: TestService;
  let stored: readonly Resource[];
  beforeAll(async () => {
    service = await startTestService({ recordNow: () => new Date('2026-10-12T12:00:00Z') });
    await playExampleCourse(service);
    const { rows } = await service.clinic.database
      .clinicPool()
      .query('select v.content from resource r join resource_version v using (rid, version) where not r.deleted');
    stored = rows.map(({ content }) => JSON.parse(content as string) as Resource);
  }, 60_000);
  afterAll(() => service.close());

  test('every resource that it records is what it claims', () => {
    expect(stored.length).toBeGreaterThan(200);
    expect(
      stored.flatMap((resource) =>
        validator.check(resource).map(({ diagnostics }) => [resource.resourceType, diagnostics]),
      ),
    ).toEqual([]);
  });

  test('what the clinic sent, and what the operations and the rules wrote, claims the profile of its kind', () => {
    expect(stored.flatMap(faultsOf)).toEqual([]);
    expect(
      [...claimed(stored)]
        .filter((url) => url.startsWith('https://kap.example.org'))
        .map((url) => url.split('/').at(-1))
        .sort(),
    ).toEqual([
      'kap-adverse-event',
      'kap-care-plan',
      'kap-clinical-note',
      'kap-course',
      'kap-cssrs-risk',
      'kap-dissociation-score',
      'kap-gad7-score',
      'kap-infusion-blood-pressure',
      'kap-infusion-encounter',
      'kap-infusion-heart-rate',
      'kap-infusion-oxygen-saturation',
      'kap-infusion-procedure',
      'kap-infusion-request',
      'kap-infusion-respiratory-rate',
      'kap-integration-encounter',
      'kap-integration-interval',
      'kap-integration-procedure',
      'kap-integration-request',
      'kap-ketamine-administration',
      'kap-ketamine-order',
      'kap-patient',
      'kap-phq9-item9',
      'kap-phq9-score',
      'kap-psychotherapy-note',
      'kap-rule-finding',
      'kap-sedation-score',
      'kap-treatment-consent',
    ]);
  });

  withPackages.each(usCoreVersions)('all of it is what it claims of US Core %s', async (version) => {
    const definitions = loadDefinitions();
    const known = shippedProfiles();
    const us = await readPackage(readFileSync(usCorePackage(version)));
    const sources = digestPackages([us], { definitions, known, definition: () => undefined }).map(
      (each) => each.source,
    );
    const withUsCore = createValidator(definitions, profilesOf(sources, known));
    const claiming = stored.filter(({ meta }) => meta?.profile?.some((url) => url.includes('/us/core/')));
    expect(claiming.length).toBeGreaterThan(100);
    const issues = claiming.flatMap((resource) => withUsCore.check(resource));
    expect(issues.map(({ diagnostics, expression, profile }) => `${expression}: ${diagnostics} (${profile})`)).toEqual(
      [],
    );
  });

  test.each<[string, (key: string) => ReferenceFate]>([
    ['has all that they refer to', (key) => ({ kind: 'linked', type: key.split('/')[0] ?? '', id: 'there' })],
    ['has none of it', (key) => ({ kind: 'logical', identifier: { system: 'https://ehr.example.org', value: key } })],
  ])('delivered to an EHR that %s, they are still what they claim', (_case, fate) => {
    const ownBase = 'https://kap.example.org/fhir';
    const delivered = stored.flatMap((resource) => {
      if (describedBy(resource) === undefined || !mayLeave(resource).ok) return [];
      const references = new Map([...referencesOf(resource, ownBase)].map((key) => [key, fate(key)]));
      const identifier = { system: 'https://kap-bridge.example.org/sid/default', value: `${resource.id}` };
      const { body } = compile({ resource: { ...resource }, identifier, intent: 'put', references, ownBase });
      return JSON.parse(body) as Resource;
    });
    expect(delivered.length).toBeGreaterThan(150);
    expect(delivered.flatMap(faultsOf)).toEqual([]);
  });

  test('orders and acts say which session of the course they are', () => {
    const numbers = (code: string, type: string) =>
      stored
        .filter((resource) => resource.resourceType === type && codings(resource).some((each) => each.code === code))
        .flatMap(
          (resource) => (resource as { extension?: { url: string; valuePositiveInt?: number }[] }).extension ?? [],
        )
        .filter(({ url }) => url === `${GUIDE}kap-session-number`)
        .map(({ valuePositiveInt }) => valuePositiveInt)
        .sort();
    expect(numbers('kap-infusion', 'ServiceRequest')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(numbers('kap-integration-session', 'ServiceRequest')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(numbers('kap-infusion', 'Procedure')).toEqual([1, 2, 3, 4]);
    expect(numbers('kap-integration-session', 'Procedure')).toEqual([1, 2, 3, 4]);
  });
});

test.each<[string, Record<string, Parameter | Parameter[] | null>]>([
  ['completed', {}],
  ['stopped', { status: { name: 'status', valueCode: 'stopped' }, reason }],
  ['so short that nothing is billed', { end: { name: 'end', valueDateTime: at('14', '09:40') } }],
  [
    'not done although the patient came',
    {
      status: { name: 'status', valueCode: 'not-done' },
      reason,
      start: null,
      end: null,
      dose: null,
      departure: null,
    },
  ],
  [
    'not done, and nobody came',
    {
      status: { name: 'status', valueCode: 'not-done' },
      reason,
      arrival: null,
      start: null,
      end: null,
      dose: null,
      departure: null,
    },
  ],
  ['given in the muscle', { route: { name: 'route', valueCodeableConcept: { text: 'in the muscle' } } }],
  [
    'with another product, a witness and waste',
    {
      medication: {
        name: 'medication',
        part: [{ name: 'product', valueCodeableConcept: { text: 'compounded ketamine' } }],
      },
      waste: { name: 'waste', valueQuantity: { value: 16, unit: 'mg', system: SYSTEM.ucum, code: 'mg' } },
      witness: { name: 'witness', valueReference: { reference: 'Practitioner/doctor' } },
      doseConfirmedBy: { name: 'doseConfirmedBy', valueReference: { reference: 'Practitioner/doctor' } },
    },
  ],
  [
    'with an adverse event',
    {
      adverseEvent: {
        name: 'adverseEvent',
        part: [
          { name: 'event', valueCodeableConcept: { text: 'Nausea' } },
          { name: 'at', valueDateTime: at('14', '09:50') },
          { name: 'seriousness', valueCode: 'Serious' },
        ],
      },
    },
  ],
])('an infusion that was %s is recorded as the guide describes it', (_case, changes) => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart, changes)));
  expect(written(chart).flatMap(faultsOf)).toEqual([]);
});

test.each<[string, Record<string, Parameter>]>([
  ['held after the infusion', {}],
  [
    'held during the infusion',
    {
      start: { name: 'start', valueDateTime: at('14', '09:40') },
      end: { name: 'end', valueDateTime: at('14', '10:20') },
    },
  ],
  ['held by video', { telehealth: { name: 'telehealth', valueBoolean: true } }],
  [
    'of a kind that comes with the text of CPT',
    {
      modality: {
        name: 'modality',
        valueCodeableConcept: {
          coding: [
            { system: SYSTEM.snomed, code: '228557008' },
            { system: SYSTEM.cpt, code: '90837', display: '(text of the code)' },
          ],
        },
      },
    },
  ],
  ['of a kind in words', { modality: { name: 'modality', valueCodeableConcept: { text: 'Somatic therapy' } } }],
])('a session that was %s is recorded as the guide describes it', (_case, changes) => {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart)));
  chart.apply(bundleOf(integrated(chart, changes)));
  expect(written(chart).flatMap(faultsOf)).toEqual([]);
});

test('a course that nobody has signed is drafts, and a plan of the drug', () => {
  const chart = new Chart();
  chart.resources.set('Patient/p1', PATIENT);
  const unsigned = applyParameters().filter(({ name }) => name === 'subject' || name === 'start');
  chart.apply(
    bundleOf(
      applyProtocol({
        parameters: parameters(...unsigned),
        planDefinition: plan(),
        activityDefinitions: activities(),
        patient: PATIENT,
        course: chart.all(),
        newUuid: chart.newUuid,
        now: NOW,
      }),
    ),
  );
  expect(written(chart).flatMap(faultsOf)).toEqual([]);
  expect(chart.ofType('MedicationRequest').map(({ status, intent }) => [status, intent])).toEqual([['draft', 'plan']]);
});

test('every profile that is claimed is in the guide', () => {
  const known = new Set(
    shippedProfiles()
      .all()
      .map(({ url }) => url),
  );
  const claims = new Set([...Object.values(BY_TYPE), ...Object.values(BY_CODE)].map((name) => GUIDE + name));
  expect([...claims].filter((url) => !known.has(url))).toEqual([]);
});
