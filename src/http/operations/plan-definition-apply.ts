/** `POST PlanDefinition/{id}/$apply`: enrols a patient in a protocol. @see https://hl7.org/fhir/R4/plandefinition-operation-apply.html */
import type { ActivityDefinition, Patient, PlanDefinition, PlanDefinitionAction, Reference } from '@medplum/fhirtypes';
import { requirePermission } from '../../access/scopes.ts';
import { Failure, type Issue, issue } from '../../fhir/failure.ts';
import { parseJson } from '../../fhir/json.ts';
import type { SearchParameterRegistry } from '../../fhir/search/parameters.ts';
import { parseSearch } from '../../fhir/search/query.ts';
import { uuidv7 } from '../../fhir/uuid.ts';
import { APPLY_PARAMETERS, applyProtocol } from '../../kap/enrol.ts';
import { asBundleReference, type Placed, readParameters } from '../../kap/parameters.ts';
import type { StoredResource } from '../../record/record.ts';
import type { FhirRequest, Interaction } from '../exchange.ts';
import type { BundleHandling } from '../rest/bundle.ts';
import { instanceOf, instanceOperation } from './operation.ts';

export function planDefinitionApply(handling: BundleHandling, registry: SearchParameterRegistry): Interaction {
  return instanceOperation(handling, async (request, sent) => {
    const parameters = withReferences(sent);
    requirePermission(request.grant.scopes, 'Patient', 'read');
    const { resource: planDefinition } = await instanceOf<PlanDefinition>(request);
    const issues: Issue[] = [];
    const subject = readParameters(parameters, APPLY_PARAMETERS, issues).reference('subject');
    if (subject === undefined || issues.length > 0) throw new Failure('invalid', issues);
    const stored = await subjectOf(request, registry, subject);
    const [activityDefinitions, course] = await Promise.all([
      activitiesOf(request, registry, planDefinition),
      request.clinic.courses.read(stored.id, undefined),
    ]);
    return applyProtocol({
      parameters,
      planDefinition,
      activityDefinitions,
      patient: parseJson(stored.content) as Patient,
      course: course.resources,
      newUuid: () => uuidv7(request.now),
      now: request.now.toISOString(),
    });
  });
}

/** R4's own $apply takes these as strings ("Patient/1"); ours are References, and both are understood. */
const STRINGS_IN_R4 = new Set(['subject', 'encounter', 'practitioner', 'organization']);

function withReferences(parameters: unknown): unknown {
  const { parameter } = parameters as { parameter?: unknown };
  if (!Array.isArray(parameter)) return parameters;
  return { ...(parameters as object), parameter: parameter.map(withReference) };
}

function withReference(given: { name?: unknown; valueString?: unknown } | null): unknown {
  if (typeof given?.name !== 'string' || !STRINGS_IN_R4.has(given.name)) return given;
  const { valueString, ...rest } = given;
  return typeof valueString === 'string' ? { ...rest, valueReference: { reference: valueString } } : given;
}

/** The patient that `subject` means: by id, or by a search that matches exactly one. */
async function subjectOf(
  request: FhirRequest,
  registry: SearchParameterRegistry,
  subject: Placed<Reference>,
): Promise<StoredResource> {
  const { record, base } = request.clinic;
  const text = asBundleReference(subject.value).reference ?? '';
  const local = text.startsWith(`${base}/`) ? text.slice(base.length + 1) : text;
  const id = /^Patient\/([A-Za-z0-9.-]{1,64})$/.exec(local)?.[1];
  if (id !== undefined) {
    return record.read('Patient', id).catch((error: unknown) => {
      throw error instanceof Failure ? notOne(subject.place, 'no patient') : error;
    });
  }
  const criteria = /^Patient\?(.+)$/.exec(local)?.[1];
  if (criteria === undefined) {
    throw new Failure(
      'invalid',
      issue('value', 'subject must be a reference to a Patient of this service', subject.place),
    );
  }
  const query = parseSearch('Patient', new URLSearchParams(criteria), registry, { strict: true, baseUrl: base });
  const { matches } = await record.search({ ...query, count: 2 });
  const [match] = matches;
  if (match === undefined || matches.length > 1) {
    throw notOne(subject.place, match === undefined ? 'no patient' : 'more than one patient');
  }
  return match;
}

function notOne(place: string, found: string): Failure {
  const code = found === 'no patient' ? 'not-found' : 'multiple-matches';
  return new Failure('business-rule', issue(code, `subject means ${found} of this service`, place));
}

/** The ActivityDefinitions that the plan's actions name, however deep, in whatever version. */
async function activitiesOf(
  { clinic }: FhirRequest,
  registry: SearchParameterRegistry,
  plan: PlanDefinition,
): Promise<ActivityDefinition[]> {
  const urls = new Set(definitionsOf(plan.action ?? []).map((canonical) => canonical.split('|')[0] as string));
  if (urls.size === 0) return [];
  const values = [...urls].map((url) => url.replace(/[\\,|$]/g, '\\$&')).join(',');
  const query = parseSearch(
    'ActivityDefinition',
    [
      ['url', values],
      ['_count', '1000'],
    ],
    registry,
    { strict: true },
  );
  const { matches } = await clinic.record.search(query);
  return matches.map(({ content }) => parseJson(content) as ActivityDefinition);
}

function definitionsOf(actions: readonly PlanDefinitionAction[]): string[] {
  return actions.flatMap(({ definitionCanonical, action }) => [
    ...(definitionCanonical === undefined ? [] : [definitionCanonical]),
    ...definitionsOf(action ?? []),
  ]);
}
