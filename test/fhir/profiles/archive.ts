import { gzipSync } from 'node:zlib';
import type { Resource } from '@medplum/fhirtypes';
import { type FhirPackage, readPackage } from '../../../src/fhir/profiles/package.ts';

export type ArchiveFile = {
  readonly name: string;
  readonly content?: string | Buffer;
  /** '0' a file, '1' and '2' links, '5' a directory, 'x' pax, 'L' a long name of GNU. */
  readonly type?: string;
  /** Where it says another size than it has. */
  readonly size?: number;
};

/** A tar archive, as it is before it is packed. */
export function tar(files: readonly ArchiveFile[]): Buffer {
  return Buffer.concat([...files.flatMap(blocksOf), Buffer.alloc(1024)]);
}

/** A package with a good package.json and these files, packed. */
export function packageWith(files: readonly ArchiveFile[] = [], manifest: object = {}): Buffer {
  const good = {
    name: 'example.guide',
    version: '1.0.0',
    fhirVersions: ['4.0.1'],
    dependencies: { 'hl7.fhir.r4.core': '4.0.1' },
  };
  return gzipSync(tar([{ name: 'package/package.json', content: JSON.stringify({ ...good, ...manifest }) }, ...files]));
}

export function fileOf(resource: {
  readonly resourceType: string;
  readonly url?: string;
  readonly id?: string;
}): ArchiveFile {
  const name = resource.id ?? resource.url?.replace(/.*\//, '');
  return { name: `package/${resource.resourceType}-${name}.json`, content: JSON.stringify(resource) };
}

function blocksOf({ name, content = '', type = '0', size }: ArchiveFile): Buffer[] {
  const bytes = Buffer.from(content);
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write('0000644\0', 100);
  header.write(`${(size ?? bytes.length).toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156);
  header.write('ustar\x0000', 257, 'latin1');
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
}

/** A package with these, as it is after it was packed and read. */
export function packageOf(resources: readonly Resource[], manifest: Partial<FhirPackage> = {}): Promise<FhirPackage> {
  const files = resources.map((each, at) => ({
    name: `package/${each.resourceType}-${at}.json`,
    content: JSON.stringify(each),
  }));
  return readPackage(packageWith(files, manifest));
}
