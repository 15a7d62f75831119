import fc from 'fast-check';
import { businessIdentifier, identifierToken, parseIdentifierToken } from '../../src/ehr/business-identifier.ts';
import { additions, containsContent, contentSha256 } from '../../src/ehr/compare.ts';
import {
  CLINIC_IDENTIFIER_EXTENSION,
  type CompileInput,
  compile,
  isMarked,
  markerQuery,
  type ReferenceFate,
} from '../../src/ehr/compile.ts';
import { parseExactly } from '../../src/ehr/exact-json.ts';
import { deliveryRank, referencesOf } from '../../src/ehr/references.ts';
import { OWN_BASE, observation } from './clinic.ts';
import type { Json } from './ehr-stand-in.ts';

const identifier = businessIdentifier('default', 'Observation', 'o1');

function compiled(resource: Json, fates: Record<string, ReferenceFate> = {}, more: Partial<CompileInput> = {}): Json {
  const references = new Map(Object.entries(fates));
  return JSON.parse(
    compile({ resource, identifier, intent: 'put', references, ownBase: OWN_BASE, ...more }).body,
  ) as Json;
}

test('numbers keep their digits on the way to an EHR', () => {
  const text = '{"resourceType":"Observation","valueQuantity":{"value":0.50},"n":1e2,"big":12345678901234567890}';
  const resource = parseExactly(text) as Json;
  const { body } = compile({ resource, identifier, intent: 'put', references: new Map(), ownBase: OWN_BASE });
  expect(body).toContain('"value":0.50');
  expect(body).toContain('"n":1e2');
  expect(body).toContain('"big":12345678901234567890');
});

test('server-owned meta and our id stay behind; labels, profiles and tags go along', () => {
  const meta = {
    versionId: '4',
    lastUpdated: '2026-01-01T00:00:00Z',
    security: [{ code: 'R' }],
    profile: ['p'],
    tag: [{ code: 't' }],
  };
  expect(compiled({ ...observation('o1', 'p1', 'e1'), meta })).toMatchObject({
    meta: { security: [{ code: 'R' }], profile: ['p'], tag: [{ code: 't' }] },
  });
  expect(compiled({ ...observation('o1', 'p1', 'e1'), meta })).not.toHaveProperty('id');
  expect(compiled({ ...observation('o1', 'p1', 'e1'), meta })).not.toHaveProperty('meta.versionId');
  expect(compiled(observation('o1', 'p1', 'e1'), {}, { remoteId: 'there' }).id).toBe('there');
});

test('a reference becomes the id of the EHR, an identifier, a contained drug, or nothing', () => {
  const medication = {
    resourceType: 'Medication',
    id: 'm1',
    meta: { versionId: '1' },
    code: { text: 'ketamine' },
    manufacturer: { reference: 'Organization/o1' },
  };
  const administration: Json = {
    resourceType: 'MedicationAdministration',
    id: 'a1',
    subject: { reference: 'Patient/p1' },
    context: { reference: `${OWN_BASE}/Encounter/e1/_history/2`, display: 'visit' },
    request: { reference: 'MedicationRequest/r1' },
    medicationReference: { reference: 'Medication/m1' },
    supportingInformation: [{ reference: 'DocumentReference/note' }],
    note: [{ authorReference: { reference: 'DocumentReference/note' }, text: 'seen' }],
    contained: [{ resourceType: 'Device', id: 'd' }],
    device: [{ reference: '#d' }, { reference: 'https://elsewhere.example.org/fhir/Device/1' }],
  };
  const sent = compiled(administration, {
    'Patient/p1': { kind: 'linked', type: 'Patient', id: 'chart' },
    'Encounter/e1': { kind: 'linked', type: 'Encounter', id: 'visit' },
    'MedicationRequest/r1': { kind: 'logical', identifier: businessIdentifier('default', 'MedicationRequest', 'r1') },
    'Medication/m1': { kind: 'contained', resource: medication },
    'Organization/o1': { kind: 'logical', identifier: businessIdentifier('default', 'Organization', 'o1') },
    'DocumentReference/note': { kind: 'forbidden' },
  });
  expect(sent).toMatchObject({
    subject: { reference: 'Patient/chart' },
    context: { reference: 'Encounter/visit', display: 'visit' },
    request: { type: 'MedicationRequest', identifier: { value: 'MedicationRequest-r1' } },
    medicationReference: { reference: '#medication-m1' },
    note: [{ text: 'seen' }],
    device: [{ reference: '#d' }, { reference: 'https://elsewhere.example.org/fhir/Device/1' }],
  });
  expect(sent).not.toHaveProperty('supportingInformation');
  expect(sent.contained).toEqual([
    { resourceType: 'Device', id: 'd' },
    {
      resourceType: 'Medication',
      id: 'medication-m1',
      code: { text: 'ketamine' },
      manufacturer: { type: 'Organization', identifier: businessIdentifier('default', 'Organization', 'o1') },
    },
  ]);
});

test('the text of an attachment goes along in it', () => {
  const document: Json = {
    resourceType: 'DocumentReference',
    content: [{ attachment: { contentType: 'text/plain', url: 'Binary/b1', title: 'Note' } }],
  };
  const sent = compiled(document, {
    'Binary/b1': { kind: 'inline', resource: { contentType: 'text/plain', data: 'aGk=' } },
  });
  expect(sent.content).toEqual([{ attachment: { contentType: 'text/plain', title: 'Note', data: 'aGk=' } }]);
  expect(sent.masterIdentifier).toEqual(identifier);
});

test('our identifier is added beside the clinic’s own, and moves it aside where there is room for one only', () => {
  const own = { system: 's', value: 'v' };
  expect(compiled({ resourceType: 'Encounter', identifier: [own] }).identifier).toEqual([
    own,
    { use: 'secondary', ...identifier },
  ]);
  const answers = compiled({ resourceType: 'QuestionnaireResponse', identifier: own });
  expect(answers.identifier).toEqual({ use: 'secondary', ...identifier });
  expect(answers.extension).toEqual([{ url: CLINIC_IDENTIFIER_EXTENSION, valueIdentifier: own }]);
});

test.each(['Encounter', 'QuestionnaireResponse', 'AdverseEvent', 'Provenance', 'DocumentReference'])(
  'a delivered %s carries what it is searched by',
  (type) => {
    const sent = compiled({ resourceType: type });
    expect(isMarked(sent, identifier)).toBe(true);
    expect(isMarked(sent, businessIdentifier('default', 'Observation', 'o2'))).toBe(false);
    expect(markerQuery(type, identifier)).toMatch(
      type === 'AdverseEvent' || type === 'Provenance' ? /^_tag=/ : /^identifier=/,
    );
  },
);

test.each([
  ['Encounter', 'status', 'entered-in-error'],
  ['Goal', 'lifecycleStatus', 'entered-in-error'],
])('an entry in error says so in a %s', (type, element, value) => {
  expect(compiled({ resourceType: type, [element]: 'active' }, {}, { intent: 'entered-in-error' })[element]).toBe(
    value,
  );
});

test('a condition in error has no clinical status', () => {
  const sent = compiled(
    { resourceType: 'Condition', clinicalStatus: { text: 'active' } },
    {},
    { intent: 'entered-in-error' },
  );
  expect(sent).not.toHaveProperty('clinicalStatus');
  expect(sent.verificationStatus).toMatchObject({ coding: [{ code: 'entered-in-error' }] });
});

test('the same version compiles to the same bytes', () => {
  const input = {
    resource: observation('o1', 'p1', 'e1'),
    identifier,
    intent: 'put',
    references: new Map(),
    ownBase: OWN_BASE,
  } as const;
  expect(compile(input).sha256).toEqual(compile(input).sha256);
});

test('a token of an identifier reads back as that identifier', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[A-Za-z0-9.-]{1,64}$/), (clinic, id) => {
      const given = businessIdentifier(clinic, 'Observation', id);
      expect(parseIdentifierToken(identifierToken(given))).toEqual(given);
    }),
  );
});

test('references are found wherever they are, and what is not ours is left out', () => {
  const found = referencesOf(
    {
      a: [{ b: { reference: 'Encounter/1' } }],
      c: { reference: `${OWN_BASE}/Patient/2/_history/1` },
      d: { reference: '#x' },
      e: { reference: 'https://other/fhir/Patient/3' },
      f: { contentType: 'text/plain', url: 'Binary/4' },
      url: 'https://x',
    },
    OWN_BASE,
  );
  expect([...found].sort()).toEqual(['Binary/4', 'Encounter/1', 'Patient/2']);
});

test('what others refer to goes first', () => {
  const order = [
    'Patient',
    'EpisodeOfCare',
    'CarePlan',
    'ServiceRequest',
    'Encounter',
    'Procedure',
    'MedicationAdministration',
    'Observation',
    'AdverseEvent',
    'Provenance',
  ];
  expect([...order].reverse().sort((a, b) => deliveryRank(a) - deliveryRank(b))).toEqual(order);
});

describe('comparing with what an EHR holds', () => {
  const content = fc.dictionary(
    fc.constantFrom('status', 'code', 'value', 'note', 'subject'),
    fc.jsonValue({ maxDepth: 2 }).filter((value) => value !== null),
  );

  test('a resource contains itself, whatever the server adds, and its hash ignores order and server-owned elements', () => {
    fc.assert(
      fc.property(content, content, (ours, added) => {
        const theirs = { ...added, ...ours, id: 'x', meta: { versionId: '9' } };
        expect(containsContent(theirs, ours)).toBe(true);
        const reordered = Object.fromEntries(Object.entries(theirs).reverse());
        expect(contentSha256(reordered)).toEqual(contentSha256({ ...theirs, id: 'y', meta: {} }));
      }),
    );
  });

  test('a changed value is noticed, also when only its digits differ in writing', () => {
    expect(containsContent({ value: 1 }, { value: 2 })).toBe(false);
    expect(containsContent({ value: 0.5 }, parseExactly('{"value":0.50}') as Json)).toBe(true);
    expect(additions({ a: 1, b: 2, meta: {} }, { a: 1 })).toEqual({ b: 2 });
  });
});
