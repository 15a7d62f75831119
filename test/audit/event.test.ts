import type { AuditEvent } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { type AuditAction, type RestEvent, restEvent, restEvents } from '../../src/audit/event.ts';
import { tokenIssued } from '../../src/audit/token-event.ts';

const NOW = new Date('2026-03-09T12:00:00.123Z');

const context = {
  requestId: 'req-1',
  clinic: 'default',
  observer: 'http://127.0.0.1:8080/fhir',
  agent: { clientId: 'ehr-1', tokenId: 'jti-1', address: '127.0.0.1' },
};

const readOfObservation: RestEvent = {
  context,
  interaction: 'read',
  action: 'R',
  outcome: 0,
  patientId: 'p1',
  entities: [{ type: 'Observation', id: 'o1', version: 3 }],
};

function bodyOf(event: RestEvent): AuditEvent {
  return JSON.parse(restEvent(event, NOW).body) as AuditEvent;
}

function agentCodes({ agent }: AuditEvent): (string | undefined)[] {
  return agent.map(({ type }) => type?.coding?.[0]?.code);
}

test('the row says in columns what its body says in FHIR', () => {
  const row = restEvent(readOfObservation, NOW);
  const body = JSON.parse(row.body) as AuditEvent;
  expect(body).toMatchObject({
    resourceType: 'AuditEvent',
    id: row.eventId,
    type: { code: row.type },
    subtype: [{ code: row.subtype }],
    action: row.action,
    recorded: row.recorded,
    outcome: String(row.outcome),
    meta: { profile: ['https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead'] },
  });
  expect(body.entity?.map(({ what }) => what?.reference ?? what?.identifier?.value)).toEqual([
    'Observation/o1/_history/3',
    'req-1',
    'Patient/p1',
  ]);
  expect(row).toMatchObject({ patientId: 'p1', agent: 'ehr-1', requestId: 'req-1' });
});

test.each<[string, AuditAction, string[]]>([
  ['read', 'R', ['110152', '110153', 'UserOauthAgent']],
  ['create', 'C', ['110153', '110152', 'UserOauthAgent']],
  ['update', 'U', ['110153', '110152', 'UserOauthAgent']],
  ['search-type', 'E', ['110153', '110152', 'UserOauthAgent']],
  ['delete', 'D', ['110150', 'custodian', 'UserOauthAgent']],
])('in a %s client and service have the roles in which the data flows', (interaction, action, codes) => {
  expect(agentCodes(bodyOf({ ...readOfObservation, interaction, action }))).toEqual(codes);
});

test('every agent says whether it asked, and exactly one did', () => {
  fc.assert(
    fc.property(fc.option(fc.uuid(), { nil: undefined }), (tokenId) => {
      const agent = { clientId: 'ehr-1', address: '127.0.0.1', ...(tokenId === undefined ? {} : { tokenId }) };
      const { agent: agents } = bodyOf({ ...readOfObservation, context: { ...context, agent } });
      expect(agents.filter(({ requestor }) => requestor)).toHaveLength(1);
    }),
  );
});

test('a search about several patients is one event for each, and one without a patient when nothing was found', () => {
  const search: RestEvent = {
    context,
    interaction: 'search-type',
    action: 'E',
    outcome: 0,
    entities: [],
    query: 'GET x',
  };
  const rows = restEvents(search, ['p1', 'p2', 'p1'], NOW);
  expect(rows.map(({ patientId }) => patientId)).toEqual(['p1', 'p2']);
  for (const { body, patientId } of rows) {
    const { entity } = JSON.parse(body) as AuditEvent;
    expect(entity?.filter(({ type }) => type?.code === '1').map(({ what }) => what?.reference)).toEqual([
      `Patient/${patientId}`,
    ]);
  }
  expect(restEvents(search, [], NOW).map(({ patientId }) => patientId)).toEqual([null]);
});

test('the query of a search is kept byte for byte', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (query) => {
      const { entity } = bodyOf({ ...readOfObservation, interaction: 'search-type', action: 'E', entities: [], query });
      const kept = entity?.find(({ role }) => role?.code === '24')?.query ?? '';
      expect(Buffer.from(kept, 'base64').toString()).toBe(Buffer.from(query).toString());
    }),
  );
});

test('a transaction lists every version by its type, since a profile allows one system object', () => {
  const body = bodyOf({
    ...readOfObservation,
    interaction: 'transaction',
    action: 'E',
    entities: [
      { type: 'Encounter', id: 'e1', version: 1 },
      { type: 'Observation', id: 'o1', version: 1 },
    ],
  });
  expect(body.entity?.slice(0, 2).map(({ type }) => type?.code)).toEqual(['Encounter', 'Observation']);
  expect(body.meta).toBeUndefined();
});

test('a failure carries its OperationOutcome and claims no profile', () => {
  const body = bodyOf({
    ...readOfObservation,
    outcome: 4,
    outcomeIssues: [
      { severity: 'error', code: 'forbidden', diagnostics: 'The "scope" is\nmissing', expression: 'a.b' },
    ],
  });
  expect(body.meta).toBeUndefined();
  expect(body.outcome).toBe('4');
  expect(body.outcomeDesc).toBe('The "scope" is\nmissing');
  expect(body.contained?.[0]).toMatchObject({ resourceType: 'OperationOutcome', issue: [{ expression: ['a.b'] }] });
  expect(body.entity?.some(({ what }) => what?.reference === '#outcome')).toBe(true);
});

test('the event of an issued token names the token and does not contain it', () => {
  const issued = {
    clinic: 'default',
    base: context.observer,
    clientId: 'ehr-1',
    tokenId: 'jti-9',
    scope: 'system/*.rs',
    expiresAt: 1,
  };
  const row = tokenIssued(issued, NOW);
  const body = JSON.parse(row.body) as AuditEvent;
  expect(body.type.code).toBe('110114');
  expect(body.agent[0]?.policy).toEqual(['urn:ietf:params:oauth:jti:jti-9']);
});
