import { createHash } from 'node:crypto';
import type { StructureDefinition } from '@medplum/fhirtypes';
import { isPublished } from '../definitions/structure.ts';
import { hasShape } from './definition-shape.ts';
import { contradictions } from './element-faults.ts';
import { elementTree } from './element-tree.ts';
import { Faults } from './faults.ts';
import type { Profile, ProfileElement } from './model.ts';
import { snapshotTree } from './snapshot-tree.ts';

export type {
  Discriminator,
  ExtensionContext,
  Profile,
  ProfileBinding,
  ProfileElement,
  ProfileType,
  Slicing,
  Typed,
} from './model.ts';

const ELEMENT = 'http://hl7.org/fhir/StructureDefinition/Element';

/**
 * The profile that a StructureDefinition with a snapshot describes.
 *
 * @throws Failure `business-rule` with everything that is broken or contradicts itself, by place and element id
 */
export function profileOf(definition: StructureDefinition): Profile {
  const faults = new Faults(typeof definition.url === 'string' ? definition.url : 'a StructureDefinition without url');
  const isShaped = hasShape(definition, 'snapshot', faults);
  const elements = isShaped ? (definition.snapshot?.element ?? []).filter(isPublished) : [];
  const tree = isShaped ? snapshotTree(elements, definition.type, faults) : undefined;
  const root = tree === undefined ? undefined : elementTree(tree, definition.type, definition.kind);
  if (root !== undefined) contradictions(root, placesIn(definition), faults);
  faults.refuse();
  return profileWith(definition, root as ProfileElement);
}

/** Without what only people read. */
export function withoutProse(profile: Profile): Profile {
  const { title: _title, description: _description, ...rest } = profile;
  return { ...rest, root: elementWithoutProse(profile.root) };
}

function elementWithoutProse(element: ProfileElement): ProfileElement {
  const { short: _short, definition: _definition, comment: _comment, ...rest } = element;
  return {
    ...rest,
    children: element.children.map(elementWithoutProse),
    slices: element.slices.map(elementWithoutProse),
  };
}

function profileWith(definition: StructureDefinition, root: ProfileElement): Profile {
  const { url, version, name, title, description, type, context, contextInvariant } = definition;
  const checked = {
    url,
    ...(version === undefined ? {} : { version }),
    type,
    kind: definition.kind as Profile['kind'],
    abstract: definition.abstract === true,
    base: definition.baseDefinition ?? ELEMENT,
    ...(context === undefined ? {} : { context: context.map(({ type, expression }) => ({ type, expression })) }),
    ...(contextInvariant === undefined ? {} : { contextInvariant }),
  };
  return {
    ...checked,
    name,
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    root,
    hash: hashOf({ ...checked, root }),
  };
}

function hashOf(checked: Omit<Profile, 'name' | 'hash'>): string {
  const text = JSON.stringify({ ...checked, root: elementWithoutProse(checked.root) }, (_key, value: unknown) =>
    value === Number.POSITIVE_INFINITY ? '*' : value,
  );
  return createHash('sha256').update(text).digest('hex');
}

/** Where an element stands in its definition, by the id that was made for it. */
function placesIn({ snapshot }: StructureDefinition): (id: string) => string {
  const byId = new Map((snapshot?.element ?? []).map(({ id }, at) => [id, at]));
  return (id) => {
    const at = byId.get(id);
    return at === undefined ? '.snapshot' : `.snapshot.element[${at}]`;
  };
}
