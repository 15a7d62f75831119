import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig, withoutPassword } from '../src/config.ts';
import { Failure } from '../src/fhir/failure.ts';

function refusal(environment: Record<string, string>): Failure {
  try {
    readConfig(environment);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const sourceOf = (environment: Record<string, string>, name: string) =>
  readConfig(environment).settings.find((setting) => setting.name === name)?.source;

test('without any environment variable the service runs whole, on the loopback address, with its own PostgreSQL', () => {
  const { config, settings } = readConfig({});
  expect(config).toMatchObject({ port: 8080, host: '127.0.0.1', baseUrl: 'http://127.0.0.1:8080', role: 'all' });
  expect(config.databaseUrl).toBeUndefined();
  expect(config.redisUrl).toBeUndefined();
  expect(config.dataDir).toBe(join(process.cwd(), '.kap'));
  expect(settings.every((setting) => setting.source === 'default')).toBe(true);
});

test('the base url follows the port unless it is given', () => {
  expect(readConfig({ KAP_PORT: '9000' }).config.baseUrl).toBe('http://127.0.0.1:9000');
  expect(readConfig({ KAP_BASE_URL: 'https://fhir.example.org/' }).config.baseUrl).toBe('https://fhir.example.org');
});

test('each value tells where it came from', () => {
  expect(sourceOf({ KAP_PORT: '9000' }, 'KAP_PORT')).toBe('environment');
  expect(sourceOf({ KAP_PORT: '9000' }, 'KAP_ROLE')).toBe('default');
});

test('pages of any origin may call, of those that are listed, or of none', () => {
  const allowed = (text: string) => readConfig({ KAP_CORS_ORIGINS: text }).config.corsOrigins;
  expect(readConfig({}).config.corsOrigins).toBe('*');
  expect(allowed('https://app.example.org, http://localhost:3000')).toEqual([
    'https://app.example.org',
    'http://localhost:3000',
  ]);
  expect(allowed('none')).toEqual([]);
});

test('a password is shown to nobody', () => {
  const { config, settings } = readConfig({ DATABASE_URL: 'postgres://kap:hunter2@db:5432/kap' });
  expect(config.databaseUrl).toContain('hunter2');
  expect(JSON.stringify(settings)).not.toContain('hunter2');
  expect(withoutPassword('postgres://kap@db/kap?password=hunter2')).not.toContain('hunter2');
  expect(withoutPassword('redis://:hunter2@redis:6379')).toBe('redis://:***@redis:6379');
});

test.each([
  ['KAP_PORT', 'eighty'],
  ['KAP_PORT', '0'],
  ['KAP_PORT', '65536'],
  ['KAP_HOST', 'fhir.example.org'],
  ['KAP_BASE_URL', 'ftp://fhir.example.org'],
  ['KAP_ROLE', 'everything'],
  ['WORKERS', '0'],
  ['WORKERS', '1.5'],
  ['WORKERS', 'all'],
  ['DATABASE_URL', 'mysql://kap@db/kap'],
  ['REDIS_URL', 'localhost:6379'],
  ['KAP_LOG_LEVEL', 'loud'],
  ['KAP_CORS_ORIGINS', 'app.example.org'],
  ['KAP_CORS_ORIGINS', 'https://app.example.org/path'],
])('%s=%s is refused by name', (name, value) => {
  const failure = refusal({ [name]: value });
  expect(failure.code).toBe('invalid');
  expect(failure.issues).toHaveLength(1);
  expect(failure.message).toContain(name);
});

test('all bad values are told at once, and none is repeated', () => {
  const failure = refusal({ KAP_PORT: 'eighty', DATABASE_URL: 'hunter2', KAP_ROLE: 'everything' });
  expect(failure.issues).toHaveLength(3);
  expect(failure.message).not.toMatch(/hunter2|eighty/);
});

test('several API processes are refused where the role has none', () => {
  expect(readConfig({ WORKERS: '4' }).config.workers).toBe(4);
  expect(refusal({ KAP_ROLE: 'worker', WORKERS: '2' }).message).toContain('WORKERS');
});

test('an empty variable counts as not set', () => {
  expect(readConfig({ DATABASE_URL: '', KAP_PORT: ' ' }).config).toMatchObject({ port: 8080 });
});

describe('secrets from files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kap-bridge-config-'));
  const file = join(folder, 'database-url');
  writeFileSync(file, 'postgres://kap:hunter2@db:5432/kap\n');
  afterAll(() => rmSync(folder, { recursive: true }));

  test('DATABASE_URL_FILE names a file that holds the url', () => {
    expect(readConfig({ DATABASE_URL_FILE: file }).config.databaseUrl).toBe('postgres://kap:hunter2@db:5432/kap');
    expect(sourceOf({ DATABASE_URL_FILE: file }, 'DATABASE_URL')).toBe(`file ${file}`);
  });

  test('a url and its file together are refused', () => {
    const failure = refusal({ DATABASE_URL_FILE: file, DATABASE_URL: 'postgres://db/kap' });
    expect(failure.message).toContain('both set');
  });

  test('a file that is not there is refused by its name', () => {
    expect(refusal({ REDIS_URL_FILE: join(folder, 'absent') }).message).toContain('absent');
  });
});
