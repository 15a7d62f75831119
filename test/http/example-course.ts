/** The example course of `examples/`, sent to the service as the clinic's own software would. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { installProtocol } from '../../src/record/install-protocol.ts';
import { writeContext } from '../record/clinic.ts';
import type { TestService } from './service.ts';

const ROOT = join(import.meta.dirname, '../..');

type Step = { readonly url: string; readonly file: string; readonly contentType: string };

/** Ids of what the steps name, by the search that finds them. */
export async function playExampleCourse(service: TestService): Promise<ReadonlyMap<string, string>> {
  const { record, parts } = service.clinic;
  const shipped = readdirSync(join(ROOT, 'fhir-profiles'))
    .filter((file) => /^(PlanDefinition|ActivityDefinition|Questionnaire|OperationDefinition)-/.test(file))
    .map((file) => JSON.parse(readFileSync(join(ROOT, 'fhir-profiles', file), 'utf8')) as Resource);
  await installProtocol(parts.store, record, shipped, writeContext('update'));
  const token = await service.token();
  const ids = new Map<string, string>();
  const named = async (search: string): Promise<string> => {
    const { body } = await service
      .as(token)
      .get(`/fhir/${search.replaceAll('|', '%7C')}`)
      .expect(200);
    const [resource] = ((body as Bundle).entry ?? []).flatMap((entry) => entry.resource ?? []);
    ids.set(search, resource?.id as string);
    return `${resource?.resourceType}/${resource?.id}`;
  };
  const { steps } = JSON.parse(readFileSync(join(ROOT, 'examples/course.json'), 'utf8')) as { steps: Step[] };
  for (const { url, file, contentType } of steps) {
    const search = /\{([^}]+)\}/.exec(url)?.[1];
    const path = search === undefined ? url : url.replace(`{${search}}`, await named(search));
    await service.http
      .post(`/fhir/${path}`)
      .set('authorization', `Bearer ${token}`)
      .set('content-type', contentType)
      .send(readFileSync(join(ROOT, 'examples', file), 'utf8'))
      .expect(200);
  }
  return ids;
}
