/** What the validators are measured with: examples of the guide, and a session made of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Resource } from '@medplum/fhirtypes';
import { parseJson } from '../src/fhir/json.ts';

export type Subject = {
  readonly name: string;
  /** As it arrives: the resource, or the Bundle of a session. */
  readonly resource: Resource;
  /** The profile of one resource; a session has those that its entries claim. */
  readonly profile?: string;
};

const GUIDE = join(import.meta.dirname, '..', 'fhir-profiles');
export const GUIDE_URL = 'https://kap.example.org/fhir/StructureDefinition/';

export function example(profile: string, name: string): Resource {
  return parseJson(readFileSync(join(GUIDE, 'examples', profile, `${name}.json`))) as Resource;
}

export const single: readonly Subject[] = [
  of('Observation (blood pressure)', 'kap-infusion-blood-pressure', 'valid-peak'),
  of('Encounter', 'kap-infusion-encounter', 'valid-finished'),
  of('MedicationAdministration', 'kap-ketamine-administration', 'valid-infusion-1'),
];

function of(name: string, profile: string, file: string): Subject {
  return { name, resource: example(profile, file), profile: GUIDE_URL + profile };
}

/** An infusion session: 25 entries, as many readings of each kind as a monitor sends in an hour. */
const SESSION: readonly (readonly [profile: string, file: string, times: number])[] = [
  ['kap-infusion-encounter', 'valid-finished', 1],
  ['kap-infusion-procedure', 'valid-completed', 1],
  ['kap-ketamine-administration', 'valid-infusion-1', 1],
  ['kap-infusion-blood-pressure', 'valid-peak', 5],
  ['kap-infusion-heart-rate', 'valid-reading', 5],
  ['kap-infusion-oxygen-saturation', 'valid-reading', 5],
  ['kap-infusion-respiratory-rate', 'valid-reading', 4],
  ['kap-sedation-score', 'valid-drowsy', 2],
  ['kap-dissociation-score', 'valid-total', 1],
];

export function session(): Subject {
  const entry = SESSION.flatMap(([profile, file, times]) =>
    Array.from({ length: times }, (_, at) => {
      const resource = { ...structuredClone(example(profile, file)), id: `${profile}-${at}` };
      const url = `${resource.resourceType}/${resource.id}`;
      return { fullUrl: `https://kap.example.org/fhir/${url}`, resource, request: { method: 'PUT' as const, url } };
    }),
  );
  return {
    name: `Session (${entry.length} entries)`,
    resource: { resourceType: 'Bundle', type: 'transaction', entry },
  };
}

type Json = Record<string, unknown>;
export type Mutant = { readonly kind: string; readonly place: string; readonly resource: Resource };

/** The resource with one thing changed, for each place and each way; most are wrong, some are not. */
export function mutants(resource: Resource): Mutant[] {
  const found: Mutant[] = [];
  const walk = (node: Json, path: readonly (string | number)[]) => {
    const place = path.join('.');
    const changed = (kind: string, change: (at: Json) => void) => {
      const copy = structuredClone(resource) as unknown as Json;
      change(path.reduce<Json>((at, step) => at[step] as Json, copy));
      found.push({ kind, place, resource: copy as unknown as Resource });
    };
    changed('an element that R4 does not know', (at) => {
      at.unheardOf = true;
    });
    for (const [key, value] of Object.entries(node)) {
      if (path.length === 0 && key === 'resourceType') continue;
      const set = (kind: string, to: unknown) =>
        changed(`${kind}: ${key}`, (at) => {
          at[key] = to;
        });
      changed(`left out: ${key}`, (at) => {
        delete at[key];
      });
      set('an empty object', {});
      set('an empty list', []);
      set('a boolean', true);
      set('an empty text', '');
      if (typeof value === 'string') set('other text', `${value} x`);
      if (typeof value === 'number') set('a number as text', String(value));
      if (Array.isArray(value)) set('not a list', value[0]);
      else if (typeof value === 'object' && value !== null) set('a list', [value]);
      for (const [at, item] of Array.isArray(value) ? value.entries() : [[undefined, value] as const]) {
        const steps = at === undefined ? [key] : [key, at];
        if (typeof item === 'object' && item !== null) walk(item as Json, [...path, ...steps]);
      }
    }
  };
  walk(resource as unknown as Json, []);
  return found;
}
