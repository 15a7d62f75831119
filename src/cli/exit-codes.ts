/** What a script can rely on: one exit code for each kind of end. Shown by `kap-bridge --help` and in the README. */
import type { FailureCode } from '../fhir/failure.ts';

export const EXIT = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unavailable: 5,
  interrupted: 130,
} as const;

export const EXIT_CODE_HELP = `
Exit codes:
  0    done
  1    an unexpected failure: a bug, please report it
  2    wrong usage, a bad setting or bad input; nothing was changed
  3    what was named does not exist
  4    refused: a rule, a conflict or a missing permission forbids it
  5    not available now (PostgreSQL, a target, the network): try again
  130  interrupted
`;

const exitOf: Record<FailureCode, number> = {
  invalid: EXIT.usage,
  'method-not-allowed': EXIT.usage,
  'not-acceptable': EXIT.usage,
  'too-large': EXIT.usage,
  'unsupported-media-type': EXIT.usage,
  'not-found': EXIT.notFound,
  deleted: EXIT.notFound,
  unauthenticated: EXIT.refused,
  forbidden: EXIT.refused,
  conflict: EXIT.refused,
  'precondition-failed': EXIT.refused,
  'business-rule': EXIT.refused,
  'too-many-requests': EXIT.unavailable,
  transient: EXIT.unavailable,
};

export function exitCodeOf(code: FailureCode): number {
  return exitOf[code];
}
