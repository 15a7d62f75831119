/** `POST CarePlan/{id}/$record-infusion` and `$record-integration`: a session from compact Parameters. */
import { isUtf8 } from 'node:buffer';
import type { CarePlan } from '@medplum/fhirtypes';
import { Failure, issue } from '../../fhir/failure.ts';
import { uuidv7 } from '../../fhir/uuid.ts';
import { parametersOfCsv } from '../../kap/csv-request.ts';
import { defaultPolicy, policyOf } from '../../kap/policy.ts';
import { recordInfusion } from '../../kap/record-infusion.ts';
import { recordIntegration } from '../../kap/record-integration.ts';
import type { Recorded } from '../../kap/recorded.ts';
import type { SessionRequest } from '../../kap/session.ts';
import type { FhirRequest, Interaction } from '../exchange.ts';
import { requireBodyType } from '../media-types.ts';
import type { BundleHandling } from '../rest/bundle.ts';
import { resourceInBody } from '../rest/resource-body.ts';
import { type Compute, instanceOf, instanceOperation, patientOf } from './operation.ts';

/** The body is Parameters. */
export function recordIntegrationSession(handling: BundleHandling): Interaction {
  return instanceOperation(handling, sessionBy(recordIntegration));
}

/** The body is Parameters, or the table of a monitor as text/csv with the other parameters in the url. */
export function recordInfusionSession(handling: BundleHandling): Interaction {
  return instanceOperation(handling, sessionBy(recordInfusion), (request) =>
    isCsv(request) ? parametersOfCsv(csvIn(request), queryOf(request)) : resourceInBody(request, 'Parameters'),
  );
}

function sessionBy(record: (request: SessionRequest) => Recorded): Compute {
  return async (request, parameters) => {
    const { resource: carePlan, stored } = await instanceOf<CarePlan>(request);
    const canonical = carePlan.instantiatesCanonical?.[0];
    const { resources, plan } = await request.clinic.courses.read(patientOf(stored), canonical);
    return record({
      parameters,
      carePlan,
      course: resources,
      policy: plan === undefined ? defaultPolicy : policyOf(plan),
      newUuid: () => uuidv7(request.now),
      now: request.now.toISOString(),
    });
  };
}

const CSV: ReadonlySet<string> = new Set(['text/csv']);

function isCsv({ headers }: FhirRequest): boolean {
  return /^\s*text\/csv\b/i.test(headers['content-type'] ?? '');
}

function csvIn({ body, headers }: FhirRequest): string {
  requireBodyType(headers['content-type'], CSV, 'text/csv');
  if (isUtf8(body)) return body.toString('utf8');
  throw new Failure('invalid', issue('structure', 'The table is not valid UTF-8. Save it as UTF-8 and send it again'));
}

function queryOf({ target }: FhirRequest): [string, string][] {
  return [...new URLSearchParams(target.query)].filter(([name]) => !name.startsWith('_'));
}
