/** Bindings: whether a code, Coding, CodeableConcept or Quantity is from a value set. */
import type { ValueSet } from '../definitions.ts';
import type { Finder } from './check.ts';
import { placesNot } from './structure-findings.ts';

export type ValueSets = (canonical: string) => ValueSet | undefined;

/** A value that is not in the set is found as the set's url. A set that is not known refuses nothing. */
export function bindingTo(url: string, valueSets: ValueSets): Finder {
  const valueSet = valueSets(url);
  if (valueSet === undefined) return () => undefined;
  const isBound = boundTo(valueSet);
  const found = [url];
  return (data: unknown) => (isBound(data) ? undefined : found);
}

export function boundListTo(url: string, valueSets: ValueSets): Finder {
  const valueSet = valueSets(url);
  return valueSet === undefined ? () => undefined : placesNot(boundTo(valueSet));
}

/** A coded value whose set is not known, so that nothing can be said about it. */
export function unknownSet(url: string, valueSets: ValueSets): Finder {
  const found = [url];
  return valueSets(url) === undefined ? () => found : () => undefined;
}

export function boundTo(valueSet: ValueSet): (value: unknown) => boolean {
  const { codes, enumerable } = valueSet;
  return (value) => {
    if (typeof value === 'string') return !enumerable || codes.has(value);
    if (typeof value !== 'object' || value === null) return true; // of the wrong type, which is another finding
    const { coding, text } = value as { coding?: unknown; text?: unknown };
    if (Array.isArray(coding)) return coding.some((entry) => allowsCoding(valueSet, entry));
    if (typeof (value as { code?: unknown }).code === 'string') return allowsCoding(valueSet, value);
    return text === undefined;
  };
}

function allowsCoding(valueSet: ValueSet, coding: unknown): boolean {
  if (typeof coding !== 'object' || coding === null) return false;
  const { system, code } = coding as { system?: unknown; code?: unknown };
  return typeof code === 'string' && valueSet.allows(typeof system === 'string' ? system : undefined, code);
}
