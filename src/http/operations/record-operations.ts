/** The operations that read the record, and change no more than its labels. */
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import { documentDocref } from './document-docref.ts';
import { everythingOperations } from './everything.ts';
import { kapTimeline } from './kap-timeline.ts';
import { metaOperations } from './meta.ts';
import { observationLastn } from './observation-lastn.ts';
import type { Operation } from './operation-routes.ts';

export function recordOperations(registry: SearchParameterRegistry): readonly Operation[] {
  const { resourceTypes } = registry.definitions;
  return [
    ...everythingOperations(resourceTypes),
    ...metaOperations(resourceTypes),
    observationLastn(registry),
    documentDocref(registry),
    kapTimeline,
  ];
}
