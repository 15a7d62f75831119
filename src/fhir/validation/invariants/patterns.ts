import { RE2JS } from 're2js';

const tests = new Map<string, ((text: string) => boolean) | undefined>();
/** Patterns come with profiles, so there are few; one could also stand in a resource. */
const MAX_KEPT = 1000;

/**
 * FHIRPath `matches()`: whether any part of a text matches; a dot is also a line end. Undefined for a pattern that
 * cannot be tested in time linear in the text (look-around, references back), whoever wrote it.
 */
export function patternTest(pattern: string): ((text: string) => boolean) | undefined {
  if (tests.has(pattern)) return tests.get(pattern);
  if (tests.size >= MAX_KEPT) tests.clear();
  const test = isPlain(pattern) ? nativeTest(pattern) : linearTest(pattern);
  tests.set(pattern, test);
  return test;
}

/** Of an anchored row of characters and classes with one repetition at most, there is nothing to try twice. */
function isPlain(pattern: string): boolean {
  return /^\^(?:\[[^[\]\\]*\]|[A-Za-z0-9 _:@#%=,;<>/-])(?:[A-Za-z0-9 _:@#%=,;<>/-]|\[[^[\]\\]*\]|\{\d{1,3}\})*\+?\$$/.test(
    pattern,
  );
}

function nativeTest(pattern: string): ((text: string) => boolean) | undefined {
  try {
    const expression = new RegExp(pattern, 's');
    return (text) => expression.test(text);
  } catch {
    return undefined; // no regular expression: it cannot be tested, which is what the caller is told
  }
}

function linearTest(pattern: string): ((text: string) => boolean) | undefined {
  const expression = linearPattern(pattern);
  return expression === undefined ? undefined : (text) => expression.test(text);
}

/** Undefined as for `patternTest`. */
export function linearPattern(pattern: string): RE2JS | undefined {
  try {
    return RE2JS.compile(pattern, RE2JS.DOTALL);
  } catch {
    return undefined; // as above
  }
}
