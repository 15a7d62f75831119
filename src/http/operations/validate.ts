/**
 * `$validate`: would this resource be taken, and what is wrong with it.
 *
 * Answered 200 with all findings whenever it could be checked: by R4, by the profiles that are asked for and by those that
 * the resource, and the resources inside it, claim. With a mode, what the interaction would refuse is found by going
 * through it up to the moment before it writes: ids, versions, references, the clinic's rules.
 *
 * @see https://hl7.org/fhir/R4/resource-operation-validate.html
 */
import type { Resource } from '@medplum/fhirtypes';
import { permits, requirePermission } from '../../access/scopes.ts';
import type { Definitions } from '../../fhir/definitions.ts';
import { Failure, type FailureCode, type Issue, issue } from '../../fhir/failure.ts';
import { operationOutcome } from '../../fhir/outcome.ts';
import { adviceOn } from '../../fhir/validation/advice.ts';
import { type ProfileSet, withoutVersion } from '../../record/clinic-profiles.ts';
import { packageKey } from '../../record/packages.ts';
import type { WriteRequest } from '../../record/record.ts';
import type { FhirRequest } from '../exchange.ts';
import { writeContext } from '../rest/written.ts';
import { instanceOf } from './operation.ts';
import type { Given } from './operation-parameters.ts';
import type { Operation, OperationResult } from './operation-routes.ts';

export function validateOperation(definitions: Definitions): Operation {
  return {
    code: 'validate',
    definition: 'http://hl7.org/fhir/OperationDefinition/Resource-validate',
    types: ['*'],
    levels: ['type', 'instance'],
    parameters: [
      { name: 'resource', types: ['Resource'] },
      { name: 'mode', types: ['code'] },
      { name: 'profile', types: ['uri'], max: '*' },
    ],
    handle: (request, given) => validated(request, given, definitions),
  };
}

type Mode = 'create' | 'update' | 'delete' | 'profile';
const MODES: readonly string[] = ['create', 'update', 'delete', 'profile'];

/** The resource to look at and where it stands in the request. */
type Subject = { readonly resource: Resource; readonly place: string; readonly patientId: string | null };

async function validated(request: FhirRequest, given: Given, definitions: Definitions): Promise<OperationResult> {
  const mode = modeOf(given);
  requireScope(request, mode);
  const subject = mode === 'delete' ? undefined : await subjectOf(request, given);
  const issues =
    subject === undefined
      ? await deletionIssues(request)
      : await resourceIssues(request, given, subject, mode, definitions);
  // Of a stored resource something is shown by what is wrong with it.
  const patients = subject?.patientId == null ? [] : [subject.patientId];
  return { body: JSON.stringify(operationOutcome(issues)), patients };
}

function modeOf(given: Given): Mode | undefined {
  const mode = given.text('mode');
  if (mode === undefined || MODES.includes(mode)) return mode as Mode | undefined;
  const words = `mode must be one of ${MODES.join(', ')}`;
  throw new Failure('invalid', issue('code-invalid', words, given.placeOf('mode'), 'MSG_PARAM_INVALID'));
}

/** What a dry run tells is what the interaction would tell: it needs the same scope. */
function requireScope({ grant, target }: FhirRequest, mode: Mode | undefined): void {
  if (mode !== undefined && mode !== 'profile') requirePermission(grant.scopes, target.type, mode);
  else if (!['create', 'update'].some((each) => permits(grant.scopes, target.type, each))) {
    requirePermission(grant.scopes, target.type, 'read');
  }
}

/** The resource that was sent; on an instance without one, the instance as it is stored. */
async function subjectOf(request: FhirRequest, given: Given): Promise<Subject> {
  const { type, id } = request.target;
  const sent = given.resource('resource');
  if (sent !== undefined) return { resource: sent, place: placeOf(given, type), patientId: null };
  if (id === '') {
    const words = 'There is no resource to validate: send it as the body, or as the parameter resource';
    throw new Failure('invalid', issue('required', words, 'Parameters.parameter', 'MSG_RESOURCE_REQUIRED'));
  }
  requirePermission(request.grant.scopes, type, 'read');
  const { resource, stored } = await instanceOf<Resource>(request);
  return { resource, place: type, patientId: stored.patientId };
}

/** FHIRPath of the resource in what was sent. */
function placeOf(given: Given, type: string): string {
  const place = given.placeOf('resource');
  return place.startsWith('Parameters.') ? place : type;
}

async function resourceIssues(
  request: FhirRequest,
  given: Given,
  subject: Subject,
  mode: Mode | undefined,
  definitions: Definitions,
): Promise<readonly Issue[]> {
  const { resource, place } = subject;
  const { type } = request.target;
  const set = await request.clinic.profiles.latest();
  const asked = profilesAsked(given, definitions, set);
  if (resource.resourceType !== type && definitions.isResourceType(String(resource.resourceType))) {
    const words = `The url says ${type}, the resource is a ${resource.resourceType}`;
    return [issue('invalid', words, `${place}.resourceType`, 'MSG_RESOURCE_TYPE_MISMATCH')];
  }
  const profiles = asked.filter((one) => one.type === resource.resourceType).map(({ canonical }) => canonical);
  const issues: Issue[] = [
    ...set.validator.check(resource, { place, profiles, warnings: true }),
    ...ofAnotherType(resource, place, asked),
  ];
  // What is no valid R4 would get no further in an interaction.
  const isValid = !issues.some((found) => isError(found) && found.profile === undefined);
  if (isValid && (mode === 'create' || mode === 'update')) {
    issues.push(...(await refusalsOf(request, writeOf(request, subject, mode))));
  }
  const terminology = await request.clinic.terminology.open();
  issues.push(...(await adviceOn(resource, place, definitions, terminology)));
  return distinct(issues);
}

function isError({ severity }: Issue): boolean {
  return severity === 'error' || severity === 'fatal';
}

/** A profile that the resource claims is met by the validator and again by the interaction that is gone through. */
function distinct(issues: readonly Issue[]): readonly Issue[] {
  const seen = new Set<string>();
  return issues.filter(({ severity, code, diagnostics, expression, profile }) => {
    const key = JSON.stringify([severity, code, diagnostics, expression, profile]);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

type ProfileAsked = { readonly type: string; readonly isAbstract: boolean; readonly canonical: string };

/** @throws Failure `business-rule` for the nominated profiles that are not known */
function profilesAsked(given: Given, definitions: Definitions, set: ProfileSet): readonly ProfileAsked[] {
  const unknown: Issue[] = [];
  const asked = given.all('profile').flatMap(({ value, place }): ProfileAsked[] => {
    const canonical = String(value);
    const profile = set.profiles.profile(canonical);
    if (profile !== undefined) return [{ type: profile.type, isAbstract: false, canonical }];
    const structure = definitions.structure(canonical);
    if (structure !== undefined) return [{ type: structure.type, isAbstract: structure.abstract, canonical }];
    unknown.push(issue('not-found', `${notKnown(canonical, set)}, so nothing can be validated against it`, place));
    return [];
  });
  if (unknown.length > 0) throw new Failure('business-rule', unknown);
  return asked;
}

function notKnown(canonical: string, { profiles, packages }: ProfileSet): string {
  const url = withoutVersion(canonical);
  const versions = profiles.all().flatMap((profile) => (profile.url === url ? (profile.version ?? []) : []));
  const known =
    versions.length > 0
      ? `known in version ${versions.join(', ')}`
      : `known are R4, our own guide${packages.map((one) => ` and ${packageKey(one)}`).join('')}`;
  return `The profile ${canonical.slice(0, 200)} is not known here (${known})`;
}

function ofAnotherType({ resourceType }: Resource, place: string, asked: readonly ProfileAsked[]): Issue[] {
  return asked
    .filter(({ type, isAbstract }) => !isAbstract && type !== resourceType)
    .map(({ type, canonical }) => ({
      ...issue('structure', `The profile is for ${type}, this is a ${resourceType}`, place),
      profile: canonical,
    }));
}

function writeOf(request: FhirRequest, { resource, place }: Subject, mode: 'create' | 'update'): WriteRequest {
  const { type, id } = request.target;
  if (mode === 'create') return { method: 'POST', type, resource, place };
  const given = id === '' ? resource.id : id;
  return { method: 'PUT', type, resource, place, ...(given === undefined ? {} : { id: given }) };
}

async function deletionIssues(request: FhirRequest): Promise<readonly Issue[]> {
  const { type, id } = request.target;
  if (id === '') {
    const words = 'A deletion is of one resource: call $validate on the instance, with its id in the url';
    throw new Failure('invalid', issue('required', words, 'http.mode', 'MSG_RESOURCE_ID_MISSING'));
  }
  await request.clinic.record.read(type, id);
  return refusalsOf(request, { method: 'DELETE', type, id, place: type });
}

/** Refusals that are about the request; an outage is not. */
const REFUSALS: ReadonlySet<FailureCode> = new Set([
  'invalid',
  'business-rule',
  'conflict',
  'precondition-failed',
  'not-found',
  'method-not-allowed',
]);

async function refusalsOf(request: FhirRequest, write: WriteRequest): Promise<readonly Issue[]> {
  const needsId = write.method === 'PUT' && write.id === undefined;
  if (needsId) {
    return [
      issue('required', 'An update needs the id of the resource', `${write.place}.id`, 'MSG_RESOURCE_ID_MISSING'),
    ];
  }
  try {
    // A copy: the record makes what it is given its own.
    const own = write.resource === undefined ? write : { ...write, resource: structuredClone(write.resource) };
    await request.clinic.record.rehearse([own], writeContext(request, 'operation'));
    return [];
  } catch (error) {
    if (error instanceof Failure && REFUSALS.has(error.code)) return error.issues;
    throw error;
  }
}
