/** The checks of base R4: one per type and backbone element, shared by all that use the same definitions. */
import type { Definitions } from '../definitions.ts';
import { createChecks } from './checks.ts';
import type { ValidatorCache } from './code-cache.ts';
import { createRuntime, type Runtime } from './runtime.ts';
import { schemaOf } from './schema.ts';
import { type CheckState, createState } from './state.ts';
import type { TypeCheck } from './type-check.ts';

export type BaseChecks = {
  /** By the name of a type, or the path of a backbone element. */
  check(path: string): TypeCheck;
  /** One state for these and for all profiles above them: a check runs from start to end without another between. */
  readonly state: CheckState;
  /** Whether all of them are on disk. */
  isKept(): boolean;
  prepare(): Promise<void>;
};

const shared = new WeakMap<Definitions, { readonly checks: BaseChecks; readonly isKept: boolean }>();

export function baseChecks(definitions: Definitions, cache: ValidatorCache | undefined): BaseChecks {
  const present = shared.get(definitions);
  // Without a cache others' will do, and where one is kept already, it is the same code.
  if (present !== undefined && (present.isKept || cache === undefined)) return present.checks;
  const checks = makeChecks(definitions, cache);
  shared.set(definitions, { checks, isKept: cache !== undefined });
  return checks;
}

function makeChecks(definitions: Definitions, cache: ValidatorCache | undefined): BaseChecks {
  const state = createState();
  let runtime: Runtime | undefined;
  const checks = createChecks({
    runtime: () => {
      runtime ??= createRuntime({
        definitions,
        state,
        valueSets: definitions.valueSet,
        typeCheck: checks.check,
        conformance: NO_PROFILES,
        typeOf: (target) => definitions.structure(target)?.type ?? target,
      });
      return runtime;
    },
    schemaOf: (path) => schemaOf(path, definitions),
    store: cache?.store('r4', definitions.hash),
  });
  return { check: checks.check, state, isKept: checks.isKept, prepare: () => checks.prepare(pathsOf(definitions)) };
}

/** The schemas of base R4 name no profile but those of its own datatypes. */
const NO_PROFILES = { errors: () => undefined, meetsOne: () => undefined, claimsOne: () => false };

/** Types, constrained datatypes and backbone elements that a resource can reach. */
export function pathsOf(definitions: Definitions): readonly string[] {
  const found = new Set<string>();
  const open = [...definitions.resourceTypes];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (found.has(path)) continue;
    found.add(path);
    const { properties } = schemaOf(path, definitions) as {
      properties: Record<string, { fhirType?: string; list?: { fhirType?: string } }>;
    };
    for (const { fhirType, list } of Object.values(properties)) {
      const below = fhirType ?? list?.fhirType;
      if (below !== undefined) open.push(below);
    }
  }
  return [...found].sort();
}
