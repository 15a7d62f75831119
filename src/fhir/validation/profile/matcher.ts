/**
 * Whether a value is what the discriminators of a slice ask for, as data and as a function of the value.
 *
 * @see https://hl7.org/fhir/R4/profiling.html#discriminator
 */
import type { FhirNode } from '../invariants/invariant.ts';
import { type CheckState, targetOf } from '../state.ts';
import { typeOfTarget } from '../targets.ts';
import { contains, equals } from './values.ts';

/** Made when a profile is compiled (discriminators.ts), and bound to the state when its code is loaded. */
export type Match =
  | { readonly all: readonly Match[] }
  | { readonly any: readonly Match[] }
  | { readonly not: Match }
  /** Some value under one of the keys meets `match`; `true`: any value does. */
  | { readonly keys: readonly string[]; readonly match: Match | true }
  /** An extension with the url does. */
  | { readonly extension: string; readonly match: Match | true }
  /** What the reference leads to does. */
  | { readonly target: Match | true }
  /** The reference leads to a resource of one of the types, by what it says where the resource is not at hand. */
  | { readonly targetType: readonly string[] }
  /** It is a resource of one of the types. */
  | { readonly resourceType: readonly string[] }
  | { readonly fixed: unknown }
  | { readonly pattern: unknown }
  | { readonly bound: string }
  | { readonly conforms: readonly string[] };

export type Matcher = (value: unknown) => boolean;

export type MatchSource = {
  readonly state: CheckState;
  isBound(valueSet: string): Matcher;
  /** Whether the value meets one of the profiles; undefined when none that it fails is all that is known. */
  conforms(value: unknown, profiles: readonly string[]): boolean | undefined;
};

export function matcherOf(match: Match | true, source: MatchSource): Matcher {
  if (match === true) return (value) => value !== undefined;
  if ('all' in match) {
    const all = match.all.map((part) => matcherOf(part, source));
    return (value) => all.every((meets) => meets(value));
  }
  if ('any' in match) {
    const any = match.any.map((part) => matcherOf(part, source));
    return (value) => any.some((meets) => meets(value));
  }
  if ('not' in match) {
    const meets = matcherOf(match.not, source);
    return (value) => !meets(value);
  }
  if ('keys' in match) return below(match.keys, matcherOf(match.match, source));
  if ('extension' in match) return extensionMatcher(match.extension, matcherOf(match.match, source));
  if ('target' in match) return targetMatcher(matcherOf(match.target, source), source.state);
  if ('targetType' in match) return targetTypeMatcher(new Set(match.targetType), source.state);
  if ('resourceType' in match) {
    const types = new Set<unknown>(match.resourceType);
    return (value) => isNode(value) && types.has(value.resourceType);
  }
  if ('fixed' in match) return equals(match.fixed);
  if ('pattern' in match) return contains(match.pattern);
  if ('bound' in match) return source.isBound(match.bound);
  const { conforms } = match;
  return (value) => {
    const answer = source.conforms(value, conforms);
    if (answer === undefined) source.state.undecided = true;
    return answer === true;
  };
}

function below(keys: readonly string[], meets: Matcher): Matcher {
  return (value) => {
    if (!isNode(value)) return false;
    for (const key of keys) {
      const part = value[key];
      if (part === undefined) continue;
      if (Array.isArray(part) ? part.some(meets) : meets(part)) return true;
    }
    return false;
  };
}

function extensionMatcher(url: string, meets: Matcher): Matcher {
  return (value) => {
    if (!isNode(value) || !Array.isArray(value.extension)) return false;
    return value.extension.some((extension: unknown) => isNode(extension) && extension.url === url && meets(extension));
  };
}

function targetMatcher(meets: Matcher, state: CheckState): Matcher {
  return (value) => {
    const reference = isNode(value) ? value.reference : undefined;
    if (typeof reference !== 'string') return false;
    const target = targetOf(reference, state);
    if (target !== undefined) return meets(target);
    state.undecided = true;
    return false;
  };
}

function targetTypeMatcher(types: ReadonlySet<string>, state: CheckState): Matcher {
  return (value) => {
    const type = isNode(value) ? typeOfTarget(value, state) : undefined;
    if (type === undefined) state.undecided = true;
    return type !== undefined && (types.has(type) || types.has('Resource'));
  };
}

function isNode(value: unknown): value is FhirNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
