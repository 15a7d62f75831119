/** What a profile says of a single value, as keywords; empty where base R4 says the same. */

import { withoutVersion } from '../../definitions/structure.ts';
import type { ConstraintDigest, TypeDigest } from '../../definitions.ts';
import type { ProfileElement, ProfileType } from '../../profiles/model.ts';
import type { ElementForm, JsonSchema } from '../schema.ts';
import type { Ways } from '../targets.ts';
import { extensionUrl } from './discriminators.ts';
import type { Known } from './known.ts';

/** Types whose values are written alike: a definition may say a value of one where the element is of another. */
const KINDRED: readonly (readonly string[])[] = [
  ['string', 'code', 'id', 'markdown'],
  ['uri', 'url', 'canonical', 'oid', 'uuid'],
  ['integer', 'positiveInt', 'unsignedInt'],
  ['Quantity', 'SimpleQuantity', 'Age', 'Count', 'Distance', 'Duration', 'MoneyQuantity'],
];

export function isKindOf(said: string | undefined, code: string): boolean {
  return said === code || KINDRED.some((kin) => said !== undefined && kin.includes(said) && kin.includes(code));
}

export function valuesOf({ fixed, pattern }: ProfileElement, code: string): JsonSchema {
  return {
    ...(isKindOf(fixed?.type, code) ? { fixed: fixed?.value } : {}),
    ...(isKindOf(pattern?.type, code) ? { patterned: pattern?.value } : {}),
  };
}

const DATES: ReadonlySet<string> = new Set(['date', 'dateTime', 'instant']);

export function limitsOf({ minValue, maxValue, maxLength }: ProfileElement, code: string): JsonSchema {
  const applies = (type: string | undefined) => isKindOf(type, code) || (type === 'Quantity' && DATES.has(code));
  return {
    ...(applies(minValue?.type) ? { atLeast: minValue } : {}),
    ...(applies(maxValue?.type) ? { atMost: maxValue } : {}),
    ...(maxLength === undefined ? {} : { longest: maxLength }),
  };
}

const CODED: ReadonlySet<string> = new Set([
  'code',
  'Coding',
  'CodeableConcept',
  'Quantity',
  'Age',
  'Count',
  'Distance',
  'Duration',
]);
const TEXTS: ReadonlySet<string> = new Set(['string', 'uri', 'canonical', 'url', 'markdown']);

export function bindingsOf({ binding, types }: ProfileElement, form: ElementForm, code: string): JsonSchema {
  if (binding === undefined) return {};
  // Beside a coded type of the same choice, text is what has no code.
  const isCoded = CODED.has(code) || (TEXTS.has(code) && !types.some((type) => CODED.has(type.code)));
  if (!isCoded) return {};
  const { strength, valueSet, maxValueSet } = binding;
  const base = form.element.binding;
  const isOfBase = base?.strength === strength && sameCanonical(base.valueSet, valueSet);
  const required = strength === 'required' && !isOfBase ? valueSet : strength === 'required' ? undefined : maxValueSet;
  const isRebound = base?.strength === 'extensible' && base.valueSet !== undefined && !isOfBase;
  return {
    ...(isRebound ? { rebound: true } : {}),
    ...(required === undefined ? {} : { binding: required, unknownSet: required }),
    ...(strength === 'extensible' && valueSet !== undefined && !isOfBase ? { extensible: valueSet } : {}),
  };
}

function sameCanonical(left: string | undefined, right: string | undefined): boolean {
  return left !== undefined && right !== undefined && withoutVersion(left) === withoutVersion(right);
}

export function referencesOf({ code, targets, aggregation, versioning }: ProfileType, base: TypeDigest): JsonSchema {
  if (code !== 'Reference') return {};
  const isNarrowed = targets !== undefined && !equalLists(targets, base.targets);
  const ways = {
    ...(aggregation === undefined ? {} : { aggregation }),
    ...(versioning === undefined || versioning === 'either' ? {} : { versioning }),
  } satisfies Ways;
  return {
    ...(isNarrowed ? { targets } : {}),
    ...(isNarrowed && targets.some(isCanonical) ? { targetProfiles: targets } : {}),
    ...(Object.keys(ways).length === 0 ? {} : { ways }),
  };
}

function isCanonical(target: string): boolean {
  return target.includes('/') || target.includes(':');
}

export function typeProfilesOf(
  element: ProfileElement,
  { code, profiles = [] }: ProfileType,
  base: TypeDigest,
  known: Known,
): JsonSchema {
  // A profile that is known says the type as well.
  const isSaid = element.types.length === 1 && profiles.length > 0 && profiles.every((url) => known.profile(url));
  const types = element.types.map((type) => type.code);
  const resources = base.code === 'Resource' && code !== 'Resource' && !isSaid ? { typed: types } : {};
  const isAny =
    'typed' in resources && resources.typed.some((type) => type === 'Resource' || type === 'DomainResource');
  const conforms =
    profiles.length === 0 || equalLists(profiles, base.profiles) || isKnownExtension(element, known)
      ? {}
      : { conforms: profiles };
  return { ...(isAny ? {} : resources), ...conforms };
}

/** An extension with a known profile is checked against it wherever it stands (extensions.ts). */
function isKnownExtension(element: ProfileElement, { profile }: Known): boolean {
  const url = extensionUrl(element, [{ type: 'value', path: 'url' }]);
  const own = element.types[0]?.profiles?.[0];
  return url !== undefined && own !== undefined && profile(own) !== undefined && profile(own) === profile(url);
}

export function equalLists(left: readonly string[], right: readonly string[] | undefined): boolean {
  return left.length === right?.length && left.every((item) => right.includes(item));
}

/**
 * @param content what the value is: a type, or the path of a backbone element
 * @param sibling the key of what stands beside a primitive value, or beside the list of such values
 */
export function constraintsOf(
  { id, path, constraints }: ProfileElement,
  content: string,
  inherited: readonly ConstraintDigest[],
  sibling?: string,
  inList = false,
): JsonSchema {
  const keys = new Set(inherited.map(({ key }) => key));
  const own = constraints.filter(({ key }) => !keys.has(key));
  if (own.length === 0) return {};
  const list = own.map(({ key, severity, expression }) => ({
    key,
    severity,
    ...(expression === undefined ? {} : { expression }),
  }));
  const beside = sibling === undefined ? {} : { sibling, ...(inList ? { inList } : {}) };
  return { constraints: { path, content, id, list, ...beside } };
}
