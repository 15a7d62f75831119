import type { Coding, DocumentReference, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { kapConcept, LABEL, SYSTEM } from '../../src/kap/codes.ts';
import { isPsychotherapyNote, labelled, mayLeave, psychotherapyNotesAmong } from '../../src/kap/labels.ts';
import { phq9, weight } from './course-builder.ts';

const PATIENT = { reference: 'Patient/p' };
const at = '2026-03-05T10:00:00-08:00';

const codes = (resource: Resource, notes?: ReadonlySet<string>): (string | undefined)[] => {
  const result = labelled(resource, notes);
  if (!('resource' in result)) throw new Error(JSON.stringify(result.issues));
  return (result.resource.meta?.security ?? []).map(({ code }) => code);
};
const level = (code: string): Coding => ({ system: SYSTEM.confidentiality, code });
const secured = <T extends Resource>(resource: T, ...security: Coding[]): T => ({ ...resource, meta: { security } });

const condition: Resource = { resourceType: 'Condition', id: 'c', subject: PATIENT };
const note: DocumentReference = {
  resourceType: 'DocumentReference',
  id: 'note',
  status: 'current',
  type: kapConcept('psychotherapy-note'),
  subject: PATIENT,
  content: [{ attachment: { url: 'Binary/text' } }],
};
const progressNote: DocumentReference = {
  ...note,
  id: 'progress',
  type: { coding: [{ system: SYSTEM.loinc, code: '34904-3' }] },
  content: [{ attachment: { data: 'dGV4dA==' } }],
};
const text: Resource = {
  resourceType: 'Binary',
  id: 'text',
  contentType: 'text/plain',
  securityContext: { reference: 'DocumentReference/note' },
};

const appointment: Resource = {
  resourceType: 'Appointment',
  status: 'booked',
  participant: [{ status: 'accepted', actor: PATIENT }],
};

describe('R-22: labels where the author gave none', () => {
  test.each<[string, Resource, string[]]>([
    ['a plain vital sign', weight('w', at, 70), ['N']],
    ['a score', phq9('s', at, 12), ['R', 'PSY']],
    ['a diagnosis', condition, ['R', 'PSY']],
    ['a device', { resourceType: 'Device' }, ['N']],
    ['an appointment', appointment, ['N']],
    ['an appointment with its reason', { ...appointment, reasonCode: [{ text: 'depression' }] }, ['R', 'PSY']],
    [
      'an administration',
      { resourceType: 'MedicationAdministration', status: 'completed', subject: PATIENT } as Resource,
      ['R', 'PSY'],
    ],
    ['a progress note', progressNote, ['R', 'PSY']],
    ['a psychotherapy note', note, ['R', 'PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH']],
    [
      'an SUD counseling note',
      { ...note, type: kapConcept('sud-counseling-note') },
      ['R', 'PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH', 'SUD'],
    ],
  ])('%s', (_case, resource, expected) => {
    expect(codes(resource)).toEqual(expected);
  });

  test('definitions of the clinic carry none', () => {
    const plan: Resource = { resourceType: 'PlanDefinition', status: 'active' };
    expect(labelled(plan)).toEqual({ resource: plan });
  });

  test('the text of a note of the same write is labelled with it', () => {
    const notes = psychotherapyNotesAmong([note, progressNote, text]);
    expect([...notes].sort()).toEqual(['Binary/text', 'DocumentReference/note']);
    expect(codes(text, notes)).toEqual(['R', 'PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH']);
  });
});

describe('R-22: labels of the author', () => {
  test('stand, and are never lowered', () => {
    expect(codes(secured(condition, level('V')))).toEqual(['V']);
    expect(codes(secured(weight('w', at, 70), level('R')))).toEqual(['R']);
    expect(codes(secured(note, level('V')))).toEqual(['PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH', 'V']);
  });

  test('are raised for a psychotherapy note and for 42 CFR Part 2', () => {
    expect(codes(secured(note, level('N')))).toEqual(['R', 'PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH']);
    expect(codes(secured(condition, level('N'), { ...LABEL.part2 })).sort()).toEqual([
      '42CFRPart2',
      'NORDSCLCD',
      'R',
      'SUD',
    ]);
    expect(codes(secured(condition, { ...LABEL.part2 })).sort()).toEqual([
      '42CFRPart2',
      'NORDSCLCD',
      'PSY',
      'R',
      'SUD',
    ]);
  });

  test('whoever claims PSYTHPN gets the whole set', () => {
    expect(codes(secured(condition, { ...LABEL.psychotherapyNote })).sort()).toEqual([
      'HIPAAPsyNotes',
      'NOAUTH',
      'PSYTHPN',
      'R',
    ]);
  });

  test.each([
    ['two levels', [level('N'), level('R')], 'business-rule', 1],
    ['an unknown level', [level('X')], 'code-invalid', 0],
  ])('%s are refused', (_case, security, code, at) => {
    expect(labelled(secured(condition, ...security))).toEqual({
      issues: [expect.objectContaining({ code, expression: `Condition.meta.security[${at}]` })],
    });
  });

  test('a document repeats its labels, both ways', () => {
    const result = labelled({ ...progressNote, securityLabel: [{ coding: [level('V')] }] });
    expect(result).toMatchObject({
      resource: { meta: { security: [{ code: 'V' }] }, securityLabel: [{ coding: [{ code: 'V' }] }] },
    });
    const raised = labelled({ ...note, securityLabel: [{ coding: [level('N')] }] });
    if (!('resource' in raised)) throw new Error('refused');
    expect(raised.resource.securityLabel?.map(({ coding }) => coding?.[0]?.code)).toEqual([
      'R',
      'PSYTHPN',
      'HIPAAPsyNotes',
      'NOAUTH',
    ]);
  });
});

const labelSets = fc.subarray([
  level('N'),
  level('R'),
  level('V'),
  { ...LABEL.psychiatry },
  { ...LABEL.psychotherapyNote },
  { ...LABEL.part2 },
  { ...LABEL.substanceUse },
]);

test('labelling leaves exactly one level, loses no label, and is done after one time', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Resource>(condition, note, progressNote, appointment, text),
      labelSets,
      (resource, labels) => {
        const given = labels.filter(({ system }) => system === SYSTEM.confidentiality);
        const result = labelled(secured(resource, ...labels));
        expect('issues' in result).toBe(given.length > 1);
        if (!('resource' in result)) return;
        const security = result.resource.meta?.security ?? [];
        expect(security.filter(({ system }) => system === SYSTEM.confidentiality)).toHaveLength(1);
        const kept = security.map(({ code }) => code);
        for (const { system, code } of labels) if (system !== SYSTEM.confidentiality) expect(kept).toContain(code);
        expect(new Set(kept).size).toBe(kept.length);
        const again = labelled(result.resource);
        expect('resource' in again && again.resource).toBe(result.resource);
      },
    ),
  );
});

describe('R-21: what may leave', () => {
  const forbidden = psychotherapyNotesAmong([note, text]);
  const bundle = (...resources: Resource[]): Resource => ({
    resourceType: 'Bundle',
    type: 'transaction',
    entry: resources.map((resource) => ({ resource })),
  });

  test.each<[string, Resource, boolean]>([
    ['a progress note', progressNote, true],
    ['a note by its type', note, false],
    ['a note by its label', secured(condition, { ...LABEL.psychotherapyNote }), false],
    [
      'what must not be disclosed without authorization',
      secured(condition, { ...LABEL.noDisclosureWithoutAuthorization }),
      false,
    ],
    [
      'a document labelled only in securityLabel',
      { ...progressNote, securityLabel: [{ coding: [{ ...LABEL.hipaaPsychotherapyNotes }] }] },
      false,
    ],
    ['the text of a note', text, false],
    ['a bundle with the text in it', bundle(condition, text), false],
    ['a bundle of others', bundle(condition, progressNote), true],
    [
      'a list that refers to it',
      {
        resourceType: 'List',
        status: 'current',
        mode: 'working',
        entry: [{ item: { reference: 'DocumentReference/note' } }],
      },
      false,
    ],
    [
      'a reference to a version of it, with a base',
      {
        ...progressNote,
        relatesTo: [
          { code: 'appends', target: { reference: 'https://clinic.example/fhir/DocumentReference/note/_history/2' } },
        ],
      },
      false,
    ],
    ['an attachment with its address', { ...progressNote, content: [{ attachment: { url: 'Binary/text' } }] }, false],
    [
      'a note inside another resource',
      { ...progressNote, contained: [secured(condition, { ...LABEL.psychotherapyNote })] } as Resource,
      false,
    ],
  ])('%s', (_case, resource, ok) => {
    const verdict = mayLeave(resource, forbidden);
    expect(verdict.ok).toBe(ok);
    if (!verdict.ok) {
      expect(verdict.rule).toBe('R-21');
      expect(verdict.reason).not.toContain('note/');
    }
  });

  test('a progress note is not a psychotherapy note', () => {
    expect(isPsychotherapyNote(progressNote)).toBe(false);
    expect(isPsychotherapyNote(note)).toBe(true);
  });
});
