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
        const [stored, plans] = await Promise.all([
          unit.courseResources([patientId], TYPES),
          unit.planDefinitions(canonical === undefined ? [] : [canonical]),
        ]);
        const plan = plans.get(canonical ?? '');
        return {
          resources: stored.map(({ content }) => parseJson(content) as Resource),
          plan: plan === undefined ? undefined : (parseJson(plan) as PlanDefinition),
        };
      }),
  };
}
