/**
 * SMART App Launch 2.2 scopes of backend services: `system/<Type|*>.<c r u d s, in this order>`. The v1 forms `.read`,
 * `.write` and `.*` mean `rs`, `cud` and `cruds`. Anything else is refused, never ignored: a scope that is not understood
 * might have been meant as a restriction.
 *
 * @see https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
 */
import { Failure, issue } from '../fhir/failure.ts';

/** Parsed scopes: the permitted letters of each type, '*' for every type. */
export type ScopeSet = {
  /** Normalised, as printed in a token. */
  readonly text: string;
  readonly lettersOf: ReadonlyMap<string, string>;
};

const SCOPE = /^system\/(\*|[A-Z][A-Za-z]{2,63})\.(\*|read|write|c?r?u?d?s?)$/;
const V1_LETTERS: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' };

/** @throws Failure `invalid` naming the scope that is malformed */
export function parseScopes(text: string): ScopeSet {
  const lettersOf = new Map<string, string>();
  const scopes = text.split(/\s+/).filter((scope) => scope !== '');
  if (scopes.length === 0)
    throw new Failure('invalid', issue('value', 'There is no scope. Ask for one, such as system/*.rs'));
  for (const scope of scopes) {
    const [, type, permissions] = SCOPE.exec(scope) ?? [];
    if (type === undefined || permissions === undefined || permissions === '') {
      throw new Failure(
        'invalid',
        issue(
          'value',
          `The scope ${JSON.stringify(scope.slice(0, 100))} is not of the form system/<Type or *>.<letters of "cruds" in this order>, for example system/Observation.rs`,
        ),
      );
    }
    lettersOf.set(type, union(lettersOf.get(type) ?? '', V1_LETTERS[permissions] ?? permissions));
  }
  return { text: [...lettersOf].map(([type, letters]) => `system/${type}.${letters}`).join(' '), lettersOf };
}

/** Which letter an interaction of http://hl7.org/fhir/restful-interaction needs. */
const letterOf: Readonly<Record<string, string>> = {
  create: 'c',
  read: 'r',
  vread: 'r',
  'history-instance': 'r',
  update: 'u',
  patch: 'u',
  delete: 'd',
  'search-type': 's',
  'search-system': 's',
  'history-type': 's',
  'history-system': 's',
};

/** Whether the scopes allow an interaction on a type; `type` '*' asks for all types at once. Unknown interactions: no. */
export function permits(scopes: ScopeSet, type: string, interaction: string): boolean {
  const letter = letterOf[interaction];
  if (letter === undefined) return false;
  return scopes.lettersOf.get(type)?.includes(letter) === true || scopes.lettersOf.get('*')?.includes(letter) === true;
}

/** The smallest scope that permits an interaction, for the words of a refusal. */
export function scopeNeeded(type: string, interaction: string): string {
  return `system/${type}.${letterOf[interaction] ?? 'cruds'}`;
}

/** @throws Failure `forbidden` naming the scope that is needed */
export function requirePermission(scopes: ScopeSet, type: string, interaction: string, place?: string): void {
  if (permits(scopes, type, interaction)) return;
  const needed = scopeNeeded(type, interaction);
  throw new Failure(
    'forbidden',
    issue('forbidden', `The token does not carry the scope ${needed}, which this needs`, place),
  );
}

function union(a: string, b: string): string {
  return [...'cruds'].filter((letter) => a.includes(letter) || b.includes(letter)).join('');
}
