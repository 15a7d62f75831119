/**
 * The identifier under which a remote system knows one of our resources for its whole life.
 *
 * It is made from the resource's own id, never from its content, and never changes: searching for it after a lost
 * answer is what tells "stored" from "not stored".
 */
export type BusinessIdentifier = { readonly system: string; readonly value: string };

export function businessIdentifier(clinic: string, type: string, id: string): BusinessIdentifier {
  return { system: `https://kap-bridge.example.org/sid/${clinic}`, value: `${type}-${id}` };
}

/** `system|value`, the form of a FHIR token search and of delivery.business_identifier. */
export function identifierToken(identifier: BusinessIdentifier): string {
  return `${identifier.system}|${identifier.value}`;
}

/** The reverse of identifierToken; the system ends at the first bar. */
export function parseIdentifierToken(token: string): BusinessIdentifier {
  const bar = token.indexOf('|');
  return { system: token.slice(0, bar), value: token.slice(bar + 1) };
}
