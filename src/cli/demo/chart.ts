/** Looks into the EHR with its own search: is everything there once, and nothing that must not be? */
import type { Identifier, Resource } from '@medplum/fhirtypes';
import type { DeliveryRecord } from '../../ehr/ledger.ts';
import type { FhirClient } from './fhir-client.ts';

export type Chart = {
  readonly resources: number;
  /** In words, each a reason to distrust the demo; empty when all is well. */
  readonly problems: readonly string[];
};

/** Identifiers of ours at a target (src/ehr/business-identifier.ts). */
const OURS = /^https:\/\/kap-bridge\.example\.org\/sid\//;
const NEVER_SENT = ['Binary', 'Provenance', 'Consent'];

/**
 * @param deliveries of this target
 * @param secrets texts that must be nowhere, neither as text nor in an attachment
 */
export async function inspectChart(
  ehr: FhirClient,
  deliveries: readonly DeliveryRecord[],
  secrets: readonly string[],
): Promise<Chart> {
  const types = new Set([...deliveries.map(({ resourceType }) => resourceType), ...NEVER_SENT]);
  const resources: Resource[] = [];
  for (const type of types) resources.push(...(await ehr.search(`${type}?_count=1000`)));

  const times = new Map<string, number>();
  for (const resource of resources) {
    for (const name of namesOf(resource)) times.set(name, (times.get(name) ?? 0) + 1);
  }
  const delivered = new Set(
    deliveries.filter(({ state }) => ARRIVED.has(state)).map((each) => `${each.resourceType}-${each.resourceId}`),
  );
  const missing = [...delivered].filter((name) => !times.has(name));
  const doubled = [...times].filter(([, count]) => count > 1).map(([name]) => name);
  const unknown = [...times.keys()].filter((name) => !delivered.has(name));
  const texts = resources.map((resource) => plainText(resource));
  const leaked = secrets.filter((secret) => texts.some((text) => text.includes(secret)));
  return {
    resources: resources.length,
    problems: [
      ...missing.map((name) => `${name} was delivered but is not at the EHR`),
      ...doubled.map((name) => `${name} is at the EHR more than once`),
      ...unknown.map((name) => `${name} is at the EHR without a delivery that says so`),
      ...leaked.map(() => 'the text of a psychotherapy note is at the EHR'),
    ],
  };
}

const ARRIVED: ReadonlySet<string> = new Set(['accepted', 'verified']);

/** Our name of a resource there: `Type-id`, as identifier or, where the type has none, as tag. */
function namesOf(resource: Resource): string[] {
  const { identifier } = resource as { identifier?: Identifier | Identifier[] };
  const identifiers = identifier === undefined ? [] : [identifier].flat();
  return [
    ...new Set([
      ...identifiers.filter(({ system }) => OURS.test(system ?? '')).map(({ value }) => value ?? ''),
      ...(resource.meta?.tag ?? []).filter(({ system }) => OURS.test(system ?? '')).map(({ code }) => code ?? ''),
    ]),
  ];
}

/** All strings of a resource, and what the base64 of its attachments says. */
function plainText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([name, child]) =>
      name === 'data' && typeof child === 'string' ? Buffer.from(child, 'base64').toString('utf8') : plainText(child),
    )
    .join('\n');
}
