/**
 * A look at a target before anything is sent to it: does it answer, does it speak R4, does it accept our credentials
 * and find patients by identifier. Reads only; what it writes and how it repeats is for a sandbox.
 */
import { classify } from './classify.ts';
import type { EhrClient, Exchange, RemoteRequest } from './exchange.ts';
import { identitySearch } from './identity.ts';
import { deliveredTypes, type EhrTargetRevision } from './target.ts';

export type ProbeCheck = {
  readonly check: 'reachable' | 'fhir-r4' | 'authorized' | 'patient-search';
  readonly ok: boolean;
  /** For a person; names no patient. */
  readonly detail: string;
};

export type ProbeReport = {
  readonly ok: boolean;
  /** What went wrong: a script can try again after `unavailable` and not after the others. */
  readonly failure: 'unavailable' | 'refused' | 'misconfigured' | null;
  readonly checks: readonly ProbeCheck[];
  /** Delivered types that its CapabilityStatement does not say can be created. */
  readonly undeclaredTypes: readonly string[];
};

const PROBE_SECONDS = 15;

export async function probeTarget(target: EhrTargetRevision, client: EhrClient): Promise<ProbeReport> {
  const checks: ProbeCheck[] = [];
  const ask = (request: RemoteRequest) => client.send(request, new Date(Date.now() + PROBE_SECONDS * 1000));
  const end = (failure: ProbeReport['failure'], undeclaredTypes: readonly string[] = []): ProbeReport => ({
    ok: failure === null,
    failure,
    checks,
    undeclaredTypes,
  });

  const metadata: RemoteRequest = { method: 'GET', purpose: 'read', type: 'CapabilityStatement', path: 'metadata' };
  const described = await ask(metadata);
  if (described.outcome === 'no-answer') {
    checks.push({ check: 'reachable', ok: false, detail: `no answer from ${target.baseUrl} (${described.reason})` });
    return end('unavailable');
  }
  if (described.outcome === 'no-token') {
    const unavailable = described.refusal === 'transient' || described.refusal === 'throttled';
    const check = unavailable ? 'reachable' : 'authorized';
    checks.push({ check, ok: false, detail: `no access token: ${described.reason}` });
    return end(unavailable ? 'unavailable' : 'refused');
  }
  checks.push({ check: 'reachable', ok: true, detail: target.baseUrl });
  const statement = capabilityOf(described);
  const { status } = described.answer;
  if (statement === undefined) {
    const detail = `${target.baseUrl}/metadata is no CapabilityStatement (HTTP ${status})`;
    if (status === 401 || status === 403) {
      checks.push({ check: 'authorized', ok: false, detail: `the credentials are refused (HTTP ${status})` });
      return end('refused');
    }
    checks.push({ check: 'fhir-r4', ok: false, detail });
    return end(status >= 500 ? 'unavailable' : 'misconfigured');
  }
  const isR4 = /^4\.0/.test(statement.fhirVersion ?? '');
  checks.push({ check: 'fhir-r4', ok: isR4, detail: `FHIR ${statement.fhirVersion ?? 'version unknown'}` });
  if (!isR4) return end('misconfigured');

  const system = target.dialect.patientIdentity.identifierSystem;
  const search: RemoteRequest = {
    method: 'GET',
    purpose: 'search',
    type: 'Patient',
    path: identitySearch(system, 'kap-bridge-probe'),
  };
  const searched = await ask(search);
  const found = classify(search, searched, target.dialect.vendor);
  if (found.class === 'authorization' || (found.class === 'misconfigured' && found.httpStatus === 403)) {
    const status = found.httpStatus === undefined ? found.excerpt : `HTTP ${found.httpStatus}`;
    checks.push({ check: 'authorized', ok: false, detail: `the credentials are refused (${status})` });
    return end('refused');
  }
  if (found.class !== 'accepted') {
    const detail = `Patient?identifier=… failed: ${found.class} ${found.httpStatus ?? found.excerpt}`;
    checks.push({ check: 'patient-search', ok: false, detail });
    return end(found.class === 'transient' || found.class === 'throttled' ? 'unavailable' : 'misconfigured');
  }
  checks.push({ check: 'authorized', ok: true, detail: target.dialect.auth.method });
  const ignored = countOf(searched) > 0;
  checks.push({
    check: 'patient-search',
    ok: !ignored,
    detail: ignored
      ? 'Patient?identifier=… is ignored: it finds patients for an identifier that nobody has'
      : 'Patient?identifier=…',
  });
  return end(ignored ? 'misconfigured' : null, undeclared(statement, target));
}

type Capability = {
  fhirVersion?: string;
  rest?: { resource?: { type?: string; interaction?: { code?: string }[] }[] }[];
};

function capabilityOf(exchange: Extract<Exchange, { outcome: 'answer' }>): Capability | undefined {
  const { status, content } = exchange.answer;
  if (status !== 200 || content.kind !== 'json') return undefined;
  const value = content.value as { resourceType?: unknown } | null;
  return value?.resourceType === 'CapabilityStatement' ? (value as Capability) : undefined;
}

function countOf(exchange: Exchange): number {
  if (exchange.outcome !== 'answer' || exchange.answer.content.kind !== 'json') return 0;
  const entries = (exchange.answer.content.value as { entry?: unknown } | null)?.entry;
  return Array.isArray(entries) ? entries.length : 0;
}

function undeclared(statement: Capability, target: EhrTargetRevision): string[] {
  const creatable = new Set(
    (statement.rest ?? [])
      .flatMap((rest) => rest.resource ?? [])
      .filter((resource) => resource.interaction?.some(({ code }) => code === 'create'))
      .map((resource) => resource.type),
  );
  return deliveredTypes(target.dialect).filter((type) => !creatable.has(type));
}
