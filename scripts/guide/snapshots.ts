/**
 * The snapshots in fhir-profiles: made from each differential and its parents, without the parents' prose.
 *
 * The same input gives the same bytes, so a check can tell a stale one. Parents of other guides (US Core) come from
 * packages that a folder holds; where one is not at hand its profiles keep what they have, and the report says so.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import { Failure, issue } from '../../src/fhir/failure.ts';
import { baseStructures } from '../../src/fhir/profiles/base-structures.ts';
import { readPackage } from '../../src/fhir/profiles/package.ts';
import { withSnapshot } from '../../src/fhir/profiles/snapshot.ts';
import { splitCanonical } from '../../src/fhir/terminology/resources.ts';
import { jsonText } from './json-text.ts';
import { type DefinitionFile, type GuideSource, ofType } from './source.ts';

export type SnapshotResult = { readonly file: string } & (
  | { readonly state: 'same' }
  /** The file is not what it should be, which is `text`. */
  | { readonly state: 'stale'; readonly text: string }
  /** It cannot be made here; each reason is a sentence. */
  | { readonly state: 'no-parent' | 'broken'; readonly reasons: readonly string[] }
);

/** Canonicals of parents to their definitions. */
export type Parents = (canonical: string) => StructureDefinition | undefined;

/**
 * @param packages a folder with FHIR packages (.tgz)
 * @throws Failure `invalid` when the folder, or a package in it, cannot be read
 */
export async function parentsOf(source: GuideSource, packages: string | undefined): Promise<Parents> {
  const known: StructureDefinition[] = ofType(source, 'StructureDefinition').map(({ resource }) => resource);
  if (packages !== undefined) known.push(...(await structuresInPackages(packages)));
  const byUrl = Map.groupBy(known, ({ url = '' }) => url);
  const base = baseStructures();
  return (canonical) => {
    const { url, version } = splitCanonical(canonical);
    const editions = byUrl.get(url) ?? [];
    return editions.find((one) => version === undefined || one.version === version) ?? base(canonical);
  };
}

async function structuresInPackages(folder: string): Promise<StructureDefinition[]> {
  if (!existsSync(folder))
    throw new Failure('invalid', issue('not-found', `There is no folder ${folder} with packages`));
  const files = readdirSync(folder).filter((file) => file.endsWith('.tgz'));
  const structures: StructureDefinition[] = [];
  for (const file of files.sort()) {
    const { resources } = await readPackage(readFileSync(join(folder, file)));
    structures.push(
      ...resources.filter((one): one is StructureDefinition => one.resourceType === 'StructureDefinition'),
    );
  }
  return structures;
}

export function snapshotResults(
  source: GuideSource,
  parents: Parents,
  progress: (words: string) => void = () => {},
): readonly SnapshotResult[] {
  const definitions = ofType(source, 'StructureDefinition');
  return definitions.map((definition, at) => {
    progress(`snapshot of ${definition.file} (${at + 1} of ${definitions.length})`);
    return snapshotResult(definition, parents);
  });
}

function snapshotResult(
  { file, text, resource }: DefinitionFile<StructureDefinition>,
  parents: Parents,
): SnapshotResult {
  const missing = missingParents(resource, parents);
  if (missing.length > 0)
    return { file, state: 'no-parent', reasons: missing.map((one) => `its parent ${one} is not at hand`) };
  try {
    const made = fileText(resource, parents);
    return made === text ? { file, state: 'same' } : { file, state: 'stale', text: made };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return {
      file,
      state: 'broken',
      reasons: error.issues.map(({ diagnostics, expression }) => `${expression ?? ''} ${diagnostics}`.trim()),
    };
  }
}

/** Up the line of parents; types that are named elsewhere are the generator's to miss. */
function missingParents({ url, baseDefinition }: StructureDefinition, parents: Parents): string[] {
  const seen = new Set([url]);
  for (let base = baseDefinition; base !== undefined; ) {
    const parent = parents(base);
    if (parent === undefined) return [base];
    if (seen.has(parent.url)) return []; // a circle: withSnapshot says so
    seen.add(parent.url);
    base = parent.baseDefinition;
  }
  return [];
}

/** The whole file, with its snapshot before the differential as in R4's own. */
function fileText(definition: StructureDefinition, parents: Parents): string {
  const { snapshot: _stale, differential, ...rest } = definition;
  const bare = { ...rest, ...(differential === undefined ? {} : { differential }) } as StructureDefinition;
  const made = withSnapshot(bare, (canonical) => withoutStaleSnapshot(canonical, parents));
  const ours = new Map((differential?.element ?? []).map((element) => [element.id, element]));
  const element = (made.snapshot?.element ?? []).map((one) => withoutProse(one, ours.get(one.id)));
  return jsonText({ ...rest, snapshot: { element }, differential });
}

/** A parent in this guide is read from its differential: the snapshot in its file may be older. */
function withoutStaleSnapshot(canonical: string, parents: Parents): StructureDefinition | undefined {
  const parent = parents(canonical);
  if (parent?.differential === undefined || parent.publisher !== OUR_PUBLISHER) return parent;
  const { snapshot: _stale, ...rest } = parent;
  return rest as StructureDefinition;
}

const OUR_PUBLISHER = 'kap-bridge';

const PROSE = [
  'short',
  'definition',
  'comment',
  'requirements',
  'label',
  'meaningWhenMissing',
  'orderMeaning',
] as const;
const LEFT_OUT: ReadonlySet<string> = new Set([...PROSE, 'alias', 'mapping', 'example', 'extension', 'code']);

/** R4 asks for a definition of each element of a snapshot (sdf-3); this one is ours. */
const AS_IN_PARENT = 'As in the parent.';

function withoutProse(element: ElementDefinition, ours: ElementDefinition | undefined): ElementDefinition {
  const prose = Object.fromEntries(PROSE.flatMap((name) => (ours?.[name] === undefined ? [] : [[name, ours[name]]])));
  const { definition = AS_IN_PARENT, short, ...others } = prose;
  const kept = Object.entries(element).filter(([name]) => !LEFT_OUT.has(name));
  const trimmed = kept.map(([name, value]) => [name, withoutWords(name, value, ours)] as const);
  const words = Object.entries({ short, definition, ...others }).filter(([, value]) => value !== undefined);
  const all: (readonly [string, unknown])[] = [...trimmed, ...words];
  return Object.fromEntries(all.sort(([a], [b]) => rankOf(a) - rankOf(b))) as object as ElementDefinition;
}

/** The order of R4 (https://hl7.org/fhir/R4/elementdefinition.html), whatever the generator's is. */
const RANKS: ReadonlyMap<string, number> = new Map(
  `id extension path representation sliceName sliceIsConstraining label code slicing short definition comment
  requirements alias min max base contentReference type defaultValue meaningWhenMissing orderMeaning fixed pattern example
  minValue maxValue maxLength condition constraint mustSupport isModifier isModifierReason isSummary binding mapping`
    .split(/\s+/)
    .map((name, at) => [name, at] as const),
);

/** Of a choice by its own name: `fixedUri` stands where `fixed` does. */
function rankOf(name: string): number {
  return (
    RANKS.get(name) ??
    RANKS.get(/^(fixed|pattern|defaultValue|minValue|maxValue)(?=[A-Z])/.exec(name)?.[0] ?? '') ??
    RANKS.size
  );
}

/** Words inside a part of an element that R4 does not ask for; ours come with the differential. */
function withoutWords(name: string, value: unknown, ours: ElementDefinition | undefined): unknown {
  if (name === 'binding') return withoutBindingWords(value as Binding);
  if (name === 'slicing') return ours?.slicing === undefined ? withoutSlicingWords(value as Slicing) : value;
  return name === 'constraint' ? (value as Constraint[]).map(withoutConstraintWords) : value;
}

type Binding = NonNullable<ElementDefinition['binding']>;
type Slicing = NonNullable<ElementDefinition['slicing']>;
type Constraint = NonNullable<ElementDefinition['constraint']>[number];

function withoutBindingWords({ strength, valueSet }: Binding): Binding {
  return valueSet === undefined ? { strength, description: 'No value set is named.' } : { strength, valueSet };
}

/** Without a discriminator, words alone tell the slices apart. */
function withoutSlicingWords({ description: _words, ...slicing }: Slicing): Slicing {
  return slicing.discriminator === undefined ? { ...slicing, description: 'As in the parent.' } : slicing;
}

/** Its `human` is what a validator tells, and stays. */
function withoutConstraintWords({ extension, xpath: _xpath, requirements: _why, ...rule }: Constraint): Constraint {
  const kept = extension?.filter(({ url }) => !url?.endsWith('-explanation')) ?? [];
  return { ...(kept.length === 0 ? {} : { extension: kept }), ...rule };
}

/** Writes what is stale. @returns the files written */
export function writeSnapshots(folder: string, results: readonly SnapshotResult[]): string[] {
  const stale = results.filter((one) => one.state === 'stale');
  for (const { file, text } of stale) writeFileSync(join(folder, file), text);
  return stale.map(({ file }) => file);
}
