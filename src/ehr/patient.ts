/** The chart at the target: a confirmed link, or the lane is held. */
import type { JsonObject } from './compile.ts';
import { afterSend, backoffSeconds } from './decide.ts';
import type { DeliveryChange, PatientAtTarget, PatientEvidence } from './deliveries.ts';
import { parseExactly } from './exact-json.ts';
import type { RemoteRequest } from './exchange.ts';
import {
  type IdentityHeld,
  type IdentityVerdict,
  identitySearch,
  judgeIdentity,
  newPatient,
  patientFacts,
  searchable,
} from './identity.ts';
import { attempt, conclude, decisionFacts, type Work } from './work.ts';

/**
 * The id of the patient at the target, looked up and recorded when it is not known yet.
 * undefined: the lane is held or waits; nothing clinical may leave.
 */
export async function confirmedPatient(work: Work): Promise<string | undefined> {
  const patient = await work.ports.deliveries.patient(work.lane);
  if (patient.confirmedRemoteId !== null) return patient.confirmedRemoteId;
  const { dialect } = work.target.revision;
  // A lost answer to "create this patient": what it did must have become visible before anybody is looked for.
  if (patient.sinceUnknownCreateSeconds !== null && patient.sinceUnknownCreateSeconds < dialect.settleSeconds) {
    const dueInSeconds = dialect.settleSeconds - patient.sinceUnknownCreateSeconds;
    await conclude(work, { state: 'waiting', reason: 'patient being created', dueInSeconds });
    return undefined;
  }
  const system = dialect.patientIdentity.identifierSystem;
  const resource = patient.content === undefined ? undefined : (parseExactly(patient.content) as JsonObject);
  const facts = patientFacts(resource ?? {}, system);
  const asked = searchable(facts);
  if (asked.verdict !== 'search') {
    await hold(work, patient, asked);
    return undefined;
  }

  const request: RemoteRequest = {
    method: 'GET',
    purpose: 'search',
    type: 'Patient',
    path: identitySearch(system, asked.value),
  };
  const { found, exchange, finish } = await attempt(work, 'identify', request);
  const bundle =
    exchange.outcome === 'answer' && exchange.answer.content.kind === 'json' ? exchange.answer.content.value : null;
  if (found.class !== 'accepted') {
    // A search that is refused says nothing about the delivery: the target cannot be asked for its patients.
    const judged = found.class === 'refused' ? { ...found, class: 'misconfigured' as const } : found;
    const decision = afterSend(judged, decisionFacts(work, 'search', work.head.attempts + 1), work.options.backoff);
    await finish(asUntouched(work, decision.change), decision.consequences);
    return undefined;
  }
  const verdict = judgeIdentity(facts, system, asked.value, bundle);
  const evidence = evidenceOf(verdict, patient);
  if (verdict.verdict === 'confirmed') {
    const { remotePatientId } = verdict;
    await finish(undefined, {
      patientLink: { status: 'confirmed', remotePatientId, evidence, by: 'identifier match' },
    });
    return remotePatientId;
  }
  const mayCreate =
    verdict.reason === 'identity-missing' &&
    dialect.patientIdentity.onMissing === 'create' &&
    !verdict.evidence.searchIgnoredIdentifier;
  if (mayCreate && resource !== undefined) {
    await finish(undefined, {}, 'not-found');
    return createPatient(work, patient, resource, asked.value, verdict);
  }
  await finish(undefined, {
    patientLink: { status: 'hold', reason: verdict.reason, evidence },
    holdLane: verdict.reason,
  });
  return undefined;
}

/** Once, and conditional where the target understands it: a second chart is what clinics hate most. */
async function createPatient(
  work: Work,
  patient: PatientAtTarget,
  resource: JsonObject,
  identifierValue: string,
  verdict: IdentityVerdict,
): Promise<string | undefined> {
  const system = work.target.revision.dialect.patientIdentity.identifierSystem;
  const request: RemoteRequest = {
    method: 'POST',
    purpose: 'create',
    type: 'Patient',
    path: 'Patient',
    body: JSON.stringify(newPatient(resource)),
    ifNoneExist: `identifier=${encodeURIComponent(`${system}|${identifierValue}`)}`,
  };
  const { found, finish } = await attempt(work, 'create-patient', request);
  if (found.class === 'accepted' && found.remote !== undefined) {
    const remotePatientId = found.remote.id;
    const evidence = evidenceOf(verdict, patient);
    await finish(undefined, { patientLink: { status: 'confirmed', remotePatientId, evidence, by: 'created there' } });
    return remotePatientId;
  }
  const decision = afterSend(found, decisionFacts(work, 'create', work.head.attempts + 1), work.options.backoff);
  if (decision.change.state === 'dead-letter' && decision.change.reason?.startsWith('gave-up') !== true) {
    // The target will not have this patient; the delivery itself was never judged.
    const evidence = evidenceOf(verdict, patient);
    await finish(undefined, {
      patientLink: { status: 'hold', reason: 'identity-missing', evidence },
      holdLane: 'identity-missing',
    });
    return undefined;
  }
  await finish(asUntouched(work, decision.change), decision.consequences);
  return undefined;
}

/** The delivery keeps its own state, whatever became of the question about its patient. */
function asUntouched({ head, options }: Work, change: DeliveryChange): DeliveryChange {
  if (change.state === 'dead-letter') return change;
  // A look-up does not count as an attempt, so its backoff grows with the delivery's age instead.
  const tries = Math.floor(Math.log2(1 + head.ageSeconds));
  const floor = change.reason?.startsWith('transient') === true ? backoffSeconds(tries, options.backoff) : 0;
  return {
    state: head.state === 'unknown' ? 'unknown' : 'waiting',
    reason: head.state === 'unknown' ? head.stateReason : `patient: ${change.reason}`,
    dueInSeconds: Math.max(change.dueInSeconds ?? 0, floor),
  };
}

/** Held without asking: our own record does not say whom to look for. */
async function hold(work: Work, patient: PatientAtTarget, held: IdentityHeld): Promise<void> {
  const state = work.head.state === 'unknown' ? 'unknown' : 'waiting';
  const evidence = evidenceOf(held, patient);
  await conclude(
    work,
    { state, reason: held.reason },
    { patientLink: { status: 'hold', reason: held.reason, evidence }, holdLane: held.reason },
  );
}

function evidenceOf(verdict: IdentityVerdict, patient: PatientAtTarget): PatientEvidence {
  return { ...verdict.evidence, patientVersion: patient.version };
}
