/** What the record holds about a patient's course, for the operations that add to it. */
import type { PlanDefinition, Resource } from '@medplum/fhirtypes';
import { parseJson } from '../fhir/json.ts';
import { RULE_TYPES } from './courses.ts';
import type { RecordStore } from './store.ts';

/** What the rules read, and what else a session refers to or is checked against. */
const TYPES = [...RULE_TYPES, 'Condition', 'DocumentReference'];

export type CourseReader = {
  /** All current resources of the patient, as of one moment, and the plan with this canonical url in that version. */
  read(patientId: string, canonical: string | undefined): Promise<RecordedCourse>;
};

export type RecordedCourse = { readonly resources: readonly Resource[]; readonly plan: PlanDefinition | undefined };

export function createCourseReader(store: RecordStore): CourseReader {
  return {
    read: (patientId, canonical) =>
      store.transaction(async (unit) => {
        const texts = await unit.courseResources(patientId, TYPES);
        const [url = '', version = null] = canonical?.split('|') ?? [];
        const plan = url === '' ? undefined : await unit.planDefinition(url, version);
        return {
          resources: texts.map((text) => parseJson(text) as Resource),
          plan: plan === undefined ? undefined : (parseJson(plan) as PlanDefinition),
        };
      }),
  };
}
