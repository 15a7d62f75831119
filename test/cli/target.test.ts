import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sealingWith } from '../../src/access/secrets.ts';
import { type Clinic, encounter, MRN, openClinic, patient, registered } from '../ehr/clinic.ts';
import { type EhrStandIn, startEhrStandIn } from '../ehr/ehr-stand-in.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';
import { command } from './command.ts';

let database: TestDatabase;
let ehr: EhrStandIn;
let folder: string;
let environment: Record<string, string>;

beforeEach(async () => {
  database = await createTestDatabase();
  ehr = await startEhrStandIn();
  folder = mkdtempSync(join(tmpdir(), 'kap-bridge-target-'));
  environment = { DATABASE_URL: database.url, KAP_DATA_DIR: folder };
});
afterEach(async () => {
  await ehr.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

const kap = (...args: string[]) => command(args, environment);
const add = (...more: string[]) =>
  kap('target', 'add', 'mercy', '--base-url', ehr.baseUrl, '--identifier-system', MRN, ...more);
const stored = async () => {
  const { rows } = await database
    .clinicPool()
    .query<{ row: string }>('select r::text as row from ehr_target_revision r');
  return rows.map(({ row }) => row);
};
function secret(text: string): string {
  const path = join(folder, 'secret');
  writeFileSync(path, text);
  return path;
}

test('an EHR is tested, added with its secret sealed, listed, paused, revised and resumed', async () => {
  ehr.options = { password: 'correct horse' };
  const basic = ['--auth', 'basic', '--username', 'kap', '--secret-file', secret('correct horse')];
  const added = await add(...basic, '--json');
  expect(added).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(added.out)).toMatchObject({ target: 'mercy', revision: 1, probe: { ok: true } });
  expect((await stored()).join()).not.toContain('correct horse');

  const list = await kap('target', 'list', '--json');
  expect(JSON.parse(list.out)).toMatchObject([{ targetId: 'mercy', baseUrl: ehr.baseUrl, holdReason: null }]);
  expect(list.out).not.toContain('correct horse');
  await kap('target', 'pause', 'mercy');
  expect((await kap('target', 'list')).out).toMatch(/mercy +1 +paused/);
  // The secret stays where only something else is revised.
  expect(await kap('target', 'revise', 'mercy', '--tier', '2')).toMatchObject({ code: 0 });
  expect(await kap('target', 'test', 'mercy')).toMatchObject({ code: 0 });
  expect((await kap('target', 'resume', 'mercy')).out).toContain('mercy receives again');
  expect((await kap('target', 'list')).out).toMatch(/mercy +2 +sending/);

  const { rows } = await database
    .clinicPool()
    .query("select body from audit_event where type = '110113' order by recorded");
  expect(rows).toHaveLength(4);
  expect(JSON.stringify(rows)).not.toContain('correct horse');
});

test.each([
  ['wrong credentials', 4, /the credentials are refused/, () => ({ password: 'other' })],
  ['a search that ignores its parameter', 2, /is ignored/, () => ({ ignoresSearch: true })],
])('%s are said, and nothing is stored', async (_what, code, words, options) => {
  ehr.register(registered('p1'));
  ehr.options = options();
  const result = await add('--auth', 'basic', '--username', 'kap', '--secret-file', secret('wrong'));
  expect(result.code).toBe(code);
  expect(result.err).toMatch(words);
  expect(result.err).not.toContain('wrong');
  expect(await stored()).toEqual([]);
});

test('an EHR that does not answer is not stored, unless that is asked for', async () => {
  const away = ['target', 'add', 'mercy', '--base-url', 'http://127.0.0.1:1/fhir', '--identifier-system', MRN];
  const refused = await kap(...away);
  expect(refused).toMatchObject({ code: 5, err: expect.stringContaining('no answer') });
  expect(await stored()).toEqual([]);
  expect(await kap(...away, '--no-test')).toMatchObject({ code: 0 });
  expect(await stored()).toHaveLength(1);
});

test.each([
  [['--base-url', 'http://ehr.example.org/fhir'], /plain http to another machine/],
  [['--base-url', 'https://user:pass@ehr.example.org/fhir'], /must not carry credentials/],
  [['--base-url', 'ehr'], /is not a URL/],
  [['--auth', 'basic', '--username', 'kap'], /--secret-file is missing/],
  [['--auth', 'client-secret', '--secret-file', '/nowhere'], /--client-id is missing: --auth client-secret/],
  [['--auth', 'private-key-jwt', '--client-id', 'kap'], /--key-id is missing/],
  [['--types', 'encounter'], /FHIR resource type/],
  [['--types', 'Encounter,Observations'], /Observations is not a FHIR resource type/],
  [['--types', 'Patient'], /demographics belong to the target/],
  [['--concurrency', 'many'], /dialect\.concurrency/],
])('%j is refused before anything is asked or stored', async (args, words) => {
  const result = await add(...args);
  expect(result.code).toBe(2);
  expect(result.err).toMatch(words);
  expect(ehr.ledger).toEqual([]);
  expect(await stored()).toEqual([]);
});

test('another base URL is another target, unless somebody says it is the same system', async () => {
  await add();
  const elsewhere = await startEhrStandIn();
  const moved = ['target', 'revise', 'mercy', '--base-url', elsewhere.baseUrl];
  expect(await kap(...moved)).toMatchObject({ code: 4, err: expect.stringContaining('--same-system') });
  expect(await kap(...moved, '--same-system')).toMatchObject({ code: 0 });
  await elsewhere.close();
});

test.each([['test'], ['pause'], ['resume'], ['revise']])(
  'target %s of an unknown EHR says where to look',
  async (name) => {
    const result = await kap('target', name, 'nobody');
    expect(result.code).toBe(3);
    expect(result.err).toContain('kap-bridge target list');
  },
);

test.each([
  ['target', 'list'],
  ['delivery', 'list'],
])('%s %s of a clinic that does not exist ends with 3', async (...args) => {
  expect(await kap(...args, '--clinic', 'elsewhere')).toMatchObject({
    code: 3,
    out: '',
    err: 'error: There is no such clinic in this database\n',
  });
});

describe('deliveries', () => {
  let clinic: Clinic;
  beforeEach(async () => {
    clinic = openClinic(database.clinicPool());
    ehr.register(registered('patient-1'));
    await clinic.record(patient('patient-1'));
    await clinic.addTarget(ehr);
  });
  afterEach(() => clinic.close());
  const refuseOnce = async () => {
    ehr.options = { fault: ({ method }) => (method === 'GET' ? undefined : { status: 422, body: '{}' }) };
    await clinic.record(encounter('e1', 'patient-1'));
    await clinic.record(encounter('e2', 'patient-1'));
    await clinic.settle();
    ehr.options = {};
  };

  test('are listed by their state with patients masked, and shown with every attempt', async () => {
    await refuseOnce();
    const list = await kap('delivery', 'list', '--state', 'dead-letter', '--json');
    const [dead] = JSON.parse(list.out) as { deliveryId: string; patientId: string }[];
    expect(dead).toMatchObject({
      state: 'dead-letter',
      reason: 'refused HTTP 422',
      patientId: '…nt-1',
      blocksLane: true,
    });
    const shown = await kap('delivery', 'show', String(dead?.deliveryId));
    expect(shown.out).toMatch(/2 +send .* refused +422/);
    expect(`${list.out}${shown.out}`).not.toContain('patient-1');
    expect((await kap('delivery', 'list', '--state', 'accepted')).out.split('\n')).toHaveLength(2);
  });

  test('are replayed with a reason, once it was seen which', async () => {
    await refuseOnce();
    expect(await kap('delivery', 'replay', '--reason-like', 'refused')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--reason'),
    });
    expect(await kap('delivery', 'replay', '--reason', 'all of them')).toMatchObject({ code: 2 });
    const preview = await kap('delivery', 'replay', '--reason-like', 'refused', '--preview');
    expect(preview.out).toMatch(/^1 would be replayed/);
    expect((await clinic.deliveries()).map((each) => each.state)).toEqual(['dead-letter', 'waiting']);
    const replayed = await kap(
      'delivery',
      'replay',
      '--reason-like',
      'refused',
      '--reason',
      'mapped',
      '--by',
      'ada',
      '--json',
    );
    expect(JSON.parse(replayed.out)).toMatchObject({ preview: false, count: 1 });
    await clinic.settle();
    expect((await clinic.deliveries()).map((each) => each.state)).toEqual(['accepted', 'accepted']);
    const id = (await clinic.deliveries())[0]?.delivery_id as string;
    expect((await kap('delivery', 'show', id)).out).toMatch(/replay from dead-letter by ada: mapped/);
  });

  test('are replayed after acceptance as an update and never as a second resource', async () => {
    await clinic.record(encounter('e1', 'patient-1'));
    await clinic.settle();
    const id = (await clinic.deliveries())[0]?.delivery_id as string;
    await kap('delivery', 'replay', id, '--state', 'accepted', '--reason', 'the EHR lost it');
    await clinic.settle();
    expect(ehr.creates()).toHaveLength(1);
    expect(ehr.ledger.at(-1)).toMatchObject({ method: 'PUT', effect: 'updated' });
    expect((await clinic.deliveries())[0]?.state).toBe('accepted');
  });

  test('that may already be there are looked for before a replay sends them', async () => {
    ehr.options = {
      fault: ({ method, type }) =>
        type !== 'Encounter' ? undefined : method === 'GET' ? { status: 400 } : 'drop-answer',
    };
    await clinic.record(encounter('e1', 'patient-1'));
    await clinic.settle();
    expect(await clinic.deliveries()).toMatchObject([{ state: 'dead-letter' }]);
    ehr.options = {};
    const id = (await clinic.deliveries())[0]?.delivery_id as string;
    await kap('delivery', 'replay', id, '--reason', 'search mended');
    await clinic.settle();
    expect(await clinic.deliveries()).toMatchObject([{ state: 'accepted', state_reason: 'found there' }]);
    expect(ehr.creates()).toHaveLength(1);
  });

  test('that a person entered by hand are cancelled, and the lane goes on', async () => {
    await refuseOnce();
    await kap('delivery', 'cancel', '--type', 'Encounter', '--reason', 'entered by hand');
    await clinic.settle();
    expect((await clinic.deliveries()).map((each) => each.state)).toEqual(['cancelled', 'accepted']);
  });

  test('that do not exist are said so', async () => {
    expect(await kap('delivery', 'show', 'x')).toMatchObject({ code: 3 });
    expect(await kap('delivery', 'show', '7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11')).toMatchObject({ code: 3 });
    expect(await kap('delivery', 'list', '--state', 'lost')).toMatchObject({ code: 2 });
    const none = ['7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11', '--reason', 'mapped'];
    expect(await kap('delivery', 'replay', ...none)).toMatchObject({ code: 3 });
    expect(await kap('delivery', 'cancel', ...none, '--preview')).toMatchObject({ code: 3 });
    expect(await kap('delivery', 'list', '--target', 'mercury')).toMatchObject({
      code: 3,
      err: expect.stringContaining('mercury'),
    });
  });

  test('that are named but in another state are refused, and none is changed', async () => {
    await refuseOnce();
    const [dead, waiting] = (await clinic.deliveries()).map((each) => String(each.delivery_id));
    const refused = await kap('delivery', 'cancel', String(dead), String(waiting), '--reason', 'by hand');
    expect(refused).toMatchObject({ code: 4, err: expect.stringContaining(`${waiting} is waiting`) });
    expect((await clinic.deliveries()).map((each) => each.state)).toEqual(['dead-letter', 'waiting']);
  });
});

test('credentials that another master key sealed are not opened with this one', async () => {
  await add('--no-test');
  expect(() => sealingWith(Buffer.alloc(32, 1)).open(Buffer.alloc(64, 1), 'x')).toThrow(/another master key/);
  rmSync(join(folder, 'master.key'));
  expect(await kap('target', 'test', 'mercy')).toMatchObject({ code: 2, err: expect.stringContaining('master key') });
});
