/** A course that was imported although its orders do not meet the profiles that they claim can be treated on. */
import type { Bundle, OperationOutcome, Procedure, Resource, ServiceRequest } from '@medplum/fhirtypes';
import { CANONICAL_BASE } from '../../../src/kap/codes.ts';
import { type ImportedItem, importUnit, itemOf } from '../../../src/record/import.ts';
import { ImportRepeats } from '../../../src/record/import-repeats.ts';
import { installProtocol } from '../../../src/record/install-protocol.ts';
import { setPolicy } from '../../../src/record/package-changes.ts';
import type { Strictness } from '../../../src/record/packages.ts';
import { activities, enrolled, infusion, integration, type Parameter, parameters, plan } from '../../kap/chart.ts';
import { packageOf } from '../../profile-package.ts';
import { writeContext } from '../../record/clinic.ts';
import { load, openRecordOf } from '../../record/loading.ts';
import { startTestService } from '../service.ts';

const ORDERS = ['kap-infusion-request', 'kap-integration-request'].map(
  (name) => `${CANONICAL_BASE}/StructureDefinition/${name}`,
);
const NOT_MET = { system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'profile-not-met' };

/** An order that says nothing of when, which its profile wants. */
const timeless = ({ occurrencePeriod: _when, ...rest }: ServiceRequest) => rest;

async function importedCourse(strictness: Strictness, change: (order: ServiceRequest) => object = timeless) {
  const service = await startTestService();
  const { clinic } = service;
  const { record, parts } = clinic;
  await installProtocol(parts.store, record, [plan(), ...activities()], writeContext('update'));
  for (const profile of ORDERS) {
    await setPolicy(parts, profile, strictness, openRecordOf(clinic).context('tester', 'update'));
  }
  const chart = enrolled();
  const imported: ImportedItem[] = [];
  const repeats = new ImportRepeats();
  for (const resource of chart.all()) {
    const old = resource.resourceType === 'ServiceRequest' ? (change(resource) as Resource) : resource;
    const unit = { isTransaction: false, items: [itemOf(old, `${old.resourceType}/${old.id}`)] };
    imported.push(...(await importUnit(record, unit, writeContext('batch'), { dryRun: false, repeats })));
  }
  const call = service.as(await service.token());
  return {
    service,
    call,
    plan: chart.ofType('CarePlan')[0]?.id as string,
    imported,
    async orders(): Promise<ServiceRequest[]> {
      const { body } = await call.get('/fhir/ServiceRequest?patient=p1&_count=100').expect(200);
      return ((body as Bundle).entry ?? []).map(({ resource }) => resource as ServiceRequest);
    },
  };
}

function named<T extends Resource>(answer: Bundle, type: T['resourceType']): T | undefined {
  return answer.entry?.find(({ resource }) => resource?.resourceType === type)?.resource as T | undefined;
}

test.each<Exclude<Strictness, 'reject'>>(['tag', 'warn'])(
  'a course imported under the policy %s is treated on: its orders are completed as they are, and a client still has to mend them',
  async (word) => {
    const course = await importedCourse(word);
    const { call } = course;
    expect(course.imported.filter(({ effect }) => effect !== 'created')).toEqual([]);
    const tags = word === 'tag' ? [NOT_MET] : undefined;
    const before = await course.orders();
    expect(before.length).toBeGreaterThan(6);
    expect(before.map(({ meta }) => meta?.tag)).toEqual(before.map(() => tags));

    const isTimed = ({ occurrencePeriod }: ServiceRequest) => occurrencePeriod !== undefined;
    const send = (operation: string, sent: Parameter[]) =>
      call.post(`/fhir/CarePlan/${course.plan}/${operation}`, parameters(...sent));
    const given = (await send('$record-infusion', infusion()).expect(200)).body as Bundle;
    const order = named<ServiceRequest>(given, 'ServiceRequest') as ServiceRequest;
    expect(order).toMatchObject({ status: 'completed', meta: { versionId: '2' } });
    expect(order.meta?.tag).toEqual(tags);
    expect(named<Procedure>(given, 'Procedure')?.meta?.tag).not.toContainEqual(NOT_MET);
    // The rules gave the order of the therapy its window, and with it what it lacked.
    expect((await course.orders()).filter(isTimed).map(({ meta }) => meta?.tag)).toEqual([undefined]);
    const talked = (await send('$record-integration', integration()).expect(200)).body as Bundle;
    expect(named<ServiceRequest>(talked, 'ServiceRequest')).toMatchObject({ status: 'completed' });
    const after = await course.orders();
    expect(after.filter(({ status }) => status === 'completed')).toHaveLength(2);
    const timeless = after.filter((each) => !isTimed(each));
    expect(timeless.map(({ meta }) => meta?.tag)).toEqual(timeless.map(() => tags));

    // The operations' way is theirs alone.
    const refused = { issue: [{ code: 'required', expression: ['ServiceRequest.occurrence'] }] };
    const path = `/fhir/ServiceRequest/${order.id}`;
    expect((await call.put(path, { ...order, priority: 'urgent' }).expect(422)).body).toMatchObject(refused);
    const entry = [{ resource: order, request: { method: 'PUT', url: `ServiceRequest/${order.id}` } }];
    const bundle = { resourceType: 'Bundle', type: 'transaction', entry };
    expect((await call.post('/fhir', bundle).expect(422)).body).toMatchObject({
      issue: [{ expression: ['Bundle.entry[0].resource.occurrence'] }],
    });
    const mended = { ...order, occurrencePeriod: { start: '2026-09-14T09:30:00-05:00' } };
    expect((await call.put(path, mended).expect(200)).body.meta.tag).toBeUndefined();
    await course.service.close();
  },
);

test('an infusion is recorded on an order that claims no profile and meets none', async () => {
  const course = await importedCourse('reject', ({ meta: _claims, ...order }) => timeless(order));
  expect(course.imported.filter(({ effect }) => effect !== 'created')).toEqual([]);
  const { body } = await course.call
    .post(`/fhir/CarePlan/${course.plan}/$record-infusion`, parameters(...infusion()))
    .expect(200);
  expect(named<ServiceRequest>(body as Bundle, 'ServiceRequest')).toMatchObject({ status: 'completed' });
  await course.service.close();
});

test('what an operation itself would break is refused, at its place in the resource that the words name', async () => {
  const course = await importedCourse('tag');
  const { call, service } = course;
  const [order] = (await course.orders()).filter(({ code }) =>
    code?.coding?.some((each) => each.code === 'kap-infusion'),
  );
  const only = { path: 'ServiceRequest.status', id: 'ServiceRequest.status', patternCode: 'active' };
  await load(service.clinic, packageOf({ files: { 'StructureDefinition-open-order.json': openOrder(only) } }));
  const claim = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { profile: [OPEN_ORDER] } }] };
  await call.post(`/fhir/ServiceRequest/${order?.id}/$meta-add`, claim).expect(200);
  const { body } = await call
    .post(`/fhir/CarePlan/${course.plan}/$record-infusion`, parameters(...infusion()))
    .expect(422);
  const { issue } = body as OperationOutcome;
  expect(issue.map(({ expression }) => expression)).toEqual([['ServiceRequest.status']]);
  expect(issue[0]?.diagnostics).toContain(`ServiceRequest/${order?.id}: `);
  await course.service.close();
});

const OPEN_ORDER = 'http://example.org/fhir/StructureDefinition/open-order';
const openOrder = (...element: object[]) => ({
  resourceType: 'StructureDefinition',
  id: 'open-order',
  url: OPEN_ORDER,
  version: '1.0.0',
  name: 'OpenOrder',
  status: 'active',
  fhirVersion: '4.0.1',
  kind: 'resource',
  abstract: false,
  type: 'ServiceRequest',
  baseDefinition: 'http://hl7.org/fhir/StructureDefinition/ServiceRequest',
  derivation: 'constraint',
  differential: { element: [{ id: 'ServiceRequest', path: 'ServiceRequest' }, ...element] },
});
