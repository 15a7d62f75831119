/** Bindings: whether a code, Coding, CodeableConcept or Quantity is from a value set. */
import type { ValueSet } from '../definitions.ts';
import { placesNot } from './structure-findings.ts';
import type { Finder } from './type-check.ts';

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
  return valueSets(url)?.unknown === false ? () => undefined : () => found;
}

export function boundTo(valueSet: ValueSet): (value: unknown) => boolean {
  const { codes, enumerable } = valueSet;
  return (value) => {
    if (typeof value === 'string') return !enumerable || codes.has(value);
    // Of the wrong type, which is another finding.
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return true;
    const { coding, code } = value as { coding?: unknown; code?: unknown };
    if (Array.isArray(coding)) return coding.some((entry) => allowsCoding(valueSet, entry));
    // A concept that is only said in words is none of the set; one that is left open, with an extension why, may be.
    return typeof code === 'string' ? allowsCoding(valueSet, value) : isLeftOpen(value);
  };
}

function isLeftOpen(value: object): boolean {
  for (const key in value) if (key !== 'id' && key !== 'extension') return false;
  return true;
}

function allowsCoding(valueSet: ValueSet, coding: unknown): boolean {
  if (typeof coding !== 'object' || coding === null) return false;
  const { system, code } = coding as { system?: unknown; code?: unknown };
  return typeof code === 'string' && valueSet.allows(typeof system === 'string' ? system : undefined, code);
}
