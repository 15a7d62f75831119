/**
 * What the demo's EHR keeps: Medplum's MemoryRepository with a journal on disk.
 *
 * The journal has one line per accepted version, appended before the answer leaves, and is replayed at start. So the
 * EHR of yesterday's demo is the EHR of today's, and the journal is the proof of what was written there.
 */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { badRequest, forbidden, isCreated, OperationOutcomeError, validateResource, type WithId } from '@medplum/core';
import { type CreateResourceOptions, MemoryRepository } from '@medplum/fhir-router';
import type { Resource } from '@medplum/fhirtypes';

/** One accepted version. */
export type JournalEntry = {
  /** `registered`: by the EHR's own staff, not by a client. */
  readonly effect: 'registered' | 'created' | 'updated';
  readonly resource: Resource;
};

type ConditionalCreate = MemoryRepository['conditionalCreate'];

export class ChartRepository extends MemoryRepository {
  readonly #journalFile: string;
  readonly #entries: JournalEntry[] = [];

  constructor(journalFile: string) {
    super();
    this.#journalFile = journalFile;
  }

  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** Brings back what the journal says, with its ids and versions. */
  async replay(): Promise<void> {
    const entries = readJournal(this.#journalFile);
    await this.withSeeding(async () => {
      for (const { resource } of entries) await super.createResource(resource, undefined, true);
    });
    this.#entries.push(...entries);
  }

  /** What the EHR's own staff enters. */
  async register(resource: Resource): Promise<void> {
    this.#write({ effect: 'registered', resource: await super.createResource(resource) });
  }

  /** Creates, and updates too: MemoryRepository sends both through here. */
  override async createResource<T extends Resource>(
    resource: T,
    options?: CreateResourceOptions,
    update = false,
  ): Promise<WithId<T>> {
    await this.#accept(resource);
    const known = update && resource.id !== undefined && (await this.#has(`${resource.resourceType}/${resource.id}`));
    const stored = await super.createResource(resource, options, update);
    this.#write({ effect: known ? 'updated' : 'created', resource: stored });
    return stored;
  }

  /** MemoryRepository creates here without createResource(), so that nothing can come between search and create. */
  override async conditionalCreate<T extends Resource>(
    ...[resource, search, options]: Parameters<ConditionalCreate>
  ): Promise<{ resource: WithId<T>; outcome: Awaited<ReturnType<ConditionalCreate>>['outcome'] }> {
    await this.#accept(resource);
    const result = await super.conditionalCreate(resource as T, search as never, options);
    if (isCreated(result.outcome)) this.#write({ effect: 'created', resource: result.resource });
    return result;
  }

  /** A chart entry is corrected, never removed. */
  override async deleteResource(): Promise<void> {
    throw new OperationOutcomeError(forbidden);
  }

  /**
   * What this EHR refuses: whatever Medplum's validator refuses, and a reference to something it does not hold, which
   * is how a real one answers too.
   */
  async #accept(resource: Resource): Promise<void> {
    validateResource(resource);
    for (const { reference, path } of literalReferences(resource, resource.resourceType)) {
      if (!(await this.#has(reference))) {
        throw new OperationOutcomeError(badRequest(`There is no ${reference} here`, path));
      }
    }
  }

  async #has(reference: string): Promise<boolean> {
    const [found] = await this.readReferences([{ reference }]);
    return found !== undefined && !(found instanceof Error);
  }

  #write(entry: JournalEntry): void {
    appendFileSync(this.#journalFile, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    this.#entries.push(entry);
  }
}

/** A last line that was cut off by a crash was never answered, and is taken away. */
function readJournal(file: string): JournalEntry[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) truncateSync(file, Buffer.byteLength(whole));
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JournalEntry);
}

/** References to resources of this server; absolute urls and contained resources are not. */
function* literalReferences(value: unknown, path: string): Generator<{ reference: string; path: string }> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, child] of Object.entries(value)) {
    const childPath = Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`;
    if (name === 'reference' && typeof child === 'string' && !/^(#|https?:)/.test(child)) {
      yield { reference: child, path: childPath };
    } else {
      yield* literalReferences(child, childPath);
    }
  }
}
