/** The definitions that follow from all others: what lists the guide, and what a server of it must do. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CapabilityStatement, ImplementationGuide } from '@medplum/fhirtypes';
import { generatedDefinitions } from '../../scripts/guide/generated.ts';
import { FHIR_PROFILES, ofType, readGuide } from '../../scripts/guide/source.ts';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { furtherSearchParameters } from '../../src/fhir/search/further-search-parameters.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';

const source = readGuide();
const read = <T>(file: string) => JSON.parse(readFileSync(join(FHIR_PROFILES, file), 'utf8')) as T;

test.each(generatedDefinitions(source).map(({ file, text }) => [file, text]))(
  '%s is what follows from the other definitions (npm run ig -- --snapshots writes it)',
  (file, text) => {
    expect(readFileSync(join(FHIR_PROFILES, file), 'utf8')).toBe(text);
  },
);

test('the implementation guide lists every definition once', () => {
  const { definition } = read<ImplementationGuide>('ImplementationGuide-kap-bridge.json');
  const listed = (definition?.resource ?? []).filter(({ exampleCanonical }) => exampleCanonical === undefined);
  const expected = source.definitions
    .filter(({ resource }) => resource.resourceType !== 'ImplementationGuide')
    .map(({ resource }) => `${resource.resourceType}/${resource.id}`);
  expect(listed.map(({ reference }) => reference?.reference).sort()).toEqual(expected.sort());
});

test('the capability statement names every search parameter of the guide, and the service has each', () => {
  const { rest } = read<CapabilityStatement>('CapabilityStatement-kap-server.json');
  const named = new Set(
    (rest?.[0]?.resource ?? []).flatMap(({ searchParam = [] }) => searchParam.map(({ definition }) => definition)),
  );
  const served = new Set(furtherSearchParameters().map(({ url }) => url));
  for (const { resource } of ofType(source, 'SearchParameter')) {
    expect(named).toContain(resource.url);
    expect(served).toContain(resource.url);
  }
});

test('both are valid R4', () => {
  const { validate } = createValidator(loadDefinitions());
  for (const file of ['CapabilityStatement-kap-server.json', 'ImplementationGuide-kap-bridge.json']) {
    expect(validate(read(file))).toEqual([]);
  }
});
