/**
 * Versions and conditional interactions against a model: one request after the other, and several at once, whose answers
 * must be those of some order of theirs.
 *
 * @see https://hl7.org/fhir/R4/http.html#concurrency
 */
import fc from 'fast-check';
import { startTestService, type TestService } from '../service.ts';

let service: TestService;
let token: string;

beforeAll(async () => {
  service = await startTestService();
  token = await service.token();
});
afterAll(() => service.close());

type Guard = 'none' | 'current' | 'stale' | 'any' | 'absent';

/** Ids are `first` and `second` of a run; names are identifiers that a condition looks for. */
type Action =
  | { readonly do: 'create'; readonly name: string; readonly conditional: boolean }
  | { readonly do: 'put' | 'patch' | 'delete'; readonly id: string; readonly name: string; readonly guard: Guard }
  | { readonly do: 'put' | 'patch' | 'delete'; readonly where: string }
  | { readonly do: 'read'; readonly id: string };

const names = fc.constantFrom('a', 'b');
const ids = fc.constantFrom('first', 'second');
const guards = fc.constantFrom<Guard>('none', 'none', 'current', 'stale', 'any', 'absent');
const changes = fc.constantFrom('put', 'patch', 'delete');
const actions: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ do: fc.constant('create' as const), name: names, conditional: fc.boolean() }),
  fc.record({ do: changes, id: ids, name: names, guard: guards }),
  fc.record({ do: changes, where: names }),
  fc.record({ do: fc.constant('read' as const), id: ids }),
);

type Resource = { readonly version: number; readonly deleted: boolean; readonly name: string; readonly mark: number };
/** By id, which is the run's own or the server's. */
type State = ReadonlyMap<string, Resource>;
type Answer = { readonly status: number; readonly version?: number; readonly id?: string };

/** A write with everything that is sent, decided before anybody else's is known. */
type Sent = { readonly action: Action; readonly mark: number; readonly run: string; readonly tag: string | undefined };

function present(state: State, id: string): Resource | undefined {
  const found = state.get(id);
  return found?.deleted === false ? found : undefined;
}

function matching(state: State, name: string): string[] {
  return [...state].filter(([, each]) => !each.deleted && each.name === name).map(([id]) => id);
}

/** What the request is answered with, and the state after it. `newId` is the one the server gave. */
function step(state: State, { action, mark, run, tag }: Sent, newId: string): [Answer, State] {
  const written = (id: string, name: string, status?: number): [Answer, State] => {
    const before = state.get(id);
    const version = (before?.version ?? 0) + 1;
    const isNew = before === undefined || before.deleted;
    const next = new Map(state).set(id, { version, deleted: false, name, mark });
    return [{ status: status ?? (isNew ? 201 : 200), version, id }, next];
  };
  const removed = (id: string): [Answer, State] => {
    const before = present(state, id);
    if (before === undefined) return [{ status: 204 }, state];
    return [{ status: 204 }, new Map(state).set(id, { ...before, version: before.version + 1, deleted: true })];
  };
  const same = (answer: Answer): [Answer, State] => [answer, state];
  if (action.do === 'create') {
    const found = action.conditional ? matching(state, action.name) : [];
    if (found.length > 1) return same({ status: 412 });
    const [only] = found;
    if (only !== undefined) return same({ status: 200, id: only, version: (state.get(only) as Resource).version });
    return written(newId, action.name);
  }
  if ('where' in action) {
    const [only, ...more] = matching(state, action.where);
    if (more.length > 0) return same({ status: 412 });
    if (action.do === 'delete') return only === undefined ? same({ status: 204 }) : removed(only);
    if (only === undefined) return action.do === 'patch' ? same({ status: 404 }) : written(newId, action.where);
    return written(only, action.where);
  }
  const id = `${action.id}-${run}`;
  const found = state.get(id);
  if (action.do === 'read') {
    if (found === undefined) return same({ status: 404 });
    return same(found.deleted ? { status: 410 } : { status: 200, version: found.version, id });
  }
  const isThere = present(state, id) !== undefined;
  if (action.guard === 'absent' ? isThere : tag !== undefined && !(isThere && holds(tag, found)))
    return same({ status: 412 });
  if (action.do === 'delete') return removed(id);
  if (action.do === 'put') return written(id, action.name);
  if (found === undefined) return same({ status: 404 });
  return found.deleted ? same({ status: 410 }) : written(id, found.name);
}

function holds(tag: string, current: Resource | undefined): boolean {
  return tag === '*' || tag === `W/"${current?.version}"`;
}

/** The tag that a client would send who knows the state before the group. */
function tagOf(state: State, action: Action, run: string): string | undefined {
  if (!('guard' in action)) return undefined;
  const version = state.get(`${action.id}-${run}`)?.version ?? 1;
  if (action.guard === 'current') return `W/"${version}"`;
  if (action.guard === 'stale') return `W/"${version + 5}"`;
  return action.guard === 'any' ? '*' : undefined;
}

async function send({ action, mark, run, tag }: Sent): Promise<Answer> {
  const as = service.as(token);
  const system = `urn:model:${run}`;
  const body = (name: string, id?: string) => ({
    resourceType: 'Patient',
    ...(id === undefined ? {} : { id }),
    identifier: [{ system, value: name }],
    multipleBirthInteger: mark,
  });
  const where = (name: string) => `identifier=${system}|${name}`;
  let request = as.get('/fhir/metadata');
  if (action.do === 'create') {
    request = as.post('/fhir/Patient', body(action.name));
    if (action.conditional) request.set('if-none-exist', where(action.name));
  } else {
    const id = 'id' in action ? `${action.id}-${run}` : undefined;
    const url = 'where' in action ? `/fhir/Patient?${where(action.where)}` : `/fhir/Patient/${id}`;
    if (action.do === 'read') request = as.get(url);
    else if (action.do === 'delete') request = as.delete(url);
    else if (action.do === 'put') request = as.put(url, body('where' in action ? action.where : action.name, id));
    else {
      request = service.http
        .patch(url)
        .set('authorization', `Bearer ${token}`)
        .set('content-type', 'application/json-patch+json')
        .send(JSON.stringify([{ op: 'add', path: '/multipleBirthInteger', value: mark }]));
    }
    if (tag !== undefined) request.set('if-match', tag);
    if ('guard' in action && action.guard === 'absent') request.set('if-none-match', '*');
  }
  const { status, body: answer, headers } = await request;
  if (status >= 300 || status === 204) return { status };
  return { status, id: answer.id, version: Number(/\d+/.exec(String(headers.etag))?.[0]) };
}

function isSame(a: Answer, b: Answer): boolean {
  return a.status === b.status && (a.version === undefined || (a.version === b.version && a.id === b.id));
}

/** The states that the group may have left: after every order of its requests in which all answers are the model's. */
function statesAfter(state: State, left: readonly { readonly sent: Sent; readonly answer: Answer }[]): State[] {
  if (left.length === 0) return [state];
  return left.flatMap((each) => {
    const others = left.filter((other) => other !== each);
    // Who lost against the others too often has changed nothing, and is told so.
    if (each.answer.status === 409 && left.length > 1) return statesAfter(state, others);
    const [answer, next] = step(state, each.sent, each.answer.id ?? '');
    return isSame(answer, each.answer)
      ? statesAfter(
          next,
          left.filter((other) => other !== each),
        )
      : [];
  });
}

let runs = 0;
let marks = 0;

async function play(groups: readonly (readonly Action[])[]): Promise<void> {
  const run = `r${++runs}`;
  let states: readonly State[] = [new Map()];
  for (const group of groups) {
    const sent = group.map((action) => ({ action, mark: ++marks, run, tag: tagOf(states[0] as State, action, run) }));
    const answered = await Promise.all(sent.map(async (each) => ({ sent: each, answer: await send(each) })));
    const after = states.flatMap((state) => statesAfter(state, answered));
    if (after.length === 0)
      throw new Error(`no order explains ${JSON.stringify({ states: states.map((each) => [...each]), answered })}`);
    // Orders that end alike need not be told apart.
    states = [...new Map(after.map((state) => [JSON.stringify([...state].toSorted()), state])).values()];
  }
  await checkHistories(states);
}

/** Every version is there, and the last is what one of the orders left. */
async function checkHistories(states: readonly State[]): Promise<void> {
  const ids = [...(states[0] as State).keys()];
  const stored = await Promise.all(
    ids.map(async (id) => {
      const { body } = await service.as(token).get(`/fhir/Patient/${id}/_history`).expect(200);
      const [last] = body.entry;
      return {
        id,
        version: body.total,
        deleted: last.resource === undefined,
        mark: last.resource?.multipleBirthInteger,
      };
    }),
  );
  const explains = (state: State) =>
    stored.every(({ id, version, deleted, mark }) => {
      const model = state.get(id);
      return model?.version === version && model?.deleted === deleted && (deleted || model?.mark === mark);
    });
  expect(states.some(explains)).toBe(true);
}

test('one after the other, requests are answered as the model says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(actions, { minLength: 5, maxLength: 25 }), (list) =>
      play(list.map((action) => [action])),
    ),
    { numRuns: 40 },
  );
});

test('several at once are answered as in some order of theirs', async () => {
  const groups = fc.array(fc.array(actions, { minLength: 2, maxLength: 5 }), { minLength: 2, maxLength: 6 });
  await fc.assert(fc.asyncProperty(groups, play), { numRuns: 60 });
});
