import type { Command } from 'commander';
import { Failure, issue } from '../fhir/failure.ts';
import { addCommand, type OpenPostgres, print, withPostgres } from './context.ts';

type Options = { readonly scope: string; readonly ttl: string; readonly client: string; readonly clinic: string };

/** Names of RFC 6749, 5.1, so that a script reads it like the answer of a token endpoint. */
type TokenAnswer = {
  readonly access_token: string;
  readonly token_type: 'Bearer';
  readonly expires_in: number;
  readonly scope: string;
};

export function register(program: Command): void {
  const command = addCommand(program, {
    name: 'token',
    description:
      'print a bearer token for the FHIR API, signed with the service’s own key; the audit trail keeps that it was issued',
    examples: [
      "token --scope 'system/*.rs' --ttl 3600",
      "token --scope 'system/Observation.rs system/Patient.r' --client dashboard --json",
    ],
  });
  command
    .requiredOption('--scope <scopes>', 'SMART v2 scopes: system/<Type or *>.<letters of cruds in this order>')
    .option('--ttl <seconds>', 'how long it lives', '3600')
    .option('--client <id>', 'who will use it, as the audit trail names them', 'operator')
    .option('--clinic <name>', 'the clinic it is for', 'default')
    .action(async (options: Options) =>
      print(
        command,
        await withPostgres((postgres) => issueToken(postgres, options)),
        ({ access_token }) => access_token,
      ),
    );
}

async function issueToken({ config, clinicPool }: OpenPostgres, options: Options): Promise<TokenAnswer> {
  const [{ openSealing }, { currentSigningKey }, { mintToken }, { tokenIssued }, { fhirBase }] = await Promise.all([
    import('../access/secrets.ts'),
    import('../access/keys.ts'),
    import('../access/tokens.ts'),
    import('../audit/token-event.ts'),
    import('../fhir/base-url.ts'),
  ]);
  const [{ createSigningKeyStore }, { sealingFingerprints }, { createAuditTrail }] = await Promise.all([
    import('../postgres/signing-keys.ts'),
    import('../postgres/sealing-key.ts'),
    import('../postgres/audit.ts'),
  ]);
  const pool = await clinicPool(options.clinic);
  const sealing = await openSealing(config.dataDir, sealingFingerprints(pool));
  const key = await currentSigningKey(createSigningKeyStore(pool), sealing);
  const base = fhirBase(config.baseUrl, options.clinic);
  const now = new Date();
  const request = { base, clientId: options.client, scope: options.scope, ttlSeconds: secondsOf(options.ttl) };
  const minted = await mintToken(key, request, now);
  // A token that nobody could find in the audit trail must not be in anybody's hands.
  await createAuditTrail(pool).record(
    tokenIssued({ ...minted, base, clinic: options.clinic, scope: minted.scopes.text }, now),
  );
  return {
    access_token: minted.token,
    token_type: 'Bearer',
    expires_in: request.ttlSeconds,
    scope: minted.scopes.text,
  };
}

function secondsOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Failure('invalid', issue('value', '--ttl must be a number of seconds'));
}
