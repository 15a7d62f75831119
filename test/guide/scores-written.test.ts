/** What the service itself writes, and what the example course sends, is what the guide says. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, CodeableConcept, Reference, Resource } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { shippedProfiles } from '../../src/fhir/profiles/shipped.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { concept, LOINC } from '../../src/kap/codes.ts';
import { addScale, readScores, SCORE_PARAMETER } from '../../src/kap/instruments.ts';
import { labelled } from '../../src/kap/labels.ts';
import { readParameters } from '../../src/kap/parameters.ts';
import { psychotherapyNote } from '../../src/kap/psychotherapy-note.ts';
import { chartNote, type SessionContext, vitalObservations } from '../../src/kap/session-resources.ts';

const BASE = 'https://kap.example.org/fhir/StructureDefinition/';
const EXAMPLES = join(import.meta.dirname, '..', '..', 'examples');
const validator = createValidator(loadDefinitions(), shippedProfiles());

/** The profile of the guide by the code of an Observation, or of the category of a Consent. */
const BY_CODE: Readonly<Record<string, string>> = {
  '85354-9': 'kap-infusion-blood-pressure',
  '8867-4': 'kap-infusion-heart-rate',
  '9279-1': 'kap-infusion-respiratory-rate',
  '59408-5': 'kap-infusion-oxygen-saturation',
  '44261-6': 'kap-phq9-score',
  '44260-8': 'kap-phq9-item9',
  '70274-6': 'kap-gad7-score',
  '101698-9': 'kap-pcl5-score',
  '75624-7': 'kap-audit-score',
  '93374-7': 'kap-cssrs-risk',
  'ybocs-total': 'kap-ybocs-score',
  'madrs-total': 'kap-madrs-score',
  'cadss-total': 'kap-dissociation-score',
  'moaa-s': 'kap-sedation-score',
  'infusion-to-integration-interval': 'kap-integration-interval',
  'consent-ketamine-treatment': 'kap-treatment-consent',
  '42CFRPart2CD': 'kap-part2-consent',
  HIPAAAuthCD: 'kap-psychotherapy-note-authorization',
  'clinical-note': 'kap-clinical-note',
  'psychotherapy-note': 'kap-psychotherapy-note',
};

function conceptsOf(resource: Resource): readonly CodeableConcept[] {
  if (resource.resourceType === 'Observation') return [resource.code];
  return resource.resourceType === 'Consent' || resource.resourceType === 'DocumentReference'
    ? (resource.category ?? [])
    : [];
}

function profileOf(resource: Resource): string | undefined {
  const codes = conceptsOf(resource).flatMap(({ coding = [] }) => coding.map(({ code = '' }) => code));
  return codes.flatMap((code) => BY_CODE[code] ?? [])[0];
}

function faultsOf(resource: Resource, profile: string): string[] {
  return validator
    .check(resource, { profiles: [BASE + profile], claimed: false })
    .filter(({ severity }) => severity === 'error')
    .map(({ diagnostics, expression }) => `${expression}: ${diagnostics}`);
}

const context: SessionContext = {
  key: 'KAP-1-inf-1',
  subject: { reference: 'Patient/1' },
  encounter: { reference: 'Encounter/2' } as Reference<never>,
  procedure: { reference: 'Procedure/3' } as Reference<never>,
  organization: { reference: 'Organization/4' } as Reference<never>,
  correction: false,
  newUuid: () => '8a4489ab-1a68-506c-ae31-a18f74c756a1',
};
const clinician = { reference: 'Practitioner/5' } as Reference<never>;
const AT = '2026-09-14T10:13:00-05:00';

/** All that is recorded of one scale, from the parameters on. */
function recorded(
  instrument: string,
  answers: { items?: readonly number[]; total?: number; riskLevel?: string },
): Resource[] {
  const part = [
    { name: 'instrument', valueCode: instrument },
    ...(answers.items ?? []).map((valueInteger) => ({ name: 'item', valueInteger })),
    ...(answers.total === undefined ? [] : [{ name: 'total', valueInteger: answers.total }]),
    ...(answers.riskLevel === undefined ? [] : [{ name: 'riskLevel', valueCode: answers.riskLevel }]),
  ];
  const issues: never[] = [];
  const given = readParameters(
    { resourceType: 'Parameters', parameter: [{ name: 'score', part }] },
    [SCORE_PARAMETER],
    issues,
  );
  const scales = readScores(given, issues);
  expect(issues).toEqual([]);
  const written: Resource[] = [];
  for (const scale of scales) {
    addScale(scale, AT, context, clinician, (resource) => {
      written.push(resource);
      return { reference: `${resource.resourceType}/${written.length}` } as Reference<never>;
    });
  }
  return written;
}

const lowestAndHighest: readonly [instrument: string, highest: number][] = [
  ['pcl-5', 80],
  ['audit', 40],
  ['madrs', 60],
  ['y-bocs', 40],
  ['cadss', 92],
];

test.each(lowestAndHighest)('a recorded %s of 0 and of %i satisfies and claims its profile', (instrument, highest) => {
  for (const total of [0, highest]) {
    const [written] = recorded(instrument, { total });
    if (written === undefined) throw new Error('nothing was recorded');
    const profile = profileOf(written) ?? 'none';
    expect([instrument, faultsOf(written, profile)]).toEqual([instrument, []]);
    expect(written.meta?.profile).toContain(BASE + profile);
  }
});

test.each([
  ['phq-9', 9, ['kap-phq9-score', 'kap-phq9-item9']],
  ['gad-7', 7, ['kap-gad7-score']],
] as const)(
  'a recorded %s of the lowest and the highest answers satisfies and claims its profiles',
  (instrument, count, profiles) => {
    for (const answer of [0, 3]) {
      const written = recorded(instrument, { items: Array.from({ length: count }, () => answer) });
      const observations = written.filter(({ resourceType }) => resourceType === 'Observation');
      expect(observations.map(profileOf)).toEqual(profiles);
      observations.forEach((each, at) => {
        expect(faultsOf(each, profiles[at] ?? 'none')).toEqual([]);
        expect(each.meta?.profile).toContain(BASE + profiles[at]);
      });
    }
  },
);

test('a recorded risk level of each kind satisfies and claims its profile', () => {
  for (const riskLevel of ['low', 'moderate', 'high']) {
    const risk = recorded('c-ssrs', { items: [1, 1, 1, 0, 0, 0, 0], riskLevel }).at(-1);
    if (risk === undefined) throw new Error('nothing was recorded');
    expect(faultsOf(risk, 'kap-cssrs-risk')).toEqual([]);
    expect(risk.meta?.profile).toContain(`${BASE}kap-cssrs-risk`);
  }
});

test('a recorded reading, at both ends of what is plausible, satisfies and claims the profiles of its signs', () => {
  for (const reading of [
    { at: AT, systolic: 41, diastolic: 40, heartRate: 20, spo2: 40, respiratoryRate: 1, moaas: 0 },
    { at: AT, systolic: 300, diastolic: 200, heartRate: 300, spo2: 100, respiratoryRate: 80, moaas: 5 },
    { at: AT, systolic: 122, diastolic: 76, heartRate: 68, spo2: 99, respiratoryRate: 14, moaas: 3 },
  ]) {
    const written = vitalObservations(reading, context, clinician, undefined);
    expect(written.map(profileOf).toSorted()).toEqual([
      'kap-infusion-blood-pressure',
      'kap-infusion-heart-rate',
      'kap-infusion-oxygen-saturation',
      'kap-infusion-respiratory-rate',
      'kap-sedation-score',
    ]);
    for (const each of written) {
      const profile = profileOf(each) ?? 'none';
      expect([profile, faultsOf(each, profile)]).toEqual([profile, []]);
      expect(each.meta?.profile).toContain(BASE + profile);
    }
  }
});

test('a chart note and a psychotherapy note satisfy and claim their own profiles, and break each other’s', () => {
  const chart = chartNote(context, {
    part: 'note',
    type: concept(LOINC.progressNote),
    title: 'Progress note',
    text: 'synthetic',
    date: AT,
    period: { start: AT, end: AT },
    author: clinician,
    related: [context.procedure],
  });
  const { entries, notes } = psychotherapyNote(
    context,
    { text: 'synthetic', date: AT, author: clinician, digest: 'd' },
    AT,
  );
  const kept = entries.map(({ resource }) => resource).find((each) => each?.resourceType === 'DocumentReference');
  if (kept === undefined) throw new Error('there is no note');
  const labels = labelled(kept, notes);
  if (!('resource' in labels)) throw new Error('the labels of the note do not stand');
  expect(faultsOf(chart, 'kap-clinical-note')).toEqual([]);
  expect(chart.meta?.profile).toContain(`${BASE}kap-clinical-note`);
  expect(faultsOf(labels.resource, 'kap-psychotherapy-note')).toEqual([]);
  expect(labels.resource.meta?.profile).toEqual([`${BASE}kap-psychotherapy-note`]);
  expect(faultsOf(labels.resource, 'kap-clinical-note')).not.toEqual([]);
  expect(faultsOf(chart, 'kap-psychotherapy-note')).not.toEqual([]);
});

const sent = readdirSync(EXAMPLES)
  .filter((file) => file.endsWith('.bundle.json'))
  .flatMap((file) => {
    const bundle = JSON.parse(readFileSync(join(EXAMPLES, file), 'utf8')) as Bundle;
    return (bundle.entry ?? []).flatMap(({ resource }, at) => {
      const profile = resource && profileOf(resource);
      return resource === undefined || profile === undefined
        ? []
        : [[profile, `${file} entry ${at}`, resource] as const];
    });
  });

test('the example course sends vital signs, scores, a consent and a note', () => {
  expect(new Set(sent.map(([profile]) => profile))).toEqual(
    new Set([
      'kap-treatment-consent',
      'kap-phq9-score',
      'kap-phq9-item9',
      'kap-cssrs-risk',
      'kap-gad7-score',
      'kap-infusion-blood-pressure',
      'kap-infusion-heart-rate',
      'kap-infusion-oxygen-saturation',
      'kap-dissociation-score',
      'kap-clinical-note',
    ]),
  );
});

test.each(sent)('%s takes what the example course sends: %s', (profile, _where, resource) => {
  expect(faultsOf(resource, profile)).toEqual([]);
});
