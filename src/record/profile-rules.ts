/**
 * What the clinic's profiles say to the resources of a unit of work.
 *
 * A resource that is written live meets every profile that it claims and that is known here. History that is imported is
 * held to a profile as the clinic's policy says: refused, taken with a warning, or taken and tagged.
 */
import type { Coding, Resource } from '@medplum/fhirtypes';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { keepDigits } from '../fhir/json.ts';
import { SYSTEM } from '../kap/codes.ts';
import type { ProfileSet } from './clinic-profiles.ts';
import type { Draft } from './draft.ts';
import type { Strictness } from './packages.ts';
import type { Leniency } from './record.ts';
import { isOfGuide } from './shipped-definitions.ts';

/** On a resource that was imported although it does not meet a profile that it claims. The service's own to set. */
export const PROFILE_NOT_MET: Coding = { system: SYSTEM.kap, code: 'profile-not-met' };

/**
 * What of the profiles' issues refuses a draft; the rest is told to whoever is lenient, and a draft that is to be tagged is.
 *
 * @param issues each with its profile
 */
export function refusedByProfiles(
  draft: Draft,
  issues: readonly Issue[],
  set: ProfileSet,
  leniency: Leniency | undefined,
): readonly Issue[] {
  if (leniency === undefined || issues.length === 0) return issues;
  const strictnessOf = leniency.strictnessOf ?? set.strictnessOf;
  const of = (strictness: Strictness) => issues.filter(({ profile }) => strictnessOf(profile as string) === strictness);
  const tagged = of('tag');
  if (tagged.length > 0 && draft.resource !== undefined) draft.resource = withMark(draft.resource);
  for (const [strictness, found] of [
    ['tag', tagged],
    ['warn', of('warn')],
  ] as const) {
    if (found.length > 0) leniency.deviates({ request: draft.request, strictness, issues: found });
  }
  return of('reject');
}

/**
 * The faults that a change adds to those of the version that it follows. As long as one of the old is left, the resource
 * keeps the tag that it was imported with.
 */
export function newFaults(
  draft: Draft,
  found: readonly Issue[],
  before: { readonly resource: Resource; readonly faults: readonly Issue[] },
): readonly Issue[] {
  const old = before.faults.map(faultOf);
  const added = found.filter((each) => {
    const at = old.indexOf(faultOf(each));
    // One old fault stands for one that is found now.
    if (at >= 0) old.splice(at, 1);
    return at < 0;
  });
  if (added.length < found.length && draft.resource !== undefined && hasMark(before.resource)) {
    draft.resource = withMark(draft.resource);
  }
  return added;
}

/** Several invariants may be broken at one place: what they say tells them apart. */
function faultOf({ profile, code, expression, diagnostics }: Issue): string {
  return JSON.stringify([profile, code, expression, code === 'invariant' ? diagnostics : '']);
}

/** A refusal that holds as long as the package is loaded, or the definition is one of our guide. */
export class DefinitionOfPackage extends Failure {}

/**
 * What is read of a package, or of our own guide, is what is enforced: its definitions come and go with it.
 *
 * @throws DefinitionOfPackage
 */
export function refuseDefinition(set: ProfileSet, type: string, id: string, place: string): void {
  const key = set.packageOf(`${type}/${id}`);
  const isOurs = key === undefined && isOfGuide(type, id);
  if (key === undefined && !isOurs) return;
  const diagnostics = isOurs
    ? `${type}/${id} is a definition of the service's own guide and cannot be changed: give yours another id and url`
    : `${type}/${id} is a definition of ${key} and cannot be changed: kap-bridge profiles remove ${key}`;
  throw new DefinitionOfPackage('business-rule', issue('business-rule', diagnostics, place));
}

/** Whether it was imported with a fault. */
export function hasMark({ meta }: Resource): boolean {
  return meta?.tag?.some(isMark) === true;
}

function isMark({ system, code }: Coding): boolean {
  return system === PROFILE_NOT_MET.system && code === PROFILE_NOT_MET.code;
}

/** Whoever sends a resource back sends the tag of the import along: it is true of what was imported, and not of this. */
export function withoutMark(resource: Resource): Resource {
  const tags: unknown = resource.meta?.tag;
  if (!Array.isArray(tags) || !tags.some((tag: Coding | null) => tag !== null && isMark(tag))) return resource;
  const tag = tags.filter((each: Coding) => !isMark(each));
  const { tag: _tag, ...meta } = resource.meta ?? {};
  return keepDigits(resource, { ...resource, meta: tag.length === 0 ? meta : { ...meta, tag } } as Resource);
}

function withMark(resource: Resource): Resource {
  if (hasMark(resource)) return resource;
  const tag = [...(resource.meta?.tag ?? []), PROFILE_NOT_MET];
  return keepDigits(resource, { ...resource, meta: { ...resource.meta, tag } } as Resource);
}
