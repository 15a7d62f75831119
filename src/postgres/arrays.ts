/**
 * Array parameters as the text PostgreSQL reads. The driver's own conversion escapes every element of every array;
 * most of ours are numbers and codes that need none.
 */
const NEEDS_QUOTES = /[\s",\\{}]/;

export function numberArray(values: readonly (number | string | null)[]): string {
  let text = '{';
  for (let i = 0; i < values.length; i++) {
    if (i > 0) text += ',';
    text += values[i] ?? 'NULL';
  }
  return `${text}}`;
}

export function booleanArray(values: readonly boolean[]): string {
  return `{${values.join(',')}}`;
}

export function textArray(values: readonly (string | null)[]): string {
  let text = '{';
  for (let i = 0; i < values.length; i++) {
    if (i > 0) text += ',';
    text += element(values[i] as string | null);
  }
  return `${text}}`;
}

function element(value: string | null): string {
  if (value === null) return 'NULL';
  if (value !== '' && !NEEDS_QUOTES.test(value) && !isNull(value)) return value;
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}

/** As PostgreSQL reads it, in any case of letters. */
function isNull(value: string): boolean {
  return value.length === 4 && value.toLowerCase() === 'null';
}
