/** Every kind of event is a valid R4 AuditEvent, and those that claim a BALP profile have its slices. */
import type { AuditEvent } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { type AuditAction, restEvent } from '../../src/audit/event.ts';
import { nthEvent, sharedEvent } from '../../src/audit/shared-event.ts';
import { tokenIssued } from '../../src/audit/token-event.ts';
import { fhir } from '../record/clinic.ts';

const NOW = new Date('2026-03-09T12:00:00.123Z');

function problemsOf(body: string): unknown[] {
  return fhir.validator.validate(JSON.parse(body), 'AuditEvent').filter(({ severity }) => severity !== 'warning');
}

const actionOf: Readonly<Record<string, AuditAction>> = {
  read: 'R',
  vread: 'R',
  'history-instance': 'R',
  create: 'C',
  update: 'U',
  delete: 'D',
  'search-type': 'E',
  transaction: 'E',
  operation: 'E',
};

const id = fc.stringMatching(/^[A-Za-z0-9.-]{1,64}$/);
const version = fc.record({
  type: fc.constantFrom('Observation', 'Encounter'),
  id,
  version: fc.integer({ min: 1, max: 99 }),
});
const context = fc.record({
  requestId: fc.stringMatching(/^[A-Za-z0-9._-]{1,40}$/),
  clinic: fc.constantFrom('default', 'north'),
  observer: fc.constant('http://127.0.0.1:8080/fhir'),
  agent: fc.record(
    { clientId: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,40}$/), tokenId: fc.uuid(), address: fc.ipV4() },
    { requiredKeys: ['clientId'] },
  ),
});
const event = fc
  .record(
    {
      context,
      interaction: fc.constantFrom(...Object.keys(actionOf)),
      outcome: fc.constantFrom(0 as const, 4 as const, 8 as const),
      patientId: fc.option(id),
      entities: fc.array(version, { maxLength: 3 }),
      query: fc.webUrl({ withQueryParameters: true }),
      ofAuditLog: fc.boolean(),
      outcomeIssues: fc.array(
        fc.record({
          severity: fc.constant('error' as const),
          code: fc.constantFrom('forbidden' as const, 'login' as const),
          diagnostics: fc.stringMatching(/^[!-~]([ -~à-ÿ]*[!-~])?$/),
        }),
        { minLength: 1, maxLength: 2 },
      ),
    },
    { requiredKeys: ['context', 'interaction', 'outcome', 'entities'] },
  )
  .map((drawn) => ({ ...drawn, action: actionOf[drawn.interaction] as AuditAction }));

test('an event of whatever interaction, outcome and caller is a valid AuditEvent', () => {
  fc.assert(
    fc.property(event, (drawn) => {
      expect(problemsOf(restEvent(drawn, NOW).body)).toEqual([]);
    }),
  );
});

test('an event that claims a profile has the slices that the profile asks for', () => {
  fc.assert(
    fc.property(event, (drawn) => {
      const body = JSON.parse(restEvent(drawn, NOW).body) as AuditEvent;
      const profile = body.meta?.profile?.[0];
      if (profile === undefined) return;
      const systemObjects = (body.entity ?? []).filter(({ type }) => type?.code === '2');
      expect(body.outcome).toBe('0');
      expect(systemObjects).toHaveLength(1);
      expect(systemObjects[0]?.query === undefined).toBe(!profile.endsWith('Query'));
      expect((body.entity ?? []).filter(({ type }) => type?.code === '1')).toHaveLength(
        profile.includes('Patient') ? 1 : 0,
      );
      expect(body.agent.filter(({ network }) => network !== undefined).length).toBe(2);
    }),
  );
});

test('the events that a shared row stands for are valid too, each about its own patient', () => {
  const patients = fc.uniqueArray(id, { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(event, patients, (drawn, patientIds) => {
      const row = sharedEvent(drawn, patientIds, NOW);
      patientIds.forEach((patientId, n) => {
        const { body } = nthEvent({ ...row, alsoAbout: row.alsoAbout ?? [] }, n) as { body: string };
        expect(problemsOf(body)).toEqual([]);
        expect(body).toContain(`"Patient/${patientId}"`);
      });
    }),
  );
});

test('the event of an issued token is a valid AuditEvent', () => {
  const issued = {
    clinic: 'default',
    base: 'http://x/fhir',
    clientId: 'a',
    tokenId: 'b',
    scope: 'system/*.rs',
    expiresAt: 1,
  };
  expect(problemsOf(tokenIssued(issued, NOW).body)).toEqual([]);
});
