import { millisecondsOf } from './instant.ts';

/**
 * The types that parameters may have. Each check says what is wrong with a JSON value, as the end of a sentence, or
 * undefined. Complex types are held to the elements that the record keeps of them, so that whatever passes here is
 * valid R4 wherever it is copied to.
 */
export const PARAMETER_TYPES = {
  boolean: (value: unknown) => (typeof value === 'boolean' ? undefined : 'must be true or false.'),
  integer: (value: unknown) => (isInteger(value) ? undefined : 'must be a whole number.'),
  positiveInt: (value: unknown) => (isInteger(value) && value > 0 ? undefined : 'must be a whole number from 1.'),
  decimal: (value: unknown) => (isNumber(value) ? undefined : 'must be a number.'),
  string: (value: unknown) => (isText(value) ? undefined : 'must be a text that is not empty.'),
  code: (value: unknown) => (isCode(value) ? undefined : 'must be a code.'),
  date: (value: unknown) =>
    isText(value) && millisecondsOf(`${value}T00:00:00Z`) !== undefined ? undefined : 'must be a day (2026-10-05).',
  dateTime: (value: unknown) =>
    isText(value) && millisecondsOf(value) !== undefined
      ? undefined
      : 'must be a point in time with seconds and offset (2026-10-05T09:30:00-07:00): a day alone cannot be placed.',
  Quantity: (value: unknown) =>
    isOf(value, { value: isNumber, unit: isText, system: isUri, code: isCode, comparator: isCode }) && 'value' in value
      ? undefined
      : 'must be a Quantity with a value.',
  Reference: (value: unknown) =>
    isOf(value, { reference: isReference, type: isType, identifier: isIdentifier, display: isText }) &&
    ('reference' in value || ('type' in value && 'identifier' in value))
      ? undefined
      : 'must be a Reference to Type/id or Type?search, or with a type and an identifier.',
  CodeableConcept: (value: unknown) =>
    isOf(value, { coding: isCodings, text: isText }) && Object.keys(value).length > 0
      ? undefined
      : 'must be a CodeableConcept with codings (system and code) or a text.',
  Identifier: (value: unknown) => (isIdentifier(value) ? undefined : 'must be an Identifier with system and value.'),
  Attachment: (value: unknown) =>
    isObject(value) && isBase64(value.data) && (value.contentType === undefined || isCode(value.contentType))
      ? undefined
      : 'must be an Attachment with base64 data.',
} as const satisfies Record<string, (value: unknown) => string | undefined>;

export type ParameterType = keyof typeof PARAMETER_TYPES;

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object with none but these elements, each as it must be. */
function isOf<K extends string>(
  value: unknown,
  elements: Readonly<Record<K, (value: unknown) => boolean>>,
): value is Partial<Record<K, unknown>> {
  if (!isObject(value)) return false;
  const checks: Readonly<Record<string, ((value: unknown) => boolean) | undefined>> = elements;
  return Object.entries(value).every(
    ([name, inner]) => Object.hasOwn(elements, name) && checks[name]?.(inner) === true,
  );
}

function isCodings(value: unknown): boolean {
  const elements = { system: isUri, version: isText, code: isCode, display: isText, userSelected: isBoolean };
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((coding) => isOf(coding, elements) && 'system' in coding && 'code' in coding)
  );
}

function isIdentifier(value: unknown): boolean {
  return isOf(value, { system: isUri, value: isText }) && 'system' in value && 'value' in value;
}

function isInteger(value: unknown): value is number {
  return Number.isInteger(value) && Math.abs(value as number) < 2 ** 31;
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value);
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean';
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: R4 refuses exactly these in a string
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.length <= 1_048_576 && !CONTROL.test(value);
}

function isCode(value: unknown): boolean {
  return isText(value) && /^\S+( \S+)*$/.test(value);
}

function isUri(value: unknown): value is string {
  return isText(value) && /^\S+$/.test(value);
}

/** `Type/id`, at this service or at an absolute base, or the conditional reference of a transaction. */
function isReference(value: unknown): boolean {
  return (
    isUri(value) && /^(?:(?:https?:\/\/.+\/)?[A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64}|[A-Z][A-Za-z]+\?.+)$/.test(value)
  );
}

function isType(value: unknown): boolean {
  return isText(value) && /^[A-Z][A-Za-z]+$/.test(value);
}

function isBase64(value: unknown): boolean {
  return typeof value === 'string' && /^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(value);
}
