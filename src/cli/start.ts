import type { Command } from 'commander';
import { type Config, readConfig } from '../config.ts';
import { addCommand } from './context.ts';

/** The service as src/main.ts starts it; handed in, since nothing imports the wiring. */
export type StartService = (config: Config) => Promise<RunningService>;

export type RunningService = {
  /** FHIR base of the default clinic. */
  readonly fhirBase: string;
  /** Answers what it has begun, then ends. */
  close(): Promise<void>;
};

export function register(program: Command, startService: StartService): void {
  const command = addCommand(program, {
    name: 'start',
    description: 'run the service in the foreground until SIGTERM or SIGINT (KAP_ROLE chooses its parts)',
    examples: ['start', 'start --json'],
  });
  command.action(async ({ json }: { json?: boolean }) => {
    const ended = firstSignal(); // before the start, so that an impatient Ctrl-C still ends in order
    const { config } = readConfig();
    const service = await startService(config);
    const ready = service.fhirBase;
    // One line, as the log has around it.
    console.log(json ? JSON.stringify({ ready, pid: process.pid }) : `kap-bridge is ready: ${ready}`);
    await ended;
    await service.close();
  });
}

function firstSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => resolve());
  });
}
