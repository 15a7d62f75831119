import type { Definitions } from '../../definitions.ts';
import type { Profile } from '../../profiles/model.ts';

/** What a profile is compiled with: the base definitions, and the profiles that it names. */
export type Known = {
  readonly definitions: Definitions;
  /** By canonical, with or without version. */
  profile(canonical: string): Profile | undefined;
};
