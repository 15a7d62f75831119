/** The parts of the search language beyond a plain condition, section by section. @see https://hl7.org/fhir/R4/search.html */
import { randomBytes } from 'node:crypto';
import type { Resource } from '@medplum/fhirtypes';
import { Failure } from '../../src/fhir/failure.ts';
import { parseSearch, type SearchQuery } from '../../src/fhir/search/query.ts';
import { search } from '../../src/postgres/search/search.ts';
import { indexTexts } from '../../src/postgres/text-index.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { registry, searchWriter, terminology } from './search-writer.ts';
import { searched } from './searched.ts';

const cursorKey = randomBytes(32);
let database: TestDatabase;
const pool = () => database.clinicPool();

function recorded(...resources: readonly unknown[]): void {
  beforeAll(async () => {
    database = await createTestDatabase();
    if (resources.length > 0) await searchWriter(pool()).write(resources as Resource[]);
  });
  afterAll(() => database.drop());
}

type Compartment = { readonly type: string; readonly id: string };

function parsed(url: string, compartment?: Compartment): SearchQuery {
  const [type = '', text = ''] = url.split('?');
  return parseSearch(type, [...new URLSearchParams(text)] as [string, string][], registry, {
    strict: true,
    now: Date.parse('2026-01-01'),
    ...(compartment === undefined ? {} : { compartment }),
  });
}

async function ids(url: string, compartment?: Compartment): Promise<string[]> {
  const { matches } = await searched(pool(), parsed(url, compartment), { cursorKey, terminology });
  return matches.map(({ id }) => id).sort();
}

/** All pages of one resource each, in their order. */
async function inOrder(url: string, compartment?: Compartment): Promise<string[]> {
  const found: string[] = [];
  let query: SearchQuery = { ...parsed(url, compartment), count: 1 };
  for (;;) {
    const { matches, next } = await searched(pool(), query, { cursorKey, terminology });
    found.push(...matches.map(({ type, id }) => (url.startsWith('?') ? `${type}/${id}` : id)));
    if (next === undefined) return found;
    query = { ...query, cursor: next };
  }
}

const coding = (system: string, code: string, display?: string) => ({
  coding: [{ system, code, ...(display === undefined ? {} : { display }) }],
});
const ref = (reference: string) => ({ reference });

describe('chained parameters and reverse chaining', () => {
  recorded(
    { resourceType: 'Organization', id: 'o1', name: 'North' },
    { resourceType: 'Organization', id: 'o2', name: 'South' },
    { resourceType: 'Practitioner', id: 'd1', name: [{ family: 'Stone' }] },
    {
      resourceType: 'Patient',
      id: 'p1',
      identifier: [{ system: 's', value: '1' }],
      name: [{ family: 'Ames' }],
      managingOrganization: ref('Organization/o1'),
      generalPractitioner: [ref('Practitioner/d1')],
    },
    {
      resourceType: 'Patient',
      id: 'p2',
      identifier: [{ system: 's', value: '2' }],
      name: [{ family: 'Bell' }],
      managingOrganization: ref('Organization/o2'),
      gender: 'male',
    },
    { resourceType: 'Patient', id: 'p3' },
    { resourceType: 'Group', id: 'p1', type: 'person', actual: true, identifier: [{ system: 's', value: '1' }] },
    {
      resourceType: 'Observation',
      id: 'a',
      status: 'final',
      code: coding('l', 'x'),
      subject: ref('Patient/p1'),
      encounter: ref('Encounter/e1'),
    },
    { resourceType: 'Observation', id: 'b', status: 'final', code: coding('l', 'y'), subject: ref('Patient/p2') },
    { resourceType: 'Observation', id: 'c', status: 'final', code: coding('l', 'x'), subject: ref('Group/p1') },
    { resourceType: 'Observation', id: 'd', status: 'final', code: coding('l', 'x') },
    { resourceType: 'Encounter', id: 'e1', status: 'finished', class: { code: 'AMB' }, subject: ref('Patient/p1') },
    { resourceType: 'Questionnaire', id: 'q1', url: 'http://q/phq', version: '1', status: 'active', title: 'PHQ' },
    { resourceType: 'Questionnaire', id: 'q2', url: 'http://q/phq', version: '2', status: 'active', title: 'PHQ next' },
    { resourceType: 'QuestionnaireResponse', id: 'r1', status: 'completed', questionnaire: 'http://q/phq|1' },
    { resourceType: 'QuestionnaireResponse', id: 'r2', status: 'completed', questionnaire: 'http://q/phq' },
  );

  test.each([
    ['Observation?patient.identifier=s|1', ['a']],
    ['Observation?subject.identifier=s|1', ['a', 'c']],
    ['Observation?subject:Group.identifier=s|1', ['c']],
    ['Observation?subject:Patient.name=bel', ['b']],
    ['Observation?patient.organization.name=north', ['a']],
    ['Observation?patient.general-practitioner.family=stone&code=x', ['a']],
    ['Observation?patient.gender:missing=true', ['a']],
    ['Observation?patient.gender:not=male', ['a']],
    ['Observation?encounter.patient.identifier=s|1', ['a']],
    ['Observation?patient._id=p2', ['b']],
    ['Patient?_has:Observation:patient:code=x', ['p1']],
    ['Patient?_has:Observation:patient:code=l|x,l|y', ['p1', 'p2']],
    ['Patient?_has:Observation:subject:code=y', ['p2']],
    ['Patient?_has:Observation:patient:_id=b', ['p2']],
    ['Patient?_has:Encounter:patient:_has:Observation:encounter:code=x', ['p1']],
    ['Patient?_has:Observation:patient:encounter.status=finished', ['p1']],
    ['Organization?_has:Patient:organization:_has:Observation:patient:code=y', ['o2']],
    ['Practitioner?_has:Patient:general-practitioner:organization.name=north', ['d1']],
    ['Patient?_has:Observation:patient:code=x&_has:Observation:patient:code=y', []],
    ['QuestionnaireResponse?questionnaire.title=PHQ', ['r1', 'r2']],
    ['QuestionnaireResponse?questionnaire.title:exact=PHQ next', ['r2']],
    ['Questionnaire?_has:QuestionnaireResponse:questionnaire:_id=r1', ['q1']],
    ['Questionnaire?_has:QuestionnaireResponse:questionnaire:_id=r2', ['q1', 'q2']],
  ])('%s', async (url, expected) => {
    expect(await ids(url)).toEqual(expected);
    expect(
      (await search(pool(), { ...parsed(url), countOnly: true, total: 'accurate' }, { cursorKey, terminology })).total,
    ).toBe(expected.length);
  });

  test('a deleted resource is no link of a chain', async () => {
    const { write, remove } = searchWriter(pool());
    await write([
      { resourceType: 'Patient', id: 'gone', gender: 'other' } as Resource,
      { resourceType: 'Observation', id: 'left', status: 'final', code: {}, subject: ref('Patient/gone') } as Resource,
    ]);
    expect(await ids('Observation?patient.gender=other')).toEqual(['left']);
    await remove('Patient', 'gone');
    expect(await ids('Observation?patient.gender=other')).toEqual([]);
    expect(await ids('Observation?patient._id=gone')).toEqual([]);
    expect(await ids('Observation?patient.gender:not=male&_id=left')).toEqual([]);
  });
});

describe('composites hold within one element', () => {
  const quantity = (value: number, code: string) => ({ value, code, system: 'http://unitsofmeasure.org', unit: code });
  recorded(
    {
      resourceType: 'Observation',
      id: 'bp',
      status: 'final',
      code: coding('l', 'bp'),
      component: [
        { code: coding('l', 'sys'), valueQuantity: quantity(120, 'mm[Hg]') },
        { code: coding('l', 'dia'), valueQuantity: quantity(80, 'mm[Hg]') },
      ],
    },
    {
      resourceType: 'Observation',
      id: 'w',
      status: 'final',
      code: coding('l', 'weight'),
      valueQuantity: quantity(70, 'kg'),
    },
  );

  test.each([
    ['component-code-value-quantity=sys$120', ['bp']],
    ['component-code-value-quantity=l|sys$gt100', ['bp']],
    ['component-code-value-quantity=dia$120', []],
    ['component-code-value-quantity=dia$120,dia$80', ['bp']],
    ['code-value-quantity=weight$70000|http://unitsofmeasure.org|g', ['w']],
    ['code-value-quantity=bp$120', []],
    ['combo-code-value-quantity=sys$120', ['bp']],
    ['combo-code-value-quantity=weight$70', ['w']],
    ['combo-code-value-quantity=bp$120', []],
  ])('Observation?%s', async (query, expected) => {
    expect(await ids(`Observation?${query}`)).toEqual(expected);
  });
});

describe('modifiers of tokens, references and uris', () => {
  recorded(
    {
      resourceType: 'Patient',
      id: 'p1',
      identifier: [{ system: 's', value: '1', type: { ...coding('t', 'MR'), text: 'Chart number' } }],
      maritalStatus: { text: 'x' },
    },
    { resourceType: 'Patient', id: 'p2', identifier: [{ system: 's', value: '2', type: coding('t', 'SS') }] },
    {
      resourceType: 'Observation',
      id: 'o1',
      status: 'final',
      code: coding('l', 'a', 'Heart rate'),
      subject: { identifier: { system: 's', value: '1' } },
    },
    {
      resourceType: 'Observation',
      id: 'o2',
      status: 'final',
      code: { text: 'Ratio of hearts' },
      subject: ref('Patient/p1'),
    },
    {
      resourceType: 'Observation',
      id: 'o3',
      status: 'final',
      code: { ...coding('l', 'b', 'Weight'), text: 'Héart weight' },
    },
    { resourceType: 'ValueSet', id: 'v1', status: 'active', url: 'http://x/a' },
    { resourceType: 'ValueSet', id: 'v2', status: 'active', url: 'http://x/a/b' },
    { resourceType: 'ValueSet', id: 'v3', status: 'active', url: 'http://x/ab' },
  );

  test.each([
    ['Patient?identifier:of-type=t|MR|1', ['p1']],
    ['Patient?identifier:of-type=t|MR|2', []],
    ['Patient?identifier:text=chart', ['p1']],
    ['Observation?code:text=heart', ['o1', 'o3']],
    ['Observation?code:text=ratio', ['o2']],
    ['Observation?code:text=hearts', []],
    ['Observation?subject:identifier=s|1', ['o1']],
    ['Observation?patient:identifier=s|1', ['o1']],
    ['ValueSet?url:below=http://x/a/', ['v2']],
    ['ValueSet?url:above=http://x/a/b/c', ['v1', 'v2']],
  ])('%s', async (url, expected) => {
    expect(await ids(url)).toEqual(expected);
  });
});

describe('modifiers that ask a terminology', () => {
  const coloured = (id: string, code: unknown) => ({ resourceType: 'Observation', id, status: 'final', code });
  recorded(
    coloured('r', coding('s', 'red')),
    coloured('b', coding('s', 'blue')),
    coloured('c', coding('s', 'crimson')),
    coloured('x', coding('other', 'red')),
    coloured('n', { text: 'none' }),
    { resourceType: 'Patient', id: 'p', gender: 'male' },
    {
      resourceType: 'Encounter',
      id: 'e',
      status: 'finished',
      class: { code: 'AMB' },
      reasonCode: [coding('s', 'red')],
    },
  );

  test.each([
    ['Observation?code:in=urn:colours', ['b', 'r']],
    ['Observation?code:not-in=urn:colours', ['c', 'n', 'x']],
    ['Observation?code:below=s|red', ['c', 'r']],
    ['Observation?code:above=s|crimson', ['c', 'r']],
    ['Observation?code:below=s|blue,s|red', ['b', 'c', 'r']],
    ['Encounter?reason-code:in=urn:colours', ['e']],
  ])('%s', async (url, expected) => {
    expect(await ids(url)).toEqual(expected);
  });

  test('a value set that is not known is refused where it stands', async () => {
    await expect(ids('Observation?code:in=urn:unknown')).rejects.toMatchObject({
      code: 'invalid',
      issues: [{ code: 'not-found', expression: 'http.code:in' }],
    });
  });
});

describe('_list', () => {
  recorded(
    { resourceType: 'Patient', id: 'p1' },
    { resourceType: 'Patient', id: 'p2' },
    { resourceType: 'Observation', id: 'o1', status: 'final', code: {} },
    {
      resourceType: 'List',
      id: 'l',
      status: 'current',
      mode: 'working',
      entry: [{ item: ref('Patient/p2') }, { item: ref('Observation/o1') }, { item: ref('Patient/absent') }],
    },
  );

  test('finds the items of the type that the search is about', async () => {
    expect(await ids('Patient?_list=l')).toEqual(['p2']);
    expect(await ids('Observation?_list=l')).toEqual(['o1']);
    expect(await ids('Patient?_list=none')).toEqual([]);
  });
});

describe('_text and _content', () => {
  const narrative = (words: string) => ({
    text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml"><p class="bold">${words}</p></div>` },
  });
  const resources = [
    {
      resourceType: 'Condition',
      id: 'c1',
      subject: ref('Patient/p'),
      ...narrative('severe <b>depression</b> since spring'),
    },
    {
      resourceType: 'Condition',
      id: 'c2',
      subject: ref('Patient/p'),
      ...narrative('Mild depréssion'),
      note: [{ text: 'asked about sleep' }],
    },
    {
      resourceType: 'Condition',
      id: 'c3',
      subject: ref('Patient/p'),
      note: [{ text: 'depression "in" remission\nsince may' }],
    },
  ] as unknown as Resource[];
  const cases: [string, string[]][] = [
    ['_text=depression', ['c1', 'c2']],
    ['_text=DEPRESSION severe', ['c1']],
    ['_text=severe OR mild', ['c1', 'c2']],
    ['_text=depression NOT mild', ['c1']],
    ['_text=depression AND -mild', ['c1']],
    ['_text="severe depression"', ['c1']],
    ['_text="depression severe"', []],
    ['_text=bold', []],
    ['_content=depression', ['c1', 'c2', 'c3']],
    ['_content=sleep', ['c2']],
    ['_content=since may', ['c3']],
    ['_content=depression&_text=mild', ['c2']],
    ['_text=depression&_text=spring&patient=p', ['c1']],
    ['_content=\'"(', []],
  ];
  recorded();

  test('find words at once, and the same words when they are indexed', async () => {
    const { write } = searchWriter(pool());
    await write(resources);
    for (const [query, expected] of cases) expect([query, await ids(`Condition?${query}`)]).toEqual([query, expected]);
    expect(await indexTexts(pool(), 100)).toBe(3);
    expect(await indexTexts(pool(), 100)).toBe(0);
    for (const [query, expected] of cases) expect([query, await ids(`Condition?${query}`)]).toEqual([query, expected]);
    await write([{ ...resources[0], ...narrative('well') } as Resource]);
    expect(await ids('Condition?_text=depression')).toEqual(['c2']);
    expect(await ids('Condition?_text=well')).toEqual(['c1']);
    await indexTexts(pool(), 100);
    expect(await ids('Condition?_text=depression')).toEqual(['c2']);
    expect(await ids('Condition?_text=well')).toEqual(['c1']);
  });

  test('a text of more words than PostgreSQL indexes is found by none of them, and harms nothing', async () => {
    const words = Array.from({ length: 300_000 }, (_, i) => `w${i.toString(36)}`).join(' ');
    await searchWriter(pool()).write([{ resourceType: 'Basic', id: 'b', code: { text: words } } as Resource]);
    expect(await ids('Basic?_content=w1')).toEqual([]);
    await indexTexts(pool(), 100);
    expect(await ids('Basic?_content=w1')).toEqual([]);
    expect(await ids('Basic?code:text=w0')).toEqual(['b']);
  });
});

describe('several types at once', () => {
  const meta = { tag: [{ system: 't', code: 'x' }] };
  recorded(
    { resourceType: 'Patient', id: 'a', meta },
    { resourceType: 'Patient', id: 'b' },
    { resourceType: 'Observation', id: 'a', status: 'final', code: {}, subject: ref('Patient/a') },
    {
      resourceType: 'Observation',
      id: 'c',
      status: 'final',
      code: {},
      subject: ref('Patient/b'),
      performer: [ref('Patient/a')],
      meta,
    },
    { resourceType: 'Encounter', id: 'e', status: 'finished', class: { code: 'AMB' }, subject: ref('Patient/a'), meta },
    { resourceType: 'Practitioner', id: 'd' },
  );

  test.each([
    ['?_type=Patient,Observation', ['Observation/a', 'Observation/c', 'Patient/a', 'Patient/b']],
    ['?_type=Patient,Observation&_sort=-_id', ['Observation/c', 'Patient/b', 'Patient/a', 'Observation/a']],
    ['?_tag=t|x', ['Patient/a', 'Observation/c', 'Encounter/e']],
    ['?_tag=t|x&_sort=_id', ['Patient/a', 'Observation/c', 'Encounter/e']],
    ['?_type=Observation,Encounter&_tag:not=x', ['Observation/a']],
    ['?_id=a', ['Observation/a', 'Patient/a']],
    ['?_type=Observation,Encounter&patient=a', ['Observation/a', 'Encounter/e']],
  ])('%s', async (url, expected) => {
    const found = await inOrder(url);
    expect(found.toSorted()).toEqual(expected.toSorted());
    if (url.includes('_sort')) expect(found).toEqual(expected);
    expect(
      (await search(pool(), { ...parsed(url), countOnly: true, total: 'accurate' }, { cursorKey, terminology })).total,
    ).toBe(expected.length);
  });

  test('of every type, by the time of the last update', async () => {
    const found = await inOrder('?_sort=-_lastUpdated');
    expect(found.toSorted()).toEqual([
      'Encounter/e',
      'Observation/a',
      'Observation/c',
      'Patient/a',
      'Patient/b',
      'Practitioner/d',
    ]);
  });

  test('a compartment is what names the patient in any of its ways', async () => {
    const compartment = { type: 'Patient', id: 'a' };
    expect(await inOrder('Observation?', compartment)).toEqual(['a', 'c']);
    expect((await inOrder('?', compartment)).toSorted()).toEqual([
      'Encounter/e',
      'Observation/a',
      'Observation/c',
      'Patient/a',
    ]);
    expect(await inOrder('?_tag=t|x', compartment)).toHaveLength(3);
    expect(await inOrder('Observation?_sort=-_lastUpdated&status=final', compartment)).toHaveLength(2);
  });
});

describe('includes', () => {
  recorded(
    { resourceType: 'Organization', id: 'o1', name: 'a', partOf: ref('Organization/o2') },
    { resourceType: 'Organization', id: 'o2', name: 'b', partOf: ref('Organization/o3') },
    { resourceType: 'Organization', id: 'o3', name: 'c', partOf: ref('Organization/o1') },
    {
      resourceType: 'Patient',
      id: 'p',
      managingOrganization: ref('Organization/o1'),
      generalPractitioner: [ref('Practitioner/d/_history/1')],
    },
    { resourceType: 'Practitioner', id: 'd' },
    {
      resourceType: 'Observation',
      id: 'x',
      status: 'final',
      code: {},
      subject: ref('Patient/p'),
      hasMember: [ref('Observation/x'), ref('Observation/y')],
    },
    { resourceType: 'Observation', id: 'y', status: 'final', code: {}, subject: ref('Patient/p') },
    {
      resourceType: 'Provenance',
      id: 'v',
      target: [ref('Observation/x')],
      recorded: '2025-01-01T00:00:00Z',
      agent: [{ who: ref('Practitioner/d') }],
    },
    { resourceType: 'Questionnaire', id: 'q1', url: 'http://q/1', version: '1', status: 'active' },
    { resourceType: 'Questionnaire', id: 'q2', url: 'http://q/1', version: '2', status: 'active' },
    {
      resourceType: 'QuestionnaireResponse',
      id: 'r',
      status: 'completed',
      questionnaire: 'http://q/1|2',
      subject: ref('Patient/p'),
    },
  );

  const included = async (url: string) => {
    const { matches, included: found } = await search(pool(), parsed(url), { cursorKey, terminology });
    const names = found.map(({ type, id }) => `${type}/${id}`);
    expect(new Set([...names, ...matches.map(({ type, id }) => `${type}/${id}`)]).size).toBe(
      names.length + matches.length,
    );
    return names.sort();
  };

  test.each([
    ['Observation?_id=x&_include=Observation:has-member', ['Observation/y']],
    [
      'Observation?_id=x&_include=Observation:patient&_include:iterate=Patient:organization',
      ['Organization/o1', 'Patient/p'],
    ],
    [
      'Observation?_id=x&_include=Observation:patient&_include:iterate=Patient:organization&_include:iterate=Organization:partof',
      ['Organization/o1', 'Organization/o2', 'Organization/o3', 'Patient/p'],
    ],
    ['Organization?_id=o1&_include:iterate=Organization:partof', ['Organization/o2', 'Organization/o3']],
    ['Patient?_include=Patient:general-practitioner', ['Practitioner/d']],
    ['Patient?_include=*', ['Organization/o1', 'Practitioner/d']],
    ['Patient?_include=Patient:*', ['Organization/o1', 'Practitioner/d']],
    ['Observation?_id=x&_revinclude=Provenance:target', ['Provenance/v']],
    [
      'Observation?_id=x&_revinclude=Provenance:target&_include:iterate=Provenance:agent',
      ['Practitioner/d', 'Provenance/v'],
    ],
    [
      'Organization?_id=o1&_revinclude=Patient:organization&_revinclude:iterate=Observation:patient',
      ['Observation/x', 'Observation/y', 'Patient/p'],
    ],
    ['QuestionnaireResponse?_include=QuestionnaireResponse:questionnaire', ['Questionnaire/q2']],
    ['Questionnaire?version=2&_revinclude=QuestionnaireResponse:questionnaire', ['QuestionnaireResponse/r']],
    ['Questionnaire?version=1&_revinclude=QuestionnaireResponse:questionnaire', []],
  ])('%s', async (url, expected) => {
    expect(await included(url)).toEqual(expected);
  });
});

describe('totals', () => {
  recorded(
    ...Array.from({ length: 2500 }, (_, i) => ({
      resourceType: 'Basic',
      id: `b${i}`,
      code: coding('s', i < 40 ? 'few' : 'many'),
    })),
  );

  test('an estimate is exact while few match, and never less than what was counted', async () => {
    const total = async (url: string) => (await search(pool(), parsed(url), { cursorKey, terminology })).total;
    expect(await total('Basic?code=few&_total=estimate&_count=1')).toBe(40);
    expect(await total('Basic?code=many&_total=accurate&_count=1')).toBe(2460);
    expect(await total('Basic?code=many&_total=estimate&_count=1')).toBeGreaterThan(2000);
    for (let i = 0; i < 5; i++) expect(await total('Basic?_total=estimate&_count=1')).toBeGreaterThan(2000);
    expect(await total('Basic?code=few&_count=1')).toBeUndefined();
  });
});

describe('a search that would take too long', () => {
  recorded();

  test('is stopped and refused as too costly, and the next one is served', async () => {
    const slow = Array.from({ length: 4000 }, (_, i) => ({
      resourceType: 'Basic',
      id: `b${i}`,
      code: { text: `${'word '.repeat(200)}${i}` },
    }));
    await searchWriter(pool()).write(slow as Resource[]);
    const failure = await search(pool(), parsed('Basic?_content=nothing'), {
      cursorKey,
      terminology,
      limitMs: 20,
    }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Failure);
    expect((failure as Failure).issues[0]).toMatchObject({ code: 'too-costly', severity: 'error' });
    expect(await ids('Basic?_id=b7')).toEqual(['b7']);
  });
});
