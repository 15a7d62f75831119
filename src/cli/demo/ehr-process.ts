/**
 * Starts the demo's EHR beside us and keeps what makes it the same EHR tomorrow: its port, its client's secret and its
 * journal, in one folder.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { Failure, issue } from '../../fhir/failure.ts';
import type { EhrLedger, EhrMessage, EhrSettings } from './ehr-stand-in.ts';

export type Ehr = {
  /** FHIR base, no slash at the end. */
  readonly baseUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  ledger(): Promise<EhrLedger>;
  /** An access token, as any client of that EHR gets one. */
  token(): Promise<string>;
  stop(): Promise<void>;
};

const CLIENT_ID = 'kap-bridge';
const identitySchema = z.object({ port: z.number(), clientSecret: z.string() });
type Identity = z.infer<typeof identitySchema>;

/**
 * @param folder where it keeps its things; made when missing
 * @param patientFile the Patient whom its own staff registered
 * @throws Failure `conflict` when the port it had before is taken
 */
export async function startEhr(folder: string, patientFile: string): Promise<Ehr> {
  const identityFile = join(folder, 'identity.json');
  const known = readIdentity(identityFile);
  const clientSecret = known?.clientSecret ?? randomBytes(24).toString('base64url');
  const child = forkEhr({
    EHR_PORT: String(known?.port ?? 0),
    EHR_FOLDER: folder,
    EHR_CLIENT_ID: CLIENT_ID,
    EHR_CLIENT_SECRET: clientSecret,
    EHR_PATIENT: patientFile,
  });
  const message = await firstMessage(child);
  if ('failure' in message) {
    throw new Failure(
      'conflict',
      issue(
        'conflict',
        `The demo's EHR cannot have its port ${known?.port} again: it is in use. End what uses it, or choose another KAP_DATA_DIR`,
      ),
    );
  }
  if (known === undefined) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(identityFile, JSON.stringify({ port: message.port, clientSecret } satisfies Identity), {
      mode: 0o600,
    });
  }
  const origin = `http://127.0.0.1:${message.port}`;
  return {
    baseUrl: `${origin}/fhir`,
    clientId: CLIENT_ID,
    clientSecret,
    ledger: async () => (await (await fetch(`${origin}/ledger`)).json()) as EhrLedger,
    token: () => askToken(origin, clientSecret),
    stop: () => stop(child),
  };
}

function readIdentity(file: string): Identity | undefined {
  return existsSync(file) ? identitySchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
}

/** Of the EHR's environment only what is its own: it is another house, and knows nothing of ours. */
function forkEhr(settings: EhrSettings): ChildProcess {
  const extension = extname(fileURLToPath(import.meta.url)); // .ts in a checkout, .js in a package
  return fork(join(import.meta.dirname, `ehr-stand-in${extension}`), {
    execArgv: ['--no-warnings'],
    env: { PATH: process.env.PATH, ...settings },
  });
}

async function firstMessage(child: ChildProcess): Promise<EhrMessage> {
  const message = once(child, 'message').then(([said]) => said as EhrMessage);
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the demo's EHR ended at its start with code ${code}`);
  });
  return Promise.race([message, ended]);
}

async function askToken(origin: string, clientSecret: string): Promise<string> {
  const answer = await fetch(`${origin}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${CLIENT_ID}:${clientSecret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  return z.object({ access_token: z.string() }).parse(await answer.json()).access_token;
}

async function stop(child: ChildProcess): Promise<void> {
  if (!child.connected) return;
  const ended = once(child, 'exit');
  child.disconnect();
  await ended;
}
