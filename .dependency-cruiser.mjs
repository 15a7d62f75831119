// The import rules of docs/architecture.md. Imports of types count like all others.

const room = (name) => `^src/${name}/`;
const rooms = ['fhir', 'kap', 'record', 'access', 'audit', 'ehr', 'postgres', 'http', 'cli'];

/** A room may import itself and the rooms named; nothing else of ours. */
function mayImport(name, allowed) {
  const forbidden = rooms.filter((other) => other !== name && !allowed.includes(other));
  return {
    name: `${name}-imports-inward`,
    severity: 'error',
    comment: `src/${name} may import ${[name, ...allowed].join(', ')} (docs/architecture.md)`,
    from: { path: room(name) },
    to: { path: [...forbidden.map(room), ...(name === 'cli' ? [] : ['^src/config\\.ts$']), ...OUTSIDE] },
  };
}

const OUTSIDE = ['^src/main\\.ts$', '^jobs/', '^test/', '^bench/', '^scripts/', '^bin/'];
const packages = (...names) => names.map((name) => `node_modules/${name}/`);

export default {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    mayImport('fhir', []),
    mayImport('kap', ['fhir']),
    mayImport('audit', ['fhir']),
    mayImport('access', ['fhir', 'audit']),
    mayImport('record', ['kap', 'fhir', 'audit']),
    mayImport('ehr', ['kap', 'fhir']),
    mayImport('postgres', ['record', 'access', 'audit', 'ehr', 'kap', 'fhir']),
    mayImport('http', ['record', 'access', 'audit', 'ehr', 'kap', 'fhir']),
    mayImport('cli', ['postgres', 'record', 'access', 'audit', 'ehr', 'kap', 'fhir']),
    {
      name: 'jobs-import-inward',
      severity: 'error',
      comment: 'jobs may import ehr, record, audit and what those may import; main gives them the rest',
      from: { path: '^jobs/' },
      to: {
        path: [...['http', 'cli', 'postgres'].map(room), '^src/(config|main)\\.ts$', '^test/', '^bench/', '^scripts/'],
      },
    },
    {
      name: 'nobody-imports-the-wiring',
      severity: 'error',
      comment: 'main joins the parts; bin, tests and the entry of an API process start it',
      from: { pathNot: ['^(test|bench|bin)/', '^src/api-process\\.ts$'] },
      to: { path: '^src/main\\.ts$' },
    },
    {
      name: 'config-is-given',
      severity: 'error',
      comment: 'config is read at the edge (main, cli) and given to the parts',
      from: { path: '^(src|jobs)/', pathNot: ['^src/(main|config)\\.ts$', room('cli')] },
      to: { path: '^src/config\\.ts$' },
    },
    {
      name: 'sql-lives-in-postgres',
      severity: 'error',
      from: { path: '^(src|jobs)/', pathNot: room('postgres') },
      to: { path: packages('pg', '@types/pg', 'pg-[a-z-]+') },
    },
    {
      name: 'the-inside-knows-no-driver',
      severity: 'error',
      from: { path: '^src/(fhir|kap|record|audit|access)/' },
      to: { path: packages('express', '@types/express', 'bullmq', 'ioredis', 'undici', 'pino', 'commander', 'zod') },
    },
    {
      name: 'shipped-code-needs-shipped-packages',
      severity: 'error',
      comment: 'a package that src or jobs run with belongs into dependencies',
      from: { path: '^(src|jobs|bin)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: 'node_modules/@types/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      mainFields: ['module', 'main', 'types'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
