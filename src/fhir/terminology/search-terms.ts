/** What searches ask (`:in`, `:not-in`, `:below`, `:above`), answered from code systems and value sets. */
import type { ValueSet } from '@medplum/fhirtypes';
import { Failure, issue } from '../failure.ts';
import { indexOf } from './code-system.ts';
import type { Terminology } from './port.ts';
import type { TerminologyResources } from './resources.ts';
import { keyOf, type Member, ValueSets } from './value-set.ts';

type Code = { readonly system: string; readonly code: string };

/** `open` gives the state of now; what is made from one state is kept as long as it is given. */
export function searchTerminology(open: () => Promise<TerminologyResources>): Terminology {
  const expansions = new WeakMap<TerminologyResources, Map<string, readonly Code[]>>();
  const hierarchy = async (system: string, code: string, direction: 'below' | 'above') => {
    const resource = await (await open()).find('CodeSystem', system);
    const index = resource && indexOf(resource);
    const concept = index?.concept(code);
    return index === undefined || concept === undefined ? [code] : [concept.code, ...index[direction](concept.code)];
  };
  return {
    async members(valueSetUrl) {
      const resources = await open();
      const kept = expansions.get(resources) ?? new Map<string, readonly Code[]>();
      expansions.set(resources, kept);
      const known = kept.get(valueSetUrl);
      if (known !== undefined) return known;
      const codes = await codesIn(resources, valueSetUrl);
      if (kept.size < MAX_KEPT) kept.set(valueSetUrl, codes);
      return codes;
    },
    below: (system, code) => hierarchy(system, code, 'below'),
    above: (system, code) => hierarchy(system, code, 'above'),
  };
}

/** Value sets whose codes are kept; a client can name any number. */
const MAX_KEPT = 200;
/** What one condition of a search can hold. */
export const MAX_SEARCH_CODES = 10_000;

async function codesIn(resources: TerminologyResources, name: string): Promise<readonly Code[]> {
  const sets = new ValueSets(resources);
  const id = /^ValueSet\/([A-Za-z0-9.-]{1,64})$/.exec(name)?.[1];
  const stored = id === undefined ? undefined : await resources.byId('ValueSet', id);
  const members = await listed(sets, stored ?? (await sets.valueSet(name)));
  if (members.length > MAX_SEARCH_CODES) {
    const words = `The value set has ${members.length} codes, more than ${MAX_SEARCH_CODES} for a search`;
    throw new Failure('invalid', issue('too-costly', words));
  }
  return [...new Map(members.map(({ system, code }) => [keyOf({ system, code }), { system, code }])).values()];
}

/** A value set that cannot be listed is, for a search, a value that will not do. */
async function listed(sets: ValueSets, valueSet: ValueSet): Promise<readonly Member[]> {
  try {
    return await sets.members(valueSet);
  } catch (error) {
    if (error instanceof Failure && error.code === 'business-rule') {
      throw new Failure('invalid', error.issues, { cause: error });
    }
    throw error;
  }
}
