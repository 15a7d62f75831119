/**
 * Where a page of a connection stands, as an opaque text: the search it belongs to with all its parameters, since a
 * client gives nothing else with it, and how many matches are before it. What stands in it is only what the client asked
 * for; it is checked like any search when it comes back.
 */
import { Failure, issue } from '../../../fhir/failure.ts';

export type Place = {
  readonly type: string;
  readonly params: readonly (readonly [name: string, value: string])[];
  readonly fhirpath?: string;
  readonly pagesize: number;
  /** Matches before the page. */
  readonly offset: number;
  /** The record's own cursor there, where it is known: else the matches before it are counted off again. */
  readonly at?: string;
};

export function sealPlace(place: Place): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/** @throws Failure `invalid` for a text that is no cursor of a search of this type */
export function openPlace(text: string, type: string): Place {
  let place: unknown;
  try {
    place = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    throw foreign();
  }
  if (!isPlace(place) || place.type !== type) throw foreign();
  return place;
}

function isPlace(value: unknown): value is Place {
  if (typeof value !== 'object' || value === null) return false;
  const { type, params, fhirpath, pagesize, offset, at } = value as Record<string, unknown>;
  return (
    typeof type === 'string' &&
    Array.isArray(params) &&
    params.every(
      (pair) => Array.isArray(pair) && pair.length === 2 && pair.every((each) => typeof each === 'string'),
    ) &&
    (fhirpath === undefined || typeof fhirpath === 'string') &&
    (at === undefined || typeof at === 'string') &&
    isCount(pagesize) &&
    isCount(offset)
  );
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0;
}

function foreign(): Failure {
  return new Failure(
    'invalid',
    issue('value', 'The _cursor is not one that a connection of this type gave. Start again from the first page'),
  );
}
