/** Profiles on the types that all resources are of. */
import { loadDefinitions } from '../../../src/fhir/definitions.ts';
import { digestPackages } from '../../../src/fhir/profiles/load.ts';
import { profilesOf } from '../../../src/fhir/profiles/registry.ts';
import { shippedProfiles } from '../../../src/fhir/profiles/shipped.ts';
import { createValidator } from '../../../src/fhir/validation/validator.ts';
import { packageOf } from './archive.ts';
import { OURS, profileOn } from './definition.ts';

const definitions = loadDefinitions();

async function validatorWith(type: string, element: string) {
  const claimed = profileOn(type, [{ id: `${type}.${element}`, min: 1 }], { url: `${OURS}/any` });
  const focus = { id: 'Observation.focus', type: [{ code: 'Reference', targetProfile: [claimed.url] }] };
  const referring = profileOn('Observation', [focus], { url: `${OURS}/referring` });
  const [digest] = digestPackages([await packageOf([claimed, referring])], {
    definitions,
    known: shippedProfiles(),
    definition: () => undefined,
  });
  if (digest === undefined) throw new Error('a package has a digest');
  return createValidator(definitions, profilesOf([digest.source], shippedProfiles()));
}

const patient = { resourceType: 'Patient', meta: { profile: [`${OURS}/any`] } };
const text = { status: 'empty', div: '<div xmlns="http://www.w3.org/1999/xhtml">none</div>' };

test.each([
  ['Resource', 'language', { language: 'en' }],
  ['DomainResource', 'text', { text }],
])('a profile on %s holds for a resource of any type below it', async (type, element, content) => {
  const { check } = await validatorWith(type, element);
  expect(check(patient)).toMatchObject([{ code: 'required', expression: `Patient.${element}` }]);
  expect(check({ ...patient, ...content })).toEqual([]);
});

test('a profile on DomainResource holds for no Bundle', async () => {
  const { check } = await validatorWith('DomainResource', 'text');
  expect(check({ resourceType: 'Bundle', type: 'collection', meta: patient.meta })).toMatchObject([
    { code: 'structure', expression: 'Bundle.meta.profile[0]' },
  ]);
});

test('a profile on Resource may be what a reference leads to', async () => {
  const { check } = await validatorWith('Resource', 'language');
  const observation = (contained: object) => ({
    resourceType: 'Observation',
    meta: { profile: [`${OURS}/referring`] },
    status: 'final',
    code: { text: 'x' },
    contained: [{ resourceType: 'Patient', id: 'p', ...contained }],
    focus: [{ reference: '#p' }],
  });
  expect(check(observation({ language: 'en' }))).toEqual([]);
  expect(check(observation({}))).not.toEqual([]);
  const { contained: _contained, ...elsewhere } = observation({});
  expect(check({ ...elsewhere, focus: [{ reference: 'Patient/1' }] })).toEqual([]);
});
