/**
 * Rows under their headings, columns aligned, two spaces apart, for a terminal and for `less`. An absent value is '-'.
 * Control characters in a value are dropped: what a remote system said must not steer the terminal.
 */
export function table(headings: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [headings, ...rows].map((row) => row.map(shown));
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function shown(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  const text = value instanceof Date ? value.toISOString() : String(value);
  return text.replace(/\p{Cc}+/gu, ' ');
}
