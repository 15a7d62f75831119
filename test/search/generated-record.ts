/** Records and searches made of few words, so that most searches find something and few find everything. */
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import type { Condition, Include } from './naive-search.ts';

const SYSTEM = ['http://loinc.org', 'http://snomed.info/sct', 'https://kap.example.org/odd|system$,\\'];
const CODES = ['8480-6', '8462-4', '44261-6', 'a,b', 'c|d', 'e$f', 'g\\h', 'Äé'];
const WORDS = [
  'Åse',
  'ase',
  'Møller',
  "O'Brien",
  'van der Berg',
  'a,b',
  "' OR 1=1--",
  '50% off',
  'x_y',
  '山田',
  'Straße',
];
const DATES = [
  '2024',
  '2024-02',
  '2024-02-29',
  '2024-03-01',
  '2024-12-31T23:59:59Z',
  '2025-01-01T00:00:00.000Z',
  '2025-01-01T05:30:00+05:30',
  '2025-03-09',
  '2025-03-09T10:15:30.250Z',
];
const INSTANTS = DATES.filter((text) => text.includes('T'));
const DAYS = DATES.filter((text) => !text.includes('T'));
const UCUM = 'http://unitsofmeasure.org';
const AMOUNTS = [
  { value: 5.4, unit: 'mg', system: UCUM, code: 'mg' },
  { value: 0.0054, unit: 'g', system: UCUM, code: 'g' },
  { value: 80, unit: 'kg', system: UCUM, code: 'kg' },
  { value: 80000, unit: 'gram', system: UCUM, code: 'g' },
  { value: 80, unit: 'points' },
  { value: -3, unit: 'kg', system: 'https://kap.example.org/units', code: 'kg' },
  { value: 0, unit: 'mg', system: UCUM, code: 'mg' },
];

const pick = <T>(values: readonly T[]) => fc.constantFrom(...(values as readonly [T, ...T[]]));
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 });
const some = <T>(arbitrary: fc.Arbitrary<T>) => maybe(fc.array(arbitrary, { minLength: 1, maxLength: 2 }));
const ids = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i}`);
const COUNT = {
  Organization: 4,
  Practitioner: 3,
  Patient: 6,
  Encounter: 8,
  List: 2,
  Observation: 24,
  ValueSet: 6,
  RiskAssessment: 6,
};
const referenceTo = (type: keyof typeof COUNT, letter: string) =>
  pick(ids(letter, COUNT[type])).map((id) => ({ reference: `${type}/${id}` }));

const coding = fc.record({ system: pick(SYSTEM), code: pick(CODES), display: maybe(pick(WORDS)) });
const concept = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ coding: fc.array(coding, { minLength: 1, maxLength: 2 }), text: maybe(pick(WORDS)) }),
  },
  { weight: 1, arbitrary: fc.record({ text: pick(WORDS) }) },
);
const identifier = fc.record({
  system: maybe(pick(SYSTEM)),
  value: pick(CODES),
  type: maybe(fc.record({ coding: fc.tuple(coding), text: maybe(pick(WORDS)) })),
});
const period = fc
  .tuple(maybe(pick(DATES)), maybe(pick(DATES)))
  .filter(([start, end]) => start === undefined || end === undefined || Date.parse(start) < Date.parse(end))
  .map(([start, end]) => ({ start, end }));
const amount = pick(AMOUNTS);
const meta = fc.record({
  tag: some(coding),
  security: some(coding),
  profile: maybe(fc.tuple(pick(['https://kap.example.org/p/a', 'https://kap.example.org/p/b']))),
  source: maybe(pick(['https://kap.example.org/source', 'urn:x:source'])),
});

type Concept = { readonly coding?: readonly { readonly system: string; readonly code: string }[] };
type WithCode = { readonly code: Concept | { readonly text: string } };

/** Invariant obs-7: no value where a component has the code of the whole. */
function isInComponent({
  code,
  component,
}: WithCode & { readonly component: readonly WithCode[] | undefined }): boolean {
  const names = (concept: WithCode['code']) =>
    (('coding' in concept && concept.coding) || []).map((each) => `${each.system}|${each.code}`);
  const own = names(code);
  return (component ?? []).some((part) => names(part.code).some((name) => own.includes(name)));
}

const makers: Readonly<Record<string, (id: string) => fc.Arbitrary<object>>> = {
  Organization: (id) =>
    fc.record({
      identifier: some(identifier),
      name: pick(WORDS),
      active: maybe(fc.boolean()),
      // Each is part of one made before it.
      partOf:
        id === 'o0' ? fc.constant(undefined) : maybe(fc.constant({ reference: `Organization/o${Number(id[1]) - 1}` })),
    }),
  Practitioner: () => fc.record({ identifier: some(identifier), name: some(fc.record({ family: pick(WORDS) })) }),
  Patient: () =>
    fc.record({
      meta,
      identifier: some(identifier),
      name: some(
        fc.record({ family: maybe(pick(WORDS)), given: fc.array(pick(WORDS), { minLength: 1, maxLength: 2 }) }),
      ),
      birthDate: maybe(pick(DAYS)),
      gender: maybe(pick(['female', 'male', 'other'])),
      active: maybe(fc.boolean()),
      telecom: some(fc.record({ system: pick(['phone', 'email']), value: pick(CODES) })),
      generalPractitioner: some(fc.oneof(referenceTo('Practitioner', 'r'), referenceTo('Organization', 'o'))),
      managingOrganization: maybe(
        fc.oneof(
          referenceTo('Organization', 'o'),
          fc.record({ identifier: fc.record({ system: pick(SYSTEM), value: pick(CODES) }) }),
        ),
      ),
    }),
  Encounter: () =>
    fc.record({
      status: pick(['planned', 'finished']),
      class: coding,
      type: some(concept),
      subject: referenceTo('Patient', 'p'),
      period: maybe(period),
      serviceProvider: maybe(referenceTo('Organization', 'o')),
      length: maybe(pick(AMOUNTS.slice(0, 1)).map(() => ({ value: 45, unit: 'min', system: UCUM, code: 'min' }))),
    }),
  Observation: (id) =>
    fc
      .record({
        meta,
        status: pick(['final', 'amended']),
        category: some(concept),
        code: concept,
        subject: maybe(referenceTo('Patient', 'p')),
        encounter: maybe(referenceTo('Encounter', 'e')),
        performer: some(fc.oneof(referenceTo('Practitioner', 'r'), referenceTo('Patient', 'p'))),
        derivedFrom:
          id === 'b0'
            ? fc.constant(undefined)
            : maybe(fc.tuple(fc.constant({ reference: `Observation/b${Number(id.slice(1)) - 1}` }))),
        component: some(fc.record({ code: concept, valueQuantity: maybe(amount) })),
        effective: maybe(
          fc.oneof(
            pick(DATES).map((effectiveDateTime) => ({ effectiveDateTime })),
            pick(INSTANTS).map((effectiveInstant) => ({ effectiveInstant })),
            period.map((effectivePeriod) => ({ effectivePeriod })),
          ),
        ),
        value: maybe(
          fc.oneof(
            amount.map((valueQuantity) => ({ valueQuantity })),
            concept.map((valueCodeableConcept) => ({ valueCodeableConcept })),
            pick(WORDS).map((valueString) => ({ valueString })),
            pick(DATES).map((valueDateTime) => ({ valueDateTime })),
          ),
        ),
      })
      .map(({ effective, value, ...rest }) => ({ ...rest, ...effective, ...(isInComponent(rest) ? {} : value) })),
  ValueSet: (id) =>
    fc.record({
      url: fc.constantFrom('https://kap.example.org/vs', `https://kap.example.org/vs/${id}`, 'urn:oid:1.2.3'),
      status: pick(['draft', 'active']),
      title: maybe(pick(WORDS)),
      date: maybe(pick(DATES)),
    }),
  RiskAssessment: () =>
    fc.record({
      status: fc.constant('final'),
      subject: referenceTo('Patient', 'p'),
      prediction: fc.array(fc.record({ probabilityDecimal: pick([0, 0.25, 0.5, 1]), outcome: concept }), {
        minLength: 1,
        maxLength: 2,
      }),
    }),
  List: () =>
    fc.record({
      status: fc.constant('current'),
      mode: fc.constant('working'),
      subject: maybe(referenceTo('Patient', 'p')),
      entry: some(fc.oneof(referenceTo('Patient', 'p'), referenceTo('Observation', 'b')).map((item) => ({ item }))),
    }),
};

const LETTERS: Readonly<Record<string, string>> = {
  Organization: 'o',
  Practitioner: 'r',
  Patient: 'p',
  Encounter: 'e',
  Observation: 'b',
  ValueSet: 'v',
  RiskAssessment: 'k',
  List: 'l',
};

/** One resource of a type with a given id. */
export function resourceOf(type: string, id: string): fc.Arbitrary<Resource> {
  const make = makers[type] as (id: string) => fc.Arbitrary<object>;
  return make(id).map((body) => withoutNothing({ resourceType: type, id, ...body }) as Resource);
}

/** What is referred to comes first. */
export const record: fc.Arbitrary<Resource[]> = fc.tuple(
  ...Object.entries(COUNT)
    .toSorted(([a], [b]) => (a === 'List' ? 1 : b === 'List' ? -1 : 0))
    .flatMap(([type, count]) => ids(LETTERS[type] as string, count).map((id) => resourceOf(type, id))),
);

/** JSON has no undefined, and FHIR no empty objects and lists. */
function withoutNothing(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNothing);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .map(([name, part]) => [name, withoutNothing(part)] as const)
    .filter(
      ([, part]) =>
        part !== undefined && !(typeof part === 'object' && part !== null && Object.keys(part).length === 0),
    );
  return Object.fromEntries(entries);
}

// ---- searches

const escaped = (text: string) => text.replace(/[\\,$|]/g, '\\$&');
const oneOrMore = (value: fc.Arbitrary<string>) =>
  fc.array(value, { minLength: 1, maxLength: 2 }).map((values) => values.join(','));
const condition = (names: readonly string[], value: fc.Arbitrary<string>) =>
  fc.tuple(pick(names), oneOrMore(value)) as fc.Arbitrary<Condition>;
const modified = (names: readonly string[], modifier: string, value: fc.Arbitrary<string>) =>
  condition(
    names.map((name) => `${name}:${modifier}`),
    value,
  );
const missing = (names: readonly string[]) =>
  fc.tuple(pick(names.map((name) => `${name}:missing`)), pick(['true', 'false'])) as fc.Arbitrary<Condition>;

const code = pick(CODES).map(escaped);
const token = fc.oneof(
  code,
  fc.tuple(pick(SYSTEM), pick(CODES)).map((parts) => parts.map(escaped).join('|')),
  pick(SYSTEM).map((system) => `${escaped(system)}|`),
  code.map((each) => `|${each}`),
);
const PREFIXES = ['', 'eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb'];
const date = fc.tuple(pick(PREFIXES), pick(DATES)).map((parts) => parts.join(''));
const word = pick(WORDS).map(escaped);
const beginning = fc
  .tuple(pick(WORDS), fc.integer({ min: 1, max: 5 }))
  .map(([text, length]) => escaped([...text].slice(0, length).join('')));
const searchable = beginning.filter((text) => /[\p{L}\p{N}]/u.test(text));
const number = (values: readonly string[]) => fc.tuple(pick(PREFIXES), pick(values)).map((parts) => parts.join(''));
const quantity = fc
  .tuple(
    number(['5.4', '5.40', '80', '0.0054', '80000', '-3', '0', '5400']),
    pick(['', `|${UCUM}|mg`, `|${UCUM}|g`, `|${UCUM}|kg`, '||kg', '||points', '|https://kap.example.org/units|kg']),
  )
  .map((parts) => parts.join(''));
const local = (type: keyof typeof COUNT, letter: string) =>
  fc.tuple(pick(['', `${type}/`]), pick(ids(letter, COUNT[type]))).map((parts) => parts.join(''));

const ofPatient = fc.oneof(
  condition(['identifier', 'phone', 'email', 'telecom', 'gender'].slice(0, 1), token),
  condition(['gender'], pick(['female', 'male', 'unknown'])),
  modified(['gender', 'identifier'], 'not', fc.oneof(pick(['female', 'male']), code)),
  modified(
    ['identifier'],
    'of-type',
    fc.tuple(pick(SYSTEM), pick(CODES), pick(CODES)).map((parts) => parts.map(escaped).join('|')),
  ),
  condition(['active'], pick(['true', 'false'])),
  condition(['name', 'family', 'given'], searchable),
  modified(['name', 'family', 'given'], 'exact', word),
  modified(['name', 'family'], 'contains', searchable),
  condition(['birthdate'], date),
  condition(['organization'], local('Organization', 'o')),
  modified(
    ['organization'],
    'identifier',
    fc.tuple(pick(SYSTEM), pick(CODES)).map((parts) => parts.map(escaped).join('|')),
  ),
  condition(['general-practitioner'], fc.oneof(local('Practitioner', 'r'), local('Organization', 'o'))),
  condition(['_tag', '_security'], token),
  condition(['_profile'], pick(['https://kap.example.org/p/a', 'https://kap.example.org/p/b'])),
  condition(['_source'], pick(['https://kap.example.org/source'])).map(
    ([name, value]): Condition => [name, value.split(',')[0] as string],
  ),
  condition(['_id'], pick(ids('p', 7))),
  missing(['identifier', 'name', 'birthdate', 'organization', 'gender', 'active', '_tag']),
);
const ofObservation = fc.oneof(
  condition(['code', 'category', 'combo-code', 'component-code', 'value-concept', 'combo-value-concept'], token),
  modified(['code', 'category', 'status'], 'not', fc.oneof(token, pick(['final', 'amended']))),
  modified(['code', 'category', 'value-concept'], 'text', searchable),
  condition(['status'], pick(['final', 'amended'])),
  condition(['date', 'value-date'], date),
  condition(['value-quantity', 'component-value-quantity', 'combo-value-quantity'], quantity),
  condition(['value-string'], searchable),
  condition(['patient', 'subject'], local('Patient', 'p')),
  condition(['encounter'], local('Encounter', 'e')),
  condition(['performer'], fc.oneof(local('Practitioner', 'r'), fc.constant('Patient/p1'))),
  modified(['performer', 'subject'], 'Patient', pick(ids('p', 6))),
  condition(
    ['code-value-quantity', 'component-code-value-quantity', 'combo-code-value-quantity'],
    fc.tuple(token, quantity).map((parts) => parts.join('$')),
  ),
  condition(
    ['code-value-concept'],
    fc.tuple(token, token).map((parts) => parts.join('$')),
  ),
  condition(
    ['code-value-string'],
    fc.tuple(token, searchable).map((parts) => parts.join('$')),
  ),
  condition(
    ['code-value-date'],
    fc.tuple(token, date).map((parts) => parts.join('$')),
  ),
  missing(['date', 'value-quantity', 'component-code', 'subject', 'encounter', 'value-string']),
);
const ofEncounter = fc.oneof(
  condition(['status'], pick(['planned', 'finished'])),
  condition(['class', 'type'], token),
  condition(['date'], date),
  condition(['subject', 'patient'], local('Patient', 'p')),
  condition(
    ['length'],
    number(['45', '45.0', '50']).map((text) => `${text}|${UCUM}|min`),
  ),
  missing(['date', 'service-provider', 'type']),
);
const ofOrganization = fc.oneof(
  condition(['name'], searchable),
  condition(['identifier'], token),
  condition(['partof'], local('Organization', 'o')),
  missing(['partof', 'active']),
);
const prefixWith = (prefix: string, inner: fc.Arbitrary<Condition>) =>
  inner.map(([name, value]): Condition => [`${prefix}${name}`, value]);

const searches: Readonly<Record<string, fc.Arbitrary<Condition>>> = {
  Patient: fc.oneof(
    { weight: 4, arbitrary: ofPatient },
    { weight: 1, arbitrary: fc.constant<Condition>(['_list', 'l0']) },
    { weight: 1, arbitrary: prefixWith('organization.', ofOrganization) },
    { weight: 1, arbitrary: prefixWith('general-practitioner:Organization.partof.', ofOrganization) },
    { weight: 1, arbitrary: prefixWith('_has:Observation:patient:', ofObservation) },
    { weight: 1, arbitrary: prefixWith('_has:Encounter:subject:_has:Observation:encounter:', ofObservation) },
  ),
  Observation: fc.oneof(
    { weight: 4, arbitrary: ofObservation },
    { weight: 1, arbitrary: prefixWith('subject:Patient.', ofPatient) },
    { weight: 1, arbitrary: prefixWith('patient.organization.', ofOrganization) },
    { weight: 1, arbitrary: prefixWith('encounter.', ofEncounter) },
    { weight: 1, arbitrary: prefixWith('performer.', condition(['name'], searchable)) },
    { weight: 1, arbitrary: prefixWith('patient._has:Encounter:patient:', ofEncounter) },
  ),
  Encounter: fc.oneof(
    { weight: 3, arbitrary: ofEncounter },
    { weight: 1, arbitrary: prefixWith('subject:Patient.', ofPatient) },
    { weight: 1, arbitrary: prefixWith('_has:Observation:encounter:', ofObservation) },
    { weight: 1, arbitrary: prefixWith('service-provider.', ofOrganization) },
  ),
  Organization: fc.oneof(
    ofOrganization,
    prefixWith('partof.', ofOrganization),
    prefixWith('_has:Patient:organization:', ofPatient),
  ),
  ValueSet: fc.oneof(
    condition(['url'], pick(['https://kap.example.org/vs', 'https://kap.example.org/vs/v1', 'urn:oid:1.2.3'])),
    modified(['url'], 'below', pick(['https://kap.example.org/vs', 'https://kap.example.org/vs/v2'])),
    modified(['url'], 'above', pick(['https://kap.example.org/vs/v1', 'https://kap.example.org/vs/v2/more'])),
    condition(['date'], date),
    condition(['title'], searchable),
    missing(['title', 'date']),
  ),
  RiskAssessment: fc.oneof(
    condition(['probability'], number(['0', '0.25', '0.3', '0.5', '1', '1.0'])),
    condition(['subject'], local('Patient', 'p')),
  ),
};

const SORTS: Readonly<Record<string, readonly string[]>> = {
  Patient: ['family', 'birthdate', 'gender', 'identifier', 'organization', 'given', '_id'],
  Observation: ['date', 'code', 'status', 'value-quantity', 'patient', 'value-string', '_id'],
  Encounter: ['date', 'class', 'status', 'patient', '_id'],
  Organization: ['name', 'partof', '_id'],
  ValueSet: ['url', 'title', 'date', 'status', '_id'],
  RiskAssessment: ['probability', 'subject', '_id'],
};

const INCLUDES: Readonly<Record<string, readonly Include[]>> = {
  Patient: [
    { reverse: false, iterate: false, value: 'Patient:organization' },
    { reverse: false, iterate: false, value: 'Patient:general-practitioner:Organization' },
    { reverse: false, iterate: true, value: 'Organization:partof' },
    { reverse: true, iterate: false, value: 'Observation:subject' },
    { reverse: true, iterate: true, value: 'Observation:derived-from' },
  ],
  Observation: [
    { reverse: false, iterate: false, value: 'Observation:patient' },
    { reverse: false, iterate: true, value: 'Observation:derived-from' },
    { reverse: false, iterate: true, value: 'Patient:organization' },
    { reverse: false, iterate: false, value: 'Observation:performer:Practitioner' },
    { reverse: true, iterate: true, value: 'Observation:derived-from' },
  ],
  Organization: [
    { reverse: false, iterate: true, value: 'Organization:partof' },
    { reverse: true, iterate: true, value: 'Organization:partof' },
    { reverse: true, iterate: false, value: 'Patient:organization' },
  ],
};

export type GeneratedSearch = {
  readonly type: string;
  readonly conditions: readonly Condition[];
  readonly sort: readonly string[];
  readonly includes: readonly Include[];
};

export const generatedSearch: fc.Arbitrary<GeneratedSearch> = pick(Object.keys(searches)).chain((type) =>
  fc.record({
    type: fc.constant(type),
    conditions: fc.array(searches[type] as fc.Arbitrary<Condition>, { maxLength: 3 }),
    sort: fc
      .uniqueArray(pick(SORTS[type] as readonly string[]), { maxLength: 2 })
      .chain((keys) => fc.tuple(...keys.map((key) => pick([key, `-${key}`])))),
    includes:
      INCLUDES[type] === undefined
        ? fc.constant([])
        : fc.uniqueArray(pick(INCLUDES[type] as readonly Include[]), { maxLength: 2 }),
  }),
);

export type Change = {
  readonly method: 'PUT' | 'DELETE';
  readonly type: string;
  readonly id: string;
  readonly resource?: Resource;
};

/** Any one change of a record of the kind above: an update, an insertion, or the deletion of what nothing refers to. */
export const generatedChange: fc.Arbitrary<Change> = fc
  .tuple(pick(['Patient', 'Observation', 'Encounter', 'ValueSet', 'RiskAssessment']), fc.boolean())
  .chain(([type, removes]): fc.Arbitrary<Change> => {
    const letter = LETTERS[type] as string;
    const id = pick(ids(letter, COUNT[type as keyof typeof COUNT] + 3));
    return removes && (type === 'ValueSet' || type === 'RiskAssessment')
      ? id.map((each) => ({ method: 'DELETE' as const, type, id: each }))
      : id.chain((each) =>
          resourceOf(type, each).map((resource) => ({ method: 'PUT' as const, type, id: each, resource })),
        );
  });
