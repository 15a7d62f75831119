/**
 * Names for statements whose texts come again, so that a connection prepares each once.
 *
 * There are as many shapes of searches as clients think of, and a prepared statement keeps its plan, some 50 KB, in
 * every connection: only the shapes of late have a name. One that was not used for the longest time gives way, and each
 * connection forgets it before it runs its next search. A rare shape goes without.
 */
import type { PoolClient } from 'pg';

const MOST_NAMED = 100;
const MOST_SEEN = 1000;
/** A text that comes as often gets a name. */
const OFTEN = 3;

/** By text, the one that was not used for the longest time first. */
const named = new Map<string, string>();
const seen = new Map<string, number>();
const live = new Set<string>();
let made = 0;
/** Grows with every name that is given up. */
let givenUp = 0;

export function nameOf(text: string): string | undefined {
  const name = named.get(text);
  if (name !== undefined) {
    named.delete(text);
    named.set(text, name);
    return name;
  }
  const times = (seen.get(text) ?? 0) + 1;
  seen.delete(text);
  if (times >= OFTEN) return newName(text);
  if (seen.size >= MOST_SEEN) seen.delete(first(seen));
  seen.set(text, times);
  return undefined;
}

function newName(text: string): string {
  if (named.size >= MOST_NAMED) {
    const oldest = first(named);
    live.delete(named.get(oldest) as string);
    named.delete(oldest);
    givenUp++;
  }
  made++;
  const name = `search-${made}`;
  named.set(text, name);
  live.add(name);
  return name;
}

function first(map: ReadonlyMap<string, unknown>): string {
  return map.keys().next().value as string;
}

type Held = { readonly names: Set<string>; givenUp: number };

const heldBy = new WeakMap<PoolClient, Held>();

function heldOf(client: PoolClient): Held {
  const held = heldBy.get(client) ?? { names: new Set(), givenUp };
  heldBy.set(client, held);
  return held;
}

/** The connection prepares the statement of this name, if it has not yet. */
export function holds(client: PoolClient, name: string): void {
  heldOf(client).names.add(name);
}

/** What was given up is forgotten where it is held. Not within a transaction, which a failure would end. */
export function forgetGivenUp(client: PoolClient): void {
  const held = heldOf(client);
  if (held.givenUp === givenUp) return;
  held.givenUp = givenUp;
  for (const name of held.names) {
    if (live.has(name)) continue;
    held.names.delete(name);
    // The driver keeps the text of each name, too. A statement that is not there is forgotten already.
    const { connection } = client as PoolClient & {
      readonly connection?: { readonly parsedStatements?: Record<string, unknown> };
    };
    delete connection?.parsedStatements?.[name];
    client.query(`deallocate "${name}"`).catch(() => undefined);
  }
}
