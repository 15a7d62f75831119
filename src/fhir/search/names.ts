/** Names in refusals: little of what was given, and what may have been meant. */

/** An answer repeats little of what it refuses. */
export function shown(text: string): string {
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}

/** The place of a parameter of a request. */
export function placeOf(name: string): string {
  return `http.${shown(name)}`;
}

/** Up to five names that differ in few letters, or contain or continue what was given. */
export function nearest(given: string, names: readonly string[]): readonly string[] {
  const wanted = given.slice(0, 32).toLowerCase();
  return names
    .map((name) => ({ name, distance: farness(wanted, name) }))
    .filter((found) => found.distance <= Math.max(1, Math.floor(wanted.length / 3)))
    .sort((a, b) => a.distance - b.distance || a.name.length - b.name.length || (a.name < b.name ? -1 : 1))
    .slice(0, 5)
    .map(({ name }) => name);
}

function farness(wanted: string, name: string): number {
  if (name.startsWith(wanted) || wanted.startsWith(name)) return 0;
  return wanted.length > 2 && name.includes(wanted) ? 1 : distance(wanted, name);
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substituted);
    }
    row = next;
  }
  return row[b.length] as number;
}
