/** Whether a constraint could ever be evaluated, for who loads a profile: its text alone decides. */
import { createRequire } from 'node:module';
import { parseInvariant } from './parser.ts';

/** Of FHIRPath (http://hl7.org/fhirpath/N1/ and its next version), and what FHIR adds (https://hl7.org/fhir/R4/fhirpath.html). */
const FUNCTIONS = new Set(
  (
    'abs aggregate all allFalse allTrue anyFalse anyTrue as avg ceiling checkModifiers children coalesce combine comparable ' +
    'conformsTo contains convertsToBoolean convertsToDate convertsToDateTime convertsToDecimal convertsToInteger ' +
    'convertsToLong convertsToQuantity convertsToString convertsToTime count decode defineVariable descendants distinct ' +
    'div elementDefinition empty encode endsWith escape exclude exists exp extension first floor getValue hasTemplateIdOf ' +
    'hasValue highBoundary htmlChecks htmlchecks iif indexOf intersect is isDistinct join last lastIndexOf length ln log ' +
    'lower lowBoundary matches matchesFull max memberOf min not now ofType ordinal power precision repeat repeatAll ' +
    'replace replaceMatches resolve round select single skip slice sort split sqrt startsWith subset subsetOf substring ' +
    'subsumedBy subsumes sum supersetOf tail take timeOfDay toBoolean toChars toDate toDateTime toDecimal toInteger ' +
    'toLong toQuantity toString toTime today trace trim truncate type unescape union upper weight where'
  ).split(' '),
);
const OPERATORS = new Set(['and', 'or', 'xor', 'implies', 'in', 'contains', 'is', 'as', 'div', 'mod']);
const TEXTS = /'(?:[^'\\]|\\[\s\S])*'|`(?:[^`\\]|\\[\s\S])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
const MAX_LENGTH = 10_000;

const found = new Map<string, string | undefined>();

/** What is wrong with an expression, for its author; undefined when it can be evaluated. */
export function expressionFault(expression: string): string | undefined {
  if (found.has(expression)) return found.get(expression);
  if (found.size > 10_000) found.clear();
  const fault = faultOf(expression);
  found.set(expression, fault);
  return fault;
}

function faultOf(expression: string): string | undefined {
  if (expression.length > MAX_LENGTH) return `an expression has no more than ${MAX_LENGTH} characters`;
  if (parseInvariant(expression) === undefined && !isParsed(expression)) return 'the expression is no FHIRPath';
  for (const [, name = ''] of expression.replace(TEXTS, "''").matchAll(/([A-Za-z_]\w*)\s*\(/g)) {
    if (FUNCTIONS.has(name) || OPERATORS.has(name)) continue;
    return `FHIRPath has no function ${name.slice(0, 40)}()`;
  }
  return undefined;
}

/** By the engine, for what is beyond our own part of the language. */
function isParsed(expression: string): boolean {
  const { parse } = createRequire(import.meta.url)('fhirpath') as typeof import('fhirpath');
  try {
    parse(expression);
    return true;
  } catch {
    return false; // which is the answer; the engine's words name its own grammar
  }
}
