/**
 * `CarePlan/{id}/$kap-timeline`: a course for a chart, as Parameters, or as an SVG picture when `_format` or Accept ask
 * for image/svg+xml.
 *
 * Made from what the token may read and search by itself; the rest of the course is absent.
 */
import type { CarePlan, PlanDefinition, Resource } from '@medplum/fhirtypes';
import { permits } from '../../access/scopes.ts';
import { parseJson } from '../../fhir/json.ts';
import { CANONICAL_BASE } from '../../kap/codes.ts';
import { isPsychotherapyNote } from '../../kap/labels.ts';
import { defaultPolicy, policyOf } from '../../kap/policy.ts';
import { timelineOf } from '../../kap/timeline.ts';
import { timelineParameters } from '../../kap/timeline-parameters.ts';
import { timelinePicture } from '../../kap/timeline-picture.ts';
import type { FhirRequest } from '../exchange.ts';
import { answerForm, asksForFhir } from '../media-types.ts';
import { patientOf } from './operation.ts';
import type { Operation, OperationResult } from './operation-routes.ts';

const SVG = 'image/svg+xml';

export const kapTimeline: Operation = {
  code: 'kap-timeline',
  definition: `${CANONICAL_BASE}/OperationDefinition/kap-timeline`,
  types: ['CarePlan'],
  levels: ['instance'],
  parameters: [],
  scope: 'read',
  negotiates: true,
  handle: timeline,
};

async function timeline(request: FhirRequest): Promise<OperationResult> {
  const { clinic, target, grant } = request;
  const stored = await clinic.record.read(target.type, target.id);
  const carePlan = parseJson(stored.content) as CarePlan;
  const patientId = patientOf(stored);
  const { resources } = await clinic.courses.read(patientId, undefined);
  const mayShow = (resource: Resource) =>
    permits(grant.scopes, resource.resourceType, 'read') &&
    permits(grant.scopes, resource.resourceType, 'search-type') &&
    !isPsychotherapyNote(resource);
  const shown = resources.filter(mayShow);
  const policies = await policiesOf(request, patientId, [carePlan, ...shown]);
  const running = policies.get(carePlan.instantiatesCanonical?.[0] ?? '') ?? defaultPolicy;
  const course = timelineOf(carePlan, shown, running, policies);
  if (!wantsPicture(request)) return { body: JSON.stringify(timelineParameters(course)), patients: [patientId] };
  const headers = { 'content-type': SVG, 'content-security-policy': "default-src 'none'; sandbox" };
  return { body: timelinePicture(course), headers, patients: [patientId] };
}

/** The policy of each protocol that a plan of care follows. */
async function policiesOf({ clinic }: FhirRequest, patientId: string, resources: readonly Resource[]) {
  const canonicals = new Set(
    resources.flatMap((each) => (each.resourceType === 'CarePlan' ? (each.instantiatesCanonical?.[0] ?? []) : [])),
  );
  const plans = await Promise.all(
    [...canonicals].map(
      async (canonical) => [canonical, (await clinic.courses.read(patientId, canonical)).plan] as const,
    ),
  );
  return new Map(
    plans.flatMap(([canonical, plan]) =>
      plan === undefined ? [] : [[canonical, policyOf(plan as PlanDefinition)] as const],
    ),
  );
}

/**
 * `_format` decides alone where it is given. Else Accept must name the picture, or pictures, and no FHIR format: a
 * wildcard means data.
 *
 * @throws Failure `not-acceptable` when neither a picture nor a FHIR format is wanted
 */
function wantsPicture({ target, headers }: FhirRequest): boolean {
  // A plus sign that was not encoded arrives as a space.
  const format = new URLSearchParams(target.query).get('_format')?.replace(' ', '+');
  if (format === SVG) return true;
  const isNamed = /(?:^|,)\s*image\/(?:svg\+xml|\*)\s*(?:;|,|$)/i.test(headers.accept ?? '');
  if (format === undefined && isNamed && !asksForFhir(headers.accept, target.query)) return true;
  answerForm(headers.accept, target.query);
  return false;
}
