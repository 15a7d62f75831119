/**
 * Content negotiation: FHIR as JSON or as XML, in and out.
 *
 * @see https://hl7.org/fhir/R4/http.html#mime-type
 */
import { Failure, issue } from '../fhir/failure.ts';

export const FHIR_JSON = 'application/fhir+json; charset=utf-8';
export const FHIR_XML = 'application/fhir+xml; charset=utf-8';

export type FhirFormat = 'json' | 'xml';

/** How an answer is written. */
export type AnswerForm = { readonly format: FhirFormat; readonly pretty: boolean };

/** What nearly every client asks for; answers in it are sent as they are stored. */
export const AS_STORED: AnswerForm = { format: 'json', pretty: false };
const PRETTY: AnswerForm = { format: 'json', pretty: true };
const XML: AnswerForm = { format: 'xml', pretty: false };
const PRETTY_XML: AnswerForm = { format: 'xml', pretty: true };

const FORMATS: ReadonlyMap<string, FhirFormat> = new Map([
  ['application/fhir+json', 'json'],
  ['application/json', 'json'],
  ['text/json', 'json'],
  ['application/json+fhir', 'json'],
  ['json', 'json'],
  ['application/fhir+xml', 'xml'],
  ['application/xml', 'xml'],
  ['text/xml', 'xml'],
  ['application/xml+fhir', 'xml'],
  ['xml', 'xml'],
]);

/**
 * How the answer is wanted: `_format` decides where it is given, else `Accept`.
 *
 * @param parameters the url's query, and the form of a POST _search behind it, as they came
 * @throws Failure `not-acceptable` when none of our formats is wanted
 */
export function answerForm(accept: string | undefined, parameters: string): AnswerForm {
  const plain = accept === undefined || accept === 'application/fhir+json' || accept === '*/*' || accept === '';
  if (!parameters.includes('_') && !parameters.includes('%'))
    return plain ? AS_STORED : formOf(formatAccepted(accept), false);
  const { format, pretty } = formParameters(parameters);
  if (format === undefined) return formOf(plain ? 'json' : formatAccepted(accept), pretty);
  return formOf(formatAccepted(format, '_format'), pretty);
}

/** The same where nothing is refused any more: a refusal is written as JSON to whom no format of ours suits. */
export function answerFormOfRefusal(accept: string | undefined, parameters: string): AnswerForm {
  try {
    return answerForm(accept, parameters);
  } catch (error) {
    if (error instanceof Failure) return AS_STORED;
    throw error;
  }
}

/** Whether one of our formats would do. */
export function isAnswerable(accept: string | undefined, parameters: string): boolean {
  try {
    answerForm(accept, parameters);
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

/** Whether a FHIR format is asked for by its own name, in `_format` or in `Accept`; wildcards and `text/json` do not. */
export function asksForFhir(accept: string | undefined, parameters: string): boolean {
  if (formParameters(parameters).format !== undefined) return true;
  return mediaRanges(accept ?? '').some(
    ({ name, q }) => /^application\/(fhir\+(json|xml)|(json|xml)\+fhir)$/.test(name) && q > 0,
  );
}

/** Whether `Accept` takes a media type: by its name, or by a wildcard. */
export function accepts(accept: string | undefined, contentType: string): boolean {
  if (accept === undefined || accept.trim() === '') return true;
  const { name } = mediaType(contentType);
  const [kind = ''] = name.split('/');
  return mediaRanges(accept).some((range) => range.q > 0 && [name, `${kind}/*`, '*/*'].includes(range.name));
}

function formOf(format: FhirFormat, pretty: boolean): AnswerForm {
  if (format === 'json') return pretty ? PRETTY : AS_STORED;
  return pretty ? PRETTY_XML : XML;
}

function formParameters(parameters: string): { format: string | undefined; pretty: boolean } {
  if (!/(?:^|&)(?:_|%5F)(?:format|pretty)=/i.test(parameters)) return { format: undefined, pretty: false };
  const given = new URLSearchParams(parameters);
  // A '+' that was not percent-encoded reads as a space: application/fhir+json.
  const format = given.get('_format')?.trim().replace(' ', '+');
  const pretty = given.get('_pretty');
  if (pretty !== null && pretty !== '' && pretty !== 'true' && pretty !== 'false') {
    throw new Failure('invalid', issue('value', '_pretty is true or false', 'http._pretty', 'MSG_PARAM_INVALID'));
  }
  return { format: format === '' ? undefined : format, pretty: pretty === 'true' };
}

type MediaRange = { readonly name: string; readonly q: number; readonly isR4: boolean };

function mediaRanges(text: string): MediaRange[] {
  return text.split(',').map((part) => {
    const { name, parameters } = mediaType(part);
    const q = Number(parameters.get('q') ?? 1);
    const charset = parameters.get('charset');
    const isUtf8 = charset === undefined || charset === 'utf-8' || charset === 'utf8';
    return { name, q: q >= 0 && q <= 1 && isUtf8 ? q : 0, isR4: isR4(parameters.get('fhirversion')) };
  });
}

function formatAccepted(wanted: string, source: 'Accept' | '_format' = 'Accept'): FhirFormat {
  const ranges = mediaRanges(wanted);
  const usable = ranges.filter(({ isR4 }) => isR4);
  const json = preference('json', usable);
  const xml = preference('xml', usable);
  if (json.q > 0 || xml.q > 0) {
    // A browser names XML beside its wildcard, and shows JSON better.
    const isBrowser =
      usable.some(({ name }) => name === 'text/html') && !usable.some(({ name }) => name.includes('fhir'));
    if (isBrowser && json.q > 0) return 'json';
    return xml.q > json.q || (xml.q === json.q && xml.rank < json.rank) ? 'xml' : 'json';
  }
  const isOther = ranges.some(({ name, q, isR4 }) => !isR4 && q > 0 && (FORMATS.has(name) || name.includes('*')));
  const diagnostics = isOther
    ? 'This service speaks FHIR 4.0 (R4) only'
    : `The answer can be application/fhir+json or application/fhir+xml. Ask for one of them, or leave ${source} out`;
  throw new Failure('not-acceptable', issue('not-supported', diagnostics, `http.${source}`, 'MSG_BAD_FORMAT'));
}

/**
 * How much a format is wanted: the quality of the most specific ranges that mean it (RFC 9110, 12.5.1). Of equal ones the
 * lower rank wins: named before a wildcard, then as listed.
 */
function preference(format: FhirFormat, ranges: readonly MediaRange[]): { q: number; rank: number } {
  for (const means of [
    (name: string) => FORMATS.get(name) === format,
    (name: string) => name === 'application/*' || name === 'text/*',
    (name: string) => name === '*/*' || name === '*',
  ]) {
    const found = ranges.filter(({ name }) => means(name));
    if (found.length === 0) continue;
    const q = Math.max(...found.map((range) => range.q));
    const isNamed = found.some(({ name }) => FORMATS.has(name));
    return { q, rank: isNamed ? ranges.findIndex((range) => range.q === q && means(range.name)) : ranges.length };
  }
  return { q: 0, rank: ranges.length };
}

/**
 * The format of a body.
 *
 * @throws Failure `unsupported-media-type` unless it is FHIR R4 in UTF-8
 */
export function formatOfBody(contentType: string | undefined): FhirFormat {
  const { name } = requireBodyType(contentType, BODY_TYPES, 'application/fhir+json or application/fhir+xml');
  return FORMATS.get(name) as FhirFormat;
}

/** Short names are for `_format` alone. */
const BODY_TYPES: ReadonlySet<string> = new Set([...FORMATS.keys()].filter((name) => name.includes('/')));
const JSON_TYPES: ReadonlySet<string> = new Set([...BODY_TYPES].filter((name) => FORMATS.get(name) === 'json'));

/** Whether a body is XML, whatever else is wrong with its type. */
export function isXmlBody(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.includes('xml')) return false;
  return FORMATS.get(mediaType(contentType).name) === 'xml';
}

/** Whether a body holds the parameters of a search, as a browser sends a form. */
export function isFormBody(contentType: string | undefined): boolean {
  return contentType?.toLowerCase().startsWith('application/x-www-form-urlencoded') === true;
}

/** @throws Failure `unsupported-media-type` unless the body is FHIR R4 as JSON in UTF-8 */
export function requireJsonBody(contentType: string | undefined): void {
  if (contentType === 'application/fhir+json') return;
  requireBodyType(contentType, JSON_TYPES, 'application/fhir+json or application/fhir+xml');
}

export function requireBodyType(
  contentType: string | undefined,
  types: ReadonlySet<string>,
  example: string,
): MediaType {
  const type = mediaType(contentType ?? '');
  if (!types.has(type.name)) {
    throw new Failure(
      'unsupported-media-type',
      issue(
        'not-supported',
        `The Content-Type ${quoted(type.name)} is not accepted here. Send ${example}`,
        'http.Content-Type',
        'MSG_BAD_FORMAT',
      ),
    );
  }
  const charset = type.parameters.get('charset') ?? 'utf-8';
  if (charset !== 'utf-8' && charset !== 'utf8') {
    throw new Failure(
      'unsupported-media-type',
      issue('not-supported', 'Only the character set utf-8 is accepted', 'http.Content-Type', 'MSG_BAD_FORMAT'),
    );
  }
  if (!isR4(type.parameters.get('fhirversion'))) {
    throw new Failure(
      'unsupported-media-type',
      issue('not-supported', 'This service speaks FHIR 4.0 (R4) only', 'http.Content-Type', 'MSG_BAD_FORMAT'),
    );
  }
  return type;
}

function isR4(version: string | undefined): boolean {
  return version === undefined || /^4\.0(\.\d+)?$/.test(version);
}

export type MediaType = { readonly name: string; readonly parameters: ReadonlyMap<string, string> };

/** Name and parameter names in lower case. */
export function mediaType(text: string): MediaType {
  const [name = '', ...rest] = text.split(';');
  const parameters = new Map<string, string>();
  for (const parameter of rest) {
    const [key = '', value = ''] = parameter.split('=');
    parameters.set(key.trim().toLowerCase(), value.trim().toLowerCase().replace(/^"|"$/g, ''));
  }
  return { name: name.trim().toLowerCase(), parameters };
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
