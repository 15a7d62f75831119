/** The example course: what a clinic's software would send, in the order in which it happened. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, Parameters, Resource } from '@medplum/fhirtypes';
import { z } from 'zod';
import { Failure, issue } from '../../fhir/failure.ts';
import type { FhirClient } from './fhir-client.ts';

/** Beside src in a checkout, beside dist/src in a package. */
export const EXAMPLES = join(import.meta.dirname, '..', '..', '..', 'examples');

const courseSchema = z.object({
  title: z.string(),
  steps: z
    .array(
      z.object({
        title: z.string(),
        method: z.string(),
        /** Below the FHIR base; `{Type?search}` stands for the one resource that the search finds. */
        url: z.string(),
        file: z.string(),
        contentType: z.string(),
      }),
    )
    .min(1),
});
export type Course = z.infer<typeof courseSchema>;
export type Step = Course['steps'][number];

export type Played = {
  /** Entries of the answer, and how many of them are new or changed. */
  readonly resources: number;
  readonly created: number;
};

export function readCourse(): Course {
  return courseSchema.parse(JSON.parse(readFileSync(join(EXAMPLES, 'course.json'), 'utf8')));
}

/** @throws Failure in the words of the service when it refuses */
export async function play(step: Step, service: FhirClient): Promise<Played> {
  const path = await resolved(step.url, service);
  const answer = await service.send(step.method, path, readFileSync(join(EXAMPLES, step.file)), step.contentType);
  const entries = (answer as Bundle).entry ?? [];
  const created = entries.filter(({ response }) => response?.status?.startsWith('201')).length;
  return { resources: entries.length, created };
}

/** Reference of the patient: the subject of the first resource that a step names. */
export async function patientOf(course: Course, service: FhirClient): Promise<string> {
  const search = course.steps.map(({ url }) => PLACEHOLDER.exec(url)?.[1]).find((found) => found !== undefined);
  if (search === undefined) throw new TypeError('no step of the course names a resource');
  const named = await one(search, service);
  return (named as { subject?: { reference?: string } }).subject?.reference as string;
}

/** What must never be at an EHR: the texts of the psychotherapy notes in the course. */
export function psychotherapyNotes(course: Course): string[] {
  return course.steps
    .filter(({ contentType }) => contentType.startsWith('application/fhir+json'))
    .map(({ file }) => JSON.parse(readFileSync(join(EXAMPLES, file), 'utf8')) as Parameters | Bundle)
    .flatMap((body) => (body.resourceType === 'Parameters' ? (body.parameter ?? []) : []))
    .filter(({ name }) => name === 'psychotherapyNote')
    .map(({ valueString }) => valueString as string);
}

const PLACEHOLDER = /\{([^}]+)\}/;

async function resolved(url: string, service: FhirClient): Promise<string> {
  const placeholder = PLACEHOLDER.exec(url);
  if (placeholder === null) return url;
  const { resourceType, id } = await one(placeholder[1] as string, service);
  return url.replace(placeholder[0], `${resourceType}/${id}`);
}

async function one(search: string, service: FhirClient): Promise<Resource> {
  const [found, ...others] = await service.search(search.replaceAll('|', '%7C'));
  if (found !== undefined && others.length === 0) return found;
  const count = found === undefined ? 'none' : `${others.length + 1}`;
  throw new Failure('business-rule', issue('not-found', `The course needs one ${search}; the record has ${count}`));
}
