import { Failure, type FailureCode, type Issue } from '../fhir/failure.ts';

/** Everything that is wrong with a unit of work, so that its sender sees it at once. The first one says what kind it is. */
export class Refusals {
  #code: FailureCode | undefined;
  readonly #issues: Issue[] = [];

  add(code: FailureCode, ...issues: readonly Issue[]): void {
    if (issues.length === 0) return;
    this.#code ??= code;
    this.#issues.push(...issues);
  }

  /** Runs `work`; undefined when it is refused, which is remembered. */
  collect<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.add(error.code, ...error.issues);
      return undefined;
    }
  }

  /** @throws Failure with every issue, when there is one */
  throwIfAny(): void {
    if (this.#code !== undefined) throw new Failure(this.#code, this.#issues);
  }
}
