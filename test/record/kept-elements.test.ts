/**
 * No element that a sender states is ever dropped: what is read back has everything that was written, in its own form.
 *
 * With KAP_US_CORE_PACKAGES (paths of the .tgz packages of US Core, separated by ':') all examples of the guide are
 * written and read as well, with every element that a US Core server must support.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { parseJson, stringifyJson } from '../../src/fhir/json.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
});
afterAll(() => clinic.database.drop());

const ROOT = join(import.meta.dirname, '../..');

/** The resources that the repository ships, and those of its example course that can be written alone. */
function shipped(): Resource[] {
  const read = (folder: string) =>
    readdirSync(join(ROOT, folder))
      .filter((file) => file.endsWith('.json'))
      .map((file) => parseJson(readFileSync(join(ROOT, folder, file))) as Resource);
  const entries = read('examples').flatMap((each) =>
    each.resourceType === 'Bundle' ? ((each as Bundle).entry ?? []).flatMap(({ resource }) => resource ?? []) : [],
  );
  const isAlone = (resource: Resource) => !/"(urn:uuid:|[A-Z][A-Za-z]+\?)/.test(JSON.stringify(resource));
  return [...read('fhir-profiles'), ...entries.filter(isAlone)];
}

/** The files of a package whose name matches, as tar (https://www.gnu.org/software/tar/manual) holds them. */
function filesOf(path: string, name: RegExp): Buffer[] {
  const tar = gunzipSync(readFileSync(path));
  const files: Buffer[] = [];
  for (let at = 0; at + 512 <= tar.length; ) {
    const header = tar.subarray(at, at + 512);
    const size = Number.parseInt(header.toString('latin1', 124, 136), 8) || 0;
    const file = header.toString('utf8', 0, 100).replace(/\0.*$/s, '');
    if (name.test(file)) files.push(tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

const packages = (process.env.KAP_US_CORE_PACKAGES ?? '').split(':').filter((path) => path !== '');
const examples = packages.map((path): [string, Resource[]] => [
  path.slice(path.lastIndexOf('/') + 1),
  filesOf(path, /\/example\/[A-Z][^/]*\.json$/).map((file) => parseJson(file) as Resource),
]);

/** By a single write, which may refer to what is not here. */
async function writtenAndRead(resource: Resource, id: string): Promise<Resource> {
  const type = resource.resourceType;
  const sent = parseJson(stringifyJson({ ...resource, id })) as Resource;
  await clinic.record.write([{ method: 'PUT', type, id, resource: sent, place: type }], writeContext('update'));
  return parseJson((await clinic.record.read(type, id)).content) as Resource;
}

/** Places of values that are not there any more, or not as they were. */
function lost(before: unknown, after: unknown, place: string): string[] {
  if (typeof before !== 'object' || before === null) return Object.is(before, after) ? [] : [place];
  return Object.entries(before).flatMap(([key, inner]) =>
    lost(inner, (after as Record<string, unknown>)?.[key], `${place}.${key}`),
  );
}

/** What the server itself says about a version, and labels that it adds before those of the sender. */
const OURS = /\.meta\.(versionId|lastUpdated|security)(\.|$)|^DocumentReference\.securityLabel/;

async function allLost(resources: readonly Resource[]): Promise<string[]> {
  const found: string[] = [];
  let n = 0;
  for (const resource of resources) {
    n += 1;
    const { id: _id, ...before } = resource;
    const after = await writtenAndRead(resource, `kept-${n}`);
    found.push(...lost(before, after, resource.resourceType).filter((place) => !OURS.test(place)));
  }
  return found;
}

test('everything that is shipped keeps every element', async () => {
  const resources = shipped();
  expect(resources.length).toBeGreaterThan(20);
  expect(await allLost(resources)).toEqual([]);
});

const withPackages = examples.length === 0 ? test.skip : test;

withPackages('every example of US Core is accepted and keeps every element', async () => {
  for (const [name, resources] of examples) {
    expect([name, resources.length > 100]).toEqual([name, true]);
    expect([name, await allLost(resources)]).toEqual([name, []]);
  }
});
