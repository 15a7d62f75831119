// Jest sees the same JavaScript that Node runs: types are stripped, nothing is compiled.
import { createHash } from 'node:crypto';
import { stripTypeScriptTypes } from 'node:module';

export default {
  process: (source) => ({ code: stripTypeScriptTypes(source) }),
  getCacheKey: (source, path) => createHash('sha256').update(`${process.version}${path}\0${source}`).digest('hex'),
};
