import { primitives } from '../../src/fhir/validation/primitives.ts';

function accepts(type: string, value: string | number): boolean {
  const primitive = primitives[type];
  if (primitive === undefined || !('test' in primitive)) throw new Error(`no test for ${type}`);
  return primitive.json === 'string' ? primitive.test(String(value)) : primitive.test(Number(value));
}

const cases: Record<string, { valid: (string | number)[]; invalid: (string | number)[] }> = {
  base64Binary: {
    valid: ['AAAA', 'QQ==', 'QUI=', 'AAAA BBBB\nCCCC', ' AAAA '],
    invalid: ['', ' ', 'AAA', 'A===', 'AA=A', 'AA AA', 'AAAA====', 'AAA*', 'AAé='],
  },
  canonical: { valid: ['http://a/b|1.0', '#x'], invalid: ['', 'a b'] },
  code: { valid: ['a', 'a b', '[in_i]'], invalid: ['', ' a', 'a ', 'a  b', 'a\tb'] },
  date: {
    valid: ['2024', '2024-02', '2024-02-29', '0001-01-01', '2000-02-29'],
    invalid: [
      '',
      '24',
      '0000',
      '2024-13',
      '2024-00',
      '2023-02-29',
      '1900-02-29',
      '2024-04-31',
      '2024-1-1',
      '2024-01-01T10:00:00Z',
    ],
  },
  dateTime: {
    valid: ['2024', '2024-02-29T23:59:60Z', '2024-02-29T10:00:00.123456+14:00', '2024-02-29T10:00:00-05:30'],
    invalid: [
      '2024-02-29T10:00Z',
      '2024-02-29T10:00:00',
      '2023-02-30T10:00:00Z',
      '2024-02-29T24:00:00Z',
      '2024-02-29T10:00:00+14:01',
      '2024-02-29 10:00:00Z',
    ],
  },
  id: { valid: ['a', 'A-1.b', 'x'.repeat(64)], invalid: ['', 'a_b', 'a/b', 'x'.repeat(65)] },
  instant: {
    valid: ['2024-02-29T10:00:00Z', '2024-06-30T23:59:60.5+02:00'],
    invalid: ['2024-02-29', '2024-02-29T10:00Z', '2024-02-29T10:00:00', '2023-02-29T10:00:00Z'],
  },
  integer: { valid: [0, -2147483648, 2147483647], invalid: [2147483648, -2147483649] },
  markdown: { valid: ['# a\n'], invalid: [''] },
  oid: { valid: ['urn:oid:1.2.840'], invalid: ['1.2.840', 'urn:oid:3.1', 'urn:oid:1', 'urn:oid:1.02'] },
  positiveInt: { valid: [1, 2147483647], invalid: [0, -1, 2147483648] },
  string: { valid: ['a', ' ', 'é\n\t', '\u00a0'], invalid: ['', 'a\u0000b', '\u0007', 'x'.repeat(1024 * 1024 + 1)] },
  time: { valid: ['00:00:00', '23:59:60', '12:00:00.5'], invalid: ['24:00:00', '12:00', '12:00:00Z'] },
  unsignedInt: { valid: [0, 2147483647], invalid: [-1, 2147483648] },
  uri: { valid: ['a', 'urn:uuid:x', 'http://a'], invalid: ['', 'a b', 'a\n'] },
  url: { valid: ['http://a'], invalid: ['', 'a b'] },
  uuid: {
    valid: ['urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01'],
    invalid: [
      '6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01',
      'urn:uuid:6D1C1A76-5d8a-4c60-9d3f-0c9d2a4b1e01',
      'urn:uuid:6d1c1a76',
    ],
  },
  xhtml: {
    valid: [
      '<div>a</div>',
      ' <div xmlns="http://www.w3.org/1999/xhtml"><p title="a>b">é</p><!-- <x> --></div>\n',
      '<div><img src="a"/></div>',
    ],
    invalid: [
      '',
      'a',
      '<div></div>',
      '<div> <br/></div>',
      '<p>a</p>',
      '<div>a',
      '<div>a</div>b',
      '<divx>a</divx>',
      '<div>a<iframe/></div>',
      '<div>a < b</div>',
      '<div><a href="javascript:x()">a</a></div>',
      "<div><a href=' JavaScript:x()'>a</a></div>",
      '<div><b\nonmouseover=x()>a</b></div>',
      '<div>a<!-- </div>',
    ],
  },
};

for (const [type, { valid, invalid }] of Object.entries(cases)) {
  test(`a ${type} has the form that R4 gives it`, () => {
    expect(valid.filter((value) => !accepts(type, value))).toEqual([]);
    expect(invalid.filter((value) => accepts(type, value))).toEqual([]);
  });
}

test('every primitive type of R4 with a form of its own is in the table', () => {
  expect(Object.keys(primitives).sort()).toEqual([...Object.keys(cases), 'boolean', 'decimal'].sort());
});
