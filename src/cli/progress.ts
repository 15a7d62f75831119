/**
 * What a command that takes longer than two seconds says meanwhile, on standard error: a line that is written over on a
 * terminal, a line now and then elsewhere. Quick commands say nothing.
 */
export type Progress = {
  /** Said when it is time to say something. */
  at(text: () => string): void;
  /** Takes the line away again. */
  done(): void;
};

const AFTER_MS = 2_000;
const TERMINAL_MS = 200;
const ELSEWHERE_MS = 10_000;

/** @param quiet nothing is said at all: standard error of `--json` is for refusals */
export function startProgress(quiet: boolean, out: NodeJS.WriteStream = process.stderr): Progress {
  const everyMs = out.isTTY ? TERMINAL_MS : ELSEWHERE_MS;
  let nextAt = performance.now() + AFTER_MS;
  let shown = false;
  const write = (text: string) => {
    shown = true;
    out.write(out.isTTY ? `\r\u001b[2K${text}` : `${text}\n`);
  };
  return {
    at(text) {
      const now = performance.now();
      if (quiet || now < nextAt) return;
      nextAt = now + everyMs;
      write(text());
    },
    done() {
      if (shown && out.isTTY) out.write('\r\u001b[2K');
      shown = false;
    },
  };
}
