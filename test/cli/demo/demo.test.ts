import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../free-port.ts';

const COMMAND = join(import.meta.dirname, '../../../bin/kap-bridge.mjs');
const EXAMPLES = join(import.meta.dirname, '../../../examples');

let dataDir: string;
let port: number;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'kap-demo-'));
  port = await freePort();
});

afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

test('a whole course is recorded and delivered once, however often the demo runs', async () => {
  const first = await demo('--exit', '--json');
  expect(first).toMatchObject({ code: 0 });
  const report = JSON.parse(first.stdout) as Report;
  const seen = report.encounters.map(({ title, interval, findings, state }) => ({ title, interval, findings, state }));
  const infusion = { title: 'Ketamine infusion visit', interval: null, findings: [], state: 'accepted' };
  const therapy = { title: 'Integration psychotherapy session', findings: [], state: 'accepted' };
  expect(seen).toEqual([
    { title: 'Medical clearance and psychiatric consult', interval: null, findings: [], state: 'accepted' },
    infusion,
    { ...therapy, interval: '27.6 h, in window' },
    infusion,
    { ...therapy, interval: '70.2 h, late', findings: ['R-04 integration-late'] },
    infusion,
    { ...therapy, interval: '28.95 h, in window' },
    infusion,
    { ...therapy, interval: '47.67 h, in window' },
  ]);
  // The correction of the third session is an update of what was there; the psychotherapy note stays here.
  expect(report.ehr.created).toBeGreaterThan(200);
  expect(report.ehr.updated).toBeGreaterThan(0);
  expect(report.ehr.deliveries).toEqual({ accepted: report.ehr.created + report.ehr.updated, withheld: 1 });
  const journal = readFileSync(join(dataDir, 'demo-ehr', 'journal.ndjson'), 'utf8');
  const note = noteOfTheCourse();
  expect(journal).toContain('Integration psychotherapy session');
  expect(journal).not.toContain(note);
  expect(journal).not.toContain(Buffer.from(note).toString('base64'));

  const second = await demo('--exit', '--json');
  expect(second).toMatchObject({ code: 0 });
  expect(JSON.parse(second.stdout)).toEqual({
    ...report,
    recorded: { ...report.recorded, resources: expect.any(Number), created: 0 },
    ehr: { ...report.ehr, created: 0, updated: 0 },
  });
  expect(readFileSync(join(dataDir, 'demo-ehr', 'journal.ndjson'), 'utf8')).toBe(journal);
}, 180_000);

test('a port that is in use is named, and nothing is left running', async () => {
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  try {
    const { code, stderr } = await demo('--exit');
    expect(code).toBe(5);
    expect(stderr).toContain(`Port ${port} is in use`);
  } finally {
    other.close();
  }
});

type Report = {
  readonly encounters: readonly {
    readonly title: string;
    readonly interval: string | null;
    readonly findings: readonly string[];
    readonly state: string;
  }[];
  readonly recorded: { readonly resources: number; readonly created: number };
  readonly ehr: {
    readonly created: number;
    readonly updated: number;
    readonly deliveries: Readonly<Record<string, number>>;
  };
};

function demo(...options: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [COMMAND, 'demo', ...options],
      {
        env: { PATH: process.env.PATH, HOME: process.env.HOME, KAP_DATA_DIR: dataDir, KAP_PORT: String(port) },
      },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

function noteOfTheCourse(): string {
  const { parameter } = JSON.parse(readFileSync(join(EXAMPLES, '03-integration-1.parameters.json'), 'utf8')) as {
    parameter: { name: string; valueString?: string }[];
  };
  return parameter.find(({ name }) => name === 'psychotherapyNote')?.valueString as string;
}
