/** What $validate adds about codings: what their code systems know. */
import type { CodeSystem, Coding } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { joined } from '../../../src/fhir/terminology/resources.ts';
import { entryOf, shippedTerminology, terminologyIn } from '../../../src/fhir/terminology/shipped.ts';
import { adviceOn } from '../../../src/fhir/validation/advice.ts';

const TREES = 'https://test.example/CodeSystem/trees';
const trees: CodeSystem = {
  resourceType: 'CodeSystem',
  url: TREES,
  version: '2',
  status: 'active',
  content: 'complete',
  property: [
    { code: 'gone', uri: 'http://hl7.org/fhir/concept-properties#deprecationDate', type: 'dateTime' },
    { code: 'status', uri: 'http://hl7.org/fhir/concept-properties#status', type: 'code' },
  ],
  concept: [
    { code: 'oak', display: 'Oak', designation: [{ language: 'de', value: 'Eiche' }] },
    { code: 'elm', display: 'Elm', property: [{ code: 'gone', valueDateTime: '2020-01-01' }] },
    { code: 'ash', display: 'Ash', property: [{ code: 'status', valueCode: 'deprecated' }] },
    { code: 'yew', display: 'Yew', property: [{ code: 'status', valueCode: 'retired' }] },
  ],
};

const definitions = loadDefinitions();
const terminology = joined(terminologyIn([trees].map(entryOf)), shippedTerminology());
const advice = (resource: object) => adviceOn(resource, 'Observation', definitions, terminology);
const observation = (...coding: Coding[]) => ({ resourceType: 'Observation', code: { coding } });

test.each<[string, Coding, RegExp | undefined]>([
  ['a code with its display', { code: 'oak', display: 'Oak' }, undefined],
  ['a display in other letters and spaces', { code: 'oak', display: ' OAK ' }, undefined],
  ['a display in another language', { code: 'oak', display: 'Eiche' }, undefined],
  ['another display', { code: 'oak', display: 'Birch' }, /"Birch" is incorrect: .* calls it "Oak"$/],
  ['a code that the system lacks', { code: 'fir' }, /trees\|fir is not in the code system/],
  ['a retired code', { code: 'yew' }, /inactive/],
  ['a code with a date of deprecation', { code: 'elm' }, /deprecated/],
  ['a code whose status is deprecated', { code: 'ash' }, /deprecated/],
  ['a code of a version that is not here', { code: 'fir', version: '9' }, undefined],
  ['a code of the version that is here', { code: 'fir', version: '2' }, /not in the code system/],
])('%s', async (_about, coding, words) => {
  const found = await advice(observation({ system: TREES, ...coding }));
  expect(found).toEqual(
    words === undefined
      ? []
      : [
          {
            severity: 'warning',
            code: 'code-invalid',
            diagnostics: expect.stringMatching(words),
            expression: 'Observation.code.coding[0]',
          },
        ],
  );
});

test('of systems whose content is not here, or only a part, nothing is said', async () => {
  const codings = ['http://snomed.info/sct', 'http://loinc.org', 'https://nowhere.example'].map((system) => ({
    system,
    code: 'anything',
    display: 'whatever',
  }));
  expect(await advice(observation(...codings))).toEqual([]);
});

test('codings are found wherever they stand, in resources inside too', async () => {
  const wrong = { system: TREES, code: 'fir' };
  const resource = {
    ...observation(),
    meta: { tag: [wrong] },
    extension: [{ url: 'https://test.example/x', valueCoding: wrong }],
    contained: [{ resourceType: 'Patient', id: 'p', maritalStatus: { coding: [wrong] } }],
    component: [{ code: { coding: [wrong] }, valueCodeableConcept: { coding: [{ ...wrong, code: 'oak' }, wrong] } }],
  };
  expect((await advice(resource)).map(({ expression }) => expression)).toEqual([
    'Observation.meta.tag[0]',
    'Observation.extension[0].value.ofType(Coding)',
    'Observation.contained[0].maritalStatus.coding[0]',
    'Observation.component[0].code.coding[0]',
    'Observation.component[0].value.ofType(CodeableConcept).coding[1]',
  ]);
});

test('what is no coding is passed over', async () => {
  const resource = {
    resourceType: 'Observation',
    code: { coding: [{ system: 1, code: {} }, 'fir', null, [[]], { system: TREES, code: 'oak', display: 7 }] },
    category: 'trees',
    unknown: { coding: [{ system: TREES, code: 'fir' }] },
  };
  expect(await advice(resource)).toEqual([]);
});

test('thousands of wrong or different codes end in a word that there may be more', async () => {
  const many = (prefix: string, system: string) =>
    observation(...Array.from({ length: 20_000 }, (_, at) => ({ system, code: `${prefix}${at}` })));
  for (const resource of [many('fir', TREES), many('1-', 'http://loinc.org')]) {
    const found = await advice(resource);
    expect(found.length).toBeLessThanOrEqual(101);
    expect(found.at(-1)).toMatchObject({ severity: 'information', code: 'incomplete' });
  }
});

test('a resource that is nested without end is looked at as deep as the validator looks', async () => {
  const resource: Record<string, unknown> = { resourceType: 'Observation' };
  let inner = resource;
  for (let depth = 0; depth < 100_000; depth++) {
    const extension: Record<string, unknown> = { url: 'https://test.example/x' };
    inner.extension = [extension];
    inner = extension;
  }
  expect(await advice(resource)).toEqual([]);
});
