/** What a package builds upon, as far as it is here: in the versions that its package.json names. */
import type { Resource } from '@medplum/fhirtypes';
import { Editions } from './editions.ts';
import type { FhirPackage } from './package.ts';

/** A package that was added before. */
export type AddedPackage = {
  readonly name: string;
  readonly version: string;
  /** Its StructureDefinitions, CodeSystems and ValueSets. */
  readonly resources?: readonly Resource[];
};

export type Dependencies = {
  /** `name#version` of those that are not here. */
  readonly absent: readonly string[];
  /** Of those that are. */
  readonly resources: readonly Resource[];
  /**
   * A canonical without version means the package's own edition, then that of what it depends on: so that two versions
   * of a guide stand side by side without one being checked by parts of the other, and another version that is added
   * later changes nothing.
   */
  pinned(canonical: string): string;
  /** Whether the package, or one that it depends on, defines it. */
  has(canonical: string): boolean;
};

/** What comes with the service itself. */
const ALWAYS_HERE: ReadonlySet<string> = new Set(['hl7.fhir.r4.core', 'hl7.fhir.core']);

/** `here` are the packages that are added with it, and before. */
export function dependenciesOf(one: FhirPackage, here: readonly AddedPackage[]): Dependencies {
  const wanted = Object.entries(one.dependencies);
  const meant = here.filter((other) => wanted.some(([name, version]) => isMeant(other, name, version)));
  const [own, others] = [new Editions(one.resources), new Editions(meant.flatMap(({ resources = [] }) => resources))];
  return {
    absent: wanted
      .filter(([name, version]) => !ALWAYS_HERE.has(name) && !meant.some((other) => isMeant(other, name, version)))
      .map(([name, version]) => `${name}#${version}`),
    resources: meant.filter(({ name }) => name !== one.name).flatMap(({ resources = [] }) => resources),
    pinned: (canonical) => (own.has(canonical) ? own : others).pinned(canonical),
    has: (canonical) => own.has(canonical) || others.has(canonical),
  };
}

/** Whether a package.json that depends on `name` in `version` means the other: `6.1.x` any 6.1, `current` whichever is there. */
export function isMeant(other: Pick<AddedPackage, 'name' | 'version'>, name: string, version: string): boolean {
  if (other.name !== name) return false;
  if (other.version === version || !/^\d/.test(version)) return true;
  return version.endsWith('.x') && other.version.startsWith(version.slice(0, -1));
}
