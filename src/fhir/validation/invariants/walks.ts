/** What constraints ask of more than one node: contained resources, items below items, moments, quantities. */

import { periodBounds } from '../periods.ts';
import { contained, type FhirNode, type InvariantScope, isNode, isNumber, nodes } from './invariant.ts';

/** FHIRPath intersects by equality of whole Codings. */
export function codingKey({ system, version, code, display, userSelected }: FhirNode): string {
  return JSON.stringify([system, version, code, display, userSelected]);
}

// Recursive: the validator bounds the depth before.
export function hasDistinctLinkIds(questionnaire: FhirNode): boolean {
  const seen = new Set<unknown>();
  const below = (node: FhirNode): boolean =>
    nodes(node?.item).every((item) => {
      const isNew = item.linkId === undefined || !seen.has(item.linkId);
      seen.add(item.linkId);
      return isNew && below(item);
    });
  return below(questionnaire);
}

export function hasDistinctCodes(codeSystem: FhirNode): boolean {
  const seen = new Set<unknown>();
  const below = (node: FhirNode): boolean =>
    nodes(node?.concept).every((concept) => {
      const isNew = concept.code === undefined || !seen.has(concept.code);
      seen.add(concept.code);
      return isNew && below(concept);
    });
  return below(codeSystem);
}

/** ref-1: a local reference leads to a resource that is contained in the root. */
export function isResolved(reference: unknown, scope: InvariantScope): boolean {
  if (typeof reference !== 'string' || !reference.startsWith('#') || reference === '#') return true;
  scope.containedIds ??= new Set(contained(scope.root).map(({ id }) => id));
  return scope.containedIds.has(reference.slice(1));
}

/** dom-3: something in the container names each contained resource, or that resource names its container. */
export function areContainedReferred(container: FhirNode): boolean {
  const resources = contained(container);
  if (resources.length === 0) return true;
  const mentioned = localReferences(container, new Set());
  return resources.every(
    (resource) => mentioned.has(`#${String(resource.id)}`) || localReferences(resource, new Set()).has('#'),
  );
}

function localReferences(value: unknown, found: Set<string>): Set<string> {
  if (typeof value === 'string') {
    if (value.charCodeAt(0) === HASH) found.add(value);
  } else if (Array.isArray(value)) {
    for (const item of value) localReferences(item, found);
  } else if (typeof value === 'object' && value !== null) {
    for (const key in value) localReferences((value as FhirNode)[key], found);
  }
  return found;
}

const HASH = '#'.charCodeAt(0);

/** Dates of the same precision and zone are in order as they are written; most periods are. */
function isSortedText(start: unknown, end: unknown): boolean {
  if (typeof start !== 'string' || typeof end !== 'string') return false;
  return start.length === end.length && start <= end && start.slice(ZONE_AT) === end.slice(ZONE_AT);
}

/** Of a dateTime to the second. */
const ZONE_AT = 'YYYY-MM-DDThh:mm:ss'.length;

/** Whether the end is before the start for certain, whatever is left open by their precision. */
export function endsBeforeStart(start: unknown, end: unknown): boolean {
  if (isSortedText(start, end)) return false;
  const from = periodBounds(start);
  const to = periodBounds(end);
  if (from === undefined || to === undefined) return false;
  // Without a zone on one side, the other may be up to 14 hours off.
  const slack = from.hasZone === to.hasZone ? 0 : 14 * 3_600_000;
  return from.low - slack > to.high;
}

/** Comparable only with the same unit; anything else is not for this check. */
export function isAbove(low: unknown, high: unknown): boolean {
  if (!isNode(low) || !isNode(high) || low.system !== high.system || low.code !== high.code) return false;
  return isNumber(low.value) && isNumber(high.value) && low.value > high.value;
}
