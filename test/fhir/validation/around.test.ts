/** What a check looks at around a profile: resources inside, claims, references, extensions. */
import type { StructureDefinition } from '@medplum/fhirtypes';
import { besides } from '../../../src/fhir/validation/beside.ts';
import { checker, definitionOf, extensionOf, type Json, TEST } from './profiled.ts';

const BASE = 'http://hl7.org/fhir/StructureDefinition/';
const observation: Json = { resourceType: 'Observation', status: 'final', code: { text: 'x' } };
const withSubject = definitionOf('with-subject', 'Observation', {
  elements: [{ path: 'Observation.subject', min: 1 }],
});
const claiming = (profile: string, more: Json = {}): Json => ({
  ...observation,
  meta: { profile: [profile] },
  ...more,
});
const claim = claiming(`${TEST}with-subject`);

describe('claims of meta.profile', () => {
  const { findings, issues } = checker([withSubject]);
  const none = { profiles: [] };

  test.each<[string, Json, string[]]>([
    ['of the resource itself', claim, ['required Observation.subject']],
    ['with a version', claiming(`${TEST}with-subject|1.0.0`), ['required Observation.subject']],
    ['with a version that is not here', claiming(`${TEST}with-subject|9.0.0`), []],
    ['of a profile that is not known', claiming('http://x.test/unknown'), []],
    ['of base R4', claiming(`${BASE}Observation`), []],
    ['of another base type', claiming(`${BASE}Patient`), ['structure Observation.meta.profile[0]']],
    [
      'of a profile of another type',
      { resourceType: 'Patient', meta: { profile: [`${TEST}with-subject`] } },
      ['structure Patient.meta.profile[0]'],
    ],
    [
      'of a contained resource',
      {
        resourceType: 'Patient',
        contained: [{ ...claim, id: 'a' }],
        link: [],
        generalPractitioner: [{ reference: '#a' }],
      },
      [
        'value Patient.generalPractitioner[0].reference',
        'structure Patient.link',
        'required Patient.contained[0].subject',
      ],
    ],
    [
      'in an entry of a Bundle',
      { resourceType: 'Bundle', type: 'collection', entry: [{ resource: observation }, { resource: claim }] },
      ['required Bundle.entry[1].resource.subject'],
    ],
    [
      'in Parameters, at any depth',
      { resourceType: 'Parameters', parameter: [{ name: 'a', part: [{ name: 'b', resource: claim }] }] },
      ['required Parameters.parameter[0].part[0].resource.subject'],
    ],
  ])('%s', (_what, resource, expected) => {
    expect(findings(resource, none)).toEqual(expected);
  });

  test('do not count where they are not wanted', () => {
    expect(findings(claim, { ...none, claimed: false })).toEqual([]);
  });

  test('of a profile that is not known are worth a warning', () => {
    expect(findings(claiming('http://x.test/unknown'), { ...none, warnings: true })).toContain(
      'warning not-supported Observation.meta.profile[0]',
    );
  });

  test('are named with the version that is known, at the place that is given', () => {
    expect(issues(claim, { ...none, place: 'Bundle.entry[7].resource' })).toEqual([
      {
        severity: 'error',
        code: 'required',
        diagnostics: 'subject is required here',
        expression: 'Bundle.entry[7].resource.subject',
        profile: `${TEST}with-subject|1.0.0`,
      },
    ]);
  });

  test('of base R4 may be asked for, too', () => {
    expect(findings(observation, { profiles: [`${BASE}Patient`] })).toEqual(['structure Observation']);
    expect(findings(observation, { profiles: [`${BASE}Observation`, `${BASE}DomainResource`] })).toEqual([]);
  });

  test('what base R4 says is not said again', () => {
    expect(findings({ ...claim, subject: { reference: 'nonsense' } })).toEqual(['value Observation.subject.reference']);
  });
});

describe('references', () => {
  const born = definitionOf('born', 'Patient', { elements: [{ path: 'Patient.birthDate', min: 1 }] });
  const profile = definitionOf('p', 'Observation', {
    elements: [
      {
        path: 'Observation.subject',
        type: [{ code: 'Reference', targetProfile: [`${TEST}born`, `${BASE}Device`] }],
      },
    ],
  });
  const { findings } = checker([profile, born]);
  const of = (reference: string) => ({ ...observation, meta: { profile: [`${TEST}p`] }, subject: { reference } });
  const good: Json = { resourceType: 'Patient', id: 'p1', birthDate: '1980' };
  const bad: Json = { resourceType: 'Patient', id: 'p1' };
  const bundle = (
    fullUrl: string,
    target: Json,
    reference: string,
    from = 'urn:uuid:00000000-0000-4000-8000-000000000009',
  ): Json => ({
    resourceType: 'Bundle',
    type: 'collection',
    entry: [
      { fullUrl: from, resource: of(reference) },
      { fullUrl, resource: target },
    ],
  });
  const URN = 'urn:uuid:00000000-0000-4000-8000-000000000001';
  const AT = 'Bundle.entry[0].resource.subject.reference';

  test.each<[string, Json, string[]]>([
    ['a type that the profile leaves out', of('Group/1'), ['value Observation.subject.reference']],
    ['a type that it names', of('Device/1'), []],
    ['a type by its profile', of('Patient/1'), []],
    [
      'a type at the end of an absolute url',
      of('https://x.test/fhir/Group/1'),
      ['value Observation.subject.reference'],
    ],
    ['what only looks like one', of('https://x.test/fhir/Things/1'), []],
    [
      'a type beside an identifier',
      { ...of(''), subject: { type: 'Group', identifier: { value: 'x' } } },
      ['value Observation.subject.type'],
    ],
    ['a contained target that meets the profile', { ...of('#p1'), contained: [good] }, []],
    ['a contained target that does not', { ...of('#p1'), contained: [bad] }, ['value Observation.subject.reference']],
    [
      'a contained target of another type',
      { ...of('#x'), contained: [{ resourceType: 'Location', id: 'x' }] },
      ['value Observation.subject.reference'],
    ],
    ['urn:uuid of a Bundle, met', bundle(URN, good, URN), []],
    ['urn:uuid of a Bundle, not met', bundle(URN, bad, URN), [`value ${AT}`]],
    ['urn:uuid of another type', bundle(URN, { resourceType: 'Location' }, URN), [`value ${AT}`]],
    ['urn:uuid that is not in the Bundle', bundle(URN, bad, `${URN.slice(0, -1)}2`), []],
    ['the fullUrl itself', bundle('http://x.test/Patient/p1', bad, 'http://x.test/Patient/p1'), [`value ${AT}`]],
    [
      'relative to the fullUrl',
      bundle('http://x.test/Patient/p1', bad, 'Patient/p1', 'http://x.test/Observation/o'),
      [`value ${AT}`],
    ],
    [
      'relative to a fullUrl elsewhere',
      bundle('http://y.test/Patient/p1', bad, 'Patient/p1', 'http://x.test/Observation/o'),
      [],
    ],
    ['relative, by type and id', bundle(URN, bad, 'Patient/p1'), [`value ${AT}`]],
    ['of one version', bundle('http://x.test/Patient/p1', bad, 'http://x.test/Patient/p1/_history/2'), [`value ${AT}`]],
  ])('%s', (_what, resource, expected) => {
    const asked = resource.resourceType === 'Bundle' ? [] : [`${TEST}p`];
    expect(findings(resource, { profiles: asked })).toEqual(expected);
  });

  test.each<[string, object, string, string[]]>([
    ['only contained', { aggregation: ['contained'] }, 'Patient/1', ['value Observation.subject.reference']],
    ['never contained', { aggregation: ['referenced'] }, '#p1', ['value Observation.subject.reference']],
    ['contained or not', { aggregation: ['contained', 'referenced'] }, '#p1', []],
    ['of one version', { versioning: 'specific' }, 'Patient/1', ['value Observation.subject.reference']],
    ['of one version, and it is', { versioning: 'specific' }, 'Patient/1/_history/2', []],
    ['of no version', { versioning: 'independent' }, 'Patient/1/_history/2', ['value Observation.subject.reference']],
  ])('lead as the profile wants it: %s', (_what, ways, reference, expected) => {
    const leading = definitionOf('leading', 'Observation', {
      elements: [
        {
          path: 'Observation.subject',
          type: [{ code: 'Reference', targetProfile: [`${BASE}Patient`], ...ways } as never],
        },
      ],
    });
    const { findings } = checker([leading]);
    const contained = reference.startsWith('#') ? { contained: [good] } : {};
    expect(findings({ ...observation, ...contained, subject: { reference } })).toEqual(expected);
  });

  test('to what is in the same Bundle are told from others', () => {
    const bundled = definitionOf('bundled', 'Observation', {
      elements: [
        {
          path: 'Observation.subject',
          type: [{ code: 'Reference', targetProfile: [`${BASE}Patient`], aggregation: ['bundled'] }],
        },
      ],
    });
    const { findings } = checker([bundled]);
    const claims = { ...observation, meta: { profile: [`${TEST}bundled`] } };
    const all = (reference: string) => ({
      resourceType: 'Bundle',
      type: 'collection',
      entry: [{ resource: { ...claims, subject: { reference } } }, { resource: good }],
    });
    expect(findings(all('Patient/p1'), { profiles: [] })).toEqual([]);
    expect(findings(all('Patient/p2'), { profiles: [] })).toEqual([`value ${AT}`]);
  });

  test('lead to the other resources of a transaction, too', () => {
    const beside = besides([{ fullUrl: URN, resource: bad }]);
    expect(findings(of(URN), { beside })).toEqual(['value Observation.subject.reference']);
    expect(findings(of(URN), { beside: besides([{ fullUrl: URN, resource: good }]) })).toEqual([]);
  });

  test('of base R4 are held to the type of their target in a Bundle', () => {
    const wrong = {
      resourceType: 'Bundle',
      type: 'collection',
      entry: [
        { fullUrl: URN, resource: { resourceType: 'Location' } },
        { resource: { ...observation, encounter: { reference: URN } } },
      ],
    };
    expect(findings(wrong, { profiles: [] })).toEqual(['value Bundle.entry[1].resource.encounter.reference']);
  });

  test('in a long row are followed a little', () => {
    const next = definitionOf('next', 'Observation', {
      elements: [
        { path: 'Observation.hasMember', type: [{ code: 'Reference', targetProfile: [`${TEST}next`] }] },
        { path: 'Observation.issued', max: '0' },
      ],
    });
    const LENGTH = 3000;
    const row = (claims: boolean): Json => ({
      resourceType: 'Bundle',
      type: 'collection',
      entry: Array.from({ length: LENGTH }, (_, at) => ({
        resource: {
          ...observation,
          id: `o${at}`,
          ...(claims || at === 0 ? { meta: { profile: [`${TEST}next`] } } : {}),
          ...(at + 1 < LENGTH ? { hasMember: [{ reference: `Observation/o${at + 1}` }] } : {}),
          ...(at === 1 || at + 1 === LENGTH ? { issued: '2026-01-01T00:00:00Z' } : {}),
        },
      })),
    });
    const { findings } = checker([next]);
    // A target that claims nothing is told where the reference is; the row behind it is too long to be known.
    expect(findings(row(false), { profiles: [] })).toEqual(['value Bundle.entry[0].resource.hasMember[0].reference']);
    // One that claims the profile says its own faults, once.
    expect(findings(row(true), { profiles: [] })).toEqual([
      'structure Bundle.entry[1].resource.issued',
      `structure Bundle.entry[${LENGTH - 1}].resource.issued`,
    ]);
  });

  test('to a resource that claims a profile derived from the one that is wanted are told by its own check', () => {
    const older = definitionOf('older', 'Patient', {
      baseDefinition: `${TEST}born`,
      elements: [{ path: 'Patient.gender', min: 1 }],
    });
    const { findings: found } = checker([profile, born, older]);
    const claims = { ...bad, gender: 'female', meta: { profile: [`${TEST}older`] } };
    expect(found(bundle(URN, claims, URN), { profiles: [] })).toEqual(['required Bundle.entry[1].resource.birthDate']);
    expect(found(bundle(URN, claims, URN), { profiles: [], claimed: false })).toEqual([]);
  });

  test('in a circle come to an end', () => {
    const friend = definitionOf('friend', 'Patient', {
      elements: [
        { path: 'Patient.link' },
        { path: 'Patient.link.other', type: [{ code: 'Reference', targetProfile: [`${TEST}friend`] }] },
        { path: 'Patient.birthDate', min: 1 },
      ],
    });
    const person = (id: string, other: string, more: Json): Json => ({
      resourceType: 'Patient',
      id,
      link: [{ other: { reference: `Patient/${other}` }, type: 'seealso' }],
      ...more,
    });
    const all = (last: Json) => ({
      resourceType: 'Bundle',
      type: 'collection',
      entry: [person('a', 'b', { birthDate: '1980' }), person('b', 'a', last)].map((resource) => ({
        resource: { ...resource, meta: { profile: [`${TEST}friend`] } },
      })),
    });
    const friends = checker([friend]);
    expect(friends.findings(all({ birthDate: '1980' }), { profiles: [] })).toEqual([]);
    expect(friends.findings(all({}), { profiles: [] })).toContain('required Bundle.entry[1].resource.birthDate');
  });
});

describe('extensions', () => {
  const colour = (context: StructureDefinition['context'], more = {}) =>
    extensionOf('colour', {
      ...(context === undefined ? {} : { context }),
      ...more,
      elements: [{ path: 'Extension.value[x]', min: 1, type: [{ code: 'code' }] }],
    });
  const on = (...expressions: string[]) => expressions.map((expression) => ({ type: 'element' as const, expression }));
  const good = { url: `${TEST}colour`, valueCode: 'red' };
  const patient = (more: Json): Json => ({ resourceType: 'Patient', ...more });
  const none = { profiles: [] };

  test.each<[string, StructureDefinition['context'], Json, string[]]>([
    ['on the resource', on('Patient'), patient({ extension: [good] }), []],
    [
      'on a resource of another type',
      on('Observation'),
      patient({ extension: [good] }),
      ['extension Patient.extension[0]'],
    ],
    ['on any resource', on('DomainResource'), patient({ extension: [good] }), []],
    ['on an element by its path', on('Patient.name'), patient({ name: [{ family: 'x', extension: [good] }] }), []],
    ['on an element by its type', on('HumanName'), patient({ name: [{ family: 'x', extension: [good] }] }), []],
    [
      'on an element of a type by its path there',
      on('HumanName.family'),
      patient({ name: [{ family: 'x', _family: { extension: [good] } }] }),
      [],
    ],
    [
      'on a primitive by its type',
      on('string'),
      patient({ name: [{ family: 'x', _family: { extension: [good] } }] }),
      [],
    ],
    ['on any element', on('Element'), patient({ name: [{ family: 'x', extension: [good] }] }), []],
    [
      'on another element',
      on('Patient.contact', 'Address'),
      patient({ name: [{ family: 'x', extension: [good] }] }),
      ['extension Patient.name[0].extension[0]'],
    ],
    [
      'on one type of a choice',
      on('Patient.deceased[x]'),
      patient({ deceasedBoolean: true, _deceasedBoolean: { extension: [good] } }),
      [],
    ],
    [
      'in an extension',
      [{ type: 'extension', expression: 'http://x.test/outer' }],
      patient({ extension: [{ url: 'http://x.test/outer', extension: [good] }] }),
      [],
    ],
    [
      'in another extension',
      [{ type: 'extension', expression: 'http://x.test/other' }],
      patient({ extension: [{ url: 'http://x.test/outer', extension: [good] }] }),
      ['extension Patient.extension[0].extension[0]'],
    ],
    [
      'where an expression leads',
      [{ type: 'fhirpath', expression: "Patient.name.where(use = 'old')" }],
      patient({ name: [{ use: 'old', extension: [good] }] }),
      [],
    ],
    [
      'where an expression does not lead',
      [{ type: 'fhirpath', expression: "Patient.name.where(use = 'old')" }],
      patient({ name: [{ use: 'official', extension: [good] }] }),
      ['extension Patient.name[0].extension[0]'],
    ],
  ])('%s', (_what, context, resource, expected) => {
    expect(checker([colour(context)]).findings(resource, none)).toEqual(expected);
  });

  test('are held to their definition wherever they stand', () => {
    const { findings, issues } = checker([colour(undefined)]);
    const bad = { url: `${TEST}colour`, valueString: 'red' };
    expect(findings(patient({ name: [{ family: 'x', extension: [bad] }] }), none)).toEqual([
      'structure Patient.name[0].extension[0].value.ofType(string)',
    ]);
    expect(issues(patient({ extension: [bad] }), none)[0]?.profile).toBe(`${TEST}colour|1.0.0`);
    const inside = { resourceType: 'Bundle', type: 'collection', entry: [{ resource: patient({ extension: [bad] }) }] };
    expect(findings(inside, none)[0]).toBe('structure Bundle.entry[0].resource.extension[0].value.ofType(string)');
  });

  test('that nobody here knows are taken, unless they modify', () => {
    const { findings } = checker([colour(undefined)]);
    const unknown = [{ url: 'http://x.test/unknown', valueCode: 'x' }];
    expect(findings(patient({ extension: unknown }), none)).toEqual([]);
    expect(findings(patient({ modifierExtension: unknown }), none)).toEqual(['extension Patient.modifierExtension[0]']);
  });

  test('that modify stand where modifiers stand, and others do not', () => {
    const isModifier = (yes: boolean) =>
      extensionOf('colour', {
        elements: [{ path: 'Extension.value[x]', type: [{ code: 'code' }] }],
        ...(yes ? {} : {}),
      });
    const modifying = isModifier(true);
    const [root, ...others] = modifying.differential?.element ?? [];
    const modifier = {
      ...modifying,
      differential: { element: [{ ...root, isModifier: true, isModifierReason: 'x' } as never, ...others] },
    };
    expect(checker([modifier]).findings(patient({ extension: [good] }), none)).toEqual([
      'extension Patient.extension[0]',
    ]);
    expect(checker([modifier]).findings(patient({ modifierExtension: [good] }), none)).toEqual([]);
    expect(checker([isModifier(false)]).findings(patient({ modifierExtension: [good] }), none)).toEqual([
      'extension Patient.modifierExtension[0]',
    ]);
  });

  test('with parts are held to their slices', () => {
    const parts = extensionOf('address', {
      elements: [
        { path: 'Extension.extension', min: 1 },
        { id: 'Extension.extension:street', path: 'Extension.extension', sliceName: 'street', min: 1, max: '1' },
        { id: 'Extension.extension:street.url', path: 'Extension.extension.url', fixedUri: 'street' },
        {
          id: 'Extension.extension:street.value[x]',
          path: 'Extension.extension.value[x]',
          min: 1,
          type: [{ code: 'string' }],
        },
        { path: 'Extension.value[x]', max: '0' },
      ],
    });
    const { findings } = checker([parts]);
    const address = (...extension: Json[]) => patient({ extension: [{ url: `${TEST}address`, extension }] });
    expect(findings(address({ url: 'street', valueString: 'x' }), none)).toEqual([]);
    expect(findings(address({ url: 'town', valueString: 'x' }), none)).toEqual([
      'required Patient.extension[0].extension',
    ]);
    expect(findings(address({ url: 'street', valueCode: 'x' }), none)).toEqual([
      'structure Patient.extension[0].extension[0].value.ofType(code)',
    ]);
  });
});

describe('profiles of types', () => {
  const dose = definitionOf('dose', 'Quantity', { elements: [{ path: 'Quantity.code', min: 1, patternCode: 'mg' }] });
  const profile = definitionOf('p', 'Observation', {
    elements: [{ path: 'Observation.value[x]', type: [{ code: 'Quantity', profile: [`${TEST}dose`] }] }],
  });

  test('are asked of the value, and named in the words', () => {
    const { issues } = checker([profile, dose]);
    expect(issues({ ...observation, valueQuantity: { value: 1 } })).toEqual([
      {
        severity: 'error',
        code: 'required',
        diagnostics: `code is required here, by ${TEST}dose`,
        expression: 'Observation.value.ofType(Quantity).code',
        profile: `${TEST}p|1.0.0`,
      },
    ]);
  });

  test('of several one is enough', () => {
    const either = definitionOf('p', 'Observation', {
      elements: [
        { path: 'Observation.value[x]', type: [{ code: 'Quantity', profile: [`${TEST}dose`, `${TEST}volume`] }] },
      ],
    });
    const volume = definitionOf('volume', 'Quantity', {
      elements: [{ path: 'Quantity.code', min: 1, patternCode: 'mL' }],
    });
    const { findings } = checker([either, dose, volume]);
    const withCode = (code: string) => ({ ...observation, valueQuantity: { value: 1, system: 'u', code } });
    expect(findings(withCode('mL'))).toEqual([]);
    expect(findings(withCode('g'))).toEqual(['structure Observation.value.ofType(Quantity)']);
  });

  test('that lead to themselves come to an end', () => {
    const nested = extensionOf('nested', {
      elements: [
        { path: 'Extension.extension', slicing: { discriminator: [{ type: 'value', path: 'url' }], rules: 'open' } },
        {
          id: 'Extension.extension:nested',
          path: 'Extension.extension',
          sliceName: 'nested',
          max: '1',
          type: [{ code: 'Extension', profile: [`${TEST}nested`] }],
        },
      ],
    });
    let extension: Json = { url: `${TEST}nested`, valueCode: 'x' };
    for (let level = 0; level < 20; level++) extension = { url: `${TEST}nested`, extension: [extension] };
    expect(checker([nested]).findings({ resourceType: 'Patient', extension: [extension] }, { profiles: [] })).toEqual(
      [],
    );
  });
});
