import type { Parameters } from '@medplum/fhirtypes';
import { COLOURS, colourMap, colourSet, GENDER, questions, startWithColours, url } from './colours.ts';
import type { Caller, TestService } from './service.ts';

let service: TestService;
let caller: Caller;
const { refusal, asked } = questions(() => caller);

beforeAll(async () => {
  ({ service, caller } = await startWithColours());
});
afterAll(() => service.close());

describe('CodeSystem', () => {
  test.each<[string, string, Record<string, string>, object]>([
    [
      '$validate-code of a code',
      'CodeSystem/$validate-code',
      { url: COLOURS, code: 'red' },
      { result: true, display: 'Red' },
    ],
    ['$validate-code of an unknown code', 'CodeSystem/$validate-code', { url: COLOURS, code: 'x' }, { result: false }],
    [
      '$validate-code by instance',
      'CodeSystem/colours/$validate-code',
      { code: 'crimson', display: 'Crimson' },
      { result: true },
    ],
    ['$validate-code of a coding', 'CodeSystem/$validate-code', { coding: `${GENDER}|male` }, { result: true }],
    [
      '$lookup by code and system',
      'CodeSystem/$lookup',
      { system: COLOURS, code: 'red' },
      { name: 'Colours', version: '1', display: 'Red' },
    ],
    [
      '$lookup in a language',
      'CodeSystem/$lookup',
      { system: COLOURS, code: 'red', displayLanguage: 'de' },
      { display: 'Rot' },
    ],
    [
      '$lookup of our own code',
      'CodeSystem/$lookup',
      { system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'kap-course' },
      { name: 'Kap' },
    ],
    [
      '$lookup by coding',
      'CodeSystem/$lookup',
      { coding: 'http://terminology.hl7.org/CodeSystem/v3-ActCode|AMB' },
      { display: 'ambulatory' },
    ],
    [
      '$subsumes of equals',
      'CodeSystem/$subsumes',
      { system: COLOURS, codeA: 'red', codeB: 'red' },
      { outcome: 'equivalent' },
    ],
    [
      '$subsumes downwards',
      'CodeSystem/$subsumes',
      { system: COLOURS, codeA: 'any', codeB: 'crimson' },
      { outcome: 'subsumes' },
    ],
    [
      '$subsumes upwards, by a parent property',
      'CodeSystem/$subsumes',
      { system: COLOURS, codeA: 'rose', codeB: 'any' },
      { outcome: 'subsumed-by' },
    ],
    [
      '$subsumes of siblings',
      'CodeSystem/$subsumes',
      { system: COLOURS, codeA: 'red', codeB: 'blue' },
      { outcome: 'not-subsumed' },
    ],
    [
      '$subsumes of codings',
      'CodeSystem/$subsumes',
      { codingA: `${COLOURS}|red`, codingB: `${COLOURS}|rose` },
      { outcome: 'subsumes' },
    ],
    ['$subsumes by instance', 'CodeSystem/colours/$subsumes', { codeA: 'red', codeB: 'rose' }, { outcome: 'subsumes' }],
  ])('%s is answered', async (_case, path, query, expected) => {
    expect(await asked(path, query)).toMatchObject(expected);
  });

  test('$lookup shows the properties that are asked for, and all when none is', async () => {
    const body = async (query: Record<string, string>) => {
      const response = await caller.get(url('CodeSystem/$lookup', { system: COLOURS, code: 'red', ...query }));
      const all = (JSON.parse(response.text) as Parameters).parameter ?? [];
      return all
        .filter(({ name }) => name === 'property')
        .map(({ part = [] }) => `${part[0]?.valueCode}=${Object.values(part[1] ?? {})[1]}`);
    };
    expect(await body({})).toEqual([
      'definition=The colour of blood',
      'inactive=false',
      'parent=any',
      'child=crimson',
      'child=rose',
      'warm=true',
    ]);
    expect(await body({ property: 'warm' })).toEqual(['warm=true']);
  });

  test.each([
    ['$lookup of an unknown code', 'CodeSystem/$lookup', { system: COLOURS, code: 'x' }, '404 not-found http.code'],
    [
      '$lookup in an unknown system',
      'CodeSystem/$lookup',
      { system: 'http://nowhere', code: 'x' },
      '404 not-found http.code',
    ],
    ['$lookup without a system', 'CodeSystem/$lookup', { code: 'x' }, '400 required http.system'],
    ['$lookup without anything', 'CodeSystem/$lookup', {}, '400 required http.code'],
    [
      '$lookup in an unknown version',
      'CodeSystem/$lookup',
      { system: COLOURS, code: 'red', version: '9' },
      '404 not-found',
    ],
    [
      '$validate-code in an unknown system',
      'CodeSystem/$validate-code',
      { url: 'http://nowhere', code: 'x' },
      '404 not-found http.url',
    ],
    [
      '$subsumes of an unknown code',
      'CodeSystem/$subsumes',
      { system: COLOURS, codeA: 'x', codeB: 'red' },
      '404 not-found http.codeA',
    ],
    [
      '$subsumes between systems',
      'CodeSystem/$subsumes',
      { codingA: `${COLOURS}|red`, codingB: `${GENDER}|male` },
      '400 invalid http.codingB',
    ],
    ['$subsumes with one code', 'CodeSystem/$subsumes', { system: COLOURS, codeA: 'red' }, '400 required http.codeB'],
  ])('%s is refused', async (_case, path, query, expected) => {
    expect(await refusal(path, query as Record<string, string>)).toBe(expected);
  });
});

describe('ConceptMap/$translate', () => {
  const map = { url: colourMap.url as string };
  const matches = async (query: Record<string, string>) => {
    const response = await caller.get(url('ConceptMap/$translate', query));
    const all = (JSON.parse(response.text) as Parameters).parameter ?? [];
    const found = all
      .filter(({ name }) => name === 'match')
      .map(
        ({ part = [] }) => `${part[0]?.valueCode} ${part.find(({ name }) => name === 'concept')?.valueCoding?.code}`,
      );
    return [all[0]?.valueBoolean, ...found];
  };

  test.each<[string, Record<string, string>, unknown[]]>([
    ['by the map', { ...map, system: COLOURS, code: 'blue' }, [true, 'equivalent male']],
    ['what maps to nothing', { ...map, system: COLOURS, code: 'puce' }, [false, 'unmatched undefined']],
    ['what is not mapped, as the map says', { ...map, system: COLOURS, code: 'rose' }, [true, 'inexact unknown']],
    [
      'by source and target',
      { source: colourSet.url as string, target: colourMap.targetUri as string, system: COLOURS, code: 'blue' },
      [true, 'equivalent male'],
    ],
    ['by the target system', { targetsystem: GENDER, coding: `${COLOURS}|red` }, [true, 'wider female']],
    [
      'backwards, turning round what it means',
      { ...map, reverse: 'true', system: GENDER, code: 'female' },
      [true, 'narrower red', 'wider crimson'],
    ],
    [
      'by a map of R4',
      { url: 'http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v3', system: GENDER, code: 'male' },
      [true, 'equal M'],
    ],
    ['where no map is known', { source: 'http://a', target: 'http://b', system: COLOURS, code: 'red' }, [false]],
  ])('translates %s', async (_case, query, expected) => {
    expect(await matches(query)).toEqual(expected);
  });

  test.each([
    ['an unknown map', { url: 'http://nowhere', system: COLOURS, code: 'red' }, '404 not-found http.url'],
    ['no map', { system: COLOURS, code: 'red' }, '400 required http.url'],
    ['a code without system', { ...map, code: 'red' }, '400 required http.system'],
  ])('of %s is refused', async (_case, query, expected) => {
    expect(await refusal('ConceptMap/$translate', query as Record<string, string>)).toBe(expected);
  });
});
