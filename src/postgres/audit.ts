/**
 * The audit trail: rows of requests that no unit of work writes, gathered into common commits, and the reading of all.
 *
 * A commit costs far more than a row in it, so the rows of requests that are answered at the same time share one. A row
 * of a service that is not busy is written at once. Else the rows of all requests under way go together, and none waits
 * longer than three milliseconds for company.
 */
import type { AuditRow } from '../audit/event.ts';
import type { AuditReader, RecordedEvent } from '../audit/reader.ts';
import { nthEvent, type SharedRow } from '../audit/shared-event.ts';
import type { AuditTrail } from '../audit/trail.ts';
import { Failure, issue } from '../fhir/failure.ts';
import type { Pool } from './pool.ts';

const MAX_IN_FLIGHT = 2;
const COMPANY_MS = 3;
/** Requests under way from which on processor time is worth more than a moment of waiting. */
const BUSY = 8;
const MAX_ROWS = 512;
/** More than this waiting means that the database does not keep up: the next request is refused at once. */
const MAX_WAITING_ROWS = 20_000;

type Entry = {
  readonly rows: readonly AuditRow[];
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
};

export type GroupCommit = AuditTrail & {
  /** Rows that wait for their insertion, those on their way included. */
  waiting(): number;
};

export function createAuditTrail(pool: Pool): GroupCommit {
  let queue: Entry[] = [];
  let waiting = 0;
  let inFlight = 0;
  let underWay = 0;
  let looksSoon = false;
  let timer: NodeJS.Timeout | undefined;

  /** Writes what waits, if nothing else is under way; else after a moment. */
  const look = (): void => {
    if (queue.length === 0 || inFlight >= MAX_IN_FLIGHT) return;
    if (underWay < BUSY || queue.length >= underWay) pump();
    else timer ??= setTimeout(pump, COMPANY_MS);
  };

  const pump = (): void => {
    clearTimeout(timer);
    timer = undefined;
    while (inFlight < MAX_IN_FLIGHT && queue.length > 0) {
      const batch = takeBatch();
      inFlight += 1;
      void insert(pool, batch)
        .then(
          () => {
            for (const entry of batch) entry.done();
          },
          (error: unknown) => {
            for (const entry of batch) entry.failed(error);
          },
        )
        .finally(() => {
          inFlight -= 1;
          for (const entry of batch) waiting -= entry.rows.length;
          look();
        });
    }
  };

  /** Whole requests, up to 512 rows; one that has more by itself goes alone. */
  const takeBatch = (): Entry[] => {
    let rows = 0;
    let end = 0;
    while (end < queue.length && (end === 0 || rows + (queue[end] as Entry).rows.length <= MAX_ROWS)) {
      rows += (queue[end] as Entry).rows.length;
      end += 1;
    }
    const batch = queue.slice(0, end);
    queue = queue.slice(end);
    return batch;
  };

  return {
    waiting: () => waiting,
    begun: () => {
      underWay += 1;
    },
    ended: () => {
      underWay -= 1;
    },
    record: (given) => {
      const rows = Array.isArray(given) ? (given as readonly AuditRow[]) : [given as AuditRow];
      if (rows.length === 0) return Promise.resolve();
      if (waiting + rows.length > MAX_WAITING_ROWS) return Promise.reject(notWritten());
      waiting += rows.length;
      return new Promise((resolve, reject) => {
        queue.push({ rows, done: resolve, failed: (error) => reject(notWritten(error)) });
        // After the current turn, so that requests which arrived together are written together.
        if (looksSoon) return;
        looksSoon = true;
        setImmediate(() => {
          looksSoon = false;
          look();
        });
      });
    },
  };
}

async function insert(pool: Pool, batch: readonly Entry[]): Promise<void> {
  const rows = batch.flatMap((entry) => entry.rows);
  await pool.query({
    name: 'audit-insert',
    text: INSERT,
    values: [
      column(rows, (row) => row.eventId),
      column(rows, (row) => row.recorded),
      column(rows, (row) => row.patientId ?? ''),
      column(rows, (row) => row.agent),
      column(rows, (row) => row.type),
      column(rows, (row) => row.subtype),
      column(rows, (row) => row.action),
      column(rows, (row) => String(row.outcome)),
      column(rows, (row) => row.requestId),
      column(rows, (row) => row.body),
      // A list of lists cannot be ragged, so each row's patients are one text.
      column(rows, (row) => row.alsoAbout?.join(' ') ?? ''),
    ],
  });
}

/**
 * One column of a batch as text, with U+001E between the values. JSON and identifiers cannot contain it, so nothing is
 * escaped here nor unescaped there, as an array of 2 KB texts full of quotation marks would have to be.
 */
function column(rows: readonly AuditRow[], value: (row: AuditRow) => string): string {
  return rows.map(value).join('\u001e');
}

const INSERT = `
insert into audit_event (event_id, recorded, patient_id, agent, type, subtype, action, outcome, request_id, body, also_about)
select event_id, recorded, patient_id, agent, type, subtype, action, outcome, request_id, body,
       string_to_array(also_about, ' ')
  from unnest(
    string_to_array($1, E'\\x1e')::uuid[],
    string_to_array($2, E'\\x1e')::timestamptz[],
    string_to_array($3, E'\\x1e', ''),
    string_to_array($4, E'\\x1e'),
    string_to_array($5, E'\\x1e'),
    string_to_array($6, E'\\x1e'),
    string_to_array($7, E'\\x1e')::"char"[],
    string_to_array($8, E'\\x1e')::smallint[],
    string_to_array($9, E'\\x1e'),
    string_to_array($10, E'\\x1e'),
    string_to_array($11, E'\\x1e', ''))
       as given (event_id, recorded, patient_id, agent, type, subtype, action, outcome, request_id, body, also_about)`;

function notWritten(cause?: unknown): Failure {
  return new Failure(
    'transient',
    issue('transient', 'The audit entry of this request could not be written, so nothing is answered. Try again'),
    cause === undefined ? undefined : { cause },
  );
}

type EventRow = {
  readonly event_id: string;
  readonly recorded: Date;
  readonly patient_id: string | null;
  readonly also_about: readonly string[] | null;
  readonly body: string;
};

export function createAuditReader(pool: Pool): AuditReader {
  return {
    read: async (id) => {
      const { eventId, n } = partsOf(id);
      const { rows } = await pool.query<EventRow>(READ, [eventId]);
      return rows[0] && nthEvent(sharedRow(rows[0]), n)?.body;
    },
    search: async (search) => {
      const after = search.after && { ...partsOf(search.after.id), recorded: search.after.recorded };
      const asked = search.id === undefined ? undefined : partsOf(search.id);
      const values = [
        asked?.eventId ?? null,
        search.patientId ?? null,
        search.from?.toISOString() ?? null,
        search.before?.toISOString() ?? null,
        search.action ?? null,
        search.outcome ?? null,
        search.type ?? null,
        search.subtype ?? null,
        search.entity === undefined ? null : `"reference":"${search.entity}`,
        after?.recorded ?? null,
        after?.eventId ?? null,
        search.count + 2, // one that may be shown already, one to know whether there is more
      ];
      const { rows } = await pool.query<EventRow>(SEARCH, values);
      const events = rows.flatMap((row) => eventsOf(row, search.patientId, asked?.n, after));
      const page = events.slice(0, search.count);
      const last = page.at(-1);
      return { events: page, ...(events.length > search.count && last !== undefined ? { next: last } : {}) };
    },
    patientOf: async (type, id) => {
      const { rows } = await pool.query<{ patient_id: string | null }>(PATIENT_OF, [type, id]);
      return rows[0]?.patient_id ?? undefined;
    },
  };
}

type Place = { readonly eventId: string; readonly n: number };

function partsOf(id: string): Place {
  const [eventId = '', n = '0'] = id.split('.');
  return { eventId, n: Number(n) };
}

function sharedRow({ event_id, patient_id, also_about, body }: EventRow): SharedRow {
  return { eventId: event_id, patientId: patient_id, alsoAbout: also_about ?? [], body };
}

/** The events of a row that were asked for, without those that an earlier page has shown. */
function eventsOf(
  row: EventRow,
  patientId: string | undefined,
  asked: number | undefined,
  after: Place | undefined,
): RecordedEvent[] {
  const shared = sharedRow(row);
  const patients = [shared.patientId, ...shared.alsoAbout];
  const recorded = row.recorded.toISOString();
  return patients.flatMap((patient, n) => {
    const isAsked = (patientId === undefined || patient === patientId) && (asked === undefined || asked === n);
    const isShown = after?.eventId === row.event_id && n <= after.n;
    const event = isAsked && !isShown ? nthEvent(shared, n) : undefined;
    return event === undefined ? [] : [{ ...event, recorded }];
  });
}

const READ = `
select event_id, recorded, patient_id, also_about, body
  from audit_event
 where event_id = $1`;

// Planned for the values at hand (it has no name), so that an absent filter costs nothing and a present one has its index.
const SEARCH = `
select event_id, recorded, patient_id, also_about, body
  from audit_event
 where ($1::uuid is null or event_id = $1)
   and ($2::text is null or patient_id = $2 or also_about @> array[$2])
   and ($3::timestamptz is null or recorded >= $3)
   and ($4::timestamptz is null or recorded < $4)
   and ($5::text is null or action = $5::"char")
   and ($6::smallint is null or outcome = $6)
   and ($7::text is null or type = $7)
   and ($8::text is null or subtype = $8)
   and ($9::text is null or strpos(body, $9 || '"') > 0 or strpos(body, $9 || '/_history/') > 0)
   and ($10::timestamptz is null or (recorded, event_id) <= ($10, $11::uuid))
 order by recorded desc, event_id desc
 limit $12`;

const PATIENT_OF = `
select patient_id
  from resource
 where type = $1 and id = $2`;
