/** `POST CarePlan/{id}/$record-infusion` and `$record-integration`: a session from compact Parameters. */
import type { CarePlan } from '@medplum/fhirtypes';
import { uuidv7 } from '../../fhir/uuid.ts';
import { defaultPolicy, policyOf } from '../../kap/policy.ts';
import type { Recorded } from '../../kap/recorded.ts';
import type { SessionRequest } from '../../kap/session.ts';
import type { Interaction } from '../exchange.ts';
import type { BundleHandling } from '../rest/bundle.ts';
import { instanceOf, instanceOperation, patientOf } from './operation.ts';

/** @param record what the domain makes of the session: recordInfusion or recordIntegration */
export function recordSession(handling: BundleHandling, record: (request: SessionRequest) => Recorded): Interaction {
  return instanceOperation(handling, async (request, parameters) => {
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
  });
}
