/** What the clinic's operations share: Parameters in, a transaction recorded, its resources out. */
import type { Bundle } from '@medplum/fhirtypes';
import { requirePermission } from '../../access/scopes.ts';
import { Failure, type Issue, issue } from '../../fhir/failure.ts';
import { parseJson } from '../../fhir/json.ts';
import type { Recorded } from '../../kap/recorded.ts';
import type { StoredResource } from '../../record/record.ts';
import type { FhirRequest, Interaction } from '../exchange.ts';
import { type BundleHandling, recordBundle } from '../rest/bundle.ts';
import { resourceInBody } from '../rest/resource-body.ts';

/** What an operation comes to, before anything is written. */
export type Compute = (request: FhirRequest, parameters: unknown) => Promise<Recorded>;

/** The Parameters in the body, or what another kind of body stands for. */
export type ReadParameters = (request: FhirRequest) => unknown;

/**
 * An operation on one instance, with the scopes that its transaction would need if it were sent by hand: to read the
 * instance, and to write each resource that comes out.
 */
export function instanceOperation(
  handling: BundleHandling,
  compute: Compute,
  readParameters: ReadParameters = (request) => resourceInBody(request, 'Parameters'),
): Interaction {
  return {
    name: 'operation',
    action: 'E',
    takesBody: true,
    scopeOfType: false,
    handle: async (request) => {
      requirePermission(request.grant.scopes, request.target.type, 'read');
      const parameters = readParameters(request);
      for (let left = ATTEMPTS; ; left -= 1) {
        const recorded = await compute(request, parameters);
        if (!recorded.ok) throw new Failure(recorded.code, recorded.issues);
        try {
          return await recordBundle(request, recorded.bundle, 'operation', handling);
        } catch (error) {
          if (left === 1 || !isOvertaken(error)) throw ofResources(error, recorded.bundle);
        }
      }
    },
  };
}

/** How often an operation is computed before it gives up against others who write to the same course. */
const ATTEMPTS = 5;

/** Whether somebody wrote between our reading and our writing: the versions in the transaction are ours, not the caller's. */
function isOvertaken(error: unknown): boolean {
  return (
    error instanceof Failure &&
    (error.code === 'precondition-failed' || error.code === 'conflict') &&
    error.issues.some(({ code }) => code === 'conflict')
  );
}

const ENTRY = /^Bundle\.entry\[(\d+)\](?:\.resource)?(.*)$/s;

/** The caller has not seen the transaction: places are those in the resources, and the words say which one. */
function ofResources(error: unknown, { entry = [] }: Bundle): unknown {
  if (!(error instanceof Failure)) return error;
  const issues = error.issues.map((found): Issue => {
    const [, at, rest = ''] = ENTRY.exec(found.expression ?? '') ?? [];
    const resource = entry[Number(at)]?.resource;
    if (resource === undefined) return found;
    const { resourceType: type, id } = resource;
    const name = id === undefined ? `the new ${type}` : `${type}/${id}`;
    const isWithin = !rest.startsWith('.request') && !rest.startsWith('.fullUrl');
    return { ...found, diagnostics: `${name}: ${found.diagnostics}`, expression: isWithin ? type + rest : type };
  });
  return new Failure(error.code, issues, { cause: error });
}

/** The instance of the url, parsed. */
export async function instanceOf<T>(request: FhirRequest): Promise<{ resource: T; stored: StoredResource }> {
  const { type, id } = request.target;
  const stored = await request.clinic.record.read(type, id);
  return { resource: parseJson(stored.content) as T, stored };
}

/** The patient that a stored resource is about. @throws Failure `business-rule` when there is none */
export function patientOf({ type, patientId }: StoredResource): string {
  if (patientId !== null) return patientId;
  throw new Failure(
    'business-rule',
    issue('business-rule', `This ${type} names no patient, so nothing can be recorded under it`, `${type}.subject`),
  );
}
