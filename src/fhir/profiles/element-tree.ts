/**
 * The tree of a snapshot: children below their element, slices beside their children, re-slices below their slice.
 *
 * What belongs where is read from the order, the paths and the names of slices, as the list itself means it; ids are
 * made anew, so one that says something else misleads nobody.
 *
 * @see https://hl7.org/fhir/R4/elementdefinition.html#id and https://hl7.org/fhir/R4/profiling.html#slicing
 */
import type { ElementDefinition } from '@medplum/fhirtypes';
import { contentOf, type ElementContent, typeNamed } from './element-digest.ts';
import type { Faults } from './faults.ts';
import type { ProfileElement, Slicing } from './model.ts';

/** `elements` have the shape of R4. Undefined when there is no tree in them; the reason is then among the faults. */
export function elementTree(
  elements: readonly ElementDefinition[],
  type: string,
  kind: string,
  faults: Faults,
): ProfileElement | undefined {
  const [first] = elements;
  if (first?.path !== type || first.sliceName !== undefined) {
    faults.add('.snapshot.element[0].path', `the first element must be ${type} itself`, first?.path);
    return undefined;
  }
  const before = faults.issues.length;
  const root = nodeOf(first, type, kind);
  /** The element, or its slice, that the list is in, by depth. */
  const open: Node[] = [root];
  for (const [at, element] of elements.entries()) {
    if (at === 0) continue;
    const fault = (words: string) => faults.add(`.snapshot.element[${at}]`, words, element.id ?? element.path);
    const depth = element.path.split('.').length - 1;
    const parent = open[depth - 1];
    if (parent === undefined || !isUnder(element.path, parent)) {
      fault('the element that it is under does not come before it: put it below its parent');
      continue;
    }
    const node = added(element, parent, nodeOf(element, type, kind), fault);
    open.length = depth;
    open.push(node);
  }
  return faults.issues.length > before ? undefined : frozen(root, undefined);
}

type Node = {
  /** As the list has it: perhaps a choice by its shorthand. */
  readonly listed: string;
  path: string;
  sliceName: string | undefined;
  content: ElementContent;
  readonly children: Node[];
  readonly slices: Node[];
};

function nodeOf(element: ElementDefinition, type: string, kind: string): Node {
  const { path, sliceName } = element;
  return { listed: path, path, sliceName, content: contentOf(element, type, kind), children: [], slices: [] };
}

function isUnder(path: string, { listed, path: full }: Node): boolean {
  const parent = path.slice(0, Math.max(path.lastIndexOf('.'), 0));
  return parent === listed || parent === full;
}

/** Puts `node` where it belongs under `parent`. */
function added(element: ElementDefinition, parent: Node, node: Node, fault: (words: string) => void): Node {
  const step = lastStep(element.path);
  node.path = `${parent.path}.${step}`;
  const sliced = parent.children.find(({ path }) => path === node.path);
  if (node.sliceName !== undefined) {
    if (sliced === undefined) fault('the element that it is a slice of does not come before it');
    else addSlice(sliced, node, fault);
    return node;
  }
  if (sliced !== undefined) {
    fault('its path comes twice among the elements beside it: a slice must have a sliceName');
    return node;
  }
  const choice = parent.children.find((child) => isTypeOfChoice(step, child));
  if (choice === undefined) {
    parent.children.push(node);
  } else {
    node.path = choice.path;
    node.sliceName = step;
    addSlice(choice, node, fault);
  }
  return node;
}

function addSlice(sliced: Node, slice: Node, fault: (words: string) => void): void {
  const steps = (slice.sliceName ?? '').split('/');
  let of = sliced;
  for (let length = 1; length < steps.length; length++) {
    const name = steps.slice(0, length).join('/');
    const above = of.slices.find(({ sliceName }) => sliceName === name);
    if (above === undefined) {
      fault(`it is a slice of the slice ${name}, which does not come before it`);
      return;
    }
    of = above;
  }
  if (of.slices.some(({ sliceName }) => sliceName === slice.sliceName)) {
    fault('another slice of the element has this sliceName');
    return;
  }
  const slicing = of.content.slicing ?? impliedSlicing(of.path);
  if (slicing === undefined) {
    const name = of.sliceName === undefined ? of.path : `${of.path}:${of.sliceName}`;
    fault(`${name} has slices and no slicing: say there how they are told apart`);
    return;
  }
  of.content = { ...of.content, slicing };
  of.slices.push(slice);
}

/** What need not be said: choices are sliced by their type, extensions by their url. */
export function impliedSlicing(path: string): Slicing | undefined {
  if (path.endsWith('[x]')) return { discriminators: [{ type: 'type', path: '$this' }], rules: 'open', ordered: false };
  if (!/\.(modifierE|e)xtension$/.test(path)) return undefined;
  return { discriminators: [{ type: 'value', path: 'url' }], rules: 'open', ordered: false };
}

function isTypeOfChoice(step: string, { path, content }: Node): boolean {
  if (!path.endsWith('[x]')) return false;
  const name = nameOf(path);
  const suffix = step.slice(name.length);
  return step.startsWith(name) && content.types.some(({ code }) => code === typeNamed(suffix));
}

function frozen(node: Node, parentId: string | undefined): ProfileElement {
  const { path, sliceName, content } = node;
  const step = parentId === undefined ? path : `${parentId}.${lastStep(path)}`;
  const id = sliceName === undefined ? step : `${step}:${sliceName}`;
  return {
    id,
    path,
    name: nameOf(path),
    ...(sliceName === undefined ? {} : { sliceName }),
    ...content,
    children: node.children.map((child) => frozen(child, id)),
    slices: node.slices.map((slice) => frozen(slice, parentId)),
  };
}

function lastStep(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

function nameOf(path: string): string {
  return lastStep(path).replace(/\[x\]$/, '');
}
