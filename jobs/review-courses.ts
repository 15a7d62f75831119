/**
 * Looks again at courses whose findings change by time alone (a therapy session overdue or missed), a few seconds after
 * they fall due. Any number of processes may do so: a course is locked while it is looked at, and a second look
 * changes nothing.
 */
import type { RecordParts } from '../src/record/drafts.ts';
import type { WriteContext } from '../src/record/record.ts';
import { reviewCourses } from '../src/record/review.ts';
import { nameOf } from './relay.ts';

export type CourseReview = { close(): Promise<void> };

type ReviewLog = { warn(fields: object, message: string): void };

export function startCourseReview(
  parts: RecordParts,
  context: () => WriteContext,
  log: ReviewLog,
  everyMs = 10_000,
): CourseReview {
  let closed = false;
  let running = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(review);
  }, everyMs);

  async function review(): Promise<void> {
    try {
      // A full batch means that there may be more.
      while (!closed && (await reviewCourses(parts, context())) > 0);
    } catch (error) {
      log.warn({ error: nameOf(error) }, 'courses could not be reviewed; the next look tries again');
    }
  }

  return {
    async close() {
      closed = true;
      clearInterval(timer);
      await running;
    },
  };
}
