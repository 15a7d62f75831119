/**
 * Rules that become due without a write: a therapy session that is overdue, or missed. The evaluation of a course
 * says when its findings may change by time alone; then this looks at it again, in a unit of work like any other.
 */
import { restEvents } from '../audit/event.ts';
import { assemble } from './assemble.ts';
import { evaluatePatients } from './courses.ts';
import type { RecordParts } from './drafts.ts';
import type { WriteContext } from './record.ts';

const AT_ONCE = 20;

/** Reviews the courses that are due. @returns how many there were; as many as AT_ONCE mean that there may be more */
export async function reviewCourses(parts: RecordParts, context: WriteContext): Promise<number> {
  const due = await parts.store.coursesDue(parts.now(), AT_ONCE);
  for (const patientId of due) await reviewCourse(parts, patientId, context);
  if (due.length > 0) parts.committed();
  return due.length;
}

async function reviewCourse(parts: RecordParts, patientId: string, context: WriteContext): Promise<void> {
  await parts.store.transaction(async (unit) => {
    await unit.lockPatients([patientId], []);
    const now = parts.now();
    const { settled, courses } = await evaluatePatients(parts, unit, [patientId], [], now);
    const { versions, added, removed } = await assemble(parts, unit.newRids, settled, context, now);
    const event = { context, interaction: context.interaction, action: 'E', outcome: 0, entities: versions } as const;
    const audit = versions.length === 0 ? [] : restEvents(event, [patientId], now);
    await unit.write({ versions, added, removed, audit, courses });
  });
}
