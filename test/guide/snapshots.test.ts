import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StructureDefinition } from '@medplum/fhirtypes';
import { jsonText } from '../../scripts/guide/json-text.ts';
import { parentsOf, type SnapshotResult, snapshotResults, writeSnapshots } from '../../scripts/guide/snapshots.ts';
import { extensionsIn, FHIR_PROFILES, profilesIn, readGuide } from '../../scripts/guide/source.ts';
import { packagesFolder as packages } from '../us-core/package-file.ts';

const source = readGuide();
const structures = [...profilesIn(source), ...extensionsIn(source)];

test('every committed snapshot is what its differential and its parents make', async () => {
  const results = snapshotResults(source, await parentsOf(source, packages));
  const unknown = results.filter(({ state }) => state === 'no-parent').map(({ file }) => file);
  if (unknown.length > 0) {
    process.stderr.write(
      `!!!! ${unknown.length} snapshots were NOT checked, since KAP_US_CORE_PACKAGES names no folder with US Core 6.1.0\n`,
    );
  }
  expect(results.filter(({ state }) => state === 'stale' || state === 'broken').map(({ file }) => file)).toEqual([]);
  if (packages !== undefined) expect(unknown).toEqual([]);
});

test('a snapshot has no words of the parents', () => {
  for (const { file, resource } of structures) {
    const own = new Map((resource.differential?.element ?? []).map((element) => [element.id, element]));
    for (const element of resource.snapshot?.element ?? []) {
      const ours = own.get(element.id);
      const { short, definition, comment, requirements, alias, mapping, example } = element;
      expect([file, element.id, { short, definition, comment, requirements, alias, mapping, example }]).toEqual([
        file,
        element.id,
        {
          short: ours?.short,
          definition: ours?.definition ?? 'As in the parent.',
          comment: ours?.comment,
          requirements: ours?.requirements,
        },
      ]);
    }
  }
});

test('every profile and extension has a snapshot', () => {
  expect(structures.filter(({ resource }) => resource.snapshot === undefined).map(({ file }) => file)).toEqual([]);
});

test('what the script writes is laid out as the formatter wants it', () => {
  const files = readdirSync(FHIR_PROFILES, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.json'),
  );
  const others = files.filter((file) => {
    const text = readFileSync(join(FHIR_PROFILES, file), 'utf8');
    // Digits such as 1.0 are another thing: no definition has any.
    return file.startsWith('StructureDefinition-') && jsonText(JSON.parse(text)) !== text;
  });
  expect(others).toEqual([]);
});

const PATIENT = 'http://hl7.org/fhir/StructureDefinition/Patient';

function structure(id: string, baseDefinition: string, ...element: object[]): StructureDefinition {
  return {
    resourceType: 'StructureDefinition',
    id,
    url: `https://kap.example.org/fhir/StructureDefinition/${id}`,
    name: 'Test',
    status: 'draft',
    publisher: 'kap-bridge',
    fhirVersion: '4.0.1',
    kind: 'resource',
    abstract: false,
    type: 'Patient',
    baseDefinition,
    derivation: 'constraint',
    differential: { element: [{ id: 'Patient', path: 'Patient' }, ...element] },
  } as StructureDefinition;
}

/** The results for a folder with these definitions, and the folder. */
async function resultsFor(
  use: (folder: string, results: readonly SnapshotResult[]) => Promise<void> | void,
  ...all: StructureDefinition[]
) {
  const folder = mkdtempSync(join(tmpdir(), 'kap-snapshots-'));
  try {
    mkdirSync(join(folder, 'examples'));
    for (const one of all) writeFileSync(join(folder, `StructureDefinition-${one.id}.json`), jsonText(one));
    const guide = readGuide(folder);
    await use(folder, snapshotResults(guide, await parentsOf(guide, undefined)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a snapshot that was written is not stale, and one whose parent changed is', async () => {
  const child = structure('child', 'https://kap.example.org/fhir/StructureDefinition/parent');
  await resultsFor(
    async (folder, first) => {
      expect(writeSnapshots(folder, first)).toEqual([
        'StructureDefinition-child.json',
        'StructureDefinition-parent.json',
      ]);
      const states = async () => {
        const guide = readGuide(folder);
        return snapshotResults(guide, await parentsOf(guide, undefined)).map(({ state }) => state);
      };
      expect(await states()).toEqual(['same', 'same']);
      const parent = readFileSync(join(folder, 'StructureDefinition-parent.json'), 'utf8');
      const changed = JSON.parse(parent) as StructureDefinition;
      changed.differential?.element?.push({ id: 'Patient.gender', path: 'Patient.gender', min: 1 });
      writeFileSync(join(folder, 'StructureDefinition-parent.json'), jsonText(changed));
      expect(await states()).toEqual(['stale', 'stale']);
    },
    child,
    structure('parent', PATIENT, { id: 'Patient.birthDate', path: 'Patient.birthDate', min: 1 }),
  );
});

test('a definition whose parent is not at hand is reported, and the others are written', async () => {
  await resultsFor(
    (folder, results) => {
      expect(results.find(({ file }) => file.includes('orphan'))).toEqual({
        file: 'StructureDefinition-orphan.json',
        state: 'no-parent',
        reasons: ['its parent http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient|6.1.0 is not at hand'],
      });
      expect(writeSnapshots(folder, results)).toEqual(['StructureDefinition-fine.json']);
    },
    structure('fine', PATIENT),
    structure('orphan', 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient|6.1.0'),
  );
});

test('a definition that goes against its parent is reported with its place', async () => {
  await resultsFor(
    (_folder, [result]) => {
      expect(result).toMatchObject({ state: 'broken', reasons: [expect.stringContaining('Patient.deceased')] });
    },
    structure('wide', PATIENT, { id: 'Patient.deceased[x]', path: 'Patient.deceased[x]', max: '3' }),
  );
});

test('definitions whose parents go in a circle are reported', async () => {
  await resultsFor(
    (_folder, results) => expect(results.map(({ state }) => state)).toEqual(['broken', 'broken']),
    structure('a', 'https://kap.example.org/fhir/StructureDefinition/b'),
    structure('b', 'https://kap.example.org/fhir/StructureDefinition/a'),
  );
});

test('a folder of packages that is not there is an error that says so', async () => {
  await expect(parentsOf(source, join(tmpdir(), 'no-such-folder-of-packages'))).rejects.toThrow(/There is no folder/);
});
