import type { Parameters, ValueSet } from '@medplum/fhirtypes';
import { COLOURS, codes, colourSet, GENDER, questions, redOnes, startWithColours, values } from './colours.ts';
import type { Caller, TestService } from './service.ts';

let service: TestService;
let caller: Caller;
const { expanded, refusal, asked, posted } = questions(() => caller);

beforeAll(async () => {
  ({ service, caller } = await startWithColours());
});
afterAll(() => service.close());

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
