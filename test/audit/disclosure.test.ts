import { type Disclosure, disclosureEvent } from '../../src/audit/disclosure.ts';
import { targetChanged } from '../../src/audit/target-event.ts';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { fhirParts } from '../../src/record/open-record.ts';

const { validator } = fhirParts(loadDefinitions());
const NOW = new Date('2026-03-09T12:00:00.123Z');
const OWN_BASE = 'http://127.0.0.1:8080/fhir';

function errorsIn(body: string): unknown[] {
  return validator.validate(JSON.parse(body), 'AuditEvent').filter(({ severity }) => severity !== 'warning');
}

const disclosure: Disclosure = {
  interaction: 'create',
  outcome: 0,
  description: 'accepted, HTTP 201',
  targetId: 'mercy',
  baseUrl: 'https://ehr.example.org/fhir',
  patientId: 'p1',
  deliveryId: '7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11',
  attemptNo: 2,
  sent: {
    reference: 'Encounter/e1/_history/3',
    securityLabels: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'R' }],
    sha256: Buffer.alloc(32, 1),
  },
};

test.each([0, 4, 8] as const)(
  'a disclosure with outcome %s is a valid AuditEvent of source, recipient, patient and version',
  (outcome) => {
    const row = disclosureEvent({ ...disclosure, outcome }, 'default', OWN_BASE, NOW);
    expect(errorsIn(row.body)).toEqual([]);
    const body = JSON.parse(row.body);
    // BALP PrivacyDisclosure.Source: the source agent is the observer. A failure keeps the shape and claims nothing.
    expect(body.agent[0].who).toEqual(body.source.observer);
    expect(body.meta?.profile?.length ?? 0).toBe(outcome === 0 ? 1 : 0);
    expect(body.entity.map((each: { what: object }) => each.what)).toEqual([
      { reference: 'Patient/p1' },
      { reference: 'Encounter/e1/_history/3' },
      { identifier: { value: '7d0e5c0a-6a6b-4f7e-9a53-0a8f1f9d2b11.2' } },
    ]);
    expect(row).toMatchObject({
      patientId: 'p1',
      type: '110106',
      subtype: 'disclose',
      action: 'R',
      outcome,
      recorded: NOW.toISOString(),
    });
  },
);

test('a question by identifier is a valid AuditEvent without a version', () => {
  const { sent: _sent, ...asked } = disclosure;
  const row = disclosureEvent({ ...asked, interaction: 'search-type' }, 'default', OWN_BASE, NOW);
  expect(errorsIn(row.body)).toEqual([]);
  expect(JSON.parse(row.body).entity).toHaveLength(2);
});

test('a change of a target is a valid AuditEvent', () => {
  const change = {
    action: 'U',
    targetId: 'mercy',
    what: 'paused',
    by: 'ada',
    clinic: 'default',
    observer: OWN_BASE,
  } as const;
  expect(errorsIn(targetChanged(change, NOW).body)).toEqual([]);
  expect(errorsIn(targetChanged({ ...change, after: 'ab' }, NOW).body)).toEqual([]);
});
