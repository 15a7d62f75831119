/** What the service knows about codes. @see https://hl7.org/fhir/R4/terminologycapabilities.html */
import type { TerminologyCapabilities, TerminologyCapabilitiesCodeSystem } from '@medplum/fhirtypes';
import type { CodeSystemHead, TerminologyResources } from '../../fhir/terminology/resources.ts';
import type { Clinic } from '../exchange.ts';
import { EXPAND } from '../operations/terminology-parameters.ts';
import type { Served } from './capabilities.ts';

/** JSON text. */
export async function terminologyCapabilities(
  served: Served,
  clinic: Clinic,
  terminology: TerminologyResources,
): Promise<string> {
  const statement: TerminologyCapabilities = {
    resourceType: 'TerminologyCapabilities',
    status: 'active',
    date: served.startedAt.toISOString().slice(0, 10),
    kind: 'instance',
    software: { name: 'kap-bridge', version: served.version },
    implementation: { description: `Terminology of the clinic ${clinic.name}`, url: clinic.base },
    codeSystem: codeSystems(await terminology.codeSystems()),
    expansion: {
      hierarchical: false,
      paging: true,
      parameter: EXPAND.map(({ name }) => ({ name })),
    },
    codeSearch: 'all',
    validateCode: { translations: false },
    translation: { needsMap: false },
  };
  return JSON.stringify(statement);
}

/** Each url once, with all its versions; supplements are no systems of their own. */
function codeSystems(heads: readonly CodeSystemHead[]): TerminologyCapabilitiesCodeSystem[] {
  const systems = Map.groupBy(
    heads.filter(({ content }) => content !== 'supplement'),
    ({ url }) => url,
  );
  return [...systems]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([uri, editions]) => {
      const versions = new Set(editions.flatMap(({ version }) => (version === undefined ? [] : [version])));
      const subsumption = editions.some(({ content }) => content === 'complete');
      return {
        uri,
        ...(versions.size === 0 ? {} : { version: [...versions].map((code) => ({ code })) }),
        subsumption,
      };
    });
}
