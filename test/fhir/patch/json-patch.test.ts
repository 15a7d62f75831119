/** JSON Patch. @see https://www.rfc-editor.org/rfc/rfc6902 */
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { createPatch } from 'rfc6902';
import { Failure } from '../../../src/fhir/failure.ts';
import { parseJson, stringifyJson } from '../../../src/fhir/json.ts';
import { MAX_OPERATIONS, parseJsonPatch } from '../../../src/fhir/patch/json-patch.ts';
import { validResources } from '../../fixtures/valid-resources.ts';

function patched(document: unknown, patch: unknown): unknown {
  return parseJsonPatch(JSON.stringify(patch))(structuredClone(document) as Resource);
}

/** Appendix A of the RFC, and what its text says besides: [about, document, patch, result or undefined for a refusal]. */
const examples: readonly (readonly [string, unknown, unknown, unknown])[] = [
  ['A.1 adding a member', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { baz: 'qux', foo: 'bar' }],
  [
    'A.2 adding an item',
    { foo: ['bar', 'baz'] },
    [{ op: 'add', path: '/foo/1', value: 'qux' }],
    { foo: ['bar', 'qux', 'baz'] },
  ],
  ['A.3 removing a member', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
  ['A.4 removing an item', { foo: ['bar', 'qux', 'baz'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['bar', 'baz'] }],
  [
    'A.5 replacing a value',
    { baz: 'qux', foo: 'bar' },
    [{ op: 'replace', path: '/baz', value: 'boo' }],
    { baz: 'boo', foo: 'bar' },
  ],
  [
    'A.6 moving a value',
    { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
  ],
  [
    'A.7 moving an item',
    { foo: ['all', 'grass', 'cows', 'eat'] },
    [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
    { foo: ['all', 'cows', 'eat', 'grass'] },
  ],
  [
    'A.8 a test that holds',
    { baz: 'qux', foo: ['a', 2, 'c'] },
    [
      { op: 'test', path: '/baz', value: 'qux' },
      { op: 'test', path: '/foo/1', value: 2 },
    ],
    { baz: 'qux', foo: ['a', 2, 'c'] },
  ],
  ['A.9 a test that does not', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }], undefined],
  [
    'A.10 adding an object',
    { foo: 'bar' },
    [{ op: 'add', path: '/child', value: { grandchild: {} } }],
    { foo: 'bar', child: { grandchild: {} } },
  ],
  [
    'A.11 members it does not know',
    { foo: 'bar' },
    [{ op: 'add', path: '/baz', value: 'qux', xyz: 123 }],
    { foo: 'bar', baz: 'qux' },
  ],
  ['A.12 adding below nothing', { foo: 'bar' }, [{ op: 'add', path: '/baz/bat', value: 'qux' }], undefined],
  [
    'A.14 escapes',
    { '/': 9, '~1': 10 },
    [
      { op: 'test', path: '/~01', value: 10 },
      { op: 'test', path: '/~1', value: 9 },
    ],
    { '/': 9, '~1': 10 },
  ],
  ['A.15 a text is no number', { '~1': 10 }, [{ op: 'test', path: '/~01', value: '10' }], undefined],
  [
    'A.16 adding a list',
    { foo: ['bar'] },
    [{ op: 'add', path: '/foo/-', value: ['abc', 'def'] }],
    { foo: ['bar', ['abc', 'def']] },
  ],
  ['null is a value', { foo: null }, [{ op: 'test', path: '/foo', value: null }], { foo: null }],
  ['adding over a member', { foo: 1 }, [{ op: 'add', path: '/foo', value: 2 }], { foo: 2 }],
  ['replacing the whole', { foo: 1 }, [{ op: 'replace', path: '', value: { bar: 2 } }], { bar: 2 }],
  ['an index with a leading zero', { foo: [1, 2] }, [{ op: 'remove', path: '/foo/01' }], undefined],
  ['an index beyond the end', { foo: [1] }, [{ op: 'add', path: '/foo/2', value: 1 }], undefined],
  ['the end, for another operation than add', { foo: [1] }, [{ op: 'remove', path: '/foo/-' }], undefined],
  ['a key of every object', { foo: 1 }, [{ op: 'test', path: '/toString', value: null }], undefined],
  [
    'an operation after one that fails',
    { foo: 1 },
    [
      { op: 'remove', path: '/bar' },
      { op: 'remove', path: '/foo' },
    ],
    undefined,
  ],
  ['moving onto itself', { foo: 1 }, [{ op: 'move', from: '/foo', path: '/foo' }], { foo: 1 }],
  [
    'a copy is another object',
    { foo: { a: 1 } },
    [
      { op: 'copy', from: '/foo', path: '/bar' },
      { op: 'replace', path: '/bar/a', value: 2 },
    ],
    { foo: { a: 1 }, bar: { a: 2 } },
  ],
];

test.each(examples)('%s', (_about, document, patch, result) => {
  if (result === undefined) expect(() => patched(document, patch)).toThrow(Failure);
  else expect(patched(document, patch)).toEqual(result);
});

test('a patch may be applied again and again: nothing of one application is left in it', () => {
  const patch = parseJsonPatch(
    JSON.stringify([
      { op: 'add', path: '/list', value: [{ a: 1 }] },
      { op: 'add', path: '/list/0/b', value: 2 },
    ]),
  );
  for (let i = 0; i < 3; i++) expect(patch({} as Resource)).toEqual({ list: [{ a: 1, b: 2 }] });
});

const json = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(0, 1, -1, 0.5, true, false, 'x', '', 'a/b', '~'),
    fc.dictionary(fc.constantFrom('a', 'b', 'c~d', 'e/f', '', '0', '-'), tie('node'), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
    fc.array(tie('node'), { maxLength: 4 }),
  ),
})).node;
const objects = fc.dictionary(fc.constantFrom('a', 'b', 'c~d', 'e/f', ''), json, { noNullPrototype: true });

test('a patch of random edits is the edit', () => {
  fc.assert(
    fc.property(objects, objects, (before, after) => {
      const patch = createPatch(before, after);
      const result = patched(before, patch);
      // What a removal leaves empty is no element of FHIR.
      if (patch.some(({ op }) => op === 'remove')) expect(pruned(result)).toEqual(pruned(after));
      else expect(result).toEqual(after);
    }),
    { numRuns: 500 },
  );
});

function pruned(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(pruned).filter((item) => !isEmpty(item));
  const entries = Object.entries(value).map(([key, item]) => [key, pruned(item)] as const);
  return Object.fromEntries(entries.filter(([, item]) => !isEmpty(item)));
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

test('between any two resources the patch of their difference makes one of the other, and back', () => {
  const resources = fc.constantFrom(...validResources);
  fc.assert(
    fc.property(resources, resources, (before, after) => {
      expect(patched(before, createPatch(before, after))).toEqual(after);
    }),
  );
});

test('digits stay: of numbers that are not touched, moved, copied and brought', () => {
  const decimals = fc.tuple(fc.nat(99), fc.nat(999)).map(([a, b]) => `${a}.${b}0`);
  fc.assert(
    fc.property(decimals, decimals, decimals, (kept, moved, brought) => {
      const document = parseJson(`{"a":{"kept":${kept}},"b":{"moved":${moved}}}`) as Resource;
      const patch = parseJsonPatch(
        `[{"op":"copy","from":"/b","path":"/c"},{"op":"move","from":"/b/moved","path":"/a/moved"},` +
          `{"op":"add","path":"/a/brought","value":${brought}},{"op":"add","path":"/d","value":{"e":[{"f":${brought}}]}}]`,
      );
      expect(stringifyJson(patch(document))).toBe(
        `{"a":{"kept":${kept},"moved":${moved},"brought":${brought}},"c":{"moved":${moved}},"d":{"e":[{"f":${brought}}]}}`,
      );
    }),
  );
});

test('an equal number in other digits takes the place of the one that was there', () => {
  const replace = (digits: string) => parseJsonPatch(`[{"op":"replace","path":"/a","value":${digits}}]`);
  const document = parseJson('{"a":0.50}') as Resource;
  expect(stringifyJson(replace('0.5')(document))).toBe('{"a":0.5}');
  expect(stringifyJson(replace('0.500')(document))).toBe('{"a":0.500}');
});

test.each<[string, unknown]>([
  ['too many operations', Array.from({ length: MAX_OPERATIONS + 1 }, () => ({ op: 'remove', path: '/a' }))],
  ['copies that double', Array.from({ length: 40 }, () => ({ op: 'copy', from: '/a', path: '/a/-' }))],
  [
    'copies that nest',
    Array.from({ length: 80 }, (_, i) => ({ op: 'copy', from: '/a', path: `/a${'/0'.repeat(i % 60)}/-` })),
  ],
  ['a value nested too deep', [{ op: 'add', path: '/a/0/-', value: JSON.parse(`${'['.repeat(62)}${']'.repeat(62)}`) }]],
  ['a pointer with too many steps', [{ op: 'test', path: '/a'.repeat(100), value: 1 }]],
  ['a prototype', [{ op: 'add', path: '/__proto__', value: { polluted: true } }]],
  ['a constructor', [{ op: 'add', path: '/constructor/prototype/polluted', value: true }]],
])('%s: refused in bounded time, and nothing else is touched', (_about, patch) => {
  const startedAt = performance.now();
  expect(() => patched({ a: [[[]], 'x'.repeat(1000)] }, patch)).toThrow(Failure);
  expect(performance.now() - startedAt).toBeLessThan(3000);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});

test.each([
  ['U+0000', '[{"op":"add","path":"/a","value":"\\u0000"}]'],
  ['half a surrogate pair', '[{"op":"add","path":"/a","value":"\\ud800"}]'],
  ['a repeated key', '[{"op":"add","op":"remove","path":"/a"}]'],
  ['deep nesting', `${'['.repeat(5000)}`],
])('a document with %s is refused as JSON', (_about, text) => {
  expect(() => parseJsonPatch(text)).toThrow(Failure);
});

test('bytes that are not UTF-8 are refused', () => {
  expect(() => parseJsonPatch(Buffer.from([0x5b, 0xff, 0x5d]))).toThrow(Failure);
});

test('no document makes anything but a Failure', () => {
  const step = fc.record(
    {
      op: fc.constantFrom<unknown>('add', 'remove', 'replace', 'move', 'copy', 'test', 'x', 1),
      path: fc.oneof(
        fc.constantFrom('', '/a', '/a/-', '/a/0', '/b~1', '/b~', 'a', '/__proto__/x'),
        fc.string(),
        fc.integer(),
      ),
      from: fc.constantFrom<unknown>('', '/a', '/a/0', 3),
      value: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.array(step, { maxLength: 6 }), fc.jsonValue()), fc.jsonValue(), (patch, document) => {
      try {
        patched({ resourceType: 'Patient', a: document }, patch);
      } catch (error) {
        expect(error).toBeInstanceOf(Failure);
      }
    }),
    { numRuns: 1000 },
  );
});
