/**
 * The tree of a snapshot: children below their element, slices beside their children, re-slices below their slice.
 *
 * What belongs where is read from the order, the paths and the names of slices, as the list itself means it; ids are
 * made anew, so one that says something else misleads nobody.
 *
 * @see https://hl7.org/fhir/R4/elementdefinition.html#id and https://hl7.org/fhir/R4/profiling.html#slicing
 */
import type { ElementDefinition } from '@medplum/fhirtypes';
import { typeNamed } from './element-digest.ts';
import type { Faults } from './faults.ts';

export type SnapshotNode = {
  /** As in the list, with its own id and path there. */
  element: ElementDefinition;
  /** Last step of its path; never a choice by its shorthand: `value[x]`. */
  readonly step: string;
  readonly sliceName: string | undefined;
  readonly children: SnapshotNode[];
  readonly slices: SnapshotNode[];
};

type Slicing = NonNullable<ElementDefinition['slicing']>;

/** `elements` have the shape of R4. Undefined when there is no tree in them; the reason is then among the faults. */
export function snapshotTree(
  elements: readonly ElementDefinition[],
  type: string,
  faults: Faults,
): SnapshotNode | undefined {
  const [first] = elements;
  if (first?.path !== type || first.sliceName !== undefined) {
    faults.add('.snapshot.element[0].path', `the first element must be ${type} itself`, first?.path);
    return undefined;
  }
  const before = faults.issues.length;
  const root = nodeOf(first, type, undefined);
  /** The element, or its slice, that the list is in, by depth. */
  const open: SnapshotNode[] = [root];
  for (const [at, element] of elements.entries()) {
    if (at === 0) continue;
    const fault = (words: string) => faults.add(`.snapshot.element[${at}]`, words, element.id ?? element.path);
    const depth = element.path.split('.').length - 1;
    const parent = open[depth - 1];
    if (parent === undefined || !isUnder(element.path, open.slice(0, depth))) {
      fault('the element that it is under does not come before it: put it below its parent');
      continue;
    }
    open.length = depth;
    open.push(added(element, parent, fault));
  }
  return faults.issues.length > before ? undefined : root;
}

export function lastStep(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

/** The step without `[x]`. */
export function nameOf(step: string): string {
  return step.replace(/\[x\]$/, '');
}

export function nodeOf(element: ElementDefinition, step: string, sliceName: string | undefined): SnapshotNode {
  return { element, step, sliceName, children: [], slices: [] };
}

/** The slice with this whole name (`a/b`), at whatever depth of re-slicing. */
export function sliceNamed(node: SnapshotNode, name: string): SnapshotNode | undefined {
  for (const slice of node.slices) {
    if (slice.sliceName === name) return slice;
    const below = name.startsWith(`${slice.sliceName}/`) ? sliceNamed(slice, name) : undefined;
    if (below !== undefined) return below;
  }
  return undefined;
}

/** The choice among the children that `valueQuantity` is the shorthand of; the type must be one of its types. */
export function choiceOf(step: string, parent: SnapshotNode): SnapshotNode | undefined {
  return parent.children.find((child) => {
    const name = nameOf(child.step);
    if (name === child.step || !step.startsWith(name)) return false;
    const type = typeNamed(step.slice(name.length));
    return (child.element.type ?? []).some(({ code }) => code === type);
  });
}

/** What need not be said: choices are sliced by their type, extensions by their url. */
export function impliedSlicing(step: string): Slicing | undefined {
  if (step.endsWith('[x]')) return { discriminator: [{ type: 'type', path: '$this' }], ordered: false, rules: 'open' };
  if (step !== 'extension' && step !== 'modifierExtension') return undefined;
  return { discriminator: [{ type: 'value', path: 'url' }], ordered: false, rules: 'open' };
}

/**
 * Puts `slice` below the element or slice that its name makes it a slice of, with the slicing that this implies.
 *
 * @returns why it cannot be there
 */
export function addSlice(sliced: SnapshotNode, slice: SnapshotNode): string | undefined {
  const name = slice.sliceName ?? '';
  const above = name.slice(0, Math.max(name.lastIndexOf('/'), 0));
  const of = above === '' ? sliced : sliceNamed(sliced, above);
  if (of === undefined) return `it is a slice of the slice ${above}, which does not come before it`;
  if (of.slices.some(({ sliceName }) => sliceName === name)) return 'another slice of the element has this sliceName';
  const slicing = of.element.slicing ?? impliedSlicing(of.step);
  if (slicing === undefined) {
    const label = of.sliceName === undefined ? of.step : `${of.step}:${of.sliceName}`;
    return `${label} has slices and no slicing: give it slicing that says how they are told apart`;
  }
  of.element = { ...of.element, slicing };
  of.slices.push(slice);
  return undefined;
}

/** Whether the elements that the list is in are those of the path, choices also by their shorthand. */
function isUnder(path: string, open: readonly SnapshotNode[]): boolean {
  const above = path.split('.').slice(0, -1);
  return above.every((step, at) => {
    const node = open[at];
    return node !== undefined && (step === node.step || step === lastStep(node.element.path));
  });
}

/** Puts `element` where it belongs under `parent`. */
function added(element: ElementDefinition, parent: SnapshotNode, fault: (words: string) => void): SnapshotNode {
  const step = lastStep(element.path);
  const sliced = parent.children.find((child) => child.step === step);
  if (element.sliceName === undefined && sliced !== undefined) {
    fault('its path comes twice among the elements beside it: a slice must have a sliceName');
    return nodeOf(element, step, undefined);
  }
  const choice = sliced === undefined ? choiceOf(step, parent) : undefined;
  const of = sliced ?? choice;
  const sliceName = element.sliceName ?? (choice === undefined ? undefined : step);
  const node = nodeOf(element, of?.step ?? step, sliceName);
  if (sliceName === undefined) {
    parent.children.push(node);
  } else {
    const reason = of === undefined ? 'the element that it is a slice of does not come before it' : addSlice(of, node);
    if (reason !== undefined) fault(reason);
  }
  return node;
}
