import fc from 'fast-check';
import { Failure } from '../../src/fhir/failure.ts';
import { keepDigits, parseJson, stringifyJson } from '../../src/fhir/json.ts';
import { explainJson } from '../../src/fhir/json-fault.ts';

type Quantity = { value: number; low?: number };

function refusalOf(source: string | Uint8Array): string {
  try {
    parseJson(source);
  } catch (error) {
    if (error instanceof Failure && error.code === 'invalid') return error.message;
    throw error;
  }
  throw new Error('accepted');
}

test.each([
  '0.50',
  '1.0',
  '-0',
  '-0.0',
  '1e3',
  '1E+2',
  '0.1000000000000000055',
  '12345678901234567890',
  '1e400',
  '100000000000000000000000',
])('the number %s is written as it was read', (digits) => {
  const text = `{"a":[{"value":${digits}},${digits}],"b":{"c":{"value":${digits}}}}`;
  expect(stringifyJson(parseJson(text))).toBe(text);
  expect(stringifyJson(parseJson(Buffer.from(text)))).toBe(text);
});

test('a number whose digits JavaScript keeps is an ordinary number', () => {
  expect(parseJson('{"a":[0,-1,0.1,42,1e-7]}')).toEqual({ a: [0, -1, 0.1, 42, 1e-7] });
});

test('digits survive edits of the resource around them, and a changed number is written anew', () => {
  const resource = parseJson('{"dose":{"value":0.50,"low":0.10},"list":[1.0,2.0]}') as {
    id?: string;
    dose: Quantity;
    list: number[];
  };
  resource.id = 'x';
  resource.dose.low = 0.2;
  resource.list[1] = 3;
  expect(stringifyJson(resource)).toBe('{"dose":{"value":0.50,"low":0.2},"list":[1.0,3],"id":"x"}');
});

test('digits survive in a copy, inside a new wrapper, and when an element is taken out', () => {
  const quantity = parseJson('{"value":0.50,"deep":{"value":1.0}}') as Quantity;
  expect(stringifyJson({ entry: [{ resource: quantity }] })).toBe(
    '{"entry":[{"resource":{"value":0.50,"deep":{"value":1.0}}}]}',
  );
  expect(stringifyJson(keepDigits(quantity, { id: 'x', ...quantity }))).toBe(
    '{"id":"x","value":0.50,"deep":{"value":1.0}}',
  );
  expect(stringifyJson((quantity as unknown as { deep: object }).deep)).toBe('{"value":1.0}');
});

const numbers = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.integer().map((n) => `${n}.${'0'.repeat(Math.abs(n % 5) + 1)}`),
  fc.bigInt().map(String),
  fc.tuple(fc.integer(), fc.integer({ min: -400, max: 400 })).map(([n, e]) => `${n}E${e}`),
);
const key = fc
  .string({ unit: 'grapheme' })
  .filter((name) => name !== '__proto__')
  .map((name) => JSON.stringify(name));
const texts = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    numbers,
    fc.constantFrom('true', 'false', 'null', '""'),
    key,
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(',')}]`),
    fc.uniqueArray(fc.tuple(key, tie('value')), { maxLength: 4, selector: ([name]) => name }).map(
      // Keys that are array indexes are moved to the front by JavaScript: https://tc39.es/ecma262/#sec-ordinaryownpropertykeys
      (items) =>
        `{${items
          .filter(([name]) => !/^"\d+"$/.test(name))
          .map((item) => item.join(':'))
          .join(',')}}`,
    ),
  ),
})).value;

test('any JSON text comes back byte for byte', () => {
  fc.assert(
    fc.property(texts, (text) => {
      const whole = `{"a":${text}}`;
      expect(stringifyJson(parseJson(whole))).toBe(whole);
    }),
  );
});

test('what is refused is what JSON.parse refuses, and no message quotes the text', () => {
  fc.assert(
    fc.property(texts, fc.nat(), fc.constantFrom('', '"', ',', '}', '\\', '1', 'x', '\n'), (text, at, inserted) => {
      const whole = `{"Secret":${text}}`;
      const cut = at % whole.length;
      const damaged = whole.slice(0, cut) + inserted + whole.slice(cut + 1);
      try {
        JSON.parse(damaged);
      } catch {
        expect(refusalOf(damaged)).toMatch(/line \d+, column \d+$/);
        expect(refusalOf(damaged)).not.toContain('Secret');
      }
    }),
  );
});

test.each([
  ['{"a":1,\n "b" 2}', 'line 2, column 6'],
  ['{"a":tru}', 'line 1, column 6'],
  ['{"a":01}', 'line 1, column 7'],
  ['{"a":"x\ty"}', 'line 1, column 8'],
  ['{"a":"\\x"}', 'line 1, column 7'],
  ['{"a":[1,2', 'line 1, column 10'],
  ['{"a":1}}', 'line 1, column 8'],
  ['', 'line 1, column 1'],
])('malformed JSON %j is refused at %s', (text, place) => {
  expect(refusalOf(text)).toContain(place);
});

test.each([
  ['a repeated key', '{"dose":1,"b":{"c":1,\n"c":2}}', 'a key that its object already has at line 2, column 1'],
  [
    'a repeated key in another spelling',
    '{"dose":1,"d\\u006fse":2}',
    'a key that its object already has at line 1, column 11',
  ],
  ['U+0000', '{"a":"x\\u0000"}', 'U+0000, which cannot be stored at line 1, column 6'],
  ['U+0000 in a key', '{"\\u0000":1}', 'U+0000'],
  ['half of a surrogate pair', '{"a":"\\ud83d"}', 'half of a surrogate pair'],
  ['half of a surrogate pair as such', '{"a":"\ud83d"}', 'half of a surrogate pair'],
])('%s is refused', (_case, text, message) => {
  expect(refusalOf(text)).toContain(message);
});

test('whole surrogate pairs, escaped backslashes and a byte order mark are no fault', () => {
  expect(parseJson('\ufeff{"a":"\\ud83d\\ude00 \\\\u0000"}')).toEqual({ a: '😀 \\u0000' });
  expect(parseJson(Buffer.from('\ufeff{"a":1}'))).toEqual({ a: 1 });
});

test('bytes that are not UTF-8 are refused', () => {
  expect(refusalOf(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toBe('The body is not UTF-8');
});

test('64 levels are read, 65 are not, and a million brackets are refused quickly', () => {
  expect(parseJson('['.repeat(64) + ']'.repeat(64))).toBeDefined();
  expect(refusalOf('['.repeat(65) + ']'.repeat(65))).toContain('deeper than 64');
  expect(refusalOf('['.repeat(1_000_000))).toContain('deeper than 64');
});

test('__proto__ is a key like others', () => {
  const value = parseJson('{"__proto__":{"polluted":true},"a":1.0}') as object;
  expect(Object.hasOwn(value, '__proto__')).toBe(true);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  expect(refusalOf('{"__proto__":1,"__proto__":2}')).toContain('already has');
});

test.each([
  ['{"resourceType":"Patient","name":[{"given":["Ada",}]}', 'Patient.name[0].given[1]'],
  ['{"resourceType":"Patient","contact":[{"x":1},{"name":{"family":tru', 'Patient.contact[1].name.family'],
  ['{"resourceType":"Patient","active":true,"active":false}', 'Patient.active'],
  ['{"resourceType":"Patient","a b":{"c":}}', 'Patient'],
  ['{"resourceType":"Patient"', 'Patient'],
  ['{"name":[}', undefined],
])('%j is refused with the path that was reached', (text, path) => {
  expect(() => parseJson(text)).toThrow(
    expect.objectContaining({ issues: [expect.objectContaining({ code: 'structure', message: 'MSG_BAD_SYNTAX' })] }),
  );
  expect(explainJson(text).path).toBe(path);
});
