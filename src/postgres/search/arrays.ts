/** Search rows as parameters of a statement: one array per column, in the order of the columns of each table. */
import { folded, key64 } from '../../fhir/search/values.ts';
import type { SearchColumns, TokenColumns } from '../../record/search-rows.ts';
import { booleanArray, numberArray, textArray } from '../arrays.ts';

/** Of idx_token, idx_reference, idx_date, idx_string, idx_quantity and idx_uri: 38 arrays. */
export function rowArrays({ token, reference, date, string, quantity, uri }: SearchColumns): string[] {
  return [
    numberArray(token.param),
    numberArray(token.element),
    numberArray(token.patient),
    numberArray(token.system),
    numberArray(token.text.map(textKey)),
    numberArray(token.rid),
    textArray(token.code),
    numberArray(reference.param),
    numberArray(reference.element),
    numberArray(reference.rid),
    textArray(reference.target),
    numberArray(date.param),
    booleanArray(date.wide),
    numberArray(date.element),
    numberArray(date.patient),
    numberArray(date.rid),
    numberArray(date.low),
    numberArray(date.high),
    numberArray(string.param),
    numberArray(string.element),
    numberArray(string.rid),
    textArray(string.folded),
    textArray(string.exact),
    numberArray(quantity.param),
    numberArray(quantity.element),
    numberArray(quantity.rid),
    numberArray(quantity.low),
    numberArray(quantity.high),
    numberArray(quantity.system),
    numberArray(quantity.canonicalLow),
    numberArray(quantity.canonicalHigh),
    textArray(quantity.code),
    textArray(quantity.unit),
    textArray(quantity.canonicalCode),
    numberArray(uri.param),
    numberArray(uri.element),
    numberArray(uri.rid),
    textArray(uri.value),
  ];
}

function textKey(text: string): string | null {
  return text === '' ? null : key64(text);
}

/** Rows of token_text that are surely there: those of committed writes of this process. */
export type KnownTexts = Set<string>;

const MOST_KNOWN = 50_000;

export type NewTexts = {
  /** Of token_text: five arrays. */
  readonly arrays: readonly string[];
  /** To be called once they are committed. */
  readonly remember: () => void;
};

/** The texts of codes that may not be in token_text yet, each once. */
export function newTexts({ param, system, text, code }: TokenColumns, known: KnownTexts): NewTexts {
  const found = new Map<string, number>();
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '') continue;
    const name = `${param[i]} ${system[i]} ${code[i]}\n${text[i]}`;
    if (!known.has(name)) found.set(name, i);
  }
  const at = [...found.values()];
  return {
    arrays: [
      numberArray(at.map((i) => param[i] as number)),
      numberArray(at.map((i) => system[i] as string)),
      numberArray(at.map((i) => key64(text[i] as string))),
      textArray(at.map((i) => code[i] as string)),
      textArray(at.map((i) => foldedLines(text[i] as string))),
    ],
    remember() {
      if (known.size > MOST_KNOWN) known.clear();
      for (const name of found.keys()) known.add(name);
    },
  };
}

/** A line break before each line, so that a text that starts with a value is one that contains it behind a break. */
function foldedLines(text: string): string {
  return text
    .split('\n')
    .map((line) => `\n${folded(line)}`)
    .join('');
}
