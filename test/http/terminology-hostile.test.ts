import type { ValueSet } from '@medplum/fhirtypes';
import { COLOURS, codes, colourMap, questions, startWithColours, url } from './colours.ts';
import type { Caller, TestService } from './service.ts';

let service: TestService;
let caller: Caller;
const { expanded, posted } = questions(() => caller);

beforeAll(async () => {
  ({ service, caller } = await startWithColours());
});
afterAll(() => service.close());

describe('hostile values', () => {
  const values = [
    "' OR 1=1--",
    '\u0000',
    '%',
    '|||',
    '$',
    '\\',
    '\ud800',
    '__proto__',
    'constructor',
    'a'.repeat(20_000),
    '-1',
    '2147483647',
    '9'.repeat(30),
    'NaN',
    'http://hl7.org/fhir/ValueSet/administrative-gender|'.repeat(50),
  ];
  const places: readonly (readonly [path: string, names: readonly string[], rest: Record<string, string>])[] = [
    ['ValueSet/$expand', ['url', 'context'], {}],
    [
      'ValueSet/colours/$expand',
      ['filter', 'offset', 'count', 'displayLanguage', 'designation', 'exclude-system', 'date', 'system-version'],
      {},
    ],
    [
      'ValueSet/colours/$validate-code',
      ['code', 'display', 'systemVersion', 'displayLanguage'],
      { system: COLOURS, code: 'red' },
    ],
    ['CodeSystem/$lookup', ['system', 'code', 'version', 'property'], { system: COLOURS, code: 'red' }],
    ['CodeSystem/$subsumes', ['codeA', 'system'], { system: COLOURS, codeA: 'red', codeB: 'red' }],
    [
      'ConceptMap/$translate',
      ['url', 'code', 'targetsystem'],
      { url: colourMap.url as string, system: COLOURS, code: 'red' },
    ],
  ];
  const cases = places.flatMap(([path, names, rest]) =>
    names.map((name) => [`${path}?${name}`, path, name, rest] as const),
  );

  test.each(cases)('of %s are answered or refused, and the service goes on', async (_title, path, name, rest) => {
    for (const value of values) {
      const { status } = await caller.get(url(path, { ...rest, [name]: value }));
      expect(status < 500 ? '' : `${status} for ${value.slice(0, 20)}`).toBe('');
    }
    expect(codes(await expanded('ValueSet/red/$expand'))).toEqual(['red', 'crimson']);
  });

  test('of a value set with a hundred thousand codes are bounded', async () => {
    const concept = Array.from({ length: 100_001 }, (_, n) => ({ code: `c${n}` }));
    const large: ValueSet = {
      resourceType: 'ValueSet',
      status: 'active',
      compose: { include: [{ system: 'https://x', concept }] },
    };
    const { status, body } = await posted('ValueSet/$expand', large);
    expect([status, body.issue[0].code]).toEqual([422, 'too-costly']);
  });

  test('of a value set with ten thousand codes are given in pages', async () => {
    const concept = Array.from({ length: 10_001 }, (_, n) => ({ code: `c${n}` }));
    const large: ValueSet = {
      resourceType: 'ValueSet',
      status: 'active',
      compose: { include: [{ system: 'https://x', concept }] },
    };
    const whole = await posted('ValueSet/$expand', large);
    expect([whole.status, whole.body.issue[0].code]).toEqual([422, 'too-costly']);
    const page = await posted('ValueSet/$expand?offset=10000&count=5', large);
    expect(codes(page.body)).toEqual(['c10000']);
    expect(page.body.expansion.total).toBe(10_001);
  });
});

test('questions of terminology need a token that may read the type, and are audited', async () => {
  const other = service.as(await service.token('system/Patient.r'));
  expect((await other.get(url('ValueSet/$expand', { url: 'x' }))).status).toBe(403);
  await service.newAuditEvents();
  await expanded('ValueSet/colours/$expand');
  expect(await service.newAuditEvents()).toHaveLength(1);
});
