/** Whether the process lives, and whether requests will succeed. */

export type Dependency = {
  readonly name: string;
  /** Resolves when it is in order; rejects with the reason, which names no secret. */
  readonly check: () => Promise<void>;
};

export type Readiness = { readonly ready: boolean; readonly checks: Readonly<Record<string, 'ok' | string>> };

const CHECK_MS = 2_000;

/** Every dependency is asked, each for 2 s at most. */
export async function readiness(dependencies: readonly Dependency[]): Promise<Readiness> {
  const results = await Promise.all(dependencies.map(async ({ name, check }) => [name, await stateOf(check)] as const));
  return { ready: results.every(([, state]) => state === 'ok'), checks: Object.fromEntries(results) };
}

async function stateOf(check: () => Promise<void>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('does not answer'), CHECK_MS);
  });
  const asked = check().then(
    () => 'ok',
    // The kind only: a message of a driver may hold an address with a password.
    (error: unknown) => (error instanceof Error && 'code' in error ? `failed (${String(error.code)})` : 'failed'),
  );
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}
