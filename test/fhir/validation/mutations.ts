/** Ways to break a valid resource at one of its places, each with what must be found there. */
import type { Definitions } from '../../../src/fhir/definitions.ts';
import { primitives } from '../../../src/fhir/validation/primitives.ts';
import { type Spot, spotsOf } from '../../arbitraries/resource-spots.ts';
import type { Json } from './valid-resource.ts';

export type Mutation = {
  readonly kind: string;
  readonly resource: Json;
  /** Where the fault is, in FHIRPath. */
  readonly expression: string;
  /** Issue codes that name it. */
  readonly codes: readonly string[];
};

type Break = (spot: Spot, definitions: Definitions) => readonly Found[];
type Found = { readonly expression: string; readonly codes: readonly string[]; readonly apply: (spot: Spot) => void };

const SHAPE = ['structure'];

/** Every mutation of every place; `choose` says which of them to make, by number. */
export function* mutationsOf(
  valid: Json,
  definitions: Definitions,
  choose: (count: number) => boolean = () => true,
): Generator<Mutation> {
  const places = spotsOf(valid, definitions).values;
  let count = 0;
  for (const [at, spot] of places.entries()) {
    for (const [kind, breaks] of Object.entries(BREAKS)) {
      for (const [which, { expression, codes }] of breaks(spot, definitions).entries()) {
        if (!choose(count++)) continue;
        const resource = structuredClone(valid);
        const copied = spotsOf(resource, definitions).values[at] as Spot;
        breaks(copied, definitions)[which]?.apply(copied);
        yield { kind, resource, expression, codes };
      }
    }
  }
}

/** Whether it breaks anything is for the constraints to say. */
export const MAY_BREAK = 'an optional element is missing';

const BREAKS: Readonly<Record<string, Break>> = {
  [MAY_BREAK]: ({ element, expression }) =>
    element.min === 0
      ? [{ expression, codes: ['invariant'], apply: ({ owner, property }) => delete owner[property] }]
      : [],
  'a required element is missing': ({ element, parent, name }) =>
    element.min > 0
      ? [
          {
            expression: `${parent}.${name}`,
            codes: ['required'],
            apply: ({ owner, property }) => delete owner[property],
          },
        ]
      : [],
  'an element that nobody knows': ({ parent }) => [
    { expression: `${parent}.zzz`, codes: SHAPE, apply: ({ owner }) => Object.assign(owner, { zzz: 'x' }) },
  ],
  'a primitive of another form': ({ type, expression }) =>
    (BROKEN[type] ?? []).map((value) => ({
      expression,
      codes: ['value', 'code-invalid', 'structure'],
      apply: put(value),
    })),
  'a primitive of another JSON type': ({ type, expression }) => {
    const json = primitives[type]?.json;
    if (json === undefined) return [];
    const values = json === 'string' ? [5, true, {}] : json === 'boolean' ? ['true', 1] : ['1', true, {}];
    return values.map((value) => ({ expression, codes: SHAPE, apply: put(value) }));
  },
  'a text in place of an object': ({ type, expression }) =>
    type in primitives ? [] : [{ expression, codes: SHAPE, apply: put('text') }],
  'a list in place of a value': ({ element, expression }) =>
    element.max > 1
      ? []
      : [{ expression, codes: SHAPE, apply: ({ owner, property }) => (owner[property] = [owner[property]]) }],
  'a value in place of a list': ({ element, expression }) =>
    element.max > 1
      ? [
          {
            expression: expression.replace(/\[\d+\]$/, ''),
            codes: SHAPE,
            apply: ({ owner, property }) => (owner[property] = (owner[property] as unknown[])[0]),
          },
        ]
      : [],
  'an empty list': ({ element, expression }) =>
    element.max > 1
      ? [
          {
            expression: expression.replace(/\[\d+\]$/, ''),
            codes: [...SHAPE, 'required'],
            apply: ({ owner, property }) => (owner[property] = []),
          },
        ]
      : [],
  'a null': ({ expression, element }) => [
    { expression, codes: element.max > 1 ? [...SHAPE, 'value'] : SHAPE, apply: put(null) },
  ],
  'an empty object': ({ type, expression }) =>
    type in primitives || type === 'Resource'
      ? []
      : [{ expression, codes: ['invariant', 'required', ...SHAPE], apply: put({}) }],
  'two types of a choice': ({ element, name, parent, type }) => {
    const other = element.path.endsWith('[x]') ? element.types.find(({ code }) => code !== type) : undefined;
    if (other === undefined) return [];
    const key = `${name}${other.code.charAt(0).toUpperCase()}${other.code.slice(1)}`;
    const value = other.code in primitives ? (GOOD[other.code] ?? 'text') : { id: 'x' };
    return [
      { expression: `${parent}.${name}`, codes: SHAPE, apply: ({ owner }) => Object.assign(owner, { [key]: value }) },
    ];
  },
  'a reference to a type that is not allowed': ({ type, element, expression }, definitions) => {
    const targets = element.types.find(({ code }) => code === 'Reference')?.targets ?? [];
    if (type !== 'Reference' || targets.length === 0 || targets.includes('Resource')) return [];
    const wrong = definitions.resourceTypes.find((name) => !targets.includes(name)) ?? '';
    return [{ expression: `${expression}.reference`, codes: ['value'], apply: put({ reference: `${wrong}/1` }) }];
  },
  'a code outside of a required value set': ({ type, element, expression }, definitions) => {
    const { strength, valueSet = '' } = element.binding ?? {};
    if (strength !== 'required' || type !== 'code' || definitions.valueSet(valueSet)?.enumerable !== true) return [];
    return [{ expression, codes: ['code-invalid'], apply: put('no-such-code') }];
  },
};

function put(value: unknown): (spot: Spot) => void {
  return ({ holder, key }) => {
    (holder as Record<string | number, unknown>)[key] = structuredClone(value);
  };
}

const TEXT = ['', 'a\u0007b'];
const BROKEN: Readonly<Record<string, readonly unknown[]>> = {
  base64Binary: ['', '*', 'AAA'],
  canonical: ['', 'a b'],
  code: ['', ' a', 'a  b'],
  date: ['', '2025-02-30', '2025-1-1', '2025-01-01T10:00:00Z'],
  dateTime: ['', '2025-02-30', '2025-01-01T10:00', '2025-01-01T25:00:00Z'],
  id: ['', 'a_b', 'x'.repeat(65)],
  instant: ['', '2025-01-01', '2025-01-01T10:00:00'],
  integer: [1.5, 2 ** 31],
  markdown: TEXT,
  oid: ['', '1.2.3'],
  positiveInt: [0, -1, 1.5],
  string: TEXT,
  time: ['', '10:00', '25:00:00'],
  unsignedInt: [-1, 1.5],
  uri: ['', 'a b'],
  url: ['', 'a b'],
  uuid: ['', 'urn:uuid:1'],
  xhtml: ['', '<p>a</p>', '<div>a'],
};
const GOOD: Readonly<Record<string, unknown>> = {
  boolean: true,
  integer: 1,
  decimal: 1,
  positiveInt: 1,
  unsignedInt: 1,
  date: '2025-01-01',
  dateTime: '2025-01-01',
  instant: '2025-01-01T10:00:00Z',
  time: '10:00:00',
  base64Binary: 'AAAA',
  oid: 'urn:oid:1.2',
  uuid: 'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01',
};
