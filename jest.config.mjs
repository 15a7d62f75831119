export default {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/strip-types.mjs' },
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  setupFiles: ['<rootDir>/test/one-realm.mjs'],
  globalSetup: '<rootDir>/test/postgres-server.ts',
  globalTeardown: '<rootDir>/test/postgres-server-stop.ts',
  testTimeout: 60_000,
  maxWorkers: 2,
};
