/** Random resources of every R4 type, shaped by the definitions: any element may be there, with values of its type. */
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import type { Definitions, ElementDigest } from '../../src/fhir/definitions.ts';

/** A resource of the type; the same seed gives the same one. */
export function anyResource(definitions: Definitions, type: string): fc.Arbitrary<Resource> {
  return fc.integer({ min: 0 }).map((seed) => resourceOf(definitions, type, seed));
}

export function resourceOf(definitions: Definitions, type: string, seed: number): Resource {
  const random = generator(seed);
  const content = contentOf(definitions, type, random, 0);
  return { ...content, resourceType: type, id: `r${random.int(1000)}` } as unknown as Resource;
}

type Generator = { int(below: number): number; pick<T>(list: readonly T[]): T };

function generator(seed: number): Generator {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    int: (below) => Math.floor(next() * below),
    pick: (list) => list[Math.floor(next() * list.length)] as never,
  };
}

const DEEP = 5;
const SKIPPED = new Set(['id', 'extension', 'modifierExtension', 'contained', 'text', 'implicitRules']);

function contentOf(definitions: Definitions, path: string, random: Generator, depth: number): Record<string, unknown> {
  const content: Record<string, unknown> = {};
  for (const element of definitions.elementsOf(path)) {
    const name = element.path.slice(element.path.lastIndexOf('.') + 1);
    if ((SKIPPED.has(name) && !(name === 'text' && depth > 0)) || (depth > 1 && random.int(10) < 4)) continue;
    const type = element.contentReference === undefined ? random.pick(element.types).code : '';
    const make = () => anyValue(definitions, element, type, random, depth);
    const value = element.max > 1 ? Array.from({ length: 1 + random.int(2) }, make) : make();
    if (value === undefined || (Array.isArray(value) && value.includes(undefined))) continue;
    content[name.endsWith('[x]') ? name.slice(0, -3) + type.charAt(0).toUpperCase() + type.slice(1) : name] = value;
  }
  return content;
}

const WORDS = [
  'a',
  'Ben',
  'ann',
  'Zoë',
  'x y',
  'final',
  'male',
  'composed-of',
  'depends-on',
  'phone',
  'email',
  "o'b%_\\",
];
const SYSTEMS = ['http://loinc.org', 'urn:oid:1.2.3', 'http://unitsofmeasure.org'];
const DATES = ['2025', '2025-03', '2025-03-09', '2026-01-31'];
const TIMES = ['2025-03-09T10:00:00Z', '2025-03-09T23:30:00.250-05:00', '2026-02-01T00:00:00+02:00'];

function anyValue(
  definitions: Definitions,
  element: ElementDigest,
  type: string,
  random: Generator,
  depth: number,
): unknown {
  switch (type) {
    case '':
    case 'BackboneElement':
    case 'Element':
      return filled(depth, () => contentOf(definitions, element.path, random, depth + 1));
    case 'boolean':
      return random.int(2) === 0;
    case 'integer':
    case 'positiveInt':
    case 'unsignedInt':
      return random.int(5);
    case 'decimal':
      return random.int(50) / 10;
    case 'date':
      return random.pick(DATES);
    case 'dateTime':
      return random.pick([...DATES, ...TIMES]);
    case 'instant':
      return random.pick(TIMES);
    case 'uri':
    case 'url':
    case 'oid':
    case 'uuid':
      return random.pick(SYSTEMS);
    case 'canonical':
      return random.pick([...SYSTEMS, 'http://kap.example/Questionnaire/phq-9|1.0']);
    case 'Reference':
      return { reference: random.pick(REFERENCES) };
    case 'Resource':
      return { resourceType: random.pick(['Composition', 'MessageHeader']), id: 'c1' };
    case 'Extension':
    case 'xhtml':
    case 'Narrative':
      return undefined;
    default:
      if (/^[a-z]/.test(type)) return random.pick(WORDS);
      return filled(depth, () => contentOf(definitions, type, random, depth + 1));
  }
}

/** FHIR has no empty objects. */
function filled(depth: number, make: () => Record<string, unknown>): Record<string, unknown> | undefined {
  const content = depth < DEEP ? make() : {};
  return Object.keys(content).length === 0 ? undefined : content;
}

const REFERENCES = [
  'Patient/p1',
  'Patient/p2',
  'Practitioner/n1',
  'Location/l1',
  'Encounter/e1',
  'RelatedPerson/k1',
  'Group/g1',
  '#contained',
];
