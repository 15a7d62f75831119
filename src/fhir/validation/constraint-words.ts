import { type Issue, issue } from '../failure.ts';
import type { Place } from './place.ts';

/** `found`: key, place of definition, whether it is of severity warning, whether it could not be evaluated. */
export function brokenConstraint(found: readonly unknown[], human: string | undefined, place: Place): Issue {
  const [key, , isWarning, isUnknown] = found;
  const words = human ?? 'A constraint does not hold';
  if (isUnknown === true) {
    const diagnostics = `It could not be found out whether this holds: ${words} (${String(key)})`;
    return { ...issue('invariant', diagnostics, place.expression), severity: 'warning' };
  }
  const broken = issue('invariant', `${words} (${String(key)})`, place.expression);
  return isWarning === true ? { ...broken, severity: 'warning' } : broken;
}
