/**
 * Transaction and batch: a Bundle of requests as units of work.
 *
 * A transaction is one unit of work; its reads are tried before it, since one that is refused refuses everything, and
 * answered after it, from what it wrote. A batch is one unit of work for each entry, and one entry's refusal leaves the
 * others alone. Both go through deletions, creations, updates and patches, and reads, in this order, and answer in the
 * order of the request.
 *
 * @see https://hl7.org/fhir/R4/http.html#transaction
 */
import type { Bundle, BundleEntry } from '@medplum/fhirtypes';
import { Failure, type Issue, issue } from '../fhir/failure.ts';
import { type AskedEntry, type EntryRequest, type EntryRules, parseEntry, placedInEntry } from './bundle-entries.ts';
import type { ClinicRecord, WriteContext, WriteRequest, WriteResult } from './record.ts';
import { Refusals } from './refusals.ts';

export type EntryAnswer =
  | { readonly kind: 'written'; readonly result: WriteResult }
  | AskedAnswer
  /** An error that is no Failure is our own, or the database's. */
  | { readonly kind: 'refused'; readonly error: unknown };

export type AskedAnswer = {
  readonly kind: 'read';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A resource as JSON. */
  readonly body?: string;
};

/** Something that is asked and can be. */
export type Asked = {
  /** Its answer, with its audit entry. */
  readonly answer: () => Promise<AskedAnswer>;
  /** Answers nobody, and leaves nothing behind. @throws Failure when it would be refused now */
  readonly rehearse: () => Promise<void>;
};

export type BundleResponse = {
  readonly type: 'transaction-response' | 'batch-response';
  /** In the order of the request's entries. */
  readonly entries: readonly EntryAnswer[];
};

export type BundleOptions = EntryRules & {
  /** @throws Failure `forbidden` when the caller may not do this */
  readonly authorize: (type: string, interaction: 'create' | 'update' | 'patch' | 'delete') => void;
  /**
   * Looks whether something that is asked can be answered, and gives what answers it.
   *
   * @param within whether its effects would have to be those of a transaction
   * @throws Failure when there is nothing at the url, or the caller may not ask it
   */
  readonly ask: (asked: AskedEntry, within: 'transaction' | 'batch') => Asked;
  /** All that is wrong with a resource, with places that begin with `place`. */
  readonly validate: (resource: unknown, place: string) => readonly Issue[];
};

/** @throws Failure when the Bundle itself is wrong, or when a transaction is refused: nothing is stored then */
export async function processBundle(
  record: ClinicRecord,
  bundle: Bundle,
  context: WriteContext,
  options: BundleOptions,
): Promise<BundleResponse> {
  const entries = bundle.entry ?? [];
  if (bundle.type === 'transaction') {
    return { type: 'transaction-response', entries: await transaction(record, entries, context, options) };
  }
  if (bundle.type === 'batch') {
    return { type: 'batch-response', entries: await batch(record, entries, context, options) };
  }
  const diagnostics = `A Bundle sent to the base must have type 'transaction' or 'batch'. Store others with POST [base]/Bundle.`;
  throw new Failure('invalid', issue('value', diagnostics, 'Bundle.type'));
}

/** An entry that may be done. */
type Planned =
  | { readonly kind: 'write'; readonly write: WriteRequest }
  | ({ readonly kind: 'ask'; readonly ask: AskedEntry } & Asked);

function planned(entry: BundleEntry, at: number, options: BundleOptions, within: 'transaction' | 'batch'): Planned {
  const place = `Bundle.entry[${at}]`;
  const request: EntryRequest = parseEntry(entry, place, options);
  try {
    if (request.kind === 'ask') {
      return { ...request, ...options.ask(request.ask, within) };
    }
    options.authorize(request.write.type, INTERACTION[request.write.method]);
    return request;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.code, placedInEntry(error.issues, place, entry.resource !== undefined));
  }
}

const INTERACTION = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const;

async function transaction(
  record: ClinicRecord,
  entries: readonly BundleEntry[],
  context: WriteContext,
  options: BundleOptions,
): Promise<EntryAnswer[]> {
  const requests = planAll(entries, options);
  const writes = requests.flatMap((request, at) => (request.kind === 'write' ? [{ at, write: request.write }] : []));
  await rehearseAll(
    requests.flatMap((request) => (request.kind === 'ask' && !isWritten(request.ask, writes) ? [request] : [])),
  );
  const answers = new Array<EntryAnswer>(entries.length);
  if (writes.length > 0) {
    const results = await record.write(
      writes.map(({ write }) => write),
      context,
    );
    writes.forEach(({ at }, i) => {
      answers[at] = { kind: 'written', result: results[i] as WriteResult };
    });
  }
  const asked = requests.flatMap((request, at) => (request.kind === 'ask' ? [[{ at, request }]] : []));
  // The writes are committed: whatever happens now is the affair of the entry that asked.
  await together(asked, async ({ at, request }) => {
    answers[at] = await request.answer().catch((error: unknown) => ({ kind: 'refused', error }) as const);
  });
  return answers;
}

/** Whether it asks for a resource that is there once the transaction is done. */
function isWritten({ url }: AskedEntry, writes: readonly { readonly write: WriteRequest }[]): boolean {
  const [, type, id] = /^([A-Za-z]+)\/([^/?]+)/.exec(url) ?? [];
  return writes.some(({ write }) => write.type === type && write.method === 'PUT' && write.resource?.id === id);
}

/** @throws Failure with all that would be refused: each entry of a transaction has to succeed */
async function rehearseAll(asked: readonly ({ readonly ask: AskedEntry } & Asked)[]): Promise<void> {
  const failures = new Array<Failure | undefined>(asked.length);
  const lists = asked.map((each, at) => [{ ...each, at }]);
  await together(lists, async ({ ask, rehearse, at }) => {
    try {
      await rehearse();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures[at] = new Failure(error.code, placedInEntry(error.issues, ask.place, ask.resource !== undefined));
    }
  });
  const refusals = new Refusals();
  for (const failure of failures) if (failure !== undefined) refusals.add(failure.code, ...failure.issues);
  refusals.throwIfAny();
}

/** Every entry is looked at before the first is refused, so that the sender sees all that is wrong at once. */
function planAll(entries: readonly BundleEntry[], options: BundleOptions): Planned[] {
  const refusals = new Refusals();
  const requests = entries.map((entry, at) => refusals.collect(() => planned(entry, at, options, 'transaction')));
  // Those that could be read are looked at by the record, which is not reached then.
  if (requests.includes(undefined)) {
    requests.forEach((request, at) => {
      if (request?.kind !== 'write' || request.write.resource === undefined) return;
      const issues = options.validate(request.write.resource, `Bundle.entry[${at}].resource`);
      refusals.add('invalid', ...issues.filter(({ severity }) => severity !== 'warning'));
    });
  }
  refusals.throwIfAny();
  return requests as Planned[];
}

type Step = { readonly at: number; readonly request: Planned };

async function batch(
  record: ClinicRecord,
  entries: readonly BundleEntry[],
  context: WriteContext,
  options: BundleOptions,
): Promise<EntryAnswer[]> {
  const answers = new Array<EntryAnswer>(entries.length);
  const steps: Step[] = [];
  entries.forEach((entry, at) => {
    try {
      steps.push({ at, request: planned(entry, at, options, 'batch') });
    } catch (error) {
      answers[at] = { kind: 'refused', error };
    }
  });
  for (const stage of STAGES) {
    const due = steps.filter(({ request }) => stage.includes(methodOf(request)));
    await together([...Map.groupBy(due, targetOf).values()], async ({ at, request }) => {
      try {
        answers[at] = request.kind === 'ask' ? await request.answer() : await written(record, request.write, context);
      } catch (error) {
        answers[at] = { kind: 'refused', error };
      }
    });
  }
  return answers;
}

async function written(record: ClinicRecord, write: WriteRequest, context: WriteContext): Promise<EntryAnswer> {
  const [result] = await record.write([{ ...write, alone: true }], context);
  return { kind: 'written', result: result as WriteResult };
}

const STAGES: readonly (readonly string[])[] = [['DELETE'], ['POST'], ['PUT', 'PATCH'], ['GET', 'HEAD']];

function methodOf(request: Planned): string {
  return request.kind === 'ask' ? request.ask.method : request.write.method;
}

/** What must not be done at the same time, lest its order be lost: writes of one resource, or under one condition. */
function targetOf({ at, request }: Step): string {
  if (request.kind === 'ask') return String(at);
  const { type, id, criteria, ifNoneExist } = request.write;
  return id === undefined && criteria === undefined && ifNoneExist === undefined
    ? String(at)
    : `${type}/${id ?? ''}?${criteria ?? ifNoneExist ?? ''}`;
}

/** As many as the database writes in one statement, and few enough to leave connections for others. */
const AT_ONCE = 8;

/** Works through lists at the same time, each in its order. */
async function together<T>(lists: readonly (readonly T[])[], work: (item: T) => Promise<void>): Promise<void> {
  const left = lists.values();
  const worker = async (): Promise<void> => {
    for (const list of left) for (const item of list) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, lists.length) }, worker));
}
