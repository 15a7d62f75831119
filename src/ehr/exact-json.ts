/**
 * JSON in and out without touching a number: FHIR decimals carry their precision in their digits, and 0.50 mg must
 * reach an EHR as 0.50.
 */

type RawJson = { readonly rawJSON: string };
type ExactJson = {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): RawJson;
};

// TypeScript does not describe these parts of ECMAScript (JSON.parse source text access) yet.
const json = JSON as unknown as ExactJson;

/** Numbers whose digits would change become opaque values that JSON.stringify writes as they were. */
export function parseExactly(text: string): unknown {
  return json.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? json.rawJSON(source) : value,
  );
}
