/** Codes of the guide: each exists where its system is known here, is called what it is called, and is as sure as its use. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  CodeSystem,
  Coding,
  ConceptMap,
  ElementDefinition,
  Resource,
  StructureDefinition,
} from '@medplum/fhirtypes';
import { type DefinitionFile, FHIR_PROFILES, ofType, readGuide } from '../../scripts/guide/source.ts';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { digestValueSets } from '../../src/fhir/profiles/value-sets.ts';
import { shippedTerminology } from '../../src/fhir/terminology/shipped.ts';
import { isTranslation, translate } from '../../src/fhir/terminology/translate.ts';
import { validateInSystem } from '../../src/fhir/terminology/validate-code.ts';
import { ValueSets } from '../../src/fhir/terminology/value-set.ts';
import { adviceOn } from '../../src/fhir/validation/advice.ts';
import { ESKETAMINE_CODES, KAP, KETAMINE_CODES, SYSTEM } from '../../src/kap/codes.ts';
import { SCORE_INTERPRETATIONS } from '../../src/kap/rules/scores.ts';

const guide = readGuide();
const definitions = loadDefinitions();
const terminology = shippedTerminology();
const valueSets = ofType(guide, 'ValueSet').map(({ resource }) => resource);
const conceptMaps = ofType(guide, 'ConceptMap').map(({ resource }) => resource);
const kap = JSON.parse(readFileSync(join(FHIR_PROFILES, 'CodeSystem-kap.json'), 'utf8')) as CodeSystem;
const canonical = (id: string) => `https://kap.example.org/fhir/ValueSet/${id}`;

/**
 * Codes that stem from memory or the literature alone, and from no official value set, code system or public use: none
 * of them may be what a required binding, a pattern or a fixed value asks for.
 */
const UNVERIFIED: readonly (readonly [system: string, code: string])[] = [
  [SYSTEM.snomed, '3424008'],
  [SYSTEM.loinc, 'LA33-6'],
  [SYSTEM.loinc, 'LA6751-7'],
  [SYSTEM.loinc, 'LA9193-9'],
  [SYSTEM.cpt, '90840'],
  [SYSTEM.cpt, '96366'],
  [SYSTEM.cpt, '96372'],
  [SYSTEM.cpt, '96374'],
  [SYSTEM.snomed, '386358000'],
  [SYSTEM.nucc, '2084P0800X'],
  [SYSTEM.icd10cm, 'T41.295A'],
  [SYSTEM.icd10cm, 'R11.0'],
  [SYSTEM.icd10cm, 'R42'],
  [SYSTEM.icd10cm, 'J38.5'],
];
const isUnverified = ({ system, code }: Pick<Coding, 'system' | 'code'>) =>
  UNVERIFIED.some((one) => one[0] === system && one[1] === code);

/** Sets that say of themselves that their codes have to be checked. */
const FOR_PREFERRED_BINDINGS = /For preferred or example bindings only\./;

test.each(valueSets.map((one) => [one.id ?? '', one] as const))('the value set %s expands', async (_id, valueSet) => {
  const members = await new ValueSets(terminology).members(valueSet);
  expect(members.length).toBeGreaterThan(0);
  const listed = (valueSet.compose?.include ?? []).flatMap(({ system = '', concept = [] }) =>
    concept.map(({ code }) => `${system}|${code}`),
  );
  expect(new Set(listed).size).toBe(listed.length);
});

test('every code that a value set lists is one of its system, with the display of the system', async () => {
  const sets = new ValueSets(terminology);
  const wrong: string[] = [];
  for (const { id, compose } of valueSets) {
    for (const { system = '', version, concept = [] } of compose?.include ?? []) {
      if (((await sets.system(system, version))?.concepts.size ?? 0) === 0) continue;
      for (const { code = '', display } of concept) {
        const coding = { system, code, ...(display === undefined ? {} : { display }) };
        const { result, message } = await validateInSystem(sets, system, version, {
          codings: [coding],
          abstract: true,
        });
        if (!result) wrong.push(`${id}: ${message}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

const everything: readonly (readonly [string, Resource])[] = [
  ...guide.definitions.map(({ file, resource }) => [file, resource] as const),
  ...[...guide.examples.values()].flatMap(({ profile, examples }) =>
    examples.filter(({ isValid }) => isValid).map(({ file, resource }) => [`${profile}/${file}`, resource] as const),
  ),
];

test('every coding of a definition or a valid example is one of its system, with a display of the system', async () => {
  const wrong: string[] = [];
  for (const [file, resource] of everything) {
    for (const { diagnostics, expression } of await adviceOn(
      resource,
      resource.resourceType,
      definitions,
      terminology,
    )) {
      wrong.push(`${file} ${expression}: ${diagnostics}`);
    }
  }
  expect(wrong).toEqual([]);
});

// ---- how sure a code is

test('codes that nobody verified stand only in sets that say so', async () => {
  for (const valueSet of valueSets) {
    const members = await new ValueSets(terminology).members(valueSet);
    const saysSo = FOR_PREFERRED_BINDINGS.test(valueSet.description ?? '');
    expect([valueSet.id, members.filter((one) => isUnverified(one)).length > 0 && !saysSo]).toEqual([
      valueSet.id,
      false,
    ]);
  }
});

const profiles = ofType(guide, 'StructureDefinition');
const elementsOf = ({ resource }: DefinitionFile<StructureDefinition>) => [
  ...(resource.differential?.element ?? []),
  ...(resource.snapshot?.element ?? []),
];

test('a required binding of a profile is to a set that is known, and of which every code is verified', () => {
  const bound = profiles.flatMap((file) =>
    elementsOf(file).flatMap(({ id, binding }: ElementDefinition) =>
      binding?.valueSet?.startsWith(canonical('')) === true ? [{ id, binding, file: file.file }] : [],
    ),
  );
  const faults: string[] = [];
  for (const { id, binding, file } of bound) {
    const url = binding.valueSet ?? '';
    const valueSet = valueSets.find((one) => one.url === url);
    const [digest] = digestValueSets([url], []);
    if (valueSet === undefined || digest === undefined || digest.unknown)
      faults.push(`${file} ${id}: ${url} is not known`);
    if (binding.strength !== 'required') continue;
    if (FOR_PREFERRED_BINDINGS.test(valueSet?.description ?? ''))
      faults.push(`${file} ${id}: ${url} is for weaker bindings`);
    if (UNVERIFIED.some(([system, code]) => digest?.codes[system]?.includes(code) === true)) {
      faults.push(`${file} ${id}: ${url} has a code that nobody verified`);
    }
  }
  expect(faults).toEqual([]);
});

function codingsIn(value: unknown): Coding[] {
  if (Array.isArray(value)) return value.flatMap(codingsIn);
  if (typeof value !== 'object' || value === null) return [];
  const own = 'system' in value && 'code' in value ? [value as Coding] : [];
  return [...own, ...Object.values(value).flatMap(codingsIn)];
}

test('no pattern and no fixed value asks for a code that nobody verified', () => {
  const asked = (element: ElementDefinition) =>
    Object.entries(element).flatMap(([name, value]) => (/^(fixed|pattern)/.test(name) ? codingsIn(value) : []));
  const faults = profiles.flatMap((file) =>
    elementsOf(file).flatMap((element) =>
      asked(element)
        .filter(isUnverified)
        .map(({ code }) => `${file.file} ${code}`),
    ),
  );
  expect(faults).toEqual([]);
});

// ---- the local codes

const kindsOf = (code: string) =>
  (kap.concept?.find((one) => one.code === code)?.property ?? [])
    .filter((property) => property.code === 'kind')
    .map(({ valueString }) => valueString);
const ofKind = (kind: string) => Object.keys(KAP).filter((code) => kindsOf(code).includes(kind));

test('every local code has a definition of a sentence, and says what it is for', () => {
  for (const { code = '', definition } of kap.concept ?? []) {
    expect([code, /^[A-Z].{10,}\.$/.test(definition ?? '')]).toEqual([code, true]);
    expect([code, kindsOf(code).length]).not.toEqual([code, 0]);
  }
  expect(kap.count).toBe(kap.concept?.length);
});

test.each([
  ['finding', 'kap-rule-finding'],
  ['interpretation', 'kap-score-interpretation'],
  ['score', 'kap-score'],
  ['visit', 'kap-encounter-type'],
  ['duration', 'kap-therapy-duration'],
  ['note', 'kap-separate-note-type'],
  ['tag', 'kap-import-tag'],
  ['value', 'kap-discharge-decision'],
])('the local codes of kind %s are those of %s', async (kind, id) => {
  const sets = new ValueSets(terminology);
  const members = await sets.members(await sets.valueSet(canonical(id)));
  const local = members.filter(({ system }) => system === SYSTEM.kap).map(({ code }) => code);
  expect([...local].sort()).toEqual(ofKind(kind).sort());
});

test('what the rules say about scores is in the value set of interpretations', () => {
  for (const code of SCORE_INTERPRETATIONS) expect(ofKind('interpretation')).toContain(code);
});

test.each([
  ['kap-racemic-ketamine', KETAMINE_CODES],
  ['kap-esketamine', ESKETAMINE_CODES],
])('%s holds what the rules take for it', async (id, codes) => {
  const sets = new ValueSets(terminology);
  const members = await sets.members(await sets.valueSet(canonical(id)));
  expect(new Set(members.map(({ system, code }) => `${system}|${code}`))).toEqual(codes);
});

// ---- maps

const mapOf = (id: string) => conceptMaps.find((one) => one.id === id) as ConceptMap;

async function translated(id: string, coding: Coding, targetSystem?: string) {
  const found = await translate(terminology, [mapOf(id)], {
    codings: [coding],
    targetSystem,
    reverse: false,
    dependencies: [],
  });
  return found.filter(isTranslation).map(({ concept, equivalence }) => `${equivalence} ${concept.code}`);
}

test.each([
  ['therapy-under-16-min', []],
  ['therapy-16-to-37-min', ['equivalent 90832']],
  ['therapy-38-to-52-min', ['equivalent 90834']],
  ['therapy-53-min-or-more', ['equivalent 90837']],
])('a %s is billed as %j', async (code, expected) => {
  expect(await translated('kap-therapy-duration-to-cpt', { system: SYSTEM.kap, code })).toEqual(expected);
});

test('the bands of therapy follow each other without a gap', () => {
  const numbers = (code: string, name: string) =>
    kap.concept?.find((one) => one.code === code)?.property?.find((property) => property.code === name)?.valueInteger;
  const bands = ofKind('duration').map((code) => [numbers(code, 'lowest'), numbers(code, 'highest')]);
  expect(bands).toEqual([
    [0, 15],
    [16, 37],
    [38, 52],
    [53, undefined],
  ]);
});

test('each source of a map is in the set that the map is from, and each target in the set that it is to', async () => {
  const faults: string[] = [];
  for (const { id, sourceCanonical, targetCanonical, group = [] } of conceptMaps) {
    const sets = new ValueSets(terminology);
    const isIn = async (url: string | undefined, system: string | undefined, code: string | undefined) => {
      const local = valueSets.find((one) => one.url === url);
      if (local === undefined || code === undefined) return true;
      return (await sets.holds(local, { system: system ?? '', code })).is === 'in';
    };
    for (const { source, target, element = [] } of group) {
      for (const { code, target: targets = [] } of element) {
        if (!(await isIn(sourceCanonical, source, code))) faults.push(`${id}: source ${code}`);
        for (const one of targets)
          if (!(await isIn(targetCanonical, target, one.code))) faults.push(`${id}: target ${one.code}`);
      }
    }
  }
  expect(faults).toEqual([]);
});

test('the codes and displays of maps are those of the systems that are known', async () => {
  const sets = new ValueSets(terminology);
  const wrong: string[] = [];
  const look = async (
    id: string,
    system: string | undefined,
    code: string | undefined,
    display: string | undefined,
  ) => {
    if (system === undefined || code === undefined || (await sets.system(system))?.isComplete !== true) return;
    const coding = { system, code, ...(display === undefined ? {} : { display }) };
    const { result, message } = await validateInSystem(sets, system, undefined, { codings: [coding], abstract: true });
    if (!result) wrong.push(`${id}: ${message}`);
  };
  for (const { id = '', group = [] } of conceptMaps) {
    for (const { source, target, element = [] } of group) {
      for (const { code, display, target: targets = [] } of element) {
        await look(id, source, code, display);
        for (const one of targets) await look(id, target, one.code, one.display);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('there is a map for the targets of every vendor that a dialect may name', async () => {
  for (const vendor of ['generic', 'epic', 'ecw', 'oracle']) {
    const id = `kap-to-target-${vendor}`;
    expect(await translated(id, { system: SYSTEM.kap, code: 'kap-infusion' }, SYSTEM.snomed)).toEqual([
      'wider 14152002',
    ]);
    expect(await translated(id, { system: SYSTEM.loinc, code: '34904-3' })).toEqual(['wider 11506-3']);
    expect(await translated(id, { system: SYSTEM.loinc, code: '11506-3' })).toEqual(['equal 11506-3']);
  }
});

test.each(['http://www.nlm.nih.gov/research/umls/hcpcs', 'https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets'])(
  'a code of HCPCS under %s is the same code',
  async (system) => {
    expect(await translated('hcpcs-systems', { system, code: 'G2083' })).toEqual(['equal G2083']);
    expect(await translated('hcpcs-systems', { system, code: 'A0428' })).toEqual(['equal A0428']);
  },
);

test('a code that R4 lacks and the shipped fragment of a newer edition has is known', async () => {
  const sets = new ValueSets(terminology);
  const answer = (code: string) =>
    validateInSystem(sets, SYSTEM.actCode, undefined, { codings: [{ system: SYSTEM.actCode, code }] });
  expect(await answer('42CFRPart2CD')).toEqual({ result: true, display: '42 CFR Part 2 consent directive' });
  expect((await answer('PSYTHPN')).result).toBe(true);
  expect((await answer('NOSUCHCODE')).result).toBe(false);
});
