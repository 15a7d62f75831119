/**
 * The least a Node server can do, as a process of its own: `/const` answers a constant 1 KB of JSON, `/select` one
 * Observation by primary key. Forked with HTTP_KIND ('http' or 'express') and POSTGRES_URL; tells its port, ends with
 * its parent.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import pg from 'pg';
import { rng, singleObservation } from './kap-data.ts';

const ROWS = 20_000;
const r = rng('http-limit');
const body = (filling: string) =>
  JSON.stringify({ resourceType: 'Basic', id: 'const', text: { status: 'generated', div: `<div>${filling}</div>` } });
const constant = body('x'.repeat(1024 - body('').length));

const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL, max: 16 });
await pool.query('drop table if exists limit_read');
await pool.query('create table limit_read (id uuid primary key, content jsonb not null)');
const ids = Array.from({ length: ROWS }, () => r.uuid());
await pool.query('insert into limit_read select * from unnest($1::uuid[], $2::jsonb[])', [
  ids,
  ids.map(() => JSON.stringify(singleObservation(`Patient/${r.uuid()}`, r.int(0, 300000), r))),
]);

async function select(): Promise<string> {
  const { rows } = await pool.query<{ content: string }>({
    name: 'by-key',
    text: 'select content::text as content from limit_read where id = $1',
    values: [r.pick(ids)],
  });
  return rows[0]?.content ?? '';
}

function bare() {
  return createServer(async (req, res) => {
    const text = req.url === '/select' ? await select() : constant;
    res.writeHead(200, { 'content-type': 'application/fhir+json', 'content-length': Buffer.byteLength(text) });
    res.end(text);
  });
}

function expressAsItComes() {
  const app = express();
  app.get('/const', (_req, res) => void res.type('application/fhir+json').send(constant));
  app.get('/select', async (_req, res) => void res.type('application/fhir+json').send(await select()));
  return createServer(app);
}

const server = process.env.HTTP_KIND === 'express' ? expressAsItComes() : bare();
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', async () => {
  await pool.query('drop table limit_read');
  process.exit(0);
});
