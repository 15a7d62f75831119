/**
 * Profiles as JSON: without prose, each constraint and each element's content once. JSON has no Infinity either.
 *
 * The 59 profiles of US Core 6.1.0, 6 MB in its package, take 0.2 MB.
 */
import type { ConstraintDigest } from '../definitions.ts';
import type { ElementContent } from './element-digest.ts';
import type { Profile, ProfileElement } from './model.ts';
import { withoutProse } from './profile.ts';

export type PackedProfiles = {
  readonly constraints: readonly ConstraintDigest[];
  readonly contents: readonly PackedContent[];
  readonly profiles: readonly (Omit<Profile, 'root'> & { readonly root: PackedElement })[];
};

/** `max` -1: unbounded. `constraints`: positions in the list. */
type PackedContent = Omit<ElementContent, 'constraints'> & { readonly constraints?: readonly number[] };

/** Position of the content, last step of the path, name of the slice, children, slices. */
type PackedElement = readonly [
  content: number,
  step: string,
  sliceName: string | 0,
  children: readonly PackedElement[],
  slices: readonly PackedElement[],
];

export function packProfiles(profiles: readonly Profile[]): PackedProfiles {
  const constraints = new Interned<ConstraintDigest>();
  const contents = new Interned<PackedContent>();
  const pack = ({ id, path, name, sliceName, children, slices, ...content }: ProfileElement): PackedElement => [
    contents.indexOf({
      ...content,
      max: Number.isFinite(content.max) ? content.max : -1,
      constraints: content.constraints.map((constraint) => constraints.indexOf(constraint)),
    }),
    path.slice(path.lastIndexOf('.') + 1),
    sliceName ?? 0,
    children.map(pack),
    slices.map(pack),
  ];
  const packed = profiles.map(withoutProse).map((profile) => ({ ...profile, root: pack(profile.root) }));
  return { constraints: constraints.values, contents: contents.values, profiles: packed };
}

export function unpackProfiles({ constraints, contents, profiles }: PackedProfiles): Profile[] {
  const full = contents.map(({ constraints: at = [], ...content }) => ({
    ...content,
    max: content.max < 0 ? Number.POSITIVE_INFINITY : content.max,
    constraints: at.flatMap((each) => constraints[each] ?? []),
  }));
  const unpack = (packed: PackedElement, parent: { readonly id: string; readonly path: string } | undefined) => {
    const [content, step, sliceName, children, slices] = packed;
    const path = parent === undefined ? step : `${parent.path}.${step}`;
    const plain = parent === undefined ? step : `${parent.id}.${step}`;
    const id = sliceName === 0 ? plain : `${plain}:${sliceName}`;
    const element: ProfileElement = {
      id,
      path,
      name: step.replace(/\[x\]$/, ''),
      ...(sliceName === 0 ? {} : { sliceName }),
      ...(full[content] as ElementContent),
      children: children.map((child) => unpack(child, { id, path })),
      slices: slices.map((slice) => unpack(slice, parent)),
    };
    return element;
  };
  return profiles.map((profile) => ({ ...profile, root: unpack(profile.root, undefined) }));
}

/** Each different value once. */
class Interned<T> {
  readonly #positions = new Map<string, number>();
  readonly values: T[] = [];

  indexOf(value: T): number {
    const text = JSON.stringify(value);
    const known = this.#positions.get(text);
    if (known !== undefined) return known;
    this.#positions.set(text, this.values.length);
    return this.values.push(value) - 1;
  }
}
