import type { Resource } from '@medplum/fhirtypes';
import { installGuide, installProtocol } from '../../src/record/install-protocol.ts';
import type { WriteRequest } from '../../src/record/record.ts';
import { guideDefinitions, shippedProtocol } from '../../src/record/shipped-definitions.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

/** One of each type: they are all treated alike. */
const GUIDE = [...Map.groupBy(guideDefinitions(), ({ resourceType }) => resourceType).values()].map(
  ([first]) => first as Resource,
);
const keyOf = ({ resourceType, id }: Resource) => `${resourceType}/${id}`;
const REFUSED = { code: 'business-rule', issues: [{ code: 'business-rule' }] };

let clinic: TestClinic;
beforeAll(async () => {
  clinic = await openTestClinic();
  await installProtocol(clinic.parts.store, clinic.record, shippedProtocol(), writeContext('update'));
  await installGuide(clinic.parts.store, clinic.record, GUIDE, writeContext('update'));
});
afterAll(() => clinic.database.drop());

const put = (resource: Resource): WriteRequest => {
  const { resourceType: type, id = '' } = resource;
  return { method: 'PUT', type, id, resource: structuredClone(resource), place: type };
};
const write = (request: WriteRequest) => clinic.record.write([request], writeContext());
const versionOf = async ({ resourceType, id = '' }: Resource) => (await clinic.record.read(resourceType, id)).version;

test('all definitions of the guide and no part of other code systems are the product’s', () => {
  expect(GUIDE.map(({ resourceType }) => resourceType).sort()).toEqual([
    'CapabilityStatement',
    'CodeSystem',
    'ConceptMap',
    'ImplementationGuide',
    'OperationDefinition',
    'SearchParameter',
    'StructureDefinition',
    'ValueSet',
  ]);
  expect(guideDefinitions().map(keyOf)).not.toContain('CodeSystem/v3-actcode-tho');
});

test.each(GUIDE.map((one) => [keyOf(one), one] as const))('%s is neither changed nor deleted', async (key, one) => {
  const { resourceType: type, id = '' } = one;
  await expect(write(put({ ...one, status: 'retired' } as Resource))).rejects.toMatchObject(REFUSED);
  await expect(write({ method: 'DELETE', type, id, place: type })).rejects.toThrow(`${key} is a definition of the`);
  const meta = { tag: [{ code: 'x' }] };
  const tagged = clinic.record.changeMeta({ type, id, change: 'add', meta, place: type }, writeContext('operation'));
  await expect(tagged).rejects.toMatchObject(REFUSED);
  expect(await write(put(one))).toMatchObject([{ effect: 'unchanged' }]);
  expect(await versionOf(one)).toBe(1);
});

test('a release of the service renews its definitions and puts back what is gone; what is the same is left alone', async () => {
  const [first, second] = GUIDE as [Resource, Resource];
  const own = { ...writeContext(), definitions: true } as const;
  const { resourceType: type, id = '' } = second;
  await clinic.record.write([{ method: 'DELETE', type, id, place: type }], own);
  const renewed = { ...first, date: '2030-01-01' } as Resource;
  const release = [renewed, ...GUIDE.slice(1)];
  const install = () => installGuide(clinic.parts.store, clinic.record, release, writeContext('update'));
  expect(await install()).toEqual([keyOf(first), keyOf(second)]);
  expect(await install()).toEqual([]);
  expect(JSON.parse((await clinic.record.read(first.resourceType, first.id as string)).content)).toMatchObject({
    date: '2030-01-01',
  });
});

test('plans, activities and questionnaires are the clinic’s to adapt, and stay as it made them', async () => {
  const [plan] = shippedProtocol().filter(({ resourceType }) => resourceType === 'Questionnaire') as [Resource];
  expect(await write(put({ ...plan, title: 'Ours' } as Resource))).toMatchObject([{ effect: 'updated' }]);
  const again = await installProtocol(clinic.parts.store, clinic.record, shippedProtocol(), writeContext('update'));
  expect(again).toEqual([]);
  expect(await versionOf(plan)).toBe(2);
});
