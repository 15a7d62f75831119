/**
 * `npm run build`, and before `npm pack`: dist/ with JavaScript, since Node strips no types below node_modules. The
 * tree is that of the checkout, so what a file finds beside itself is there as well.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const WITH_FILES = ['src', 'jobs', 'fhir-profiles', 'examples'];

rmSync(dist, { recursive: true, force: true });
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
for (const folder of WITH_FILES.filter((name) => existsSync(join(root, name)))) {
  cpSync(join(root, folder), join(dist, folder), { recursive: true, filter: (file) => !file.endsWith('.ts') });
}
const { name, version, type } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, string>;
writeFileSync(join(dist, 'package.json'), `${JSON.stringify({ name, version, type }, null, 2)}\n`);
