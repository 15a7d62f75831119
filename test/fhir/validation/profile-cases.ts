/** A table of profiles with one more element each, and what is said of resources by them. */
import { checker, definitionOf, type Json } from './profiled.ts';

export const observation: Json = {
  resourceType: 'Observation',
  status: 'final',
  code: { coding: [{ system: 's', code: 'c' }] },
};
export const patient: Json = { resourceType: 'Patient' };

export type Case = readonly [what: string, element: object, resource: Json, expected: readonly string[]];

/** Each case: a profile with one more element, a resource, and what is said of it. */
export function cases(type: string, table: readonly Case[]): void {
  test.each(table)('%s', (_what, element, resource, expected) => {
    const elements = Array.isArray(element) ? element : [element];
    expect(checker([definitionOf('p', type, { elements })]).findings(resource)).toEqual(expected);
  });
}

export const c1 = { system: 's', code: 'c' };
