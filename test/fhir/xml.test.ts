/** https://hl7.org/fhir/R4/xml.html */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { Failure } from '../../src/fhir/failure.ts';
import { prettyJson } from '../../src/fhir/json-layout.ts';
import { fhirXml } from '../../src/fhir/xml/xml.ts';
import { anyResource } from './any-resource.ts';

const definitions = loadDefinitions();
const xml = fhirXml(definitions);

const asJson = (text: string) => xml.toJson(Buffer.from(text));
const patient = (content: string) => `<Patient xmlns="http://hl7.org/fhir">${content}</Patient>`;

function refusal(text: string | Buffer): { words: string; place: string | undefined } {
  try {
    xml.toJson(Buffer.from(text));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { words: error.message, place: error.issues[0]?.expression };
  }
  return { words: 'accepted', place: undefined };
}

const WORDS = ['a', 'two  spaces', ' <&>"\' ', 'tab\tline\nreturn\r', 'Zoë 🙂', '&amp;'];
const DIV =
  '<div xmlns="http://www.w3.org/1999/xhtml"><p title="a &gt; b">x &amp; <b>y</b><br/></p><!-- c -->\r\n</div>';

/** The same resource with what the generator leaves out: ids, extensions on anything, a narrative, strange text. */
function decorated(value: unknown, seed: number): unknown {
  let state = seed;
  const chance = (among: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % among === 0;
  };
  const extension = () => [{ url: 'http://example.org/x', valueString: WORDS[(state >>> 4) % WORDS.length] }];
  const beside = () => (chance(2) ? { id: 'i1' } : { extension: extension() });
  const walk = (item: unknown): unknown => {
    if (Array.isArray(item)) return item.map(walk);
    if (typeof item !== 'object' || item === null) return item;
    const made: Record<string, unknown> = {};
    for (const [key, content] of Object.entries(item)) {
      made[key] = walk(content);
      const isPlain = key !== 'resourceType' && key !== 'id' && key !== 'url';
      if (!isPlain || !chance(3)) continue;
      if (Array.isArray(content) && typeof content[0] !== 'object') {
        const items = [...content, null];
        made[key] = items;
        made[`_${key}`] = items.map((each, i) => (each === null || (i > 0 && chance(2)) ? beside() : null));
      } else if (typeof content !== 'object') made[`_${key}`] = beside();
    }
    return made;
  };
  const made = walk(value) as Record<string, unknown>;
  const type = String(made.resourceType);
  const has = (name: string) => definitions.elementsOf(type).some(({ path }) => path === `${type}.${name}`);
  if (has('text')) made.text = { status: 'generated', div: DIV };
  if (has('contained'))
    made.contained = [{ resourceType: 'Basic', id: 'in', code: { text: WORDS[state % WORDS.length] } }];
  if (has('extension')) made.extension = extension();
  return made;
}

test('a resource of any type that goes through XML is the same resource', () => {
  const anyType = fc.constantFrom(...definitions.resourceTypes).chain((type) => anyResource(definitions, type));
  fc.assert(
    fc.property(anyType, fc.nat(), fc.boolean(), (resource, seed, pretty) => {
      const json = decorated(resource, seed);
      const text = xml.fromJson(JSON.stringify(json), pretty);
      expect(JSON.parse(asJson(text))).toEqual(json);
      expect(xml.fromJson(asJson(text), pretty)).toBe(text);
    }),
    { numRuns: 400 },
  );
});

const FOLDERS = ['examples', 'fhir-profiles'].map((folder) => join(import.meta.dirname, '..', '..', folder));

test('what is published with the service goes through XML unchanged', () => {
  const files = FOLDERS.flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)));
  const resources = files
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(file, 'utf8')));
  const known = resources.filter(({ resourceType }) => resourceType !== undefined);
  expect(known.length).toBeGreaterThan(10);
  for (const resource of known) {
    expect(JSON.parse(asJson(xml.fromJson(JSON.stringify(resource), false)))).toEqual(resource);
  }
});

test('elements are written in the order of the standard, attributes hold values, ids and the url of an extension', () => {
  const observation = {
    resourceType: 'Observation',
    valueQuantity: { code: 'mg', value: 1 },
    _status: { id: 's', extension: [{ valueCode: 'x', url: 'http://example.org/x' }] },
    status: 'final',
    code: { text: 'a"<b>' },
    id: 'o1',
  };
  expect(xml.fromJson(JSON.stringify(observation), false)).toBe(
    '<?xml version="1.0" encoding="UTF-8"?><Observation xmlns="http://hl7.org/fhir"><id value="o1"/>' +
      '<status id="s" value="final"><extension url="http://example.org/x"><valueCode value="x"/></extension></status>' +
      '<code><text value="a&quot;&lt;b&gt;"/></code>' +
      '<valueQuantity><value value="1"/><code value="mg"/></valueQuantity></Observation>',
  );
});

test.each(['0.50', '1.000e3', '-0', '12345678901234567890.0', '5E-7'])('the decimal %s keeps its digits', (digits) => {
  const json = `{"resourceType":"Observation","valueQuantity":{"value":${digits}}}`;
  const text = xml.fromJson(json, false);
  expect(text).toContain(`<value value="${digits}"/>`);
  expect(asJson(text)).toBe(json);
});

test('a narrative keeps its bytes, under whatever prefix the resource has', () => {
  const div = '<div xmlns="http://www.w3.org/1999/xhtml">\n <p class=\'a\'>1 &lt; 2&#160;</p><hr></hr></div>';
  const text = `<f:Patient xmlns:f="http://hl7.org/fhir"><f:text><f:status value="generated"/>${div}</f:text></f:Patient>`;
  expect(JSON.parse(asJson(text))).toEqual({ resourceType: 'Patient', text: { status: 'generated', div } });
  const prefixed =
    '<Patient xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><text><status value="generated"/>' +
    '<h:div><h:p title="&lt;">a<h:br/>&amp;</h:p></h:div></text></Patient>';
  expect(JSON.parse(asJson(prefixed)).text.div).toBe(
    '<div xmlns="http://www.w3.org/1999/xhtml"><p title="&#60;">a<br/>&#38;</p></div>',
  );
  const inherited =
    '<f:Patient xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml"><f:text><div>a</div></f:text></f:Patient>';
  expect(JSON.parse(asJson(inherited)).text.div).toBe('<div xmlns="http://www.w3.org/1999/xhtml">a</div>');
});

test('comments, processing instructions, a byte order mark and a schema location are passed over', () => {
  const text =
    '\uFEFF<?xml version="1.0" encoding="utf-8"?><?xml-stylesheet href="x"?><!-- a --><Patient xmlns="http://hl7.org/fhir" ' +
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir ../patient.xsd">\n' +
    '  <!-- b --><active value="true"/>\n</Patient>\n<!-- c -->';
  expect(asJson(text)).toBe('{"resourceType":"Patient","active":true}');
});

test('values are given on as they stand where they are none of their type', () => {
  const text = patient('<active value="yes"/><multipleBirthInteger value="+2"/><birthDate value="soon"/>');
  expect(asJson(text)).toBe('{"resourceType":"Patient","active":"yes","multipleBirthInteger":2,"birthDate":"soon"}');
});

const laughs = `<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]>${patient('<language value="&b;"/>')}`;
const outside = `<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]>${patient('<language value="&x;"/>')}`;

test.each([
  ['an unknown element', patient('<colour value="blue"/>'), /no element 'colour'/, 'Patient'],
  ['an unknown element deep inside', patient('<contact><name><x/></name></contact>'), /'x'/, 'Patient.contact[0].name'],
  ['an unknown attribute', patient('<gender value="male" unit="x"/>'), /attribute/, 'Patient.gender'],
  ['a value on an element that has none', patient('<name value="x"/>'), /attribute/, 'Patient.name[0]'],
  ['an attribute on the resource', '<Patient xmlns="http://hl7.org/fhir" id="a"/>', /attribute/, 'Patient'],
  ['text between elements', patient('<name>Jane</name>'), /Text may not stand/, 'Patient.name[0]'],
  ['CDATA between elements', patient('<![CDATA[Jane]]>'), /Text may not stand/, 'Patient'],
  ['no namespace', '<Patient/>', /namespace/, undefined],
  ['another namespace', '<Patient xmlns="http://example.org"/>', /namespace/, undefined],
  ['an element of another namespace', patient('<gender xmlns="" value="male"/>'), /namespace/, 'Patient.gender'],
  ['a div outside XHTML', patient('<text><div>a</div></text>'), /namespace/, 'Patient.text.div'],
  ['a single element twice', patient('<gender value="male"/><gender value="female"/>'), /once/, 'Patient.gender'],
  ['an element without a value', patient('<birthDate/>'), /must have a value/, 'Patient.birthDate'],
  ['an unknown type', '<Patience xmlns="http://hl7.org/fhir"/>', /no resource type/, undefined],
  ['an unknown type inside', patient('<contained><X/></contained>'), /no resource type/, 'Patient.contained[0]'],
  ['an empty wrapper', patient('<contained/>'), /must be a resource/, 'Patient.contained[0]'],
  [
    'two resources in one wrapper',
    patient('<contained><Basic/><Basic/></contained>'),
    /one resource/,
    'Patient.contained[0]',
  ],
  ['entities that grow', laughs, /document type/i, undefined],
  ['entities from outside', outside, /document type/i, undefined],
  ['an entity of HTML', patient('<language value="&nbsp;"/>'), /not well-formed/, 'Patient'],
  ['an end tag that is missing', '<Patient xmlns="http://hl7.org/fhir">', /not well-formed/, 'Patient'],
  ['two roots', `${patient('')}${patient('')}`, /not well-formed|no resource/, undefined],
  ['nothing', '', /no resource|not well-formed/, undefined],
  ['another encoding', `<?xml version="1.0" encoding="latin1"?>${patient('')}`, /UTF-8/, undefined],
  ['XML 1.1', `<?xml version="1.1"?>${patient('')}`, /version/, undefined],
  ['a NUL', patient('<language value="a&#0;"/>'), /not well-formed/, 'Patient'],
  ['nesting without end', patient('<contact>'.repeat(100)), /'contact'|deeper/, 'Patient.contact[0]'],
  [
    'extensions in extensions',
    patient('<extension url="x">'.repeat(100)),
    /deeper than 64/,
    `Patient${'.extension[0]'.repeat(63)}`,
  ],
])('%s is refused with its place', (_about, text, words, place) => {
  const found = refusal(text);
  expect(found.words).toMatch(words);
  expect(found.place).toBe(place);
});

test('bytes that are not UTF-8 are refused', () => {
  expect(refusal(Buffer.from([0x3c, 0xff, 0x3e])).words).toMatch(/UTF-8/);
});

test('a refusal says line and column, and quotes no value', () => {
  const { words, place } = refusal(
    patient('\n <contact>\n  <name><family value="Secret" Secret="1"/></name></contact>'),
  );
  expect(words).toMatch(/line 3, column \d+/);
  expect(words).not.toMatch(/Secret/);
  expect(place).toBe('Patient.contact[0].name.family');
});

test('any text at all is read or refused', () => {
  const anyText = fc.array(
    fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.constantFrom('<', '>', '/', '"', '<name>', '</name>', 'value="', '<!--', ']]>', '&#'),
    ),
  );
  fc.assert(
    fc.property(anyText, (parts) => {
      refusal(parts.join(''));
      refusal(patient(parts.join('')));
    }),
    { numRuns: 500 },
  );
});

test('what XML cannot say is refused and not changed', () => {
  const narrative = (div: string) => JSON.stringify({ resourceType: 'Patient', text: { status: 'generated', div } });
  const inXml = (json: string) => () => xml.fromJson(json, false);
  expect(inXml(narrative('<div><p>a</div>'))).toThrow(/not well-formed XHTML/);
  expect(inXml(narrative('<div>&nbsp;</div>'))).toThrow(/not well-formed XHTML/);
  expect(inXml('{"resourceType":"Patient","language":"a\\uffff"}')).toThrow(/character/);
  expect(inXml('{"resourceType":"Patient","colour":"blue"}')).toThrow(/element that FHIR R4 has not/);
  expect(inXml(narrative('<div>a</div>'))()).toContain('<div xmlns="http://www.w3.org/1999/xhtml">a</div>');
});

test('pretty XML and pretty JSON say the same as the plain ones', () => {
  const anyType = fc.constantFrom(...definitions.resourceTypes).chain((type) => anyResource(definitions, type));
  fc.assert(
    fc.property(anyType, (resource: Resource) => {
      const text = JSON.stringify(resource);
      expect(asJson(xml.fromJson(text, true))).toBe(asJson(xml.fromJson(text, false)));
      expect(prettyJson(text)).toBe(`${JSON.stringify(resource, null, 2)}\n`);
    }),
    { numRuns: 100 },
  );
  expect(prettyJson('{"a":[],"b":{},"c":[0.50,"\\"{[,:"]}')).toBe(
    '{\n  "a": [],\n  "b": {},\n  "c": [\n    0.50,\n    "\\"{[,:"\n  ]\n}\n',
  );
});
