/** Separators in the values of a search, and `\` before one that is meant itself. @see https://hl7.org/fhir/R4/search.html#escaping */
import type { IssueCode } from '../failure.ts';
import type { MessageCode } from '../messages.ts';

/** What is wrong with a parameter, without repeating its value; parseSearch adds the place. */
export class InvalidSearch extends Error {
  override readonly name = 'InvalidSearch';
  readonly code: IssueCode;
  readonly details: MessageCode | undefined;

  constructor(message: string, code: IssueCode = 'value', details?: MessageCode) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** A parameter or a wish that may be left out where the client asked for lenient handling. */
export class UnknownInSearch extends InvalidSearch {}

/** Parts between separators that are not escaped; the parts themselves stay as written. */
export function splitAt(value: string, separator: ',' | '|' | '$'): string[] {
  if (!value.includes('\\')) return value.split(separator);
  const parts: string[] = [];
  let from = 0;
  for (let i = 0; i < value.length; i++) {
    if (value[i] === '\\') i++;
    else if (value[i] === separator) {
      parts.push(value.slice(from, i));
      from = i + 1;
    }
  }
  parts.push(value.slice(from));
  return parts;
}

/** @throws InvalidSearch for a backslash that escapes nothing: "the parameter value xx\xx is illegal" */
export function unescaped(value: string): string {
  if (!value.includes('\\')) return value;
  return value.replace(/\\(.?)/gsu, (_, char: string) => {
    if (char !== '' && '\\,$|'.includes(char)) return char;
    throw new InvalidSearch("A backslash stands before ',', '$', '|' or another backslash only");
  });
}

/** The text as part of a value, such that unescaped() gives it back. */
export function escaped(text: string): string {
  return text.replace(/[\\,$|]/g, '\\$&');
}
