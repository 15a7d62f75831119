/** Random JSON of the right shape for any type or backbone element, so that a constraint now holds and now does not. */
import fc from 'fast-check';
import type { Definitions, ElementDigest } from '../../../src/fhir/definitions.ts';

const WORDS = ['x', 'final', 'A_1', 'a b'];
const DATES = ['2025', '2025-03', '2025-03-01', '2025-03-02'];
const MOMENTS = ['2025-03-01T09:00:00Z', '2025-03-01T10:00:00.5+02:00', '2025-03-01T08:00:00-05:00'];
const EXTENSION = { url: 'http://example.org/extension', valueCode: 'unknown' };

export type NodeOptions = {
  /** Texts that a constraint compares with; they are the most frequent values. */
  readonly texts: readonly string[];
  readonly depth?: number;
  /** False: no primitive has extensions. The engine takes two equal codes with different extensions as different ones. */
  readonly siblings?: boolean;
};

/** @param content a type, a primitive type or the path of a backbone element */
export function anyNode(content: string, definitions: Definitions, options: NodeOptions): fc.Arbitrary<unknown> {
  const primitive = anyPrimitive(content, options.texts);
  return primitive ?? anyObject(content, { definitions, ...options }, options.depth ?? 3);
}

type Members = Record<string, unknown>;
type Made = NodeOptions & { readonly definitions: Definitions };

function anyObject(content: string, made: Made, depth: number): fc.Arbitrary<Members> {
  const { definitions } = made;
  const elements = definitions.elementsOf(definitions.structure(content)?.type ?? content);
  const parts = elements.flatMap((element) => {
    const part = anyElement(element, made, depth);
    return part === undefined ? [] : [part];
  });
  const isResource = definitions.isResourceType(content);
  return fc
    .tuple(...parts)
    .map((members) => Object.assign(isResource ? { resourceType: content } : {}, ...members) as Members);
}

/** The element under its names in JSON, or nothing. */
function anyElement(element: ElementDigest, made: Made, depth: number): fc.Arbitrary<Members> | undefined {
  const last = element.path.slice(element.path.lastIndexOf('.') + 1);
  const isChoice = last.endsWith('[x]');
  const name = isChoice ? last.slice(0, -3) : last;
  if (element.max === 0 || ['contained', 'modifierExtension', 'implicitRules', 'div'].includes(name)) return undefined;
  const types = element.contentReference === undefined ? element.types : [{ code: element.contentReference }];
  const forms = types.flatMap(({ code }) => {
    const key = isChoice ? name + code.charAt(0).toUpperCase() + code.slice(1) : name;
    const members = anyMembers(key, code, element, made, depth);
    return members === undefined ? [] : [members];
  });
  if (forms.length === 0) return undefined;
  // Often there, less often when it makes the node large.
  const weight = depth > 2 ? 3 : 1;
  return fc.oneof({ weight, arbitrary: fc.oneof(...forms.slice(0, 8)) }, { weight: 2, arbitrary: fc.constant({}) });
}

function anyMembers(
  key: string,
  code: string,
  element: ElementDigest,
  made: Made,
  depth: number,
): fc.Arbitrary<Members> | undefined {
  const { definitions, texts, siblings = true } = made;
  const isList = element.max > 1;
  const list = <T>(item: fc.Arbitrary<T>) => (isList ? fc.array(item, { minLength: 1, maxLength: 3 }) : item);
  const primitive = anyPrimitive(code, texts);
  if (primitive !== undefined) {
    const plain = list(primitive).map((value) => ({ [key]: value }));
    if (!siblings || element.bare === true || key === 'id') return plain;
    const sibling = isList ? [{ extension: [EXTENSION] }] : { extension: [EXTENSION] };
    const bare = fc.constant({ [`_${key}`]: sibling });
    const both = primitive.map((value) => ({ [key]: isList ? [value] : value, [`_${key}`]: sibling }));
    return fc.oneof({ weight: 8, arbitrary: plain }, { weight: 1, arbitrary: bare }, { weight: 1, arbitrary: both });
  }
  if (depth === 0 || code === 'Extension' || code === 'Meta' || code === 'Narrative') return undefined;
  if (code === 'Resource') {
    const resource = fc.record({
      resourceType: fc.constantFrom('Composition', 'MessageHeader', 'Patient'),
      id: fc.constantFrom('r1', 'r2'),
      meta: fc.record({ versionId: fc.constantFrom('1', '2') }),
    });
    return list(resource).map((value) => ({ [key]: value }));
  }
  const isBackbone = code === 'BackboneElement' || code === 'Element';
  const content = isBackbone ? element.path : code;
  if (definitions.elementsOf(content).length === 0) return undefined;
  const value = fc
    .constant(undefined)
    .chain(() => anyObject(content, made, isBackbone && depth > 1 ? depth - 1 : Math.min(depth - 1, 1)));
  const filled = value.map((node) => (Object.keys(node).length === 0 ? { id: 'x' } : node));
  return list(filled).map((found) => ({ [key]: found }));
}

function anyPrimitive(code: string, texts: readonly string[]): fc.Arbitrary<unknown> | undefined {
  switch (code) {
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.constantFrom(-1, 0, 1, 2);
    case 'positiveInt':
    case 'unsignedInt':
      return fc.constantFrom(1, 2, 3);
    case 'decimal':
      return fc.constantFrom(-1, 0, 0.5, 1, 1.5, 100, 101);
    case 'date':
      return fc.constantFrom(...DATES);
    case 'dateTime':
      return fc.constantFrom(...DATES, ...MOMENTS);
    case 'instant':
      return fc.constantFrom(...MOMENTS);
    case 'time':
      return fc.constantFrom('10:00:00', '11:30:00');
    case 'base64Binary':
      return fc.constant('AAAA');
    case 'xhtml':
      return fc.constantFrom('<div>a</div>', '<p>a</p>');
    default:
      if (!/^[a-z]/.test(code)) return undefined;
      return fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...texts, ...WORDS.slice(0, 1)) },
        { weight: 1, arbitrary: fc.constantFrom(...WORDS) },
      );
  }
}
