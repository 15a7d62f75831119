import fc from 'fast-check';
import { parseScopes, permits, requirePermission } from '../../src/access/scopes.ts';
import { Failure } from '../../src/fhir/failure.ts';

test.each([
  ['system/Observation.rs', 'Observation', 'read', true],
  ['system/Observation.rs', 'Observation', 'vread', true],
  ['system/Observation.rs', 'Observation', 'history-instance', true],
  ['system/Observation.rs', 'Observation', 'search-type', true],
  ['system/Observation.r', 'Observation', 'search-type', false],
  ['system/Observation.rs', 'Observation', 'create', false],
  ['system/Observation.rs', 'Patient', 'read', false],
  ['system/*.cruds', 'Patient', 'delete', true],
  ['system/*.rs system/Observation.c', 'Observation', 'create', true],
  ['system/*.rs system/Observation.c', 'Encounter', 'create', false],
  ['system/Observation.read', 'Observation', 'search-type', true],
  ['system/Observation.write', 'Observation', 'read', false],
  ['system/Observation.write', 'Observation', 'delete', true],
  ['system/Observation.*', 'Observation', 'update', true],
  ['system/*.cruds', 'Patient', 'no-such-interaction', false],
])('%s lets a client at %s with %s: %s', (scope, type, interaction, expected) => {
  expect(permits(parseScopes(scope), type, interaction)).toBe(expected);
});

test.each([
  '',
  'system/Observation',
  'system/Observation.',
  'system/Observation.sr',
  'system/Observation.rr',
  'patient/Observation.rs',
  'user/*.rs',
  'openid',
  'system/observation.rs',
  'system/Observation.rs?category=laboratory',
  'system/*.cruds extra',
])('the scope %j is refused rather than ignored', (scope) => {
  expect(() => parseScopes(scope)).toThrow(Failure);
});

test('a refusal names the scope that is needed', () => {
  expect(() => requirePermission(parseScopes('system/Patient.r'), 'Observation', 'search-type')).toThrow(
    /system\/Observation\.s\b/,
  );
});

test('scopes that were parsed mean the same when they are written down and parsed again', () => {
  const letters = fc.subarray([...'cruds'], { minLength: 1 }).map((chosen) => chosen.join(''));
  const scope = fc.tuple(fc.constantFrom('*', 'Patient', 'Observation', 'Encounter'), letters);
  fc.assert(
    fc.property(fc.array(scope, { minLength: 1, maxLength: 6 }), (scopes) => {
      const parsed = parseScopes(scopes.map(([type, permitted]) => `system/${type}.${permitted}`).join(' '));
      expect(parseScopes(parsed.text)).toEqual(parsed);
      for (const [type, permitted] of scopes) {
        if (permitted.includes('r')) expect(permits(parsed, type, 'read')).toBe(true);
      }
    }),
  );
});
