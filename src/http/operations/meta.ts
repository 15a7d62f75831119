/**
 * `$meta`, `$meta-add` and `$meta-delete`: profiles, tags and security labels of a version, of a resource, of a type, of
 * the whole record.
 *
 * @see https://hl7.org/fhir/R4/resource-operation-meta.html, resource-operation-meta-add.html, resource-operation-meta-delete.html
 */
import type { Meta } from '@medplum/fhirtypes';
import { permits, requirePermission } from '../../access/scopes.ts';
import { Failure, issue } from '../../fhir/failure.ts';
import { parseJson } from '../../fhir/json.ts';
import type { FhirRequest } from '../exchange.ts';
import { writeContext } from '../rest/written.ts';
import type { Given } from './operation-parameters.ts';
import type { Operation, OperationResult } from './operation-routes.ts';

/** @param resourceTypes all of R4 */
export function metaOperations(resourceTypes: readonly string[]): readonly Operation[] {
  const definition = (code: string) => `http://hl7.org/fhir/OperationDefinition/Resource-${code}`;
  const change = (code: 'meta-add' | 'meta-delete'): Operation => ({
    code,
    definition: definition(code),
    types: ['*'],
    levels: ['instance', 'version'],
    affectsState: true,
    parameters: [{ name: 'meta', types: ['Meta'], min: 1 }],
    scope: 'update',
    handle: (request, given) => changeMeta(request, given, code === 'meta-add' ? 'add' : 'delete'),
  });
  return [
    {
      code: 'meta',
      definition: definition('meta'),
      types: ['*'],
      levels: ['system', 'type', 'instance', 'version'],
      parameters: [],
      handle: (request) => (request.target.id === '' ? metaInUse(request, resourceTypes) : metaOf(request)),
    },
    change('meta-add'),
    change('meta-delete'),
  ];
}

async function metaOf(request: FhirRequest): Promise<OperationResult> {
  const { type, id } = request.target;
  requirePermission(request.grant.scopes, type, 'read');
  const { record } = request.clinic;
  const number = versionOf(request);
  const stored = number === undefined ? await record.read(type, id) : await record.readVersion(type, id, number);
  const { meta } = parseJson(stored.content) as { readonly meta: Meta };
  return { body: answer(meta), patients: stored.patientId === null ? [] : [stored.patientId] };
}

async function metaInUse(request: FhirRequest, resourceTypes: readonly string[]): Promise<OperationResult> {
  const { grant, target, clinic } = request;
  if (target.type !== '') requirePermission(grant.scopes, target.type, 'search-type');
  const types = target.type === '' ? resourceTypes : [target.type];
  const meta = await clinic.record.metaInUse(types.filter((type) => permits(grant.scopes, type, 'search-type')));
  return { body: answer(meta), patients: [] };
}

async function changeMeta(request: FhirRequest, given: Given, change: 'add' | 'delete'): Promise<OperationResult> {
  const { type, id } = request.target;
  const version = versionOf(request);
  const meta = await request.clinic.record.changeMeta(
    {
      type,
      id,
      ...(version === undefined ? {} : { version }),
      change,
      meta: given.complex<Meta>('meta') ?? {},
      place: given.placeOf('meta'),
    },
    writeContext(request, 'operation'),
  );
  return { body: answer(meta), patients: 'audited' };
}

/** @throws Failure `not-found` for what cannot be a version */
function versionOf({ target }: FhirRequest): number | undefined {
  if (target.version === '') return undefined;
  if (/^[1-9]\d{0,8}$/.test(target.version)) return Number(target.version);
  throw new Failure('not-found', issue('not-found', 'There is no such version: versions here are numbers from 1 on'));
}

function answer(meta: Meta): string {
  // Nothing in use is an answer, too; a value may not be empty in FHIR.
  const parameter = Object.keys(meta).length === 0 ? [] : [{ name: 'return', valueMeta: meta }];
  return JSON.stringify({ resourceType: 'Parameters', ...(parameter.length === 0 ? {} : { parameter }) });
}
