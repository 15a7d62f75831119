/**
 * Whether a code is right: in a value set, or in a code system, with its display.
 *
 * @see https://hl7.org/fhir/R4/valueset-operation-validate-code.html and codesystem-operation-validate-code.html
 */
import type { CodeableConcept, Coding, ValueSet } from '@medplum/fhirtypes';
import { displayIn } from './expansion.ts';
import { grammarOf } from './grammars.ts';
import { byItsForm, type Member, type Membership, memberOf, type ValueSets } from './value-set.ts';

export type CodeQuestion = {
  /** Any of them will do. */
  readonly codings: readonly Coding[];
  /** Abstract concepts are allowed here. */
  readonly abstract?: boolean | undefined;
  readonly displayLanguage?: string | undefined;
};

export type CodeAnswer = {
  readonly result: boolean;
  /** Why not; or, where the code is right, what else is to be said. */
  readonly message?: string;
  readonly display?: string;
};

export async function validateInValueSet(
  sets: ValueSets,
  valueSet: ValueSet,
  question: CodeQuestion,
): Promise<CodeAnswer> {
  const name = valueSet.url ?? 'the value set';
  return firstRight(question, async (coding) => {
    const asked = { system: coding.system ?? '', version: coding.version, code: coding.code ?? '' };
    const found = await sets.holds(valueSet, asked);
    return { found, where: `the value set ${name}` };
  });
}

export async function validateInSystem(
  sets: ValueSets,
  system: string,
  version: string | undefined,
  question: CodeQuestion,
): Promise<CodeAnswer> {
  return firstRight(question, async (coding) => {
    const where = `the code system ${system}`;
    if (coding.system !== undefined && coding.system !== system) return { found: { is: 'out' }, where };
    if (version === undefined && (await sets.lacksVersion(system, coding.version))) {
      const reason = `The version ${coding.version} of ${system} is not known here`;
      return { found: { is: 'unknown', reason }, where };
    }
    const index = await sets.systemWith(coding.code ?? '', system, version ?? coding.version);
    const concept = index?.concept(coding.code ?? '');
    if (index !== undefined && concept !== undefined)
      return { found: { is: 'in', member: memberOf(index, concept) }, where };
    const isCode = grammarOf(system)?.(coding.code ?? '');
    if (isCode === true) return { found: { is: 'in', member: byItsForm(system, coding.code ?? '') }, where };
    if (index?.isComplete === true || isCode === false) return { found: { is: 'out' }, where };
    return {
      found: { is: 'unknown', reason: `The content of ${system} is not here, so its codes cannot be checked` },
      where,
    };
  });
}

type Found = { readonly found: Membership; readonly where: string };

/** The first coding that is right; else what is wrong with them. */
async function firstRight(question: CodeQuestion, look: (coding: Coding) => Promise<Found>): Promise<CodeAnswer> {
  const wrong: CodeAnswer[] = [];
  for (const coding of question.codings) {
    const answer = answerFor(coding, await look(coding), question);
    if (answer.result) return answer;
    wrong.push(answer);
  }
  const [first] = wrong;
  if (first === undefined) return { result: false, message: 'There is no coding with a code to check' };
  const messages = new Set(wrong.map(({ message }) => message));
  return { ...first, message: [...messages].join('; ') };
}

function answerFor(coding: Coding, { found, where }: Found, question: CodeQuestion): CodeAnswer {
  const shown = shownCoding(coding);
  if (found.is === 'unknown') return { result: false, message: found.reason };
  if (found.is === 'out') return { result: false, message: `The code ${shown} is not in ${where}` };
  const { member } = found;
  const display = displayIn(member, question.displayLanguage);
  const shownDisplay = display === undefined ? {} : { display };
  if (member.isAbstract && question.abstract !== true) {
    return {
      result: false,
      message: `The code ${shown} is abstract: it groups others and is no choice`,
      ...shownDisplay,
    };
  }
  if (coding.display !== undefined && !isDisplayOf(coding.display, member)) {
    return { result: false, message: `The display ${JSON.stringify(coding.display)} is incorrect`, ...shownDisplay };
  }
  const hint = member.isInactive ? { message: `The code ${shown} is inactive` } : {};
  return { result: true, ...hint, ...shownDisplay };
}

const ACCENTS = /\p{Mn}/gu;

function plain(text: string): string {
  return text.normalize('NFKD').replace(ACCENTS, '').toLowerCase().trim().replace(/\s+/g, ' ');
}

/** Case, accents and spaces aside; any designation will do. A code that nobody gives words has none to be wrong. */
function isDisplayOf(text: string, { display, designations }: Member): boolean {
  const known = [display, ...designations.map(({ value }) => value)].filter((value) => value !== undefined);
  return known.length === 0 || known.some((value) => plain(value) === plain(text));
}

function shownCoding({ system, code }: Coding): string {
  return system === undefined ? String(code) : `${system}|${code}`;
}

/** The codings of a concept that have a code. */
export function codingsOf({ coding = [] }: CodeableConcept): readonly Coding[] {
  return coding.filter(({ code }) => code !== undefined);
}
