/** What searches ask of code systems and value sets; the terminology that the service ships and loads answers it. */
export type Terminology = {
  /**
   * Every code of the value set, whose url may have a `|version`.
   *
   * @throws Failure `not-found` for a value set that is not known, `invalid` with too-costly for one too large to list
   */
  members(valueSetUrl: string): Promise<readonly { readonly system: string; readonly code: string }[]>;
  /** The code itself and all below it; only itself where the system has no hierarchy or is unknown. */
  below(system: string, code: string): Promise<readonly string[]>;
  /** The code itself and all above it; only itself where the system has no hierarchy or is unknown. */
  above(system: string, code: string): Promise<readonly string[]>;
};
