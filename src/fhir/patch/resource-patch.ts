import type { Resource } from '@medplum/fhirtypes';

/**
 * Makes the next state of a resource. The object it is given becomes its own, and may come back changed; what comes back
 * need not be a valid resource. It may be called several times, each time with a current version.
 *
 * @throws Failure `business-rule` when it cannot be applied to this version of this resource
 */
export type ResourcePatch = (current: Resource) => unknown;
