import type { Definitions } from '../../definitions.ts';
import type { Profile } from '../../profiles/model.ts';

/** What a profile is compiled with: the base definitions, and the profiles that it names. */
export type Known = {
  readonly definitions: Definitions;
  /** By canonical, with or without version. */
  profile(canonical: string): Profile | undefined;
};

/** Whether what is of `type` is of `ancestor` too: a Patient is a DomainResource. */
export function isOfType(type: unknown, ancestor: string, definitions: Definitions): boolean {
  if (type === ancestor) return true;
  let at = typeof type === 'string' ? definitions.structure(type) : undefined;
  while (at?.base !== undefined) {
    at = definitions.structure(at.base);
    if (at?.name === ancestor) return true;
  }
  return false;
}
