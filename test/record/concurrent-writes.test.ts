/**
 * Versions and conditional interactions under concurrency, against what must hold whatever the order was: several
 * clients send random writes at the same few resources at once, and the history then has to explain every answer.
 */
import type { Observation } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { Failure } from '../../src/fhir/failure.ts';
import type { StoredResource, WriteRequest, WriteResult } from '../../src/record/record.ts';
import { openTestClinic, type TestClinic, writeContext } from './clinic.ts';

let clinic: TestClinic;
/** One outside a course, whose writes need no locks, and one in a course. */
const PATIENTS = ['Patient/free', 'Patient/in-course'];
const CLIENTS = 6;

beforeAll(async () => {
  clinic = await openTestClinic();
  for (const reference of PATIENTS) {
    const id = reference.slice('Patient/'.length);
    const resource = { resourceType: 'Patient', id } as const;
    const request = { method: 'PUT', type: 'Patient', id, resource, place: 'Patient' } as const;
    await clinic.record.write([request], writeContext('update'));
  }
  const pool = clinic.database.clinicPool();
  await pool.query("insert into course_patient (patient_id) values ('in-course')");
  const target =
    "insert into ehr_target (target_id, active_revision, resource_types) values ('ehr', 1, '{Observation}')";
  await pool.query(target);
});
afterAll(() => clinic.database.drop());

type Single = {
  readonly client: number;
  readonly kind: 'put' | 'patch' | 'delete';
  readonly on: number;
  readonly patient: number;
  readonly ifMatch: boolean;
};
type Conditional = {
  readonly client: number;
  readonly kind: 'conditional create' | 'conditional update';
  readonly key: number;
  readonly patient: number;
};
type Several = {
  readonly client: number;
  readonly kind: 'several';
  readonly on: readonly number[];
  readonly patient: number;
};
type Command = Single | Conditional | Several;

const client = fc.nat({ max: CLIENTS - 1 });
const patient = fc.nat({ max: PATIENTS.length - 1 });
const on = fc.nat({ max: 2 });
const commands = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        client,
        kind: fc.constantFrom('put' as const, 'put' as const, 'patch' as const, 'delete' as const),
        on,
        patient,
        ifMatch: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        client,
        kind: fc.constantFrom('conditional create' as const, 'conditional update' as const),
        key: fc.nat({ max: 1 }),
        patient,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        client,
        kind: fc.constant('several' as const),
        on: fc.uniqueArray(on, { minLength: 2, maxLength: 3 }),
        patient,
      }),
    },
  ) as fc.Arbitrary<Command>,
  { minLength: 10, maxLength: 40 },
);

/** What a client was told of one write. */
type Answer = { readonly request: WriteRequest; readonly result: WriteResult };

class Run {
  readonly name: string;
  readonly answers: Answer[] = [];
  readonly refused: Failure[] = [];
  #writes = 0;

  constructor(name: string) {
    this.name = name;
  }

  id(on: number): string {
    return `${this.name}-${on}`;
  }

  identifier(key: number): string {
    return `${this.name}-${key}`;
  }

  /** Every write says something that no other one says. */
  resource(patientIndex: number, more: Partial<Observation>): Observation {
    this.#writes += 1;
    return {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'count' },
      subject: { reference: PATIENTS[patientIndex] as string },
      note: [{ text: `write ${this.#writes}` }],
      valueInteger: 0,
      ...more,
    };
  }

  async play(commandsOfRun: readonly Command[]): Promise<void> {
    const ofClient = Map.groupBy(commandsOfRun, (command) => command.client);
    await Promise.all(
      [...ofClient.values()].map(async (own) => {
        for (const command of own) await this.#send(command);
      }),
    );
  }

  async #send(command: Command): Promise<void> {
    const requests = await this.#requests(command);
    try {
      const results = await clinic.record.write(requests, writeContext('transaction'));
      for (const [i, result] of results.entries()) this.answers.push({ request: requests[i] as WriteRequest, result });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.refused.push(error);
    }
  }

  async #requests(command: Command): Promise<WriteRequest[]> {
    const base = { type: 'Observation', place: 'Observation' } as const;
    const put = (id: string) =>
      ({ ...base, method: 'PUT', id, resource: this.resource(command.patient, { id }) }) as const;
    if (command.kind === 'several') return command.on.map((each) => put(this.id(each)));
    if ('key' in command) {
      const value = this.identifier(command.key);
      const resource = this.resource(command.patient, { identifier: [{ system: 'urn:run', value }] });
      const criteria = `identifier=urn:run|${value}`;
      return command.kind === 'conditional create'
        ? [{ ...base, method: 'POST', resource, ifNoneExist: criteria }]
        : [{ ...base, method: 'PUT', resource, criteria }];
    }
    const id = this.id(command.on);
    const condition = command.ifMatch ? { ifMatch: [await currentVersion(id)] } : {};
    if (command.kind === 'put') return [{ ...put(id), ...condition }];
    if (command.kind === 'delete') return [{ ...base, method: 'DELETE', id, ...condition }];
    const patch = (current: unknown) => {
      const { valueInteger = 0, ...rest } = current as Observation;
      return { ...rest, valueInteger: valueInteger + 1 } as Observation;
    };
    return [{ ...base, method: 'PATCH', id, patch, ...condition }];
  }
}

async function currentVersion(id: string): Promise<number> {
  return (await clinic.parts.store.read('Observation', id))?.version ?? 1;
}

/** Oldest first. */
async function historyOf(id: string): Promise<StoredResource[]> {
  const { versions } = await clinic.record.history('Observation', id, { count: 1000 });
  return [...versions].reverse();
}

function countOf({ content }: StoredResource): number | undefined {
  return content === '' ? undefined : (JSON.parse(content) as Observation).valueInteger;
}

function noteOf(content: string): string | undefined {
  return (JSON.parse(content) as Observation).note?.[0]?.text;
}

let runs = 0;

test('whatever several clients write at once, the history explains every answer, and every answer is in it', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (all) => {
      runs += 1;
      const run = new Run(`run-${runs}`);
      await run.play(all);

      // Nobody is refused but for what was there, or for who came first.
      const codes = ['conflict', 'precondition-failed', 'not-found', 'deleted'];
      expect(run.refused.map(({ code }) => code).filter((code) => !codes.includes(code))).toEqual([]);

      const made = run.answers.flatMap(({ request, result: { effect, stored } }) =>
        stored === undefined || effect === 'unchanged' ? [] : [{ request, effect, stored }],
      );
      for (const [id, ofOne] of Map.groupBy(made, ({ stored }) => stored.id)) {
        const history = await historyOf(id);
        // Gapless, in the order of time, and every acknowledged write in it exactly once.
        expect(history.map(({ version }) => version)).toEqual(history.map((_, i) => i + 1));
        expect(ofOne.map(({ stored }) => stored.version).sort((a, b) => a - b)).toEqual(
          history.map(({ version }) => version),
        );
        const times = history.map(({ lastUpdated }) => lastUpdated);
        expect([...new Set(times)].sort()).toEqual(times);
        for (const { request, effect, stored } of ofOne) {
          const version = history[stored.version - 1] as StoredResource;
          const before = history[stored.version - 2];
          const wasThere = before !== undefined && !before.deleted;
          expect(version).toMatchObject({ content: stored.content, deleted: effect === 'deleted' });
          if (effect !== 'deleted') expect(effect).toBe(wasThere ? 'updated' : 'created');
          if (request.resource) expect(noteOf(version.content)).toBe((request.resource as Observation).note?.[0]?.text);
          // A patch adds to the very version before it.
          if (request.method === 'PATCH') expect(countOf(version)).toBe((countOf(before as StoredResource) ?? 0) + 1);
          // Who named a version has made the next one: of those who named the same one, one has.
          if (Array.isArray(request.ifMatch)) expect(request.ifMatch).toEqual([stored.version - 1]);
        }
      }

      // A condition never makes two.
      for (const key of [0, 1]) {
        const criteria = `identifier=urn:run|${run.identifier(key)}`;
        const found = await clinic.parts.store.match({ type: 'Observation', criteria });
        const asked = all.filter((command) => 'key' in command && command.key === key).length;
        expect(found.length).toBe(Math.min(1, asked));
      }
      await expectDeliveries(made.map(({ stored }) => stored));
    }),
    { numRuns: 12, endOnFailure: true },
  );
}, 120_000);

/** One for each version, numbered for each patient in the order of the versions; a Provenance with each as target. */
async function expectDeliveries(made: readonly StoredResource[]): Promise<void> {
  const keys = made.map(({ id, version }) => `${id}/${version}`).sort();
  const ids = [...new Set(made.map(({ id }) => id))];
  const { rows } = await clinic.database
    .clinicPool()
    .query<{ key: string; id: string; version_id: number; patient_id: string }>(
      `select resource_id || '/' || version_id as key, resource_id as id, version_id, patient_id
       from delivery where resource_id = any ($1) order by patient_id, patient_seq`,
      [ids],
    );
  expect(rows.map(({ key }) => key).sort()).toEqual(keys);
  for (const ofPatient of Map.groupBy(rows, ({ patient_id, id }) => `${patient_id} ${id}`).values()) {
    const versions = ofPatient.map(({ version_id }) => version_id);
    expect([...versions].sort((a, b) => a - b)).toEqual(versions);
  }
  const { rows: told } = await clinic.database.clinicPool().query<{ target: string }>(
    `select t ->> 'reference' as target
       from resource_version v, jsonb_array_elements(v.content::jsonb -> 'target') t
      where v.type = 'Provenance' and split_part(t ->> 'reference', '/', 2) = any ($1)`,
    [ids],
  );
  const targets = made.map(({ id, version }) => `Observation/${id}/_history/${version}`).sort();
  expect(told.map(({ target }) => target).sort()).toEqual(targets);
}

test('of many who change the same version at once one wins, and the others are told 409 or 412', async () => {
  const id = 'contended';
  const run = new Run('contended-run');
  const put = (ifMatch?: readonly number[]): WriteRequest => ({
    method: 'PUT',
    type: 'Observation',
    place: 'Observation',
    id,
    resource: run.resource(0, { id }),
    ...(ifMatch === undefined ? {} : { ifMatch }),
  });
  await clinic.record.write([put()], writeContext('update'));
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, () => clinic.record.write([put([1])], writeContext('update'))),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  const codes = outcomes.flatMap((each) => (each.status === 'rejected' ? [(each.reason as Failure).code] : []));
  expect(codes.filter((code) => code !== 'conflict' && code !== 'precondition-failed')).toEqual([]);
  expect((await historyOf(id)).map(({ version }) => version)).toEqual([1, 2]);

  // Without a condition all are written, one after another.
  const all = await Promise.all(Array.from({ length: 20 }, () => clinic.record.write([put()], writeContext('update'))));
  expect(all.map(([result]) => result?.stored?.version).sort((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 20 }, (_, i) => i + 3),
  );
});
