import fc from 'fast-check';
import { judgeIdentity, newPatient, normalisedFamily, patientFacts, searchable } from '../../src/ehr/identity.ts';
import { MRN, patient, registered } from './clinic.ts';
import type { Json } from './ehr-stand-in.ts';

const facts = patientFacts(patient('p1'), MRN);
const judge = (resources: Json[], more: Json = {}) =>
  judgeIdentity(facts, MRN, 'MRN-p1', {
    resourceType: 'Bundle',
    entry: resources.map((resource) => ({ resource })),
    ...more,
  });
const known = (id: string, more: Json = {}): Json => ({ ...registered('p1'), id, ...more });

test('one patient with the identifier, the birth date and the family name is the patient', () => {
  expect(judge([known('chart')])).toMatchObject({ verdict: 'confirmed', remotePatientId: 'chart' });
});

test.each([
  ['nobody', [], {}, 'identity-missing'],
  ['somebody else, although the search named the identifier', [known('x', { identifier: [] })], {}, 'identity-missing'],
  ['two', [known('a'), known('b')], {}, 'identity-ambiguous'],
  ['one of more pages', [known('a')], { link: [{ relation: 'next', url: 'x' }] }, 'identity-ambiguous'],
  ['another birth date', [known('a', { birthDate: '1990-01-01' })], {}, 'identity-conflict'],
  ['no birth date', [known('a', { birthDate: undefined })], {}, 'identity-conflict'],
  ['another family name', [known('a', { name: [{ family: 'Other' }] })], {}, 'identity-conflict'],
  ['a record replaced by another', [known('a', { link: [{ type: 'replaced-by' }] })], {}, 'identity-conflict'],
])('%s holds the lane', (_what, resources, more, reason) => {
  expect(judge(resources as Json[], more)).toMatchObject({ verdict: 'hold', reason });
});

test('no page of a search is believed more than its identifiers: confirmed is always exactly one who agrees', () => {
  const entry = fc.record({
    id: fc.constantFrom('a', 'b', 'c'),
    identifier: fc.constantFrom([{ system: MRN, value: 'MRN-p1' }], [{ system: 'other', value: 'MRN-p1' }], []),
    birthDate: fc.constantFrom('1988-04-02', '1990-01-01'),
    name: fc.constantFrom([{ family: 'Example' }], [{ family: 'EXAMPLE ' }], [{ family: 'Other' }]),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 4 }), (entries) => {
      const resources = entries.map((each) => ({ resourceType: 'Patient', ...each }));
      const verdict = judge(resources as Json[]);
      const candidates = new Set(entries.filter((each) => each.identifier[0]?.system === MRN).map((each) => each.id));
      if (verdict.verdict === 'confirmed') expect([...candidates]).toEqual([verdict.remotePatientId]);
      if (candidates.size !== 1) expect(verdict.verdict).toBe('hold');
    }),
  );
});

test('the evidence names nobody', () => {
  const { evidence } = judge([known('chart')]);
  expect(JSON.stringify(evidence)).not.toMatch(/Example|1988|MRN-p1/);
});

test('a patient without the target’s identifier, or with two of them, cannot be looked for', () => {
  expect(searchable(patientFacts({ ...patient('p1'), identifier: [] }, MRN))).toMatchObject({
    reason: 'identity-missing',
  });
  const two = [
    { system: MRN, value: '1' },
    { system: MRN, value: '2' },
  ];
  expect(searchable(patientFacts({ ...patient('p1'), identifier: two }, MRN))).toMatchObject({
    reason: 'identity-ambiguous',
  });
  const old = [
    { system: MRN, value: '1', use: 'old' },
    { system: MRN, value: '002' },
  ];
  expect(searchable(patientFacts({ ...patient('p1'), identifier: old }, MRN))).toEqual({
    verdict: 'search',
    value: '002',
  });
});

test('family names agree without case, accents and punctuation', () => {
  expect(normalisedFamily("O'Neill-Müller")).toBe(normalisedFamily('ONEILL MULLER'));
  expect(normalisedFamily('Groß')).toBe(normalisedFamily('GROSS'));
  expect(normalisedFamily('Meier')).not.toBe(normalisedFamily('Meyer'));
});

test('a new patient there is told as who it is and nothing else', () => {
  expect(newPatient({ ...patient('p1'), contact: [{}], generalPractitioner: [{}], text: {} })).toEqual(
    registered('p1'),
  );
});
