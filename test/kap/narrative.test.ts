import type { DetectedIssue, DocumentReference, Observation, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { narrativeOf, withCurrentNarrative, withNarrative } from '../../src/kap/narrative.ts';
import { fhir } from '../record/clinic.ts';
import { bundleOf, enrolled, infused } from './chart.ts';
import { applied, evaluate } from './course-builder.ts';
import { elementsOf } from './well-formed.ts';

const score: Observation = {
  resourceType: 'Observation',
  id: 'o',
  status: 'final',
  code: { text: 'PHQ-9 total score' },
  subject: { reference: 'Patient/p', display: 'Ines Test' },
  effectiveDateTime: '2026-03-01T09:00:00-08:00',
  valueQuantity: { value: 21, unit: '{score}' },
  interpretation: [{ text: 'severe' }],
};

test('a narrative says what the resource says, and not whom it is about', () => {
  expect(narrativeOf(score)).toEqual({
    status: 'generated',
    div: '<div xmlns="http://www.w3.org/1999/xhtml" class="kap-generated"><p><b>PHQ-9 total score</b> (final)</p><ul><li>Value: 21</li><li>Interpretation: severe</li><li>When: 2026-03-01 09:00:00-08:00</li></ul></div>',
  });
});

test('everything that our operations and rules write has a valid narrative, current with its values', () => {
  const chart = enrolled();
  const vitals = {
    name: 'vitals',
    part: [
      { name: 'at', valueDateTime: '2026-09-14T09:20:00-05:00' },
      { name: 'systolic', valueDecimal: 122 },
      { name: 'diastolic', valueDecimal: 76 },
    ],
  };
  const item = (valueInteger: number) => ({ name: 'item', valueInteger });
  const phq9 = {
    name: 'score',
    part: [{ name: 'instrument', valueCode: 'phq-9' }, ...[3, 2, 2, 2, 3, 2, 2, 2, 1].map(item)],
  };
  chart.apply(bundleOf(infused(chart, { vitals, phq9 })));
  const course = applied(chart.all(), evaluate(chart.all(), { now: '2026-10-12T12:00:00-05:00' }));
  const written = course.filter((resource) => 'text' in resource);
  const types = new Set(written.map(({ resourceType }) => resourceType));
  for (const type of [
    'CarePlan',
    'ServiceRequest',
    'Goal',
    'Encounter',
    'Procedure',
    'MedicationAdministration',
    'Observation',
    'QuestionnaireResponse',
    'DetectedIssue',
  ]) {
    expect(types).toContain(type);
  }
  for (const resource of written) {
    expect(fhir.validator.validate(resource).filter(({ expression }) => expression?.includes('.text'))).toEqual([]);
    expect(withNarrative(resource)).toBe(resource);
    expect(JSON.stringify((resource as { text: unknown }).text)).not.toMatch(/Ines|Patient\//);
  }
});

test('the narrative of a psychotherapy note tells nothing of it', () => {
  const note: DocumentReference = {
    resourceType: 'DocumentReference',
    status: 'current',
    type: { coding: [{ system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'psychotherapy-note' }] },
    date: '2026-03-01T09:00:00-08:00',
    content: [{ attachment: { title: 'About the dream' } }],
  };
  expect(narrativeOf(note)?.div).not.toMatch(/dream|2026|sychotherapy/);
});

test('the narrative of somebody else stays; one of ours follows the values', () => {
  const theirs = { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">By hand</div>' } as const;
  const own = { ...score, text: theirs };
  expect(withNarrative(own)).toBe(own);
  expect(withCurrentNarrative(score)).toBe(score);
  const ours = withNarrative(score);
  const changed = withCurrentNarrative({ ...ours, valueQuantity: { value: 4 } });
  expect(changed.text?.div).toContain('<li>Value: 4</li>');
  expect(Object.keys(ours).slice(0, 3)).toEqual(['resourceType', 'id', 'text']);
});

const ALLOWED = new Set(['div', 'p', 'b', 'ul', 'li']);

test('whatever the words, the narrative is XHTML of five elements', () => {
  const words = fc.string({ unit: 'binary', maxLength: 60 });
  const resources = fc.oneof(
    fc.record({ text: words, detail: words }).map(
      ({ text, detail }): DetectedIssue => ({
        resourceType: 'DetectedIssue',
        status: 'final',
        code: { text },
        detail,
      }),
    ),
    fc.record({ text: words, value: words, unit: words }).map(
      ({ text, value, unit }): Observation => ({
        ...score,
        code: { text },
        valueString: value,
        component: [{ code: { text: value }, valueQuantity: { value: 1, unit } }],
        note: [{ text }],
      }),
    ),
    fc
      .record({ title: words, description: words })
      .map((plan): Resource => ({ resourceType: 'CarePlan', status: 'active', intent: 'plan', subject: {}, ...plan })),
  );
  fc.assert(
    fc.property(resources, (resource) => {
      const { div } = narrativeOf(resource as Resource) as { div: string };
      expect(elementsOf(div).filter((name) => !ALLOWED.has(name))).toEqual([]);
    }),
  );
});
