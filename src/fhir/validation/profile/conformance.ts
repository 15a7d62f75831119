/** Whether a value meets a profile that another definition names: type profiles, target profiles, discriminators. */
import type { ErrorObject } from 'ajv';
import type { Definitions } from '../../definitions.ts';
import type { Profile } from '../../profiles/model.ts';
import type { FhirNode } from '../invariants/invariant.ts';
import { type CheckState, enter, isContained, leave, targetOf } from '../state.ts';
import { errorAt, type Finder, isAdvice, TOP, type TypeCheck } from '../type-check.ts';
import { isOfType } from './known.ts';

export type Conformance = {
  /** What is wrong with the value, relative to it; undefined when the profile is not known here. */
  errors(value: unknown, canonical: string): readonly ErrorObject[] | undefined;
  /** Whether it meets at least one; undefined when that cannot be known. */
  meetsOne(value: unknown, canonicals: readonly string[]): boolean | undefined;
  /** Whether it claims one of the profiles, or one that is derived from them. */
  claimsOne(resource: FhirNode, canonicals: readonly string[]): boolean;
};

export type ConformanceSource = {
  readonly definitions: Definitions;
  profile(canonical: string): Profile | undefined;
  readonly state: CheckState;
  typeCheck(path: string): TypeCheck;
  profileCheck(profile: Profile): TypeCheck;
};

const NONE: readonly ErrorObject[] = [];
/** Beyond so many references, one after the other, nothing is known of the target. Each resource has its own check. */
const MAX_FOLLOWED = 16;
const MAX_PARENTS = 16;

export function createConformance(source: ConformanceSource): Conformance {
  const { definitions, state } = source;

  function found(value: unknown, canonical: string): readonly ErrorObject[] | undefined {
    const structure = definitions.structure(canonical);
    if (structure !== undefined && structure.kind === 'resource') return ofResourceType(value, structure);
    if (structure !== undefined) {
      return structure.derivation === 'constraint' ? errorsOf(source.typeCheck(structure.name), value) : NONE;
    }
    const profile = source.profile(canonical);
    if (profile === undefined) return undefined;
    if (profile.kind !== 'resource') return errorsOf(source.profileCheck(profile), value);
    if (!isNode(value) || !isOfType(value.resourceType, profile.type, definitions)) {
      return [errorAt('', 'typed', [profile.type])];
    }
    return value === state.resource ? errorsOf(source.profileCheck(profile), value) : elsewhere(value, profile);
  }

  /** Of another resource: inside this one, or where a reference leads. */
  function elsewhere(node: FhirNode, profile: Profile): readonly ErrorObject[] | undefined {
    if (state.followed >= MAX_FOLLOWED) return undefined;
    const saved = enter(state, node, isContained(node, state), state.beside?.fullUrlOf(node));
    state.followed++;
    const errors = errorsOf(source.profileCheck(profile), node);
    state.followed--;
    leave(state, saved);
    return errors;
  }

  function errors(value: unknown, canonical: string): readonly ErrorObject[] | undefined {
    if (typeof value !== 'object' || value === null) return found(value, canonical);
    let known = state.met.get(value);
    if (known === undefined) {
      known = new Map();
      state.met.set(value, known);
    }
    const present = known.get(canonical);
    // A value that is asked about while it is looked at meets the profile as far as this question goes.
    if (present !== undefined) return present === 'under way' ? NONE : present === 'unknown' ? undefined : present;
    known.set(canonical, 'under way');
    const { undecided } = state;
    const result = found(value, canonical);
    state.undecided = undecided;
    known.set(canonical, result ?? 'unknown');
    return result;
  }

  return {
    errors,
    claimsOne({ meta }, canonicals) {
      if (!isNode(meta) || !Array.isArray(meta.profile)) return false;
      const wanted = new Set(canonicals.map((canonical) => source.profile(canonical)));
      wanted.delete(undefined);
      return meta.profile.some((claim: unknown) => {
        let profile = typeof claim === 'string' ? source.profile(claim) : undefined;
        for (let level = 0; profile !== undefined && level < MAX_PARENTS; level++) {
          if (wanted.has(profile)) return true;
          profile = source.profile(profile.base);
        }
        return false;
      });
    },
    meetsOne(value, canonicals) {
      let isDecided = true;
      for (const canonical of canonicals) {
        const result = errors(value, canonical);
        if (result === undefined) isDecided = false;
        else if (result.every(isAdvice)) return true;
      }
      return isDecided ? false : undefined;
    },
  };
}

function ofResourceType(
  value: unknown,
  { type, abstract }: { type: string; abstract: boolean },
): readonly ErrorObject[] {
  return abstract || (isNode(value) && value.resourceType === type) ? NONE : [errorAt('', 'typed', [type])];
}

function errorsOf(check: TypeCheck, value: unknown): readonly ErrorObject[] {
  return check(value, TOP) ? NONE : [...(check.errors ?? NONE)];
}

/** At least one of the profiles is met. Of a single one its own errors are told. */
export function conformanceOf(canonicals: readonly string[], conformance: Conformance): TypeCheck {
  const check: TypeCheck = (data) => {
    let isDecided = true;
    let first: readonly ErrorObject[] | undefined;
    for (const canonical of canonicals) {
      const errors = conformance.errors(data, canonical);
      if (errors === undefined) isDecided = false;
      else if (errors.length === 0) return true;
      else if (first === undefined || errors.every(isAdvice)) first = errors.map((error) => within(error, canonical));
    }
    if (!isDecided || first === undefined) return true;
    const isSaid = canonicals.length === 1 || first.every(isAdvice);
    check.errors = isSaid ? first : [errorAt('', 'conforms', canonicals)];
    return false;
  };
  return check;
}

/** Which profile says it, for the words: the innermost. */
function within(error: ErrorObject, canonical: string): ErrorObject {
  return { ...error, params: { within: canonical, ...error.params } };
}

/**
 * Finds the profiles where a reference leads to a resource at hand that meets none of them. One of a type that none of
 * them is of is for `targets` to find, and one that claims to meet them is told by its own check: a fault of one resource
 * would else be told at all that lead to it, and at all that lead to those.
 */
export function targetProfiles(
  canonicals: readonly string[],
  conformance: Conformance,
  state: CheckState,
  typeOf: (canonical: string) => string | undefined,
): Finder {
  return ({ reference }) => {
    if (!state.follows || typeof reference !== 'string') return undefined;
    const target = targetOf(reference, state);
    if (target === undefined) return undefined;
    const ofItsType = canonicals.filter(
      (canonical) => (typeOf(canonical) ?? target.resourceType) === target.resourceType,
    );
    if (ofItsType.length === 0 || (state.claims && conformance.claimsOne(target, ofItsType))) return undefined;
    return conformance.meetsOne(target, ofItsType) === false ? ofItsType : undefined;
  };
}

function isNode(value: unknown): value is FhirNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
