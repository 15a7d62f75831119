import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Failure } from '../../../src/fhir/failure.ts';
import { readPackage } from '../../../src/fhir/profiles/package.ts';
import { type ArchiveFile, packageWith, tar } from './archive.ts';

const patient = { resourceType: 'Patient', id: 'one' };
const valueSet = { resourceType: 'ValueSet', url: 'https://example.org/vs', status: 'active' };

async function refusal(bytes: Buffer | Readable): Promise<Failure> {
  return readPackage(bytes).then(
    () => {
      throw new Error('nothing was refused');
    },
    (error: unknown) => {
      if (error instanceof Failure) return error;
      throw error;
    },
  );
}

describe('a package', () => {
  test('has its definitions, its examples and what package.json says', async () => {
    const bytes = packageWith(
      [
        { name: 'package/ValueSet-vs.json', content: JSON.stringify(valueSet) },
        { name: 'package/example/Patient-one.json', content: JSON.stringify(patient) },
        { name: 'package/Patient-two.json', content: JSON.stringify({ ...patient, id: 'two' }) },
        { name: 'package/.index.json', content: 'not JSON' },
        { name: 'package/other/spec.internals', content: 'anything' },
        { name: 'package/openapi/Patient.openapi.json', content: '{' },
        { name: 'package/xml', type: '5' },
      ],
      { title: 'Example', canonical: 'https://example.org' },
    );
    expect(await readPackage(bytes)).toEqual({
      name: 'example.guide',
      version: '1.0.0',
      title: 'Example',
      canonical: 'https://example.org',
      fhirVersions: ['4.0.1'],
      dependencies: { 'hl7.fhir.r4.core': '4.0.1' },
      resources: [valueSet],
      examples: [patient, { ...patient, id: 'two' }],
    });
  });

  test('is read as it comes, in pieces of any size', async () => {
    const bytes = packageWith([{ name: 'package/ValueSet-vs.json', content: JSON.stringify(valueSet) }]);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: bytes.length }), async (size) => {
        const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
          bytes.subarray(at * size, (at + 1) * size),
        );
        expect((await readPackage(Readable.from(pieces))).resources).toEqual([valueSet]);
      }),
      { numRuns: 20 },
    );
  });

  test('may have files of tools beside its definitions, which are told of', async () => {
    const files = ['ig-r4', 'fhirpkg.lock'].map((name) => ({ name: `package/${name}.json`, content: '{"a":[]}' }));
    const read = await readPackage(
      packageWith([...files, { name: 'package/ValueSet-vs.json', content: JSON.stringify(valueSet) }]),
    );
    expect(read).toMatchObject({
      resources: [valueSet],
      otherFiles: ['package/ig-r4.json', 'package/fhirpkg.lock.json'],
    });
  });

  test('keeps the digits of its numbers', async () => {
    const content =
      '{"resourceType":"ValueSet","url":"https://example.org/vs","extension":[{"url":"x","valueDecimal":1.50}]}';
    const { resources } = await readPackage(packageWith([{ name: 'package/ValueSet-vs.json', content }]));
    const { stringifyJson } = await import('../../../src/fhir/json.ts');
    expect(stringifyJson(resources[0])).toContain('1.50');
  });

  test.each<[string, (name: string) => ArchiveFile]>([
    ['pax', (name) => ({ name: 'PaxHeader', type: 'x', content: `${`00 path=${name}\n`.length} path=${name}\n` })],
    ['GNU', (name) => ({ name: '././@LongLink', type: 'L', content: `${name}\0` })],
  ])('may have names longer than 100 characters in the way of %s', async (_way, longName) => {
    const name = `package/ValueSet-${'n'.repeat(55)}.json`;
    const files = [longName(name), { name: name.slice(0, 20), content: JSON.stringify(valueSet) }];
    expect((await readPackage(packageWith(files))).resources).toEqual([valueSet]);
  });

  test('may have names that start with ./, and its list of releases under the older name', async () => {
    const manifest = JSON.stringify({ name: 'a', version: '1', 'fhir-version-list': ['4.0.0'] });
    expect(await readPackage(gzipSync(tar([{ name: './package/package.json', content: manifest }])))).toMatchObject({
      fhirVersions: ['4.0.0'],
    });
  });
});

describe('what is refused', () => {
  const good = packageWith([{ name: 'package/ValueSet-vs.json', content: JSON.stringify(valueSet) }]);

  test.each<[string, Buffer, RegExp]>([
    ['nothing', Buffer.alloc(0), /no whole gzip archive/],
    ['a text', Buffer.from('hello'), /no whole gzip archive/],
    ['half an archive', good.subarray(0, good.length / 2), /no whole gzip archive/],
    ['a packed text', gzipSync('hello'), /damaged: it ends in the middle of a file/],
    ['blocks that are no headers', gzipSync(Buffer.alloc(2048, 'x')), /another checksum/],
    [
      'an archive that ends in a file',
      gzipSync(tar([{ name: 'package/package.json', content: 'x'.repeat(2000) }]).subarray(0, 1024)),
      /it ends/,
    ],
    [
      'a size beyond the end',
      packageWith([{ name: 'package/A.json', content: '{}', size: 99_999 }]),
      /it ends in the middle of a file/,
    ],
    ['an empty archive', gzipSync(tar([])), /no package\/package\.json/],
    [
      'an npm package of something else',
      gzipSync(tar([{ name: 'package/index.js', content: '' }])),
      /no package\/package\.json/,
    ],
    [
      'a definition that is no JSON',
      packageWith([{ name: 'package/ValueSet-vs.json', content: '{"a":' }]),
      /^package\/ValueSet-vs\.json: Not acceptable JSON/,
    ],
    [
      'a definition with a key twice',
      packageWith([{ name: 'package/ValueSet-vs.json', content: '{"a":1,"a":2}' }]),
      /^package\/ValueSet-vs\.json: /,
    ],
    [
      'a definition nested too deep',
      packageWith([{ name: 'package/ValueSet-vs.json', content: '['.repeat(100_000) }]),
      /^package\/ValueSet-vs\.json: .*nested deeper/,
    ],
    [
      'a definition that is no resource',
      packageWith([{ name: 'package/ValueSet-thing.json', content: '[]' }]),
      /package\/ValueSet-thing\.json has no resourceType/,
    ],
    ['a link', packageWith([{ name: 'package/A.json', type: '2' }]), /The package has a link/],
    ['a hard link', packageWith([{ name: 'package/A.json', type: '1' }]), /The package has a link/],
    ['a device', packageWith([{ name: 'package/A.json', type: '3' }]), /no ordinary file/],
    ['a name above the archive', packageWith([{ name: 'package/../../etc/passwd', content: 'x' }]), /leads out of it/],
    ['an absolute name', packageWith([{ name: '/etc/passwd', content: 'x' }]), /leads out of it/],
    ['a name of Windows above it', packageWith([{ name: 'package\\..\\x', content: 'x' }]), /leads out of it/],
  ])('%s, saying why', async (_case, bytes, words) => {
    const failure = await refusal(bytes);
    expect([failure.code, failure.message]).toEqual(['invalid', expect.stringMatching(words)]);
  });

  test.each<[string, object, RegExp]>([
    ['no name', { name: undefined }, /package\.json: name is required/],
    ['a name that is a path', { name: '../x' }, /name is required/],
    ['no version', { version: undefined }, /version is required/],
    ['no release', { fhirVersions: undefined }, /fhirVersions is required/],
    ['dependencies that are no list of versions', { dependencies: { a: 1 } }, /dependencies must have a version/],
  ])('a package.json with %s', async (_case, manifest, words) => {
    expect((await refusal(packageWith([], manifest))).message).toMatch(words);
  });

  test('a package of another release than R4', async () => {
    const failure = await refusal(packageWith([], { fhirVersions: ['5.0.0', '4.3.0'] }));
    expect([failure.code, failure.message]).toEqual([
      'business-rule',
      expect.stringMatching(/example\.guide#1\.0\.0 is for FHIR 5\.0\.0, 4\.3\.0: this service has R4/),
    ]);
  });

  test('a file larger than 64 MB, before it is unpacked', async () => {
    const failure = await refusal(Readable.from(endless(good)));
    expect([failure.code, failure.message]).toEqual(['too-large', expect.stringMatching(/larger than 64 MB/)]);
  });

  test('a small file that unpacks to more than 512 MB, without holding it', async () => {
    const zeros = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const header = tar([{ name: 'package/big.bin', size: 8 ** 10 }]).subarray(0, 512);
    // Archives of gzip may follow each other: together they are one stream.
    const bomb = Buffer.concat([gzipSync(header), ...Array.from({ length: 9 }, () => zeros)]);
    expect(bomb.length).toBeLessThan(1024 * 1024);
    const failure = await refusal(bomb);
    expect([failure.code, failure.message]).toEqual(['too-large', expect.stringMatching(/more than 512 MB/)]);
  });

  test('a file in it that says to be larger than 512 MB', async () => {
    const failure = await refusal(packageWith([{ name: 'package/A.json', size: 8 ** 10 }]));
    expect(failure.code).toBe('too-large');
  });

  test('more than 20,000 files', async () => {
    const one = tar([{ name: 'package/other/a' }]).subarray(0, 512);
    const failure = await refusal(gzipSync(Buffer.concat(Array.from({ length: 20_001 }, () => one))));
    expect([failure.code, failure.message]).toEqual(['too-large', expect.stringMatching(/more than 20000 files/)]);
  });

  test('any bytes with some of them changed, or the package is read', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }), async (at, byte) => {
        const changed = Buffer.from(good);
        changed[at] = byte;
        await readPackage(changed).catch((error: unknown) => expect(error).toBeInstanceOf(Failure));
      }),
      { numRuns: 200 },
    );
  });

  test('what the sender of the bytes fails with is told as it is', async () => {
    const broken = Readable.from(
      (async function* () {
        yield good.subarray(0, 20);
        throw new Error('the disk is gone');
      })(),
    );
    await expect(readPackage(broken)).rejects.toThrow('the disk is gone');
  });
});

/** Bytes that gzip cannot stop at: the archive, then empty archives without end. */
function* endless(start: Buffer): Generator<Buffer> {
  yield start;
  const empty = gzipSync(Buffer.alloc(0));
  const many = Buffer.concat(Array.from({ length: 3_000 }, () => empty));
  for (;;) yield many;
}
