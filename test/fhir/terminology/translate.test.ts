/** Concept maps. @see https://hl7.org/fhir/R4/conceptmap.html */
import type { ConceptMap } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { entryOf, shippedTerminology, terminologyIn } from '../../../src/fhir/terminology/shipped.ts';
import { isTranslation, type TranslationRequest, translate } from '../../../src/fhir/terminology/translate.ts';

const FROM = 'https://test.example/from';
const TO = 'https://test.example/to';

function mapOf(
  group: Partial<NonNullable<ConceptMap['group']>[number]>,
  url = 'https://test.example/ConceptMap/m',
): ConceptMap {
  return {
    resourceType: 'ConceptMap',
    url,
    status: 'active',
    group: [
      { source: FROM, target: TO, element: [{ code: 'a', target: [{ code: 'b', equivalence: 'equal' }] }], ...group },
    ],
  };
}

async function translated(code: string, maps: ConceptMap[], request: Partial<TranslationRequest> = {}) {
  const resources = terminologyIn(maps.map(entryOf));
  const [first] = maps;
  const found = await translate(resources, first === undefined ? [] : [first], {
    codings: [{ system: request.reverse ? TO : FROM, code }],
    reverse: false,
    dependencies: [],
    ...request,
  });
  return found.map(({ equivalence, concept }) => `${equivalence} ${concept.system ?? ''}|${concept.code ?? ''}`);
}

test.each<[string, ConceptMap[], string[]]>([
  ['nothing, where the map says nothing', [mapOf({})], []],
  ['itself', [mapOf({ unmapped: { mode: 'provided' } })], [`equal ${TO}|x`]],
  ['a fixed code', [mapOf({ unmapped: { mode: 'fixed', code: 'other', display: 'Other' } })], [`inexact ${TO}|other`]],
  [
    'what another map says',
    [
      mapOf({ unmapped: { mode: 'other-map', url: 'https://test.example/ConceptMap/n' } }),
      mapOf(
        { element: [{ code: 'x', target: [{ code: 'y', equivalence: 'wider' }] }] },
        'https://test.example/ConceptMap/n',
      ),
    ],
    [`wider ${TO}|y`],
  ],
  [
    'nothing, where two maps send it to each other',
    [
      mapOf({ unmapped: { mode: 'other-map', url: 'https://test.example/ConceptMap/n' } }),
      mapOf(
        { unmapped: { mode: 'other-map', url: 'https://test.example/ConceptMap/m' } },
        'https://test.example/ConceptMap/n',
      ),
    ],
    [],
  ],
])('a code without a mapping becomes %s', async (_case, maps, expected) => {
  expect(await translated('x', maps)).toEqual(expected);
});

test('a mapping that depends on something holds where that is given', async () => {
  const map = mapOf({
    element: [
      {
        code: 'a',
        target: [
          {
            code: 'b',
            equivalence: 'equal',
            dependsOn: [{ property: 'https://test.example/site', system: 'https://test.example/sites', value: 'arm' }],
          },
        ],
      },
    ],
  });
  const given = (system: string, code: string) => ({
    dependencies: [{ element: 'https://test.example/site', concepts: [{ system, code }] }],
  });
  expect(await translated('a', [map])).toEqual([]);
  expect(await translated('a', [map], given('https://test.example/sites', 'leg'))).toEqual([]);
  expect(await translated('a', [map], given('https://test.example/others', 'arm'))).toEqual([]);
  expect(await translated('a', [map], given('https://test.example/sites', 'arm'))).toEqual([`equal ${TO}|b`]);
});

test('products come with the match', async () => {
  const map = mapOf({
    element: [
      {
        code: 'a',
        target: [
          {
            code: 'b',
            equivalence: 'equal',
            product: [{ property: 'https://test.example/side', system: 'https://test.example/sides', value: 'left' }],
          },
        ],
      },
    ],
  });
  const [match] = await translate(terminologyIn([]), [map], {
    codings: [{ system: FROM, code: 'a' }],
    reverse: false,
    dependencies: [],
  });
  expect(match?.products).toEqual([
    { element: 'https://test.example/side', concept: { system: 'https://test.example/sides', code: 'left' } },
  ]);
});

test('a target system narrows the groups, and another source system matches nothing', async () => {
  expect(await translated('a', [mapOf({})], { targetSystem: TO })).toEqual([`equal ${TO}|b`]);
  expect(await translated('a', [mapOf({})], { targetSystem: FROM })).toEqual([]);
  expect(await translated('a', [mapOf({})], { codings: [{ system: TO, code: 'a' }] })).toEqual([]);
});

test('what a shipped map translates is found again in reverse', async () => {
  const shipped = shippedTerminology();
  const maps = (await shipped.conceptMaps()).filter(({ group = [] }) =>
    group.some(({ source, target }) => source !== undefined && target !== undefined),
  );
  expect(maps.length).toBeGreaterThan(10);
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...maps), fc.nat(), async (map, n) => {
      const all = (map.group ?? []).flatMap(({ source, element = [] }) =>
        element.map(({ code }) => ({ system: source as string, code: code as string })),
      );
      fc.pre(all.length > 0);
      const coding = all[n % all.length] as { system: string; code: string };
      const dependencies: [] = [];
      const there = await translate(shipped, [map], { codings: [coding], reverse: false, dependencies });
      for (const match of there.filter(isTranslation)) {
        const back = await translate(shipped, [map], { codings: [match.concept], reverse: true, dependencies });
        expect(back.map(({ concept }) => concept.code)).toContain(coding.code);
      }
    }),
    { numRuns: 200 },
  );
});
