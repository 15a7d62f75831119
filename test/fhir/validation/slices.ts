/** Profiles with slices, and resources for them. */
import type { ElementDefinition, StructureDefinition } from '@medplum/fhirtypes';
import { definitionOf, type Json } from './profiled.ts';

export type Element = Partial<ElementDefinition>;
export type DiscriminatorType = 'value' | 'pattern' | 'type' | 'exists' | 'profile';
export const by = (
  type: DiscriminatorType,
  path: string,
  rules: 'open' | 'closed' | 'openAtEnd' = 'open',
  ordered = false,
) => ({
  discriminator: [{ type, path }],
  rules,
  ordered,
});
export const code = (text: string): Json => ({ coding: [{ system: 's', code: text }] });
export const observation = (component: readonly Json[]): Json => ({
  resourceType: 'Observation',
  status: 'final',
  code: code('panel'),
  ...(component.length === 0 ? {} : { component }),
});
export const part = (name: string, more: Json = {}): Json => ({ code: code(name), ...more });

/** Components a and b by the pattern of their code; `a` needs a value. */
export function panel(slicing: object, more: readonly Element[] = [], min = 0): StructureDefinition {
  return definitionOf('p', 'Observation', {
    elements: [
      { path: 'Observation.component', slicing: slicing as never },
      { id: 'Observation.component:a', path: 'Observation.component', sliceName: 'a', min, max: '1' },
      { id: 'Observation.component:a.code', path: 'Observation.component.code', patternCodeableConcept: code('a') },
      { id: 'Observation.component:a.value[x]', path: 'Observation.component.value[x]', min: 1 },
      ...more.filter(({ id }) => id?.startsWith('Observation.component:a/')),
      { id: 'Observation.component:b', path: 'Observation.component', sliceName: 'b', max: '2' },
      { id: 'Observation.component:b.code', path: 'Observation.component.code', patternCodeableConcept: code('b') },
      ...more.filter(({ id }) => !id?.startsWith('Observation.component:a/')),
    ],
  });
}

export const value = { valueInteger: 1 };
export const OPEN = by('pattern', 'code');

/** One slice `s` of `path`, told by the discriminator, of which `more` says something; at most one such item. */
export function sliced(
  type: string,
  path: string,
  discriminator: object,
  more: readonly Element[],
  slice: Element = {},
): StructureDefinition {
  return definitionOf('p', type, {
    elements: [
      { path, slicing: discriminator as never },
      { id: `${path}:s`, path, sliceName: 's', max: '1', ...slice },
      ...more.map((element) => ({ ...element, id: element.id ?? (element.path ?? '').replace(path, `${path}:s`) })),
    ],
  });
}
