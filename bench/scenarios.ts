/**
 * The requests of each scenario, and what their answers must look like.
 *
 * A scenario is prepared once from the seeded state and then asked for one request after another. Requests depend on
 * (seed, scenario, connection) alone, so two servers are asked the same. Every 50th answer is read and checked: a fast
 * wrong answer is not an answer.
 */
import type { Bundle, Encounter, Observation, Procedure, Resource } from '@medplum/fhirtypes';
import {
  dateOnly,
  INFUSIONS,
  infusionBundle,
  PHQ9,
  type Random,
  RESOURCES_PER_INFUSION,
  rng,
  singleObservation,
} from './kap-data.ts';

export type SeededPatient = {
  readonly id: string;
  /** `at` in minutes since the epoch of kap-data.ts. */
  readonly infusions: readonly {
    readonly at: number;
    readonly encounter: string;
    readonly observations: readonly string[];
  }[];
};
export type SeededState = { readonly seed: string; readonly patients: readonly SeededPatient[] };

export type LoadRequest = {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Relative to the FHIR base, '' for the base itself. */
  readonly path: string;
  readonly body?: string;
  /** The one status that is right; any 2xx when absent. */
  readonly status?: number;
  /** A complaint about the answer, or nothing. */
  readonly check: (answer: Resource) => string | undefined;
};

/** The next request of connection `k` of `connections`; `r` is that connection's own generator. */
export type NextRequest = (r: Random, k: number, connections: number) => LoadRequest;
export type Preparation = {
  readonly state: SeededState;
  /** Reads one resource of the server, for scenarios that change what is there. */
  readonly read: (path: string) => Promise<Resource>;
};
type Scenario = (preparation: Preparation) => Promise<NextRequest> | NextRequest;

const DAY = 1440;
const FIRST_NEW_DAY = 400; // writes of the load are dated after the seeded data
const CREATE_POOL = 4096;
const TRANSACTION_POOL = 512;
const UPDATE_POOL = 1000;

const want = (holds: unknown, complaint: string) => (holds ? undefined : complaint);
const refOf = (patient: SeededPatient) => `Patient/${patient.id}`;
const moment = (dateTime: string | undefined) => Date.parse(dateTime ?? '');
const resourcesOf = <T extends Resource>(bundle: Bundle, mode: 'match' | 'include'): T[] =>
  (bundle.entry ?? []).filter((e) => (e.search?.mode ?? 'match') === mode).map((e) => e.resource as T);
const isOf = (reference: string | undefined, patient: SeededPatient) => reference?.endsWith(refOf(patient)) ?? false;

/** A search whose matches are checked. */
function search<T extends Resource>(
  path: string,
  complaintAbout: (matches: T[], bundle: Bundle) => string | undefined,
) {
  return {
    method: 'GET',
    path,
    check: (answer: Resource) =>
      answer.resourceType === 'Bundle' && answer.type === 'searchset'
        ? complaintAbout(resourcesOf<T>(answer, 'match'), answer)
        : 'not a searchset',
  } satisfies LoadRequest;
}

const allObservations = (state: SeededState) =>
  state.patients.flatMap((p) => p.infusions.flatMap((s) => s.observations));
const firstInfusion = (patient: SeededPatient) => patient.infusions[0]?.at as number;

const read: Scenario = ({ state }) => {
  const ids = allObservations(state);
  return (r) => {
    const id = r.pick(ids);
    return {
      method: 'GET',
      path: `Observation/${id}`,
      check: (o) =>
        want(
          o.resourceType === 'Observation' && o.id === id && o.status === 'final' && o.subject?.reference,
          'not the Observation asked for',
        ),
    };
  };
};

/** The first version, as an EHR fetches what a version-specific reference names. */
const vread: Scenario = ({ state }) => {
  const ids = allObservations(state);
  return (r) => {
    const id = r.pick(ids);
    return {
      method: 'GET',
      path: `Observation/${id}/_history/1`,
      check: (o) =>
        want(o.resourceType === 'Observation' && o.id === id && o.meta?.versionId === '1', 'not the version asked for'),
    };
  };
};

const searchVitals: Scenario =
  ({ state }) =>
  (r) => {
    const p = r.pick(state.patients);
    return search<Observation>(
      `Observation?patient=${p.id}&category=vital-signs&_count=50`,
      (m) =>
        want(m.length === 50, `expected 50 vital signs, got ${m.length}`) ??
        want(
          m.every(
            (o) =>
              o.resourceType === 'Observation' &&
              isOf(o.subject?.reference, p) &&
              o.category?.some((c) => c.coding?.some((x) => x.code === 'vital-signs')),
          ),
          'a match is of another patient or category',
        ),
    );
  };

const searchPhq9: Scenario =
  ({ state }) =>
  (r) => {
    const p = r.pick(state.patients);
    const code = encodeURIComponent(`http://loinc.org|${PHQ9}`);
    return search<Observation>(
      `Observation?patient=${p.id}&code=${code}&_sort=-date&_count=20`,
      (m) =>
        want(m.length >= INFUSIONS && m.length <= 20, `expected ${INFUSIONS} to 20 PHQ-9 scores, got ${m.length}`) ??
        want(
          m.every((o) => o.code.coding?.some((c) => c.code === PHQ9) && isOf(o.subject?.reference, p)),
          'a match is of another patient or code',
        ) ??
        want(
          m.every((o, i) => i === 0 || moment(m[i - 1]?.effectiveDateTime) >= moment(o.effectiveDateTime)),
          'not sorted by date, newest first',
        ),
    );
  };

const searchEncounter: Scenario =
  ({ state }) =>
  (r) => {
    const p = r.pick(state.patients);
    const first = firstInfusion(p);
    const from = dateOnly(first - DAY);
    const to = dateOnly(first + 12 * DAY);
    return search<Encounter>(
      `Encounter?patient=${p.id}&date=ge${from}&date=le${to}`,
      (m) =>
        want(m.length >= 7 && m.length <= 9, `expected 7 to 9 encounters, got ${m.length}`) ??
        want(
          m.every(
            (e) =>
              e.resourceType === 'Encounter' &&
              isOf(e.subject?.reference, p) &&
              moment(e.period?.end) >= moment(from) - DAY * 60000 &&
              moment(e.period?.start) <= moment(to) + 2 * DAY * 60000,
          ),
          'a match is outside of the window or of another patient',
        ),
    );
  };

const searchProcedure: Scenario =
  ({ state }) =>
  (r) => {
    const p = r.pick(state.patients);
    return search<Procedure>(
      `Procedure?patient=${p.id}&_sort=-date`,
      (m) =>
        want(m.length >= 10, `expected at least 10 procedures (a default page), got ${m.length}`) ??
        want(
          m.every(
            (x, i) =>
              isOf(x.subject.reference, p) &&
              (i === 0 || moment(m[i - 1]?.performedPeriod?.start) >= moment(x.performedPeriod?.start)),
          ),
          'a match is of another patient or out of order',
        ),
    );
  };

const searchAuditor: Scenario =
  ({ state }) =>
  (r) => {
    const first = firstInfusion(r.pick(state.patients)) - r.int(0, 7) * DAY;
    const from = dateOnly(first);
    const to = dateOnly(first + 14 * DAY);
    return search<Encounter>(
      `Encounter?date=ge${from}&date=lt${to}&_count=50`,
      (m) =>
        want(m.length > 0 && m.length <= 50, `expected 1 to 50 encounters, got ${m.length}`) ??
        want(
          m.every(
            (e) =>
              moment(e.period?.end) >= moment(from) - DAY * 60000 &&
              moment(e.period?.start) <= moment(to) + DAY * 60000,
          ),
          'a match is outside of the window',
        ),
    );
  };

const searchInclude: Scenario =
  ({ state }) =>
  (r) => {
    const p = r.pick(state.patients);
    const s = r.pick(p.infusions);
    return search<Encounter>(
      `Encounter?_id=${s.encounter}&_include=Encounter:patient&_revinclude=Procedure:encounter`,
      (m, bundle) => {
        const included = resourcesOf(bundle, 'include');
        return (
          want(m.length === 1 && m[0]?.id === s.encounter, 'not the one Encounter asked for') ??
          want(
            included.some((x) => x.resourceType === 'Patient' && x.id === p.id),
            'the Patient was not included',
          ) ??
          want(
            included.some(
              (x) => x.resourceType === 'Procedure' && x.encounter?.reference?.endsWith(`Encounter/${s.encounter}`),
            ),
            'the Procedure was not included',
          )
        );
      },
    );
  };

const history: Scenario = ({ state }) => {
  const ids = allObservations(state);
  return (r) => {
    const id = r.pick(ids);
    return {
      method: 'GET',
      path: `Observation/${id}/_history`,
      check: (b) =>
        want(
          b.resourceType === 'Bundle' && b.type === 'history' && b.entry?.[0]?.resource?.id === id,
          'not the history of the Observation asked for',
        ),
    };
  };
};

const searchBlend: Scenario = async (preparation) => {
  const blended = [searchVitals, searchPhq9, searchEncounter, searchProcedure, searchAuditor, searchInclude, history];
  const made: NextRequest[] = [];
  for (const scenario of blended) made.push(await scenario(preparation));
  return (r, k, connections) => r.pick(made)(r, k, connections);
};

type Updatable = {
  readonly id: string;
  readonly before: string;
  readonly after: string;
  changes: number;
  first: number;
};

/** Single-valued Observations, each touched by one connection only, so that no two PUTs race. */
const update: Scenario = async ({ state, read: readResource }) => {
  const r = rng(state.seed, 'update-pool');
  const source = allObservations(state);
  const pool: Updatable[] = [];
  const seen = new Set<string>();
  for (let tries = 0; pool.length < UPDATE_POOL && tries < 5 * UPDATE_POOL; tries++) {
    const id = r.pick(source);
    if (seen.has(id)) continue;
    seen.add(id);
    const o = (await readResource(`Observation/${id}`)) as Observation;
    if (o.valueQuantity?.value === undefined) continue;
    const first = Math.floor(o.valueQuantity.value) + 1;
    const { meta: _meta, ...rest } = o;
    const [before, after] = JSON.stringify({ ...rest, valueQuantity: { ...o.valueQuantity, value: 987654321 } }).split(
      '987654321',
    ) as [string, string];
    pool.push({ id, before, after, changes: 0, first });
  }
  return (rr, k, connections) => {
    const o = pool[k + connections * rr.int(0, Math.floor(pool.length / connections) - 1)] as Updatable;
    const value = o.first + (o.changes++ % 40);
    return {
      method: 'PUT',
      path: `Observation/${o.id}`,
      body: o.before + value + o.after,
      check: (b) =>
        want(
          b.resourceType === 'Observation' && b.id === o.id && b.valueQuantity?.value === value && b.meta?.versionId,
          'the answer is not the updated Observation',
        ),
    };
  };
};

const create: Scenario = ({ state }) => {
  const r = rng(state.seed, 'create-pool');
  const pool = Array.from({ length: CREATE_POOL }, () => {
    const sent = singleObservation(refOf(r.pick(state.patients)), FIRST_NEW_DAY * DAY + r.int(0, 60 * DAY), r);
    return { body: JSON.stringify(sent), sent };
  });
  return (rr) => {
    const { body, sent } = rr.pick(pool);
    return {
      method: 'POST',
      path: 'Observation',
      body,
      status: 201,
      check: (b) =>
        want(
          b.resourceType === 'Observation' &&
            b.id &&
            b.meta?.versionId &&
            b.effectiveDateTime === sent.effectiveDateTime &&
            b.subject?.reference === sent.subject?.reference,
          'the answer is not the created Observation',
        ),
    };
  };
};

const transaction: Scenario = ({ state }) => {
  const r = rng(state.seed, 'transaction-pool');
  const pool = Array.from({ length: TRANSACTION_POOL }, () => {
    const p = r.pick(state.patients);
    return JSON.stringify(infusionBundle(refOf(p), FIRST_NEW_DAY * DAY + r.int(0, 60) * DAY + r.int(540, 960), r));
  });
  return (rr) => ({
    method: 'POST',
    path: '',
    body: rr.pick(pool),
    check: (b) => {
      if (b.resourceType !== 'Bundle' || b.type !== 'transaction-response') return 'not a transaction-response';
      if (b.entry?.length !== RESOURCES_PER_INFUSION) return 'not an answer of 23 entries';
      const created = b.entry.every(
        (e) =>
          e.response?.status?.startsWith('201') &&
          /Encounter|Procedure|MedicationAdministration|Observation/.test(e.response.location ?? ''),
      );
      return (
        want(created, 'an entry was not created') ??
        want(!JSON.stringify(b).includes('urn:uuid:'), 'a urn:uuid reference was left unresolved')
      );
    },
  });
};

/** In the order they run: reads before writes, so that the searches of every server meet the same seeded data. */
export const scenarios = {
  read,
  vread,
  'search-vitals': searchVitals,
  'search-phq9': searchPhq9,
  'search-encounter': searchEncounter,
  'search-procedure': searchProcedure,
  'search-auditor': searchAuditor,
  'search-include': searchInclude,
  history,
  'search-blend': searchBlend,
  update,
  create,
  transaction,
} satisfies Record<string, Scenario>;
export type ScenarioName = keyof typeof scenarios;

/** Resources written by one request. */
export const resourcesPerRequest: Partial<Record<ScenarioName, number>> = {
  update: 1,
  create: 1,
  transaction: RESOURCES_PER_INFUSION,
};
