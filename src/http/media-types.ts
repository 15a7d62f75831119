/** Content negotiation: JSON in, JSON out. */
import { Failure, issue } from '../fhir/failure.ts';

export const FHIR_JSON = 'application/fhir+json; charset=utf-8';

const JSON_TYPES: ReadonlySet<string> = new Set(['application/fhir+json', 'application/json', 'text/json']);
const ACCEPTED_RANGES: ReadonlySet<string> = new Set([...JSON_TYPES, '*/*', 'application/*', 'text/*', 'json']);

/** @throws Failure `unsupported-media-type` unless the body is FHIR R4 as JSON in UTF-8 */
export function requireJsonBody(contentType: string | undefined): void {
  requireBodyType(contentType, JSON_TYPES, 'application/fhir+json');
}

export function requireBodyType(contentType: string | undefined, types: ReadonlySet<string>, example: string): void {
  const { name, parameters } = mediaType(contentType ?? '');
  if (!types.has(name)) {
    throw new Failure(
      'unsupported-media-type',
      issue('not-supported', `The Content-Type ${quoted(name)} is not accepted here. Send ${example}`),
    );
  }
  const charset = parameters.get('charset') ?? 'utf-8';
  if (charset !== 'utf-8' && charset !== 'utf8') {
    throw new Failure('unsupported-media-type', issue('not-supported', 'Only the character set utf-8 is accepted'));
  }
  requireR4(parameters.get('fhirversion'), 'unsupported-media-type');
}

/** @throws Failure `not-acceptable` when the caller takes no JSON, by header or by `_format` */
export function requireJsonAnswer(accept: string | undefined, format: string | undefined): void {
  const wanted = format ?? accept;
  if (wanted === undefined || wanted === '' || wanted === 'application/fhir+json' || wanted === '*/*') return;
  const ranges = wanted.split(',').map((range) => mediaType(range));
  const usable = ranges.filter(
    ({ name, parameters }) => ACCEPTED_RANGES.has(name) && Number(parameters.get('q') ?? 1) > 0,
  );
  if (usable.length === 0) {
    throw new Failure(
      'not-acceptable',
      issue(
        'not-supported',
        'The answer can only be application/fhir+json. Accept that, or leave Accept and _format out',
      ),
    );
  }
  for (const { parameters } of usable) requireR4(parameters.get('fhirversion'), 'not-acceptable');
}

function requireR4(version: string | undefined, code: 'unsupported-media-type' | 'not-acceptable'): void {
  if (version === undefined || /^4\.0(\.\d+)?$/.test(version)) return;
  throw new Failure(code, issue('not-supported', 'This service speaks FHIR 4.0 (R4) only'));
}

function mediaType(text: string): { name: string; parameters: ReadonlyMap<string, string> } {
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
