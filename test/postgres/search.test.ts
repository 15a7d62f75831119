import { randomBytes } from 'node:crypto';
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { Failure } from '../../src/fhir/failure.ts';
import { parseSearch, type SearchQuery } from '../../src/fhir/search/query.ts';
import { matchMany, matchOne, search } from '../../src/postgres/search/search.ts';
import { resourceOf } from '../fhir/any-resource.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { anyQuery } from './any-search.ts';
import { compare, matchesOf } from './search-model.ts';
import { registry, searchWriter, terminology } from './search-writer.ts';
import { searched } from './searched.ts';

const cursorKey = randomBytes(32);
let database: TestDatabase;

/** A database for the tests of a block, holding these resources. */
function recorded(...resources: readonly Resource[]): void {
  beforeAll(async () => {
    database = await createTestDatabase();
    if (resources.length > 0) await searchWriter(pool()).write(resources);
  });
  afterAll(() => database.drop());
}

const pool = () => database.clinicPool();

function parsed(url: string, cursor?: string): SearchQuery {
  const [type = '', text = ''] = url.split('?');
  const params = [...new URLSearchParams(text), ...(cursor === undefined ? [] : [['_cursor', cursor] as const])];
  return parseSearch(type, params as [string, string][], registry, { strict: true, now: Date.parse('2026-01-01') });
}

async function page(url: string, cursor?: string) {
  return searched(pool(), parsed(url, cursor), { cursorKey, terminology });
}

async function ids(url: string): Promise<string[]> {
  return (await page(url)).matches.map(({ id }) => id);
}

/** All pages of a search, after each of which something may happen. */
async function allPages(url: string, between: () => Promise<void> = async () => {}): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const { matches, next } = await page(url, cursor);
    found.push(...matches.map(({ id }) => id));
    cursor = next;
    if (cursor !== undefined) await between();
  } while (cursor !== undefined);
  return found;
}

function observation(id: string, content: object): Resource {
  return { resourceType: 'Observation', id, status: 'final', code: { text: 'x' }, ...content } as Resource;
}

function patient(id: string, content: object = {}): Resource {
  return { resourceType: 'Patient', id, ...content } as Resource;
}

function encounter(id: string, content: object): Resource {
  return { resourceType: 'Encounter', id, status: 'finished', class: { code: 'AMB' }, ...content } as Resource;
}

const coded = (system: string | undefined, code: string) => ({ coding: [{ ...(system ? { system } : {}), code }] });

describe('each kind of parameter', () => {
  describe('token', () => {
    recorded(
      observation('t1', { code: coded('s', 'a') }),
      observation('t2', { code: coded('r', 'a') }),
      observation('t3', { code: coded(undefined, 'a') }),
      observation('t4', { code: coded('s', 'b'), component: [{ code: coded('s', 'c') }] }),
      { resourceType: 'Observation', id: 't5', status: 'final' } as Resource,
    );

    test.each([
      ['code=a', ['t1', 't2', 't3']],
      ['code=s|a', ['t1']],
      ['code=|a', ['t3']],
      ['code=s|', ['t1', 't4']],
      ['code=s|a,r|a', ['t1', 't2']],
      ['code=s|a,b', ['t1', 't4']],
      ['code=A', []],
      ['code:not=a', ['t4', 't5']],
      ['code:missing=true', ['t5']],
      ['code=a&code=s|a', ['t1']],
      ['combo-code=c', ['t4']],
      ['combo-code=a,c&_total=accurate', ['t1', 't2', 't3', 't4']],
    ])('token: %s', async (query, expected) => {
      expect((await ids(`Observation?${query.replaceAll('|', '%7C')}`)).sort()).toEqual(expected);
    });
  });

  describe('date', () => {
    recorded(
      observation('d1', { effectiveDateTime: '2025-03-09' }),
      observation('d2', { effectiveDateTime: '2025-03-08T23:59:59Z' }),
      observation('d3', { effectiveInstant: '2025-03-09T12:00:00.000Z' }),
      observation('d4', { effectivePeriod: { start: '2025-01-01' } }),
      observation('d5', { effectiveDateTime: '2025-03-10T01:00:00+01:00' }),
      observation('d6', {}),
    );

    test.each([
      ['2025-03-09', ['d1', 'd3']],
      ['ne2025-03-09', ['d2', 'd4', 'd5']],
      ['gt2025-03-09', ['d4', 'd5']],
      ['lt2025-03-09', ['d2', 'd4']],
      ['ge2025-03-09', ['d1', 'd3', 'd4', 'd5']],
      ['le2025-03-09', ['d1', 'd2', 'd3', 'd4']],
      ['sa2025-03-09', ['d5']],
      ['eb2025-03-09', ['d2']],
      ['ap2025-03-09', ['d1', 'd2', 'd3', 'd4', 'd5']],
      ['2025-03-08,2025-03-10', ['d2', 'd5']],
      ['ge2025-03-08&date=lt2025-03-10', ['d1', 'd2', 'd3', 'd4']],
    ])('date: %s', async (value, expected) => {
      expect((await ids(`Observation?date=${value}`)).sort()).toEqual(expected);
      expect((await ids(`Observation?date=${value}&_sort=-date`)).sort()).toEqual(expected);
    });
  });

  describe('string', () => {
    recorded(
      patient('s1', { name: [{ family: 'Müller', given: ['Anna'] }] }),
      patient('s2', { name: [{ family: 'Keller', given: ['Ben', 'Bennie'] }], address: [{ city: 'Portland' }] }),
      patient('s3', { name: [{ family: 'x%_\\y' }] }),
    );

    test.each([
      ['family=mull', ['s1']],
      ['family=MÜLL', ['s1']],
      ['family:exact=Müller', ['s1']],
      ['family:exact=müller', []],
      ['family:contains=ller', ['s1', 's2']],
      ['family:exact=%25', []],
      ['family:exact=_', []],
      ['family=x%25_', ['s3']],
      ['family:contains=%25y', ['s3']],
      ['name=anna,ben', ['s1', 's2']],
      ['address=port', ['s2']],
    ])('string: %s', async (query, expected) => {
      expect((await ids(`Patient?${query}`)).sort()).toEqual(expected);
    });
  });

  describe('quantity', () => {
    const ucum = { system: 'http://unitsofmeasure.org' };
    recorded(
      observation('q1', { valueQuantity: { value: 5.4, ...ucum, code: 'mg' } }),
      observation('q2', { valueQuantity: { value: 5.42 } }),
      observation('q3', { valueQuantity: { value: 9, ...ucum, code: 'mg' } }),
      observation('q4', { valueQuantity: { value: 5, ...ucum, code: 'g', unit: 'gram' } }),
      observation('q5', { valueQuantity: { value: 5, comparator: '<' } }),
    );

    test.each([
      ['5.4', ['q1', 'q2']],
      ['5.40', ['q1']],
      ['gt5.4', ['q2', 'q3']],
      ['ge5.4|http://unitsofmeasure.org|mg', ['q1', 'q3', 'q4']],
      ['0.0054|http://unitsofmeasure.org|g', ['q1']],
      ['5000|http://unitsofmeasure.org|mg', ['q4']],
      ['5||g', ['q4']],
      ['5||gram', ['q4']],
      ['5|http://unitsofmeasure.org|gram', []],
      ['lt5', ['q5']],
      ['ap5', ['q1', 'q2', 'q4', 'q5']],
      ['ne5.4', ['q3', 'q4', 'q5']],
      ['sa5.42', ['q3']],
      ['eb5', []],
    ])('quantity: %s', async (value, expected) => {
      expect((await ids(`Observation?value-quantity=${encodeURIComponent(value)}`)).sort()).toEqual(expected);
    });
  });

  describe('reference', () => {
    recorded(
      observation('r1', { subject: { reference: 'Patient/p1' } }),
      observation('r2', { subject: { reference: 'Group/p1' } }),
      observation('r3', {
        subject: { reference: 'Patient/p2' },
        encounter: { reference: 'http://x/Encounter/e1' },
      }),
      observation('r4', { subject: { reference: 'Patient/p1' }, encounter: { reference: 'Encounter/e1' } }),
    );

    test.each([
      ['Observation?subject=Patient/p1', ['r1', 'r4']],
      ['Observation?patient=p1', ['r1', 'r4']],
      ['Observation?subject:Patient=p1', ['r1', 'r4']],
      ['Observation?subject=p1', ['r1', 'r2', 'r4']],
      ['Observation?subject=Group/p1', ['r2']],
      ['Observation?patient=p1,p2', ['r1', 'r3', 'r4']],
      ['Observation?patient=p1&patient=p2', []],
      ['Observation?patient:missing=true', ['r2']],
      ['Observation?patient=p1&encounter=e1', ['r4']],
      ['Observation?encounter=http://x/Encounter/e1', ['r3']],
    ])('reference: %s', async (url, expected) => {
      expect((await ids(url)).sort()).toEqual(expected);
    });
  });

  describe('others', () => {
    recorded();

    test('uri and canonical: as written, and without its version', async () => {
      await searchWriter(pool()).write([
        {
          resourceType: 'ValueSet',
          id: 'v',
          url: 'http://x/v',
          status: 'active',
          meta: { profile: ['http://p|2'] },
        } as Resource,
      ]);
      expect(await ids('ValueSet?url=http://x/v')).toEqual(['v']);
      expect(await ids('ValueSet?url=http://x')).toEqual([]);
      expect(await ids('ValueSet?_profile=http://p')).toEqual(['v']);
      expect(await ids('ValueSet?_profile=http://p%7C2')).toEqual(['v']);
    });

    test('id and time of the last update', async () => {
      const clock = [Date.parse('2026-01-01'), Date.parse('2026-01-02'), Date.parse('2026-01-03T10:00:00.5Z')];
      const { write } = searchWriter(pool(), () => clock.shift() as number);
      await write([patient('a'), patient('b'), patient('c')]);
      expect(await ids('Patient?_id=c,a,nobody')).toEqual(['a', 'c']);
      expect((await ids('Patient?_id:not=a')).sort()).toEqual(['b', 'c']);
      expect(await ids('Patient?_lastUpdated=2026-01-02')).toEqual(['b']);
      expect(await ids('Patient?_lastUpdated=ge2026-01-02&_sort=-_lastUpdated')).toEqual(['c', 'b']);
      expect(await ids('Patient?_sort=-_id')).toEqual(['c', 'b', 'a']);
      const [last] = (await page('Patient?_id=c')).matches;
      expect(last).toMatchObject({
        version: 1,
        lastUpdated: '2026-01-03T10:00:00.500Z',
        patientId: 'c',
        method: 'PUT',
      });
      expect(JSON.parse(last?.content ?? '')).toEqual(patient('c'));
    });
  });
});

describe('deletions', () => {
  recorded();

  test('a deleted resource is in no search, total or include', async () => {
    const { write, remove } = searchWriter(pool());
    await write([
      patient('p'),
      encounter('e', { subject: { reference: 'Patient/p' } }),
      encounter('f', { subject: { reference: 'Patient/p' } }),
    ]);
    await remove('Encounter', 'e');
    expect(await ids('Encounter')).toEqual(['f']);
    expect(await page('Encounter?patient=p&_summary=count')).toMatchObject({ total: 1, matches: [] });
    const { included } = await page('Patient?_id=p&_revinclude=Encounter:patient');
    expect(included.map(({ id }) => id)).toEqual(['f']);
  });
});

describe('includes', () => {
  recorded();

  test('includes follow references in both directions, once each, and never repeat a match', async () => {
    const subject = { reference: 'Patient/p' };
    await searchWriter(pool()).write([
      patient('p', { link: [{ other: { reference: 'Patient/q' }, type: 'seealso' }] }),
      patient('q'),
      encounter('e1', { subject, partOf: { reference: 'Encounter/e2' } }),
      encounter('e2', { subject, participant: [{ individual: { reference: 'Practitioner/absent' } }] }),
      {
        resourceType: 'Procedure',
        id: 'c',
        status: 'completed',
        subject,
        encounter: { reference: 'Encounter/e1' },
      } as Resource,
    ]);
    const names = async (url: string) => {
      const { matches, included } = await page(url);
      return [matches.map(({ id }) => id).sort(), included.map(({ type, id }) => `${type}/${id}`).sort()];
    };
    expect(await names('Encounter?_id=e1&_include=Encounter:patient&_revinclude=Procedure:encounter')).toEqual([
      ['e1'],
      ['Patient/p', 'Procedure/c'],
    ]);
    expect(await names('Encounter?_include=Encounter:part-of&_include=Encounter:practitioner')).toEqual([
      ['e1', 'e2'],
      [],
    ]);
    expect(await names('Encounter?_id=e1&_include=Encounter:subject:Group')).toEqual([['e1'], []]);
    expect(await names('Patient?_id=p&_include=Patient:link:Patient')).toEqual([['p'], ['Patient/q']]);
  });
});

describe('many includes', () => {
  recorded(
    patient('many'),
    ...Array.from({ length: 1002 }, (_, i) => observation(`i${i}`, { subject: { reference: 'Patient/many' } })),
  );

  test('of more than a thousand resources to include, a thousand come, and the page says so', async () => {
    const { included, includedCut } = await page('Patient?_id=many&_revinclude=Observation:patient');
    expect(included).toHaveLength(1000);
    expect(includedCut).toBe(true);
  });
});

describe('sorting', () => {
  recorded();

  test('missing sort values come last in both directions, across pages', async () => {
    const subject = { reference: 'Patient/p' };
    await searchWriter(pool()).write([
      encounter('a', { subject, period: { start: '2025-01-01' } }),
      encounter('b', { subject }),
      encounter('c', { subject, period: { start: '2025-02-01', end: '2025-02-01' } }),
      encounter('d', { subject }),
    ]);
    for (const where of ['', 'patient=p&']) {
      expect(await allPages(`Encounter?${where}_sort=date&_count=1`)).toEqual(['a', 'c', 'b', 'd']);
      expect(await allPages(`Encounter?${where}_sort=-date&_count=3`)).toEqual(['c', 'a', 'd', 'b']);
      expect(await allPages(`Encounter?${where}_sort=-date,_id&_count=2`)).toEqual(['c', 'a', 'b', 'd']);
    }
    expect(await allPages('Encounter?patient=p&_sort=-date')).toEqual(['c', 'a', 'd', 'b']);
    expect(await allPages('Encounter?patient=p&date=lt2025-03&_sort=-date')).toEqual(['c', 'a']);
    await searchWriter(pool()).write([
      encounter('e', { subject: { reference: 'Patient/q' }, period: { start: '2025-03-01' } }),
    ]);
    expect(await allPages('Encounter?patient=q&_sort=-date')).toEqual(['e']);
  });
});

describe('the answers are those of the specification read literally', () => {
  recorded();

  const TYPES = ['Observation', 'Encounter', 'Patient', 'Condition', 'RiskAssessment', 'Questionnaire', 'Appointment'];

  test('for generated resources and queries, with all pages complete and without repeats', async () => {
    const resources = TYPES.flatMap((type) =>
      Array.from(
        { length: 30 },
        (_, i): Resource => ({ ...resourceOf(registry.definitions, type, i * 7 + 1), id: `r${i}` }),
      ),
    );
    await searchWriter(pool()).write(resources);
    await fc.assert(
      fc.asyncProperty(anyQuery(TYPES, resources), async (url) => {
        const query = parsed(url);
        const expected = matchesOf(query, resources);
        const found = await allPages(url);
        expect(found.toSorted()).toEqual(expected.map(({ id }) => id as string).sort());
        const byId = new Map(expected.map((resource) => [resource.id as string, resource]));
        for (let i = 1; i < found.length; i++) {
          const [a, b] = [byId.get(found[i - 1] as string), byId.get(found[i] as string)] as [Resource, Resource];
          expect(compare(query.sort, a, b)).toBeLessThanOrEqual(0);
        }
        expect((await page(`${url}&_summary=count`)).total).toBe(expected.length);
      }),
      { numRuns: 250 },
    );
  });
});

describe('paging', () => {
  beforeEach(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => database.drop());

  test.each([
    ['Observation?_count=7', 'type'],
    ['Observation?code=a&_count=7', 'code'],
    ['Observation?patient=p1&_count=7', 'chart'],
    ['Observation?patient=p1&code=a&_count=7', 'code of a chart'],
    ['Observation?patient=p1&_sort=-date&_count=7', 'chart by date'],
    ['Observation?_sort=date&_count=7', 'clinic by date'],
    ['Observation?date=ge2025-01-01&_count=7', 'date range'],
    ['Observation?status=final&_sort=code,-date&_count=7', 'several keys'],
    ['Observation?_sort=-status&_count=7', 'by code'],
    ['Observation?_sort=value-quantity&_count=7', 'by quantity'],
    ['Observation?_sort=subject,-value-quantity&_count=7', 'by reference and quantity'],
    ['Observation?code=a,b&_sort=-date,status&_count=7', 'several keys, probed'],
    ['Observation?patient.gender=male&_count=7', 'chain'],
    ['Observation?subject:Patient.gender=male&_sort=-date&_count=7', 'chain by date'],
    ['Observation?code:not=b&value-quantity=ge1||mg&_sort=_id&_count=7', 'quantity by id'],
    ['?_type=Observation,Patient&_count=7', 'several types'],
    ['?_type=Observation,Patient&_id:not=x&_sort=_id&_count=7', 'several types by id'],
  ])('%s (%s) is complete and without repeats while others insert and update', async (url) => {
    const { write } = searchWriter(pool());
    const content = (i: number) => ({
      subject: { reference: `Patient/p${(i % 2) + 1}` },
      code: coded('s', 'a'),
      effectiveDateTime: `2025-01-${String((i % 28) + 1).padStart(2, '0')}T10:00:00Z`,
      ...(i % 5 === 0 ? {} : { valueQuantity: { value: i % 4, unit: 'mg' } }),
    });
    const patients = [patient('p1', { gender: 'male' }), patient('p2', { gender: 'female' })];
    const isOld = ({ id }: { id?: string }) => id?.startsWith('o') === true;
    const before = Array.from({ length: 60 }, (_, i) => observation(`o${i}`, content(i)));
    await write([...patients, ...before]);
    const expected = matchesOf(parsed(url), [...patients, ...before])
      .filter(isOld)
      .map(({ id }) => id as string);
    let turn = 0;
    const found = await allPages(url, async () => {
      turn++;
      const others = [0, 1].map((i) => observation(`new${turn}-${i}`, content(turn * 5 + i)));
      const changed = observation(`o${turn * 3}`, { ...content(turn * 3), note: [{ text: `turn ${turn}` }] });
      await write([...others, changed]);
    });
    expect(new Set(found).size).toBe(found.length);
    expect(found.filter((id) => isOld({ id })).sort()).toEqual(expected.toSorted());
  });

  test('a cursor that was changed, or is of another search or service, is refused', async () => {
    await searchWriter(pool()).write([patient('a'), patient('b'), patient('c')]);
    const { next } = await page('Patient?_count=1&_sort=_id');
    const cursor = next as string;
    const refused = (url: string, text: string) => expect(page(url, text)).rejects.toThrow(Failure);
    await refused('Patient?_count=1&_sort=-_id', cursor);
    await refused('Patient?_count=1&_sort=_id&gender=male', cursor);
    await refused('Practitioner?_count=1&_sort=_id', cursor);
    await refused('Patient?_count=1&_sort=_id', `${cursor.startsWith('A') ? 'B' : 'A'}${cursor.slice(1)}`);
    await refused('Patient?_count=1&_sort=_id', 'e30');
    for (const added of ['A', '=', '%', ' ']) await refused('Patient?_count=1&_sort=_id', `${cursor}${added}`);
    await expect(
      search(pool(), parsed('Patient?_count=1&_sort=_id', cursor), { cursorKey: randomBytes(32), terminology }),
    ).rejects.toThrow(Failure);
    expect((await page('Patient?_count=2&_sort=_id', cursor)).matches.map(({ id }) => id)).toEqual(['b', 'c']);
  });
});

describe('hostile values', () => {
  recorded(
    patient('p', { name: [{ family: 'Doe' }], identifier: [{ system: 's', value: 'v' }] }),
    observation('o', { subject: { reference: 'Patient/p' }, code: coded('s', 'a'), effectiveDateTime: '2025' }),
  );

  test.each([
    "' OR 1=1--",
    '\\',
    '%',
    '_',
    '\\\\',
    "'; drop table resource; --",
    '$1',
    '\u{1F600}\uD800',
    '{"a":1}',
    '{,}',
  ])('%j finds nothing and harms nothing', async (value) => {
    const text = encodeURIComponent(value.toWellFormed().replace(/[\\,|$]/g, '\\$&'));
    for (const url of [
      `Patient?identifier=${text}`,
      `Patient?identifier=${text}%7C${text}`,
      `Patient?name:exact=${text}`,
      `Patient?name:contains=x${text}`,
      `Patient?_id=${text}`,
      `Observation?code=x,${text}`,
      `Observation?_profile=${text}`,
    ]) {
      expect(await ids(url)).toEqual([]);
    }
    expect(await ids('Patient')).toEqual(['p']);
  });
});

describe('long lists and values', () => {
  recorded();

  test('a long code is found by its whole text alone', async () => {
    const long = 'x'.repeat(3000);
    await searchWriter(pool()).write([observation('long', { code: coded('s', long) })]);
    expect(await ids(`Observation?code=${long}`)).toEqual(['long']);
    expect(await ids(`Observation?code=${long.slice(1)}`)).toEqual([]);
  });

  test('five hundred alternatives of every kind are served', async () => {
    await searchWriter(pool()).write([
      patient('p1', { name: [{ family: 'n7' }], identifier: [{ system: 's', value: 'v3' }] }),
      observation('o', {
        subject: { reference: 'Patient/p1' },
        effectiveDateTime: '2025-03-09',
        valueQuantity: { value: 7 },
      }),
    ]);
    const list = (make: (i: number) => string) => Array.from({ length: 500 }, (_, i) => make(i)).join(',');
    expect(await ids(`Patient?identifier=${list((i) => `s%7Cv${i}`)}`)).toEqual(['p1']);
    expect(await ids(`Patient?name=${list((i) => `n${i}`)}`)).toEqual(['p1']);
    expect(await ids(`Patient?_id=${list((i) => `p${i}`)}`)).toEqual(['p1']);
    expect(await ids(`Observation?patient=${list((i) => `p${i}`)}`)).toEqual(['o']);
    expect(await ids(`Observation?date=${list((i) => `${1800 + i}-03`)}`)).toEqual(['o']);
    expect(await ids(`Observation?value-quantity=${list((i) => `${i}`)}`)).toEqual(['o']);
  });
});

describe('conditional matches', () => {
  recorded();

  test('all criteria are answered in their order, whatever their form', async () => {
    const identified = (id: string, value: string) =>
      patient(id, { identifier: [{ system: 's', value }], gender: 'male' });
    await searchWriter(pool()).write([
      identified('a', '1'),
      identified('b', '2'),
      identified('c', '2'),
      identified('d', '2'),
    ]);
    const ids = async (...criteria: string[]) =>
      (
        await matchMany(
          pool(),
          criteria.map((text) => ({ type: 'Patient', criteria: text })),
          registry,
          terminology,
        )
      ).map((found) => found.map(({ id }) => id));
    expect(
      await ids(
        'identifier=s|2',
        'identifier=s|1',
        'identifier=s|9',
        'identifier=1&gender=male',
        '_id=c',
        'identifier=s|2',
      ),
    ).toEqual([['b', 'c'], ['a'], [], ['a'], ['c'], ['b', 'c']]);
    const [match] = await matchOne(pool(), { type: 'Patient', criteria: 'identifier=s|1' }, registry, terminology);
    expect(match).toEqual({ rid: expect.stringMatching(/^\d+$/), id: 'a', version: 1 });
  });

  test('a condition that would match everything, or is unknown, is refused', async () => {
    for (const criteria of ['', '_count=3', 'bogus=1']) {
      await expect(matchOne(pool(), { type: 'Patient', criteria }, registry, terminology)).rejects.toThrow(Failure);
    }
  });
});
