/**
 * No element that a sender states is ever dropped: what is read back has everything that was written, in its own form.
 *
 * With the packages of US Core at hand (KAP_US_CORE_PACKAGES) all examples of the guide are written and read as well,
 * with every element that a US Core server must support.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { parseJson, stringifyJson } from '../../src/fhir/json.ts';
import {
  filesInPackage,
  type UsCoreVersion,
  usCorePackage,
  usCoreVersions,
  withPackages,
} from '../us-core/package-file.ts';
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

function examplesOf(version: UsCoreVersion): Resource[] {
  const files = filesInPackage(usCorePackage(version), /\/example\/[A-Z][^/]*\.json$/);
  return files.map((file) => parseJson(file) as Resource);
}

withPackages.each(usCoreVersions)(
  'every example of US Core %s is accepted and keeps every element',
  async (version) => {
    const resources = examplesOf(version);
    expect(resources.length).toBeGreaterThan(100);
    expect(await allLost(resources)).toEqual([]);
  },
);
