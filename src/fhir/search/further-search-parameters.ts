/**
 * The search parameters beside those of R4: US Core's, and those of our guide for what users of a KAP record ask and R4
 * has no parameter for. The definitions of ours are files of fhir-profiles: what is published is what is served.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestSearchParameter } from '../definitions/search-parameter.ts';
import type { SearchParameterDigest } from '../definitions.ts';
import { US_CORE_SEARCH_PARAMETERS } from './us-core-search-parameters.ts';

const GUIDE = join(import.meta.dirname, '..', '..', '..', 'fhir-profiles');

let parameters: readonly SearchParameterDigest[] | undefined;

/** Read once, when first asked for. */
export function furtherSearchParameters(): readonly SearchParameterDigest[] {
  parameters ??= [...US_CORE_SEARCH_PARAMETERS, ...ofOurGuide()];
  return parameters;
}

function ofOurGuide(): SearchParameterDigest[] {
  return readdirSync(GUIDE)
    .filter((file) => file.startsWith('SearchParameter-') && file.endsWith('.json'))
    .sort()
    .map((file) => digestSearchParameter(JSON.parse(readFileSync(join(GUIDE, file), 'utf8'))));
}
