/**
 * The snapshot of a profile: its differential merged over the snapshot of its parent, which is made first where it is
 * absent too.
 *
 * An element of a differential is found by its id where it has one, else by its path, in the slice that the elements
 * before it opened. So elements may come in any order, but for one that needs a slice that is introduced further down.
 *
 * @see https://hl7.org/fhir/R4/profiling.html#snapshot and https://hl7.org/fhir/R4/elementdefinition.html
 */
import type { ElementDefinition, ElementDefinitionType, StructureDefinition } from '@medplum/fhirtypes';
import { withoutVersion } from '../definitions/structure.ts';
import { nearest } from '../validation/nearest.ts';
import { hasShape } from './definition-shape.ts';
import { typeNamed } from './element-digest.ts';
import { maxOf, mergedElement } from './element-merge.ts';
import { type ElementStep, stepsOf } from './element-steps.ts';
import { idOf } from './element-tree.ts';
import { Faults } from './faults.ts';
import { addSlice, choiceOf, lastStep, nameOf, type SnapshotNode, sliceNamed, snapshotTree } from './snapshot-tree.ts';

/** By canonical url, with or without version. */
export type Parents = (canonical: string) => StructureDefinition | undefined;

const BASE = 'http://hl7.org/fhir/StructureDefinition/';

/** Slices are copies of what they slice, so a few elements could ask for any number. */
const MAX_NODES = 50_000;
/** Profiles on profiles: more are none but a circle under changing names. */
const MAX_PARENTS = 64;

/**
 * The definition with its snapshot, made anew from the differential where it has one.
 *
 * @throws Failure `business-rule` with every reason by element: unknown parent, circular parents, paths that the parent
 * does not have, anything wider than in the parent, slices that are not told apart
 */
export function withSnapshot(definition: StructureDefinition, parents: Parents): StructureDefinition {
  return new Generator(parents).made(definition, []);
}

class Generator {
  readonly #parents: Parents;
  readonly #made = new Map<string, StructureDefinition>();

  constructor(parents: Parents) {
    this.#parents = parents;
  }

  /** `above` are the urls of those whose snapshot needs this one. */
  made(definition: StructureDefinition, above: readonly string[]): StructureDefinition {
    const faults = new Faults(
      typeof definition.url === 'string' ? definition.url : 'a StructureDefinition without url',
    );
    if (definition.differential === undefined && definition.snapshot !== undefined) return definition;
    if (!hasShape(definition, 'differential', faults)) faults.refuse();
    const tree = this.#parentTree(definition, above, faults);
    if (tree !== undefined) new Merge(definition, tree, this, above, faults).run();
    faults.refuse();
    if (tree === undefined) return definition; // refused just above
    drawConclusions(tree);
    return { ...definition, snapshot: { element: flattened(tree) } };
  }

  /** A definition that can be a parent, with its snapshot; undefined when it is not known. */
  known(canonical: string, above: readonly string[]): StructureDefinition | undefined {
    const present = this.#made.get(canonical);
    if (present !== undefined) return present;
    const definition = this.#parents(canonical);
    if (definition === undefined) return undefined;
    // Those of others are taken as they are published.
    const made = definition.snapshot === undefined ? this.made(definition, above) : shaped(definition);
    this.#made.set(canonical, made);
    return made;
  }

  /** A definition that can be a parent, as it is. */
  definition(canonical: string): StructureDefinition | undefined {
    return this.#parents(canonical);
  }

  #parentTree(definition: StructureDefinition, above: readonly string[], faults: Faults): SnapshotNode | undefined {
    const { type, kind, derivation, baseDefinition } = definition;
    if (derivation !== 'constraint') {
      faults.add('.derivation', 'derivation must be constraint: new types cannot be defined');
      return undefined;
    }
    if (baseDefinition === undefined) {
      faults.add('.baseDefinition', 'it has no parent: name one in baseDefinition');
      return undefined;
    }
    const circle = this.#circle(definition, above);
    if (circle !== undefined) {
      faults.add('.baseDefinition', `its parents lead back to itself (${circle}): one of them needs another parent`);
      return undefined;
    }
    if (above.length > MAX_PARENTS) {
      const words = `it is needed for another definition by way of ${above.length} others: no more than ${MAX_PARENTS} are followed`;
      faults.add('.baseDefinition', words);
      return undefined;
    }
    const parent = this.known(baseDefinition, [...above, keyOf(definition)]);
    if (parent === undefined) {
      faults.add('.baseDefinition', `its parent ${baseDefinition} is not known: add the package that has it first`);
      return undefined;
    }
    if (parent.type !== type || parent.kind !== kind) {
      faults.add(
        '.type',
        `type is ${type} (${kind}), and that of its parent ${parent.type} (${parent.kind}): take the parent's`,
      );
      return undefined;
    }
    return treeOf(parent);
  }

  /** The way up to where it meets itself again, or meets one that waits for this snapshot. */
  #circle(definition: StructureDefinition, above: readonly string[]): string | undefined {
    const way = [keyOf(definition)];
    if (above.includes(keyOf(definition))) return [...above, ...way].slice(-MAX_NAMED).join(' -> ');
    for (let base: unknown = definition.baseDefinition; typeof base === 'string'; ) {
      const parent = this.#parents(base);
      if (parent === undefined) return undefined;
      const key = keyOf(parent);
      const isCircle = way.includes(key) || way.length > MAX_PARENTS;
      way.push(key);
      if (isCircle) return way.slice(-MAX_NAMED).join(' -> ');
      base = parent.baseDefinition;
    }
    return undefined;
  }
}

const MAX_NAMED = 6;

function keyOf({ url, version }: StructureDefinition): string {
  return typeof version === 'string' ? `${url}|${version}` : url;
}

/** @throws Failure of the definition, not of those that need it */
function shaped(definition: StructureDefinition): StructureDefinition {
  const faults = new Faults(typeof definition.url === 'string' ? definition.url : 'a StructureDefinition without url');
  hasShape(definition, 'snapshot', faults);
  faults.refuse();
  return definition;
}

/** @throws Failure of the definition, not of those that need it */
function treeOf(definition: StructureDefinition): SnapshotNode {
  const faults = new Faults(definition.url);
  const tree = snapshotTree(definition.snapshot?.element ?? [], definition.type, faults);
  faults.refuse();
  return tree as SnapshotNode;
}

/** One differential over the tree of its parent. */
class Merge {
  readonly #definition: StructureDefinition;
  readonly #root: SnapshotNode;
  readonly #generator: Generator;
  readonly #above: readonly string[];
  readonly #faults: Faults;
  /** What was open in the parent and is closed by this differential: its own slices are not too late. */
  readonly #closedHere = new Set<SnapshotNode>();
  #nodes = 0;

  constructor(
    definition: StructureDefinition,
    root: SnapshotNode,
    generator: Generator,
    above: readonly string[],
    faults: Faults,
  ) {
    this.#definition = definition;
    this.#root = root;
    this.#generator = generator;
    this.#above = [...above, keyOf(definition)];
    this.#faults = faults;
  }

  run(): void {
    const elements = this.#definition.differential?.element ?? [];
    const seen = new Set<string>();
    let before: readonly ElementStep[] = [];
    for (const [at, element] of elements.entries()) {
      const steps = stepsOf(element, before);
      const label = element.id ?? element.path;
      const fault = (step: string, words: string) =>
        this.#faults.add(`.differential.element[${at}]${step}`, words, label);
      if (typeof steps === 'string') {
        fault('.id', steps);
        continue;
      }
      before = steps;
      const key = steps.map(({ step, sliceName }) => `${step}:${sliceName ?? ''}`).join('.');
      if (seen.has(key))
        fault('', 'it comes twice in the differential: put both together, or give a slice a sliceName');
      else this.#apply(element, steps, fault);
      seen.add(key);
    }
  }

  #apply(change: ElementDefinition, steps: readonly ElementStep[], fault: Fault): void {
    const [first, ...below] = steps;
    if (first?.step !== this.#root.step || first.sliceName !== undefined) {
      fault('.path', `the path must start with ${this.#root.step}, the type of the profile`);
      return;
    }
    let node: SnapshotNode | undefined = this.#root;
    for (const [at, step] of below.entries()) {
      node = this.#below(node, step, at === below.length - 1 ? change : undefined, fault);
      if (node === undefined) return;
    }
    if (node.element.slicing?.rules !== 'closed' && change.slicing?.rules === 'closed') this.#closedHere.add(node);
    node.element = mergedElement(node.element, change, {
      url: this.#definition.url,
      relation: { derives: (canonical, from) => this.#derives(canonical, from) },
      fault,
    });
  }

  /** `change` is what is said of the element, when the path ends there: it may introduce a slice. */
  #below(parent: SnapshotNode, step: ElementStep, change: ElementDefinition | undefined, fault: Fault) {
    if (parent.children.length === 0) this.#expand(parent, fault);
    const child = parent.children.find((each) => each.step === step.step);
    const choice = child ?? choiceOf(step.step, parent);
    if (choice === undefined) {
      const names = parent.children.map((each) => nameOf(each.step));
      const suggestion = nearest(nameOf(step.step), names);
      if (names.length === 0) return undefined; // why there are none was said
      const hint = suggestion === undefined ? '' : `: did you mean ${suggestion}?`;
      fault('.path', `${parent.element.path} has no element ${step.step} in the parent${hint}`);
      return undefined;
    }
    const sliceName = step.sliceName ?? (child === undefined ? step.step : undefined);
    if (sliceName === undefined) return choice;
    return sliceNamed(choice, sliceName) ?? this.#newSlice(choice, sliceName, change, child === undefined, fault);
  }

  #newSlice(
    sliced: SnapshotNode,
    sliceName: string,
    change: ElementDefinition | undefined,
    isShorthand: boolean,
    fault: Fault,
  ): SnapshotNode | undefined {
    if (change === undefined && !isShorthand && typeOfSlice(sliced, sliceName) === undefined) {
      fault('.path', `the slice ${sliceName} is not known here: introduce it before the elements below it`);
      return undefined;
    }
    if (change?.sliceIsConstraining === true) {
      fault('.sliceName', `the parent has no slice ${sliceName} to constrain`);
      return undefined;
    }
    const cut = sliceName.lastIndexOf('/');
    const of = cut < 0 ? sliced : sliceNamed(sliced, sliceName.slice(0, cut));
    const { slicing, ...element } = (of ?? sliced).element;
    if (slicing?.rules === 'closed' && !this.#closedHere.has(of ?? sliced)) {
      fault('.sliceName', `the parent's slices of ${sliced.element.path} are closed: no slice can be added`);
      return undefined;
    }
    // What is asked of all of them need not hold of each: a slice is mandatory only where it says so itself.
    const type = typeOfSlice(sliced, sliceName);
    const own = { ...element, min: 0, sliceName, ...(type === undefined ? {} : { type: [type] }) };
    if (type === undefined) delete own.mustSupport;
    const slice = this.#copy({ ...(of ?? sliced), element: own, slices: [] }, fault);
    if (slice === undefined) return undefined;
    const made: SnapshotNode = { ...slice, sliceName };
    const reason = addSlice(sliced, made);
    if (reason === undefined) return made;
    fault('.sliceName', reason);
    return undefined;
  }

  /** Gives an element without listed content that of its type, of its type's profile, or of what it refers to. */
  #expand(node: SnapshotNode, fault: Fault): void {
    const content = this.#contentOf(node, fault);
    for (const child of content?.children ?? []) {
      const copy = this.#copy(child, fault);
      if (copy !== undefined) node.children.push(copy);
    }
  }

  #contentOf({ element }: SnapshotNode, fault: Fault): SnapshotNode | undefined {
    const { contentReference, type = [], path } = element;
    if (contentReference !== undefined) return this.#referenced(contentReference, fault);
    const codes = [...new Set(type.map(({ code }) => code))];
    const [code] = codes;
    if (code === undefined || codes.length > 1) {
      const names = codes.join(', ');
      fault('.path', `${path} has no elements of its own before it is one type: it may be ${names || 'any'} here`);
      return undefined;
    }
    const profiles = type.flatMap(({ profile = [] }) => profile);
    const [profile] = profiles.length === 1 ? profiles : [];
    const name = code.startsWith('http://hl7.org/fhirpath/System.') ? lastStep(code).toLowerCase() : code;
    const structure =
      (profile === undefined ? undefined : this.#generator.known(profile, this.#above)) ??
      this.#generator.known(`${BASE}${name}`, this.#above);
    if (structure !== undefined) return treeOf(structure);
    fault(
      '.path',
      `the content of ${path} is ${profile ?? name}, which is not known: add the package that has it first`,
    );
    return undefined;
  }

  /** Content rules are those of the base type, whatever the profile says of the element that is referred to. */
  #referenced(contentReference: string, fault: Fault): SnapshotNode | undefined {
    const path = contentReference.slice(contentReference.indexOf('#') + 1).split('.');
    const structure = this.#generator.known(`${BASE}${path[0]}`, this.#above);
    let node = structure === undefined ? undefined : treeOf(structure);
    for (const step of path.slice(1)) node = node?.children.find((child) => child.step === step);
    if (node === undefined) fault('.path', `the content ${contentReference} that it shares is not known`);
    return node;
  }

  #copy(node: SnapshotNode, fault: Fault): SnapshotNode | undefined {
    if (this.#nodes++ > MAX_NODES) {
      if (this.#nodes === MAX_NODES + 2) fault('', `the snapshot would have more than ${MAX_NODES} elements`);
      return undefined;
    }
    const copies = (nodes: readonly SnapshotNode[]) => nodes.flatMap((each) => this.#copy(each, fault) ?? []);
    return { ...node, children: copies(node.children), slices: copies(node.slices) };
  }

  #derives(canonical: string, from: string): boolean | undefined {
    const target = withoutVersion(from);
    let at: string | undefined = canonical;
    for (let steps = 0; typeof at === 'string' && steps < MAX_PARENTS; steps++) {
      if (withoutVersion(at) === target) return true;
      const definition: StructureDefinition | undefined =
        withoutVersion(at) === this.#definition.url ? this.#definition : this.#generator.definition(at);
      if (definition === undefined) return undefined;
      at = definition.baseDefinition;
    }
    return false;
  }
}

type Fault = (step: string, words: string) => void;

/** The slice of a choice that is named after a type is of that type. */
function typeOfSlice({ step, element }: SnapshotNode, sliceName: string): ElementDefinitionType | undefined {
  const name = nameOf(step);
  if (name === step || !sliceName.startsWith(name)) return undefined;
  return (element.type ?? []).find(({ code }) => code === typeNamed(sliceName.slice(name.length)));
}

/** What follows for others from what is said: a choice that must be of one type can be of no other, a slice is no longer than its list. */
function drawConclusions(node: SnapshotNode): void {
  const { element, slices } = node;
  for (const slice of slices) {
    if (maxOf(slice.element) > maxOf(element)) slice.element = { ...slice.element, max: element.max ?? '*' };
  }
  const required = slices.filter((slice) => (slice.element.min ?? 0) > 0 && typeOfSlice(node, slice.sliceName ?? ''));
  const [slice] = required;
  if (required.length === 1 && slice?.element.type !== undefined && element.max === '1') {
    const slicing = { ...element.slicing, rules: 'closed' as const };
    node.element = { ...element, min: 1, type: slice.element.type, slicing };
  }
  for (const below of [...node.children, ...slices]) drawConclusions(below);
}

/** In the order of R4: an element, what is below it, then its slices. */
function flattened(root: SnapshotNode): ElementDefinition[] {
  const elements: ElementDefinition[] = [];
  const add = (node: SnapshotNode, parent: { readonly id: string; readonly path: string } | undefined) => {
    const path = parent === undefined ? node.step : `${parent.path}.${node.step}`;
    const id = idOf(node, parent?.id);
    elements.push(placed(node.element, id, path));
    for (const child of node.children) add(child, { id, path });
    for (const slice of node.slices) add(slice, parent);
  };
  add(root, undefined);
  return elements;
}

function placed(element: ElementDefinition, id: string, path: string): ElementDefinition {
  const { id: _id, path: _path, representation, sliceName, sliceIsConstraining, ...rest } = element;
  return {
    id,
    path,
    ...(representation === undefined ? {} : { representation }),
    ...(sliceName === undefined ? {} : { sliceName }),
    ...(sliceIsConstraining === undefined ? {} : { sliceIsConstraining }),
    ...rest,
  };
}
