import type { CodeSystem, ConceptMap, OperationOutcome, Parameters, Resource, ValueSet } from '@medplum/fhirtypes';
import { fhir } from '../record/clinic.ts';
import { type Caller, startTestService, type TestService } from './service.ts';

let service: TestService;
let caller: Caller;

beforeAll(async () => {
  service = await startTestService();
  caller = service.as(await service.token());
  for (const resource of [colours, colourSet, redOnes, colourMap]) {
    const { status, text } = await caller.put(`/fhir/${resource.resourceType}/${resource.id}`, resource);
    expect(status === 201 ? '' : text).toBe('');
  }
});
afterAll(() => service.close());

const COLOURS = 'https://clinic.example/CodeSystem/colours';
const colours: CodeSystem = {
  resourceType: 'CodeSystem',
  id: 'colours',
  url: COLOURS,
  version: '1',
  name: 'Colours',
  status: 'active',
  content: 'complete',
  caseSensitive: true,
  hierarchyMeaning: 'is-a',
  property: [
    { code: 'warm', type: 'boolean' },
    { code: 'inactive', uri: 'http://hl7.org/fhir/concept-properties#inactive', type: 'boolean' },
    { code: 'notSelectable', uri: 'http://hl7.org/fhir/concept-properties#notSelectable', type: 'boolean' },
    { code: 'parent', uri: 'http://hl7.org/fhir/concept-properties#parent', type: 'code' },
  ],
  concept: [
    {
      code: 'any',
      display: 'Any colour',
      property: [{ code: 'notSelectable', valueBoolean: true }],
      concept: [
        {
          code: 'red',
          display: 'Red',
          definition: 'The colour of blood',
          designation: [{ language: 'de', value: 'Rot' }],
          property: [{ code: 'warm', valueBoolean: true }],
          concept: [{ code: 'crimson', display: 'Crimson' }],
        },
        { code: 'blue', display: 'Blue', property: [{ code: 'warm', valueBoolean: false }] },
      ],
    },
    { code: 'rose', display: 'Rosé', property: [{ code: 'parent', valueCode: 'red' }] },
    { code: 'puce', display: 'Puce', property: [{ code: 'inactive', valueBoolean: true }] },
  ],
};
const colourSet: ValueSet = {
  resourceType: 'ValueSet',
  id: 'colours',
  url: 'https://clinic.example/ValueSet/colours',
  version: '1',
  name: 'ColourSet',
  status: 'active',
  compose: { include: [{ system: COLOURS }] },
};
const redOnes: ValueSet = {
  resourceType: 'ValueSet',
  id: 'red',
  url: 'https://clinic.example/ValueSet/red',
  status: 'active',
  compose: {
    include: [{ system: COLOURS, filter: [{ property: 'concept', op: 'is-a', value: 'red' }] }],
    exclude: [{ system: COLOURS, concept: [{ code: 'rose' }] }],
  },
};
const GENDER = 'http://hl7.org/fhir/administrative-gender';
const colourMap: ConceptMap = {
  resourceType: 'ConceptMap',
  id: 'colour-gender',
  url: 'https://clinic.example/ConceptMap/colour-gender',
  status: 'active',
  sourceUri: colourSet.url as string,
  targetUri: 'http://hl7.org/fhir/ValueSet/administrative-gender',
  group: [
    {
      source: COLOURS,
      target: GENDER,
      element: [
        { code: 'red', target: [{ code: 'female', equivalence: 'wider' }] },
        { code: 'crimson', target: [{ code: 'female', equivalence: 'narrower', comment: 'a shade' }] },
        { code: 'blue', target: [{ code: 'male', equivalence: 'equivalent' }] },
        { code: 'puce', target: [{ equivalence: 'unmatched', comment: 'none' }] },
      ],
      unmapped: { mode: 'fixed', code: 'unknown', display: 'Unknown' },
    },
  ],
};

const url = (path: string, query: Record<string, string> = {}) => `/fhir/${path}?${new URLSearchParams(query)}`;
const codes = (valueSet: ValueSet) => (valueSet.expansion?.contains ?? []).map(({ code }) => code);
const expanded = async (path: string, query: Record<string, string> = {}) => {
  const response = await caller.get(url(path, query));
  expect(response.status).toBe(200);
  return valid(JSON.parse(response.text) as ValueSet);
};
const refusal = async (path: string, query: Record<string, string> = {}) => {
  const response = await caller.get(url(path, query));
  const { code, expression } = (JSON.parse(response.text) as OperationOutcome).issue?.[0] ?? {};
  return `${response.status} ${code} ${expression ?? ''}`.trim();
};
/** Whatever is answered is R4 itself. */
function valid<T extends Resource>(resource: T): T {
  expect(fhir.validator.validate(resource)).toEqual([]);
  return resource;
}
/** First value of each parameter by name. */
const values = (parameters: Parameters) =>
  Object.fromEntries(
    (parameters.parameter ?? []).toReversed().map(({ name, ...value }) => [name, Object.values(value)[0]]),
  );
const asked = async (path: string, query: Record<string, string>) => {
  const response = await caller.get(url(path, query));
  expect({ status: response.status, text: response.text }).toMatchObject({ status: 200 });
  return values(valid(JSON.parse(response.text) as Parameters));
};
const posted = async (path: string, body: Resource) => {
  const response = await caller.post(`/fhir/${path}`, body);
  return { status: response.status, body: JSON.parse(response.text) };
};

describe('ValueSet/$expand', () => {
  test('lists a value set of R4 by its url, with its displays', async () => {
    const valueSet = await expanded('ValueSet/$expand', { url: 'http://hl7.org/fhir/ValueSet/administrative-gender' });
    expect(codes(valueSet)).toEqual(['male', 'female', 'other', 'unknown']);
    expect(valueSet.expansion).toMatchObject({
      total: 4,
      timestamp: expect.any(String),
      identifier: expect.stringMatching(/^urn:uuid:/),
    });
    expect(valueSet.expansion?.contains?.[0]).toMatchObject({ system: GENDER, display: 'Male' });
    expect(valueSet.compose).toBeUndefined();
  });

  test.each([
    ['everything', {}, ['any', 'red', 'crimson', 'blue', 'rose', 'puce']],
    ['active concepts', { activeOnly: 'true' }, ['any', 'red', 'crimson', 'blue', 'rose']],
    ['concepts that can be chosen', { excludeNotForUI: 'true' }, ['red', 'crimson', 'blue', 'rose', 'puce']],
    ['what matches a word, whatever its case and accents', { filter: 'ROSE' }, ['rose']],
    ['what matches a designation', { filter: 'rot' }, ['red']],
    ['what matches all words', { filter: 'any col' }, ['any']],
    ['a page', { offset: '2', count: '2' }, ['crimson', 'blue']],
    ['no code at all', { count: '0' }, []],
    ['nothing of an excluded system', { 'exclude-system': COLOURS }, []],
  ])('of a stored value set by instance lists %s', async (_case, query, expected) => {
    expect(codes(await expanded('ValueSet/colours/$expand', query))).toEqual(expected);
  });

  test('pages are complete and say the total', async () => {
    const seen: (string | undefined)[] = [];
    for (let offset = 0; ; offset += 4) {
      const page = await expanded('ValueSet/colours/$expand', { offset: String(offset), count: '4' });
      expect(page.expansion).toMatchObject({ total: 6, offset });
      seen.push(...codes(page));
      if (codes(page).length < 4) break;
    }
    expect(seen).toEqual(['any', 'red', 'crimson', 'blue', 'rose', 'puce']);
  });

  test('with filters and excludes lists what is left', async () => {
    expect(codes(await expanded('ValueSet/$expand', { url: redOnes.url as string }))).toEqual(['red', 'crimson']);
  });

  test('shows designations, definition, languages and hierarchy where it is asked to', async () => {
    const withDesignations = await expanded('ValueSet/red/$expand', {
      includeDesignations: 'true',
      includeDefinition: 'true',
    });
    expect(withDesignations.compose).toEqual(redOnes.compose);
    expect(withDesignations.expansion?.contains?.[0]?.designation).toEqual([{ language: 'de', value: 'Rot' }]);
    const german = await expanded('ValueSet/red/$expand', { displayLanguage: 'de-CH' });
    expect(german.expansion?.contains?.map(({ display }) => display)).toEqual(['Rot', 'Crimson']);
    const tree = await expanded('ValueSet/colours/$expand', { excludeNested: 'false' });
    expect(codes(tree)).toEqual(['any', 'puce']);
    expect(tree.expansion?.contains?.[0]?.contains?.map(({ code }) => code)).toEqual(['red', 'blue']);
    expect(tree.expansion?.contains?.[0]).toMatchObject({ abstract: true });
  });

  test('takes a value set in the body, alone or in Parameters', async () => {
    const { id: _id, ...inline } = redOnes;
    const alone = await posted('ValueSet/$expand', inline as ValueSet);
    expect(codes(alone.body)).toEqual(['red', 'crimson']);
    const parameters: Parameters = {
      resourceType: 'Parameters',
      parameter: [
        { name: 'valueSet', resource: inline as ValueSet },
        { name: 'count', valueInteger: 1 },
      ],
    };
    expect(codes((await posted('ValueSet/$expand', parameters)).body)).toEqual(['red']);
  });

  test('finds the value set that an element is bound to', async () => {
    const valueSet = await expanded('ValueSet/$expand', {
      context: 'http://hl7.org/fhir/StructureDefinition/Patient#Patient.gender',
    });
    expect(codes(valueSet)).toContain('female');
  });

  test('sees what is written as soon as it is written', async () => {
    const changed = { ...redOnes, id: 'changing', url: 'https://clinic.example/ValueSet/changing' };
    const url = { url: changed.url };
    expect(await refusal('ValueSet/$expand', url)).toBe('404 not-found http.url');
    await caller.put('/fhir/ValueSet/changing', changed);
    expect(codes(await expanded('ValueSet/$expand', url))).toEqual(['red', 'crimson']);
    await caller.put('/fhir/ValueSet/changing', {
      ...changed,
      compose: { include: [{ system: COLOURS, concept: [{ code: 'blue' }] }] },
    });
    expect(codes(await expanded('ValueSet/$expand', url))).toEqual(['blue']);
    await caller.delete('/fhir/ValueSet/changing');
    expect(await refusal('ValueSet/$expand', url)).toBe('404 not-found http.url');
  });

  test.each([
    ['no value set', 'ValueSet/$expand', {}, '400 required http.url'],
    ['an unknown one', 'ValueSet/$expand', { url: 'http://nowhere' }, '404 not-found http.url'],
    [
      'an unknown version',
      'ValueSet/$expand',
      { url: `${colourSet.url}`, valueSetVersion: '9' },
      '404 not-found http.url',
    ],
    [
      'an unknown version of all codes of a system',
      'ValueSet/$expand',
      { url: 'http://hl7.org/fhir/ValueSet/administrative-gender|9' },
      '404 not-found http.url',
    ],
    ['an instance that is not there', 'ValueSet/none/$expand', {}, '404 not-found'],
    [
      'all of a system whose content is not here',
      'ValueSet/$expand',
      { url: 'http://hl7.org/fhir/ValueSet/observation-codes' },
      '422 not-supported',
    ],
    [
      'a filter over LOINC',
      'ValueSet/$expand',
      { url: 'http://hl7.org/fhir/ValueSet/doc-typecodes' },
      '422 not-supported',
    ],
    ['a count that is none', 'ValueSet/colours/$expand', { count: 'many' }, '400 value http.count'],
    ['a negative count', 'ValueSet/colours/$expand', { count: '-1' }, '400 value http.count'],
    ['an unknown parameter', 'ValueSet/colours/$expand', { colour: 'red' }, '400 not-supported http.colour'],
    [
      'a day before the definitions changed',
      'ValueSet/colours/$expand',
      { date: '2020-01-01' },
      '422 not-supported http.date',
    ],
  ])('of %s is refused', async (_case, path, query, expected) => {
    expect(await refusal(path, query as Record<string, string>)).toBe(expected);
  });
});

describe('ValueSet/$validate-code', () => {
  const set = { url: colourSet.url as string };
  test.each<[string, Record<string, string>, object]>([
    ['a code of the set', { system: COLOURS, code: 'red' }, { result: true, display: 'Red' }],
    ['a code with its display', { system: COLOURS, code: 'red', display: 'red' }, { result: true }],
    ['a code with a designation as display', { system: COLOURS, code: 'red', display: 'Rot' }, { result: true }],
    [
      'a wrong display',
      { system: COLOURS, code: 'red', display: 'Green' },
      { result: false, message: 'The display "Green" is incorrect', display: 'Red' },
    ],
    [
      'an unknown code',
      { system: COLOURS, code: 'green' },
      { result: false, message: expect.stringContaining('not in the value set') },
    ],
    ['another system', { system: GENDER, code: 'red' }, { result: false }],
    ['an abstract code', { system: COLOURS, code: 'any' }, { result: false }],
    ['an abstract code where that is fine', { system: COLOURS, code: 'any', abstract: 'true' }, { result: true }],
    [
      'an inactive code',
      { system: COLOURS, code: 'puce' },
      { result: true, message: expect.stringContaining('inactive') },
    ],
    ['a coding', { coding: `${COLOURS}|rose` }, { result: true }],
    ['a code of a version that is here', { system: COLOURS, systemVersion: '1', code: 'red' }, { result: true }],
    [
      'a code of a version that is not here',
      { system: COLOURS, systemVersion: '9', code: 'red' },
      { result: false, message: expect.stringContaining('version 9') },
    ],
  ])('says of %s what is so', async (_case, query, expected) => {
    expect(await asked('ValueSet/$validate-code', { ...set, ...query })).toMatchObject(expected);
  });

  test('is true of a concept when one coding is in the set', async () => {
    const codeableConcept = {
      coding: [
        { system: GENDER, code: 'male' },
        { system: COLOURS, code: 'blue' },
      ],
    };
    const body: Parameters = {
      resourceType: 'Parameters',
      parameter: [
        { name: 'url', valueUri: colourSet.url as string },
        { name: 'codeableConcept', valueCodeableConcept: codeableConcept },
      ],
    };
    expect(values((await posted('ValueSet/$validate-code', body)).body)).toMatchObject({ result: true });
  });

  test('infers the system where a context says which element it is for', async () => {
    const context = 'http://hl7.org/fhir/StructureDefinition/Patient#gender';
    expect(await asked('ValueSet/$validate-code', { context, code: 'male' })).toMatchObject({ result: true });
    expect(await asked('ValueSet/$validate-code', { context, code: 'red' })).toMatchObject({ result: false });
  });

  test('knows codes of systems that are a grammar, and says when it cannot know', async () => {
    const mime = { url: 'http://hl7.org/fhir/ValueSet/mimetypes', system: 'urn:ietf:bcp:13' };
    expect(await asked('ValueSet/$validate-code', { ...mime, code: 'text/plain' })).toMatchObject({ result: true });
    expect(await asked('ValueSet/$validate-code', { ...mime, code: 'no' })).toMatchObject({ result: false });
    const language = { url: 'http://hl7.org/fhir/ValueSet/all-languages', system: 'urn:ietf:bcp:47' };
    expect(await asked('ValueSet/$validate-code', { ...language, code: 'de-CH-1901' })).toMatchObject({ result: true });
    const unit = { url: 'http://unitsofmeasure.org' };
    expect(await asked('CodeSystem/$validate-code', { ...unit, code: 'mg/kg' })).toMatchObject({ result: true });
    expect(await asked('CodeSystem/$validate-code', { ...unit, code: 'spoon' })).toMatchObject({ result: false });
    const loinc = { url: 'http://hl7.org/fhir/ValueSet/observation-codes', system: 'http://loinc.org', code: '8480-6' };
    expect(await asked('ValueSet/$validate-code', loinc)).toMatchObject({
      result: false,
      message: expect.stringContaining('not here'),
    });
  });

  test.each([
    ['no code', {}, '400 required http.code'],
    ['a code without system', { code: 'red' }, '400 required http.system'],
    [
      'a day before the definitions changed',
      { code: 'red', system: COLOURS, date: '2020-01-01' },
      '422 not-supported http.date',
    ],
    ['code and coding', { code: 'red', system: COLOURS, coding: `${COLOURS}|red` }, '400 invalid http.coding'],
  ])('with %s is refused', async (_case, query, expected) => {
    expect(await refusal('ValueSet/colours/$validate-code', query as Record<string, string>)).toBe(expected);
  });
});

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
