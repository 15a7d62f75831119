#!/usr/bin/env -S node --max-semi-space-size=32 --no-allocation-site-pretenuring
// The command. In a checkout it runs the sources, which Node strips of their types; in a package, dist/.
// The heap stays small: left alone, its young part grows by 100 MB, and V8 learns under load to place rows of answers in
// its old part, where they keep their texts until all of it is collected (docs/performance.md).
// An older Node hands over to the npm package `node`, which `npm ci` brings in a checkout.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = fileURLToPath(import.meta.url);
const root = dirname(dirname(here));
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
// Strips types, and is what undici and the FHIR packages ask for.
const newEnough = major >= 24 || (major === 22 && minor >= 19);

if (newEnough) await run();
else handOver();

function handOver() {
  const pinned = pinnedNode();
  if (pinned === undefined) {
    console.error(`error: kap-bridge needs Node 22.19 or 24; this is ${process.versions.node}.`);
    console.error('Run npm ci in a checkout, or npm install node@24 beside the package: each brings one for here.');
    process.exit(5);
  }
  const child = spawn(pinned, [...process.execArgv, here, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));
}

// In node_modules of the checkout, or beside the package.
function pinnedNode() {
  try {
    const folder = dirname(createRequire(here).resolve('node/package.json'));
    const file = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    return existsSync(file) ? file : undefined;
  } catch {
    return undefined; // the package is not there
  }
}

async function run() {
  const packaged = root.split(sep).includes('node_modules') || !existsSync(join(root, 'src', 'cli', 'main.ts'));
  const load = (file) => import(pathToFileURL(join(root, packaged ? `dist/${file}.js` : `${file}.ts`)).href);
  const { runCommand } = await load('src/cli/main');
  // The service is handed in, so that no command imports the wiring.
  const startService = async (config) => (await load('src/main')).startService(config);
  process.exitCode = await runCommand(process.argv.slice(2), { startService });
}
