import { primitives } from '../../src/fhir/validation/primitives.ts';

function accepts(type: string, value: string | number): boolean {
  const primitive = primitives[type];
  if (primitive === undefined || !('test' in primitive)) throw new Error(`no test for ${type}`);
  return primitive.json === 'string' ? primitive.test(String(value)) : primitive.test(Number(value));
}

const cases: Record<string, { valid: (string | number)[]; invalid: (string | number)[] }> = {
  base64Binary: {
    valid: ['AAAA', 'QQ==', 'QUI=', 'AAAA BBBB\nCCCC', ' AAAA '],
    invalid: ['', ' ', 'AAA', 'A===', 'AA=A', 'AA AA', 'AAAA====', 'AAA*', 'AAé=', 'AAAA-_==', 'AAAA\u00a0'],
  },
  canonical: { valid: ['http://a/b|1.0', '#x'], invalid: ['', 'a b'] },
  code: {
    valid: ['a', 'a b', 'a b c', '[in_i]', 'é'],
    invalid: ['', ' ', ' a', 'a ', 'a  b', 'a\tb', 'a\nb', 'a\u00a0b'],
  },
  date: {
    valid: ['2024', '2024-02', '2024-02-29', '0001-01-01', '2000-02-29', '9999-12-31', '1000', '0900', '0010'],
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
      '2024-06-31',
      '2024-01-32',
      '2024-01-00',
      '2100-02-29',
      '20240101',
      '2024-01-01 ',
      '2024-01-01\n',
      '-2024',
      '12024',
      '２０２４',
      '2024-01-01T10:00:00Z',
    ],
  },
  dateTime: {
    valid: [
      '2024',
      '2024-02',
      '2024-02-29',
      '2024-02-29T10:00:00-00:00',
      '2024-02-29T10:00:00-14:00',
      '2024-02-29T23:59:60Z',
      '2024-02-29T10:00:00.123456+14:00',
      '2024-02-29T10:00:00-05:30',
    ],
    invalid: [
      '2024-02-29T10:00Z',
      '2024-02-29T10:00:00',
      '2023-02-30T10:00:00Z',
      '2024-02-29T24:00:00Z',
      '2024-02-29T10:00:00+14:01',
      '2024-02-29 10:00:00Z',
      '2024-02-29T10:00:61Z',
      '2024-02-29T10:60:00Z',
      '2024-02-29T10:00:00.Z',
      '2024-02-29T10:00:00+1:00',
      '2024-02-29T10:00:00+0100',
      '2024-02-29T10:00:00+13:60',
      '2024-02-29T10:00:00z',
      '2024-02-29t10:00:00Z',
      '2024-02T10:00:00Z',
      '0000-01-01T10:00:00Z',
    ],
  },
  id: {
    valid: ['a', 'A-1.b', '-', '.', 'x'.repeat(64)],
    invalid: ['', 'a_b', 'a/b', 'é', 'a b', 'a\n', 'x'.repeat(65)],
  },
  instant: {
    valid: ['2024-02-29T10:00:00Z', '2024-06-30T23:59:60.5+02:00'],
    invalid: ['2024-02-29', '2024-02-29T10:00Z', '2024-02-29T10:00:00', '2023-02-29T10:00:00Z'],
  },
  integer: { valid: [0, -1, -2147483648, 2147483647], invalid: [2147483648, -2147483649, -0] },
  markdown: { valid: ['# a\n', ' ', 'x'.repeat(1024 * 1024)], invalid: ['', 'a\u0001', 'x'.repeat(1024 * 1024 + 1)] },
  oid: {
    valid: ['urn:oid:1.2.840', 'urn:oid:0.0', 'urn:oid:2.999'],
    invalid: ['', '1.2.840', 'urn:oid:3.1', 'urn:oid:1', 'urn:oid:1.02', 'urn:oid:1.', 'URN:OID:1.2', 'urn:oid:1.2 '],
  },
  positiveInt: { valid: [1, 2147483647], invalid: [0, -0, -1, 2147483648] },
  string: {
    valid: ['a', ' ', 'é\r\n\t', '\u00a0', '😀', '\u007f', 'x'.repeat(1024 * 1024)],
    invalid: ['', 'a\u0000b', '\u0007', 'a\u000bb', 'a\u000cb', 'a\u001fb', 'x'.repeat(1024 * 1024 + 1)],
  },
  time: {
    valid: ['00:00:00', '23:59:60', '12:00:00.5'],
    invalid: ['', '24:00:00', '12:00', '12:00:00Z', '12:60:00', '12:00:61', '1:00:00', '12:00:00.', 'T12:00:00'],
  },
  unsignedInt: { valid: [0, 2147483647], invalid: [-0, -1, 2147483648] },
  uri: { valid: ['a', 'urn:uuid:x', 'http://a', '#', 'é'], invalid: ['', ' ', 'a b', 'a\n', ' a', 'a\u00a0'] },
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
      '<div>a &lt; b &amp; &#233; &#xE9;</div>',
      '<div class="a" xml:lang="en" data-x="1"><table border="1"><tr><td colspan="2">a</td></tr></table><br/><hr /></div>',
      '<div><div>a</div></div >'.replace(' >', '>'),
      '<div><a name="x">a</a><a href="https://a/b?c=d&amp;e=f">b</a></div>',
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
      '<div>a<!-- -- --></div>',
      '<div><p>a</div>',
      '<div><p><b>a</p></b></div>',
      '<div>a<br></div>',
      '<div>a</div><div>b</div>',
      '<div>a & b</div>',
      '<div>a&nbsp;b</div>',
      '<div>a &copy;</div>',
      '<div><p class=a>a</p></div>',
      '<div><p class="a" class="b">a</p></div>',
      '<div><p class="a"id="b">a</p></div>',
      '<div><p onclick="x()">a</p></div>',
      '<div><p class="a<b">a</p></div>',
      '<div><script>a</script></div>',
      '<div><form>a</form></div>',
      '<div><style>a</style></div>',
      '<div><object>a</object></div>',
      '<div xmlns="http://example.org">a</div>',
      '<div><a href="java&#115;cript:x()">a</a></div>',
      '<div><a href="java&#10;script:x()">a</a></div>',
      '<!DOCTYPE html><div>a</div>',
      '<?xml version="1.0"?><div>a</div>',
      '<div><![CDATA[a]]></div>',
      '<div>a\u0001</div>',
      '<div> \n<!-- a --> </div>',
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
