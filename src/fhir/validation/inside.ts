/** The resources inside a resource: R4 has them in `contained`, in Bundle and in Parameters, nowhere else. */
import { type FhirNode, isNode } from './invariants/invariant.ts';

export type Inside = {
  readonly value: unknown;
  /** From the resource around it: `.entry[2].resource`. */
  readonly step: string;
  readonly isContained: boolean;
  readonly fullUrl?: string;
};

/** Whether there may be any: most resources have none. */
export function hasResourcesInside({ contained, resourceType }: FhirNode): boolean {
  return contained !== undefined || resourceType === 'Bundle' || resourceType === 'Parameters';
}

export function* resourcesInside(resource: FhirNode): Generator<Inside> {
  for (const [at, value] of entries(resource.contained)) {
    yield { value, step: `.contained[${at}]`, isContained: true };
  }
  if (resource.resourceType === 'Bundle') yield* resourcesOfBundle(resource);
  if (resource.resourceType === 'Parameters') yield* resourcesOfParameters(resource.parameter, '.parameter');
}

function* resourcesOfBundle(bundle: FhirNode): Generator<Inside> {
  for (const [at, entry] of entries(bundle.entry)) {
    if (!isNode(entry)) continue;
    if (isNode(entry.resource)) {
      const { fullUrl } = entry;
      const step = `.entry[${at}].resource`;
      yield { value: entry.resource, step, isContained: false, ...(typeof fullUrl === 'string' ? { fullUrl } : {}) };
    }
    const response = entry.response;
    if (isNode(response) && isNode(response.outcome)) {
      yield { value: response.outcome, step: `.entry[${at}].response.outcome`, isContained: false };
    }
  }
}

function* resourcesOfParameters(parameters: unknown, step: string): Generator<Inside> {
  for (const [at, parameter] of entries(parameters)) {
    if (!isNode(parameter)) continue;
    if (isNode(parameter.resource)) {
      yield { value: parameter.resource, step: `${step}[${at}].resource`, isContained: false };
    }
    yield* resourcesOfParameters(parameter.part, `${step}[${at}].part`);
  }
}

function entries(value: unknown): Iterable<[number, unknown]> {
  return Array.isArray(value) ? value.entries() : [];
}
