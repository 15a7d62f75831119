import { randomBytes } from 'node:crypto';
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { parseSearch, type SearchFilter, type SearchQuery } from '../../src/fhir/search/query.ts';
import { search } from '../../src/postgres/search/search.ts';
import { resourceOf } from '../fhir/any-resource.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { anyFilter, conditionsOf } from './any-search.ts';
import { matchesOf } from './search-model.ts';
import { registry, searchWriter, terminology } from './search-writer.ts';
import { searched } from './searched.ts';

const cursorKey = randomBytes(32);
const TYPES = ['Patient', 'Observation', 'Encounter', 'Practitioner', 'Questionnaire', 'QuestionnaireResponse'];
const EACH = 12;

/** Resources that refer to each other, some by url; and Lists of them. */
function world(): Resource[] {
  const made = TYPES.flatMap((type) =>
    Array.from({ length: EACH }, (_, i): Resource => {
      const text = JSON.stringify({
        ...resourceOf(registry.definitions, type, i * 13 + type.length),
        id: `${type[0]}${i}`,
      });
      let n = i;
      const joined = text
        .replace(
          /"(Patient|Practitioner|Encounter|Observation)\/\w+"/g,
          (_all, of: string) => `"${of}/${of[0]}${n++ % 9}"`,
        )
        .replace(
          /"(canonical|questionnaire|derivedFrom)":"[^"]*"/g,
          (_all, name: string) => `"${name}":"http://q/${n++ % 4}|1"`,
        );
      const resource = JSON.parse(joined) as Resource;
      return type === 'Questionnaire'
        ? ({ ...resource, url: `http://q/${i % 4}`, version: i % 3 === 0 ? '2' : '1' } as Resource)
        : resource;
    }),
  );
  const lists = ['a', 'b'].map(
    (id, n): Resource => ({
      resourceType: 'List',
      id,
      status: 'current',
      mode: 'working',
      entry: made
        .filter((_, i) => i % 5 === n)
        .map((each) => ({ item: { reference: `${each.resourceType}/${each.id}` } })),
    }),
  );
  return [...made, ...lists];
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

async function idsOf(query: SearchQuery): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await searched(
      database.clinicPool(),
      { ...query, ...(cursor === undefined ? {} : { cursor }) },
      { cursorKey, terminology },
    );
    found.push(...page.matches.map(({ type, id }) => `${type}/${id}`));
    cursor = page.next;
  } while (cursor !== undefined);
  return found;
}

function parsed(type: string, text: string): SearchQuery {
  return parseSearch(type, [...new URLSearchParams(text)] as [string, string][], registry, { strict: true });
}

test('conditions within conditions find what the specification says, in all their combinations', async () => {
  const resources = world();
  const { write, remove } = searchWriter(database.clinicPool());
  const gone = { resourceType: 'Practitioner', id: 'P8', active: true } as Resource;
  const known = resources.filter(({ resourceType, id }) => `${resourceType}/${id}` !== 'Practitioner/P8');
  await write([...known, gone]);
  await remove('Practitioner', 'P8');
  const leaves = new Map(
    [...TYPES, 'List'].map((type) => [
      type,
      conditionsOf(type, known).flatMap((condition): SearchFilter[] => [...parsed(type, condition).filters]),
    ]),
  );
  const leavesOf = (type: string) => leaves.get(type) as SearchFilter[];
  const questions = fc
    .constantFrom(...TYPES)
    .chain((type) =>
      fc.tuple(
        fc.constant(type),
        fc.array(anyFilter(type, known, leavesOf), { minLength: 1, maxLength: 2 }),
        fc.constantFrom('', '_sort=_id', '_sort=-_lastUpdated'),
        fc.integer({ min: 1, max: 20 }),
      ),
    );
  await fc.assert(
    fc.asyncProperty(questions, async ([type, filters, sort, count]) => {
      const part = { type, filters, sort: parsed(type, sort).sort };
      const query: SearchQuery = { ...parsed(type, ''), ...part, parts: [part], count };
      const expected = matchesOf(query, known).map(({ id }) => `${type}/${id}`);
      expect((await idsOf(query)).sort()).toEqual(expected.sort());
      const counted = await search(
        database.clinicPool(),
        { ...query, countOnly: true, total: 'accurate' },
        { cursorKey, terminology },
      );
      expect(counted.total).toBe(expected.length);
    }),
    { numRuns: 300 },
  );
});
