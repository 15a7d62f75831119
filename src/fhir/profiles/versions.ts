/**
 * Compares versions as https://semver.org orders them: 10.0.0 is after 9.1.0, and 7.0.0-ballot before 7.0.0. What is
 * no such version is before all that are, in the order of its text; none at all is first.
 */
export function compareVersions(a: string | undefined, b: string | undefined): number {
  const [left, right] = [parsed(a), parsed(b)];
  if (left === undefined || right === undefined) {
    if (left !== undefined) return 1;
    if (right !== undefined) return -1;
    return (a ?? '').localeCompare(b ?? '', 'en', { numeric: true });
  }
  for (let at = 0; at < 3; at++) {
    const difference = (left.numbers[at] ?? 0) - (right.numbers[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return comparePreReleases(left.preRelease, right.preRelease);
}

/** Whether `version` is one of those that `partial` (`6.1`, `6`) means. */
export function isVersionOf(version: string, partial: string): boolean {
  return /^\d+(\.\d+)?$/.test(partial) && version.startsWith(`${partial}.`);
}

type Version = { readonly numbers: readonly number[]; readonly preRelease: readonly string[] };

function parsed(version: string | undefined): Version | undefined {
  const match = /^(\d+(?:\.\d+){0,2})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(version ?? '');
  if (match === null) return undefined;
  const [, numbers = '', preRelease] = match;
  return { numbers: numbers.split('.').map(Number), preRelease: preRelease?.split('.') ?? [] };
}

function comparePreReleases(left: readonly string[], right: readonly string[]): number {
  if (left.length === 0 || right.length === 0) return right.length - left.length;
  for (const [at, a] of left.entries()) {
    const b = right[at];
    if (b === undefined) return 1;
    if (a === b) continue;
    const [isNumber, isOtherNumber] = [/^\d+$/.test(a), /^\d+$/.test(b)];
    if (isNumber && isOtherNumber) return Number(a) - Number(b);
    if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
    return a < b ? -1 : 1;
  }
  return left.length - right.length;
}
