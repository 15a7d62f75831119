/**
 * The elements of a profile as rows: what its author says (differential), and what holds in all (snapshot).
 *
 * Only our own words are shown: those of the profile, else those of its parents in this guide.
 */
import type { ElementDefinition, ElementDefinitionBinding, StructureDefinition } from '@medplum/fhirtypes';
import { splitCanonical } from '../../src/fhir/terminology/resources.ts';
import { type DefinitionFile, extensionsIn, type GuideSource, profilesIn } from './source.ts';

export type Cardinality = { readonly min: number | undefined; readonly max: string | undefined };

export type ElementRow = {
  readonly id: string;
  /** `value[x]`; of a slice its name as well. */
  readonly name: string;
  readonly sliceName: string | undefined;
  /** 0 for the resource itself; a slice is one deeper than its list. */
  readonly depth: number;
  readonly card: Cardinality;
  /** What the parent has, or base R4 where the parent is in another guide, where this profile has less. */
  readonly before: (Cardinality & { readonly of: 'the parent' | 'base R4' }) | undefined;
  readonly mustSupport: boolean;
  readonly isModifier: boolean;
  readonly isSummary: boolean;
  readonly types: NonNullable<ElementDefinition['type']>;
  readonly contentReference: string | undefined;
  readonly short: string | undefined;
  /** Why it is so: sentences of ours. */
  readonly why: readonly string[];
  readonly binding: ElementDefinitionBinding | undefined;
  /** Fixed values and patterns; `name` is that of the JSON element, such as patternCodeableConcept. */
  readonly values: readonly { readonly name: string; readonly value: unknown }[];
  readonly slicing: ElementDefinition['slicing'];
  /** Some of its slices are shown, too; every list of extensions could have some. */
  readonly isSliced: boolean;
  readonly constraints: NonNullable<ElementDefinition['constraint']>;
  readonly maxLength: number | undefined;
  /** The profile itself says something here; false for elements that are shown to lead there, or as they are in the parent. */
  readonly isOurs: boolean;
};

export type ProfileRows = {
  /** What the profile says, and the elements above it. */
  readonly differential: readonly ElementRow[];
  /** All elements; empty while no snapshot was made. */
  readonly snapshot: readonly ElementRow[];
};

export function rowsOf(profile: StructureDefinition, source: GuideSource): ProfileRows {
  const ours = new Map((profile.differential?.element ?? []).map((element) => [idOf(element), element]));
  const snapshot = profile.snapshot?.element ?? [];
  const parents = ownParents(profile, source);
  const sliced = new Set([...ours.keys(), ...snapshot.map(idOf)].flatMap(slicedBy));
  const row = (element: ElementDefinition): ElementRow => ({
    ...rowOf(element, ours.get(idOf(element)), parents),
    isSliced: sliced.has(idOf(element)) && element.max !== '0',
  });
  if (snapshot.length === 0) {
    const elements = withAncestors([...ours.values()], [...ours.values()]);
    return { differential: elements.map(row), snapshot: [] };
  }
  const inSnapshot = new Set(snapshot.map(idOf));
  // An id in short form (valueQuantity) stands in the snapshot by its long one, and is shown as its author wrote it.
  const strays = [...ours.values()].filter((element) => !inSnapshot.has(idOf(element)));
  const shown = withAncestors(
    snapshot.filter((element) => ours.has(idOf(element))),
    snapshot,
  );
  return { differential: [...shown, ...strays].map(row), snapshot: snapshot.map(row) };
}

/** `A.b` of the slice `A.b:s`; nothing of other elements. */
function slicedBy(id: string): string[] {
  const last = id.lastIndexOf(':');
  return last > id.lastIndexOf('.') ? [id.slice(0, last)] : [];
}

function idOf(element: ElementDefinition): string {
  return element.id ?? element.path ?? '';
}

/** The elements in the order of `all`, with every element of `all` that stands above one of them. */
function withAncestors(elements: readonly ElementDefinition[], all: readonly ElementDefinition[]): ElementDefinition[] {
  const wanted = new Set(elements.map(idOf));
  for (const id of [...wanted]) for (const above of idsAbove(id)) wanted.add(above);
  return all.filter((element) => wanted.has(idOf(element)));
}

/** `A.b:s.c` is below `A.b:s`, that below `A.b`, that below `A`. */
function idsAbove(id: string): string[] {
  const above: string[] = [];
  for (let rest = id; ; ) {
    const cut = Math.max(rest.lastIndexOf('.'), rest.lastIndexOf(':'));
    if (cut < 0) return above;
    rest = rest.slice(0, cut);
    above.push(rest);
  }
}

type Parent = ReadonlyMap<string, ElementDefinition>;

/** Parents that this guide defines, the nearest first, by what their authors say. */
function ownParents(profile: StructureDefinition, source: GuideSource): { own: Parent[]; nearest: Parent | undefined } {
  const known = new Map([...profilesIn(source), ...extensionsIn(source)].map(byUrl));
  const own: Parent[] = [];
  let nearest: Parent | undefined;
  const seen = new Set([profile.url]);
  for (let base = profile.baseDefinition; base !== undefined; ) {
    const parent = known.get(splitCanonical(base).url);
    if (parent === undefined || seen.has(parent.url)) break;
    seen.add(parent.url);
    own.push(new Map((parent.differential?.element ?? []).map((element) => [idOf(element), element])));
    nearest ??= new Map((parent.snapshot?.element ?? []).map((element) => [idOf(element), element]));
    base = parent.baseDefinition;
  }
  return { own, nearest };
}

function byUrl({ resource }: DefinitionFile<StructureDefinition>): [string, StructureDefinition] {
  return [resource.url ?? '', resource];
}

function rowOf(
  element: ElementDefinition,
  ours: ElementDefinition | undefined,
  { own, nearest }: ReturnType<typeof ownParents>,
): Omit<ElementRow, 'isSliced'> {
  const id = idOf(element);
  const words = [ours, ...own.map((parent) => parent.get(id))].find(
    (one) => (one?.short ?? one?.definition) !== undefined,
  );
  const last = id.slice(id.lastIndexOf('.') + 1);
  const [name = '', sliceName] = last.split(/:(.*)/s);
  const card = { min: element.min, max: element.max };
  const inParent = nearest?.get(id);
  const before = inParent ?? element.base;
  const isTighter = before !== undefined && (before.min !== card.min || before.max !== card.max);
  return {
    id,
    name,
    sliceName: sliceName ?? element.sliceName,
    depth: id.split('.').length - 1 + (sliceName === undefined ? 0 : 1) + slicesAbove(id),
    card,
    before:
      isTighter && sliceName === undefined
        ? { min: before.min, max: before.max, of: inParent === undefined ? 'base R4' : 'the parent' }
        : undefined,
    mustSupport: element.mustSupport === true,
    isModifier: element.isModifier === true,
    isSummary: element.isSummary === true,
    types: element.type ?? [],
    contentReference: element.contentReference,
    short: words?.short,
    why: whyOf(words),
    binding: element.binding,
    values: valuesOf(element),
    slicing: element.slicing,
    constraints: (element.constraint ?? []).filter(({ key }) => key !== 'ele-1' && key !== 'ext-1'),
    maxLength: element.maxLength,
    isOurs: ours !== undefined,
  };
}

function slicesAbove(id: string): number {
  return id
    .split('.')
    .slice(0, -1)
    .filter((step) => step.includes(':')).length;
}

function whyOf(element: ElementDefinition | undefined): string[] {
  if (element === undefined) return [];
  const sentences = [element.definition, element.comment, element.requirements].filter((one) => one !== undefined);
  return sentences.filter((one, at) => one !== element.short && sentences.indexOf(one) === at);
}

const VALUE = /^(fixed|pattern|minValue|maxValue|defaultValue)[A-Z]/;

function valuesOf(element: ElementDefinition): { name: string; value: unknown }[] {
  return Object.entries(element).flatMap(([name, value]) =>
    VALUE.test(name) ? [{ name, value: value as unknown }] : [],
  );
}
