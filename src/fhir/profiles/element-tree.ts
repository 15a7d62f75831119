import { contentOf } from './element-digest.ts';
import type { ProfileElement } from './model.ts';
import { nameOf, type SnapshotNode } from './snapshot-tree.ts';

/** The elements of a profile out of the tree of its snapshot, with ids made anew. */
export function elementTree(root: SnapshotNode, type: string, kind: string): ProfileElement {
  const made = (node: SnapshotNode, parent: { readonly id: string; readonly path: string } | undefined) => {
    const path = parent === undefined ? node.step : `${parent.path}.${node.step}`;
    const id = idOf(node, parent?.id);
    const element: ProfileElement = {
      id,
      path,
      name: nameOf(node.step),
      ...(node.sliceName === undefined ? {} : { sliceName: node.sliceName }),
      ...contentOf({ ...node.element, path }, type, kind),
      children: node.children.map((child) => made(child, { id, path })),
      slices: node.slices.map((slice) => made(slice, parent)),
    };
    return element;
  };
  return made(root, undefined);
}

/** `Observation.component:systolic` below `Observation`. */
export function idOf({ step, sliceName }: SnapshotNode, parentId: string | undefined): string {
  const plain = parentId === undefined ? step : `${parentId}.${step}`;
  return sliceName === undefined ? plain : `${plain}:${sliceName}`;
}
