import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { type Command, Option } from 'commander';
import type { ProbeReport } from '../ehr/probe.ts';
import type { Credentials, EhrTargetRevision } from '../ehr/target.ts';
import type { TargetStore, TargetSummary } from '../ehr/target-store.ts';
import { Failure, issue } from '../fhir/failure.ts';
import { addCommand, type OpenPostgres, print, withPostgres } from './context.ts';
import { table } from './table.ts';

type Common = { readonly clinic: string; readonly by: string };
type Settings = Common & {
  readonly baseUrl?: string;
  readonly identifierSystem?: string;
  readonly dialect?: string;
  readonly auth?: string;
  readonly username?: string;
  readonly clientId?: string;
  readonly tokenEndpoint?: string;
  readonly scopes?: string;
  readonly keyId?: string;
  readonly algorithm?: string;
  readonly secretFile?: string;
  readonly types?: string;
  readonly tier?: string;
  readonly onMissingPatient?: string;
  readonly settleSeconds?: string;
  readonly concurrency?: string;
  readonly sameSystem?: boolean;
  readonly test: boolean;
};

export function register(program: Command): void {
  const target = program.command('target').description('EHR systems that receive what this clinic records');

  const add = addCommand(target, {
    name: 'add',
    description: 'test an EHR and add it; nothing is stored when the test fails',
    examples: [
      'target add mercy --base-url https://fhir.mercy.example.org/r4 --identifier-system urn:oid:2.16.840.1.113883.19.5 --auth client-secret --client-id kap --secret-file ./mercy.secret',
      'target add epic --base-url https://epic.example.org/api/FHIR/R4 --identifier-system urn:oid:1.2.3 --auth private-key-jwt --client-id 0f1e --key-id kap-1 --secret-file ./epic-key.pem --tier 3',
      'target add sandbox --base-url http://127.0.0.1:8090/fhir --identifier-system https://ehr.example.org/mrn --no-test',
    ],
  });
  settingsOf(add.argument('<name>', 'a short name: a-z, 0-9 and -')).action(async (name: string, settings: Settings) =>
    print(add, await addTarget(name, settings), added),
  );

  const revise = addCommand(target, {
    name: 'revise',
    description: 'test a changed description of an EHR and put it in force; what is not named stays',
    examples: ['target revise mercy --secret-file ./new.secret', 'target revise mercy --tier 2 --concurrency 2'],
  });
  settingsOf(revise.argument('<name>'))
    .option('--same-system', 'the new base URL is another address of the same system')
    .action(async (name: string, settings: Settings) => print(revise, await reviseTarget(name, settings), added));

  const test = addCommand(target, {
    name: 'test',
    description: 'ask an EHR whether it answers, speaks FHIR R4, accepts our credentials and finds patients',
    examples: ['target test mercy', 'target test mercy --json'],
  });
  clinicOf(test.argument('<name>')).action(async (name: string, { clinic }: Common) => {
    const report = await withTargets(clinic, async ({ targets }) => probe(await targets.revision(name)));
    print(test, report, reportText);
    if (!report.ok) throw refusalOf(report);
  });

  const list = addCommand(target, {
    name: 'list',
    description: 'every EHR with what waits for it and why it is held',
    examples: ['target list', 'target list --json'],
  });
  clinicOf(list).action(async ({ clinic }: Common) =>
    print(list, await withTargets(clinic, ({ targets }) => targets.list()), summaries),
  );

  const pause = addCommand(target, {
    name: 'pause',
    description: 'send nothing more to an EHR; what is recorded waits',
    examples: ['target pause mercy'],
  });
  operatorOf(clinicOf(pause.argument('<name>'))).action(async (name: string, { clinic, by }: Common) => {
    await withTargets(clinic, ({ targets }) => targets.pause(name, by));
    print(pause, { target: name, paused: true }, () => `${name} is paused`);
  });

  const resume = addCommand(target, {
    name: 'resume',
    description: 'send to an EHR again, and look up anew the patients whose deliveries were held',
    examples: ['target resume mercy'],
  });
  operatorOf(clinicOf(resume.argument('<name>'))).action(async (name: string, { clinic, by }: Common) => {
    const releasedLanes = await withTargets(clinic, ({ targets }) => targets.resume(name, by));
    print(resume, { target: name, paused: false, releasedLanes }, () =>
      [
        `${name} receives again`,
        ...(releasedLanes > 0 ? [`${releasedLanes} held patients are looked up anew`] : []),
      ].join('; '),
    );
  });
}

function clinicOf(command: Command): Command {
  return command.option('--clinic <name>', 'the clinic it belongs to', 'default');
}

function operatorOf(command: Command): Command {
  return command.option('--by <person>', 'who does this, for the audit trail', operator());
}

function operator(): string {
  return userInfo().username;
}

function settingsOf(command: Command): Command {
  return operatorOf(clinicOf(command))
    .option('--base-url <url>', 'FHIR R4 base of the EHR')
    .option('--identifier-system <uri>', 'system of the identifier by which the EHR knows patients (its MRN)')
    .addOption(
      new Option('--auth <method>', 'how it authorizes us').choices([
        'none',
        'basic',
        'client-secret',
        'private-key-jwt',
      ]),
    )
    .option('--username <name>', 'for --auth basic')
    .option('--client-id <id>', 'for --auth client-secret and private-key-jwt')
    .option('--token-endpoint <url>', 'read from .well-known/smart-configuration when absent')
    .option('--scopes <scopes>', 'asked for with the token')
    .option('--key-id <kid>', 'for --auth private-key-jwt')
    .addOption(new Option('--algorithm <alg>', 'for --auth private-key-jwt').choices(['ES384', 'RS384']))
    .option(
      '--secret-file <path>',
      'the password, client secret or PKCS #8 key; - for standard input. Stored encrypted',
    )
    .option('--types <list>', 'resource types to deliver, comma separated')
    .addOption(new Option('--tier <n>', 'how a repeated create is safe there, for all types').choices(['1', '2', '3']))
    .addOption(new Option('--on-missing-patient <what>', 'a patient it does not know').choices(['hold', 'create']))
    .option('--settle-seconds <n>', 'how long after a lost answer a search there is believed')
    .option('--concurrency <n>', 'patients sent for at once')
    .option('--dialect <file>', 'the whole description as JSON; other options override it')
    .option('--no-test', 'store without asking the EHR');
}

type Opened = OpenPostgres & { readonly targets: TargetStore };

async function withTargets<T>(clinic: string, work: (opened: Opened) => Promise<T>): Promise<T> {
  const [{ openSealing }, { sealingFingerprints }, { targetStore }, { fhirBase }] = await Promise.all([
    import('../access/secrets.ts'),
    import('../postgres/sealing-key.ts'),
    import('../postgres/targets.ts'),
    import('../fhir/base-url.ts'),
  ]);
  return withPostgres(async (postgres) => {
    const pool = await postgres.clinicPool(clinic);
    const sealing = await openSealing(postgres.config.dataDir, sealingFingerprints(pool));
    const context = { clinic, observer: fhirBase(postgres.config.baseUrl, clinic) };
    return work({ ...postgres, targets: targetStore(pool, sealing, context) });
  });
}

type Added = { readonly target: string; readonly revision: number; readonly probe: ProbeReport | null };

async function addTarget(name: string, settings: Settings): Promise<Added> {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(name)) {
    throw new Failure('invalid', issue('value', 'A target is named with 1 to 40 of a-z, 0-9 and -'));
  }
  if (settings.baseUrl === undefined) throw new Failure('invalid', issue('required', '--base-url is missing'));
  const described = await describe(name, settings, undefined);
  return withTargets(settings.clinic, async ({ targets }) => {
    if ((await targets.list()).some(({ targetId }) => targetId === name)) {
      throw new Failure('conflict', issue('duplicate', `There is a target named ${name} already: revise it instead`));
    }
    const report = await tested(settings, described);
    const { revision } = await targets.add({ ...described, approvedBy: settings.by });
    return { target: name, revision, probe: report };
  });
}

async function reviseTarget(name: string, settings: Settings): Promise<Added> {
  return withTargets(settings.clinic, async ({ targets }) => {
    const before = await targets.revision(name);
    const described = await describe(name, settings, before);
    if (described.baseUrl !== before.baseUrl && settings.sameSystem !== true) {
      throw new Failure(
        'business-rule',
        issue(
          'business-rule',
          'Another base URL is another system, whose ids are not ours: add it as a new target, or say --same-system',
        ),
      );
    }
    const report = await tested(settings, described);
    const { revision } = await targets.revise({ ...described, approvedBy: settings.by });
    return { target: name, revision, probe: report };
  });
}

async function describe(
  name: string,
  settings: Settings,
  before: EhrTargetRevision | undefined,
): Promise<EhrTargetRevision> {
  const [{ parseBaseUrl, parseDialect }, { loadDefinitions }] = await Promise.all([
    import('../ehr/target.ts'),
    import('../fhir/definitions.ts'),
  ]);
  const file = settings.dialect === undefined ? {} : dialectFile(settings.dialect);
  const given = { ...(before?.dialect as object | undefined), ...file } as Record<string, unknown>;
  const identity = { ...(given.patientIdentity as object | undefined) } as Record<string, unknown>;
  if (settings.identifierSystem !== undefined) identity.identifierSystem = settings.identifierSystem;
  if (settings.onMissingPatient !== undefined) identity.onMissing = settings.onMissingPatient;
  if (identity.identifierSystem === undefined) {
    throw new Failure('invalid', issue('required', '--identifier-system is missing: by it patients are recognised'));
  }
  const auth = authOf(settings, given.auth as Record<string, unknown> | undefined);
  const dialect = parseDialect({
    ...given,
    patientIdentity: identity,
    auth,
    ...(settings.settleSeconds === undefined ? {} : { settleSeconds: Number(settings.settleSeconds) }),
    ...(settings.concurrency === undefined ? {} : { concurrency: Number(settings.concurrency) }),
    ...typesOf(settings, given.types as Record<string, object> | undefined, parseDialect),
  });
  const { resourceTypes } = loadDefinitions();
  const unknown = Object.keys(dialect.types).find((type) => !resourceTypes.includes(type));
  if (unknown !== undefined) {
    throw new Failure('invalid', issue('value', `${unknown} is not a FHIR resource type; nothing would be delivered`));
  }
  const kept = before?.dialect.auth.method === dialect.auth.method ? before.credentials : undefined;
  return {
    targetId: name,
    revision: (before?.revision ?? 0) + 1,
    baseUrl: parseBaseUrl(settings.baseUrl ?? before?.baseUrl ?? '', dialect.allowPlainHttp),
    dialect,
    credentials: credentialsOf(settings, dialect.auth.method, kept),
  };
}

function dialectFile(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new Failure('invalid', issue('value', `--dialect ${path} cannot be read as JSON`), { cause });
  }
  throw new Failure('invalid', issue('value', `--dialect ${path} must hold a JSON object`));
}

function authOf(settings: Settings, before: Record<string, unknown> | undefined): Record<string, unknown> {
  const method = settings.auth ?? before?.method ?? 'none';
  const auth: Record<string, unknown> = before?.method === method ? { ...before } : { method };
  const { username, clientId, tokenEndpoint, scopes, keyId, algorithm } = settings;
  for (const [name, value] of Object.entries({ username, clientId, tokenEndpoint, scopes, keyId, algorithm })) {
    if (value !== undefined) auth[name] = value;
  }
  if (method === 'private-key-jwt') auth.algorithm ??= 'ES384';
  for (const [name, option] of NEEDED_BY[String(method)] ?? []) {
    if (auth[name] === undefined) {
      throw new Failure('invalid', issue('required', `${option} is missing: --auth ${method} needs it`));
    }
  }
  return auth;
}

/** Fields of `auth` that each method cannot do without, and their options. */
const NEEDED_BY: Readonly<Record<string, readonly (readonly [field: string, option: string])[]>> = {
  basic: [['username', '--username']],
  'client-secret': [['clientId', '--client-id']],
  'private-key-jwt': [
    ['clientId', '--client-id'],
    ['keyId', '--key-id'],
  ],
};

function typesOf(
  settings: Settings,
  before: Record<string, object> | undefined,
  parse: (input: unknown) => { types: Record<string, object> },
): { types?: Record<string, object> } {
  if (settings.types === undefined && settings.tier === undefined) return {};
  const standard = parse({ patientIdentity: { identifierSystem: 'x' } }).types;
  const names = settings.types?.split(',').map((type) => type.trim()) ?? Object.keys(before ?? standard);
  const tier = settings.tier === undefined ? {} : { tier: Number(settings.tier) };
  return { types: Object.fromEntries(names.map((type) => [type, { ...before?.[type], ...tier }])) };
}

function credentialsOf(settings: Settings, method: string, kept: Credentials | undefined): Credentials {
  if (method === 'none') return { method: 'none' };
  if (settings.secretFile === undefined) {
    if (kept !== undefined) return kept;
    throw new Failure('invalid', issue('required', `--secret-file is missing: --auth ${method} needs a secret`));
  }
  const secret = secretFrom(settings.secretFile);
  if (method === 'basic') return { method, password: secret };
  if (method === 'client-secret') return { method, clientSecret: secret };
  if (!/^-----BEGIN PRIVATE KEY-----/.test(secret)) {
    const words = '--secret-file must hold a private key in PKCS #8 PEM (-----BEGIN PRIVATE KEY-----)';
    throw new Failure('invalid', issue('value', words));
  }
  return { method: 'private-key-jwt', privateKey: secret };
}

function secretFrom(path: string): string {
  try {
    const secret = readFileSync(path === '-' ? 0 : path, 'utf8').trim();
    if (secret !== '') return secret;
  } catch (cause) {
    throw new Failure('invalid', issue('value', `--secret-file ${path} cannot be read`), { cause });
  }
  throw new Failure('invalid', issue('value', `--secret-file ${path} is empty`));
}

/** The report; a failed test throws, and nothing is stored. */
async function tested(settings: Settings, described: EhrTargetRevision): Promise<ProbeReport | null> {
  if (!settings.test) return null;
  const report = await probe(described);
  if (!report.ok) throw refusalOf(report);
  return report;
}

async function probe(target: EhrTargetRevision): Promise<ProbeReport> {
  const [{ createEhrClient }, { probeTarget }] = await Promise.all([
    import('../ehr/client.ts'),
    import('../ehr/probe.ts'),
  ]);
  const client = createEhrClient(target);
  try {
    return await probeTarget(target, client);
  } finally {
    await client.close();
  }
}

/** Exit codes: 5 when it may work later, 4 when the EHR refuses us, 2 when the description is wrong. */
function refusalOf(report: ProbeReport): Failure {
  const failed = report.checks.filter(({ ok }) => !ok).map(({ detail }) => detail);
  const words = `The EHR did not pass the test, and nothing was changed: ${failed.join('; ')}`;
  if (report.failure === 'unavailable') return new Failure('transient', issue('transient', words));
  if (report.failure === 'refused') return new Failure('forbidden', issue('security', words));
  return new Failure('invalid', issue('value', words));
}

function added({ target, revision, probe: report }: Added): string {
  const head = `${target}: revision ${revision} is in force`;
  return report === null ? `${head}, untested` : `${head}\n${reportText(report)}`;
}

function reportText({ checks, undeclaredTypes }: ProbeReport): string {
  const lines = checks.map(({ check, ok, detail }) => `${ok ? 'ok    ' : 'FAILED'}  ${check}: ${detail}`);
  if (undeclaredTypes.length > 0) {
    lines.push(`note    its CapabilityStatement does not offer create for ${undeclaredTypes.join(', ')}`);
  }
  return lines.join('\n');
}

function summaries(list: readonly TargetSummary[]): string {
  if (list.length === 0) return 'no EHR target: kap-bridge target add --help';
  const headings = [
    'target',
    'revision',
    'state',
    'waiting',
    'unknown',
    'dead letters',
    'held patients',
    'last accepted',
    'base url',
  ];
  return table(
    headings,
    list.map((each) => [
      each.targetId,
      each.revision,
      each.holdReason ?? (each.notBefore === null ? 'sending' : `not before ${each.notBefore.toISOString()}`),
      each.open,
      each.unknown,
      each.deadLetters,
      each.heldLanes,
      each.lastAcceptedAt,
      each.baseUrl,
    ]),
  );
}
