import { Failure, type Issue, issue } from '../failure.ts';

/** What is wrong with one definition, collected so that its author sees all of it at once. */
export class Faults {
  readonly #url: string;
  readonly issues: Issue[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  /** `words` say what is wrong and what to do; `place` is FHIRPath in the definition, `id` the element. */
  add(place: string, words: string, id?: string): void {
    if (this.issues.length >= MAX_FAULTS) return;
    const subject = id === undefined ? this.#url : `${this.#url}, element ${id}`;
    this.issues.push(issue('business-rule', `${subject}: ${words}`, `StructureDefinition${place}`));
  }

  /** @throws Failure `business-rule` with all that was found */
  refuse(): void {
    if (this.issues.length > 0) throw new Failure('business-rule', this.issues);
  }
}

/** A definition with more is broken in one way many times. */
const MAX_FAULTS = 50;
