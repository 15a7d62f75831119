/**
 * What a package may not say anew: the definitions of R4, and those of our own guide. Whoever loads a package adds to the
 * rules of the clinic and takes none of them away.
 */
import type { StructureDefinition } from '@medplum/fhirtypes';
import type { Definitions } from '../fhir/definitions.ts';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import type { FhirPackage } from '../fhir/profiles/package.ts';
import { shippedProfiles } from '../fhir/profiles/shipped.ts';
import { CANONICAL_BASE } from '../kap/codes.ts';

export type Allowed<P extends FhirPackage> = {
  /** Without the profiles and extensions that R4 itself publishes, whatever version the package has of them. */
  readonly allowed: P;
  /** Urls of those. */
  readonly ofR4: readonly string[];
};

/** @throws Failure `business-rule` with each definition that takes the place of one of R4's types or of our guide */
export function withoutReserved<P extends FhirPackage>(one: P, definitions: Definitions): Allowed<P> {
  const issues: Issue[] = [];
  const ofR4: string[] = [];
  const shipped = shippedProfiles();
  const resources = one.resources.filter((resource) => {
    const { resourceType, url } = resource as { resourceType: string; url?: unknown };
    if (typeof url !== 'string') return true;
    if (url.startsWith(`${CANONICAL_BASE}/`)) {
      const words = `${url}: canonicals below ${CANONICAL_BASE} are those of our own guide, which no package can replace`;
      issues.push(issue('business-rule', words, `${resourceType}.url`));
      return true;
    }
    if (resourceType !== 'StructureDefinition') return true;
    if (shipped.profile(url) !== undefined) {
      ofR4.push(url);
      return false;
    }
    if (definitions.structure(url) !== undefined && (resource as StructureDefinition).derivation !== 'specialization') {
      issues.push(
        issue('business-rule', `${url}: this is a type of R4, which no package can replace`, `${resourceType}.url`),
      );
    }
    return true;
  });
  if (issues.length > 0) throw new Failure('business-rule', issues);
  return { allowed: { ...one, resources }, ofR4 };
}
