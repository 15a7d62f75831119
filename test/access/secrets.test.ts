import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { openSealing, sealingWith } from '../../src/access/secrets.ts';
import { sealingFingerprints } from '../../src/postgres/sealing-key.ts';
import { createTestDatabase, type TestDatabase } from '../postgres.ts';

let database: TestDatabase;
let folder: string;
beforeEach(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'kap-bridge-secrets-'));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await database.drop();
});
const fingerprints = () => sealingFingerprints(database.clinicPool());

test('the key is made on first use, for its owner only, and opens what another process sealed', async () => {
  const sealed = (await openSealing(folder, fingerprints())).seal('secret', 'place');
  expect(statSync(join(folder, 'master.key')).mode & 0o777).toBe(0o600);
  expect((await openSealing(folder, fingerprints())).open(sealed, 'place')).toBe('secret');
  expect(sealed.toString('latin1')).not.toContain('secret');
});

test('processes that start at once agree on one key', async () => {
  const all = await Promise.all(Array.from({ length: 8 }, () => openSealing(folder, fingerprints())));
  const sealed = all[0]?.seal('secret', 'place') as Buffer;
  expect(all.map((each) => each.open(sealed, 'place'))).toEqual(Array(8).fill('secret'));
});

test('a database sealed with another key is refused before anything is sealed, and the stray key is not kept', async () => {
  await openSealing(folder, fingerprints());
  const other = mkdtempSync(join(tmpdir(), 'kap-bridge-secrets-'));
  await expect(openSealing(other, fingerprints())).rejects.toThrow(/There is no master key/);
  writeFileSync(join(other, 'master.key'), Buffer.alloc(32, 9).toString('base64'));
  await expect(openSealing(other, fingerprints())).rejects.toThrow(/is not the one that sealed/);
  rmSync(other, { recursive: true });
});

test.each(['', 'short', 'not base64 at all, but long enough to be one!!!'])(
  'a file that holds no key is refused: %p',
  async (text) => {
    writeFileSync(join(folder, 'master.key'), text);
    await expect(openSealing(folder, fingerprints())).rejects.toThrow(/does not hold a master key/);
    expect(readFileSync(join(folder, 'master.key'), 'utf8')).toBe(text);
  },
);

test('what was sealed opens where it belongs, and an altered byte, another row or another key opens nothing', () => {
  const sealing = sealingWith(Buffer.alloc(32, 1));
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(), fc.integer({ min: 1, max: 255 }), (plain, place, at, flip) => {
      const sealed = sealing.seal(plain, place);
      expect(sealing.open(sealed, place)).toBe(plain);
      expect(() => sealing.open(sealed, `${place}x`)).toThrow(/belongs to another row/);
      const altered = Buffer.from(sealed);
      const index = at % altered.length;
      altered[index] = (altered[index] as number) ^ flip;
      expect(() => sealing.open(altered, place)).toThrow(/A sealed secret/);
      expect(() => sealingWith(Buffer.alloc(32, 2)).open(sealed, place)).toThrow(/another master key/);
    }),
  );
});

test('two seals of one secret differ', () => {
  const sealing = sealingWith(Buffer.alloc(32, 1));
  expect(sealing.seal('secret', 'place')).not.toEqual(sealing.seal('secret', 'place'));
});
