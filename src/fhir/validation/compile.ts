/**
 * From JSON Schema to the source of a check: Ajv's standalone code, in a form that is bound when it is loaded.
 *
 * Each source is a function of the runtime (runtime.ts) that returns the check. All that a check needs besides its own
 * code stands in the source as data and the name of a runtime function, so the text can be kept on disk and run by
 * another process.
 */
import { Script } from 'node:vm';
import { Ajv, type AnySchemaObject } from 'ajv';
import { _ } from 'ajv/dist/compile/codegen/code.js';
import { addFhirKeywords } from './keywords.ts';
import { primitives } from './primitives.ts';
import type { Runtime } from './runtime.ts';
import type { TypeCheck } from './type-check.ts';

export type CheckFactory = (runtime: Runtime) => TypeCheck;
export type Compiler = (schema: AnySchemaObject) => string;

/** What Ajv remembers of schemas that it has compiled has no end: after so many a new one is made. */
const SCHEMAS_OF_ONE_AJV = 100;

export function createCompiler(): Compiler {
  let ajv = createAjv();
  let left = SCHEMAS_OF_ONE_AJV;
  return (schema) => {
    if (left-- === 0) {
      ajv = createAjv();
      left = SCHEMAS_OF_ONE_AJV;
    }
    const { source } = ajv.compile(schema);
    ajv.removeSchema(schema);
    if (source === undefined) throw new Error('Ajv gave no source');
    return factorySource(source);
  };
}

function createAjv(): Ajv {
  const ajv = new Ajv({
    allErrors: true,
    strict: false,
    validateSchema: false,
    addUsedSchema: false,
    messages: false,
    inlineRefs: false,
    logger: false,
    code: { optimize: false, source: true, formats: _`runtime.formats` },
  });
  for (const [name, primitive] of Object.entries(primitives)) {
    if (!('test' in primitive)) continue;
    if (primitive.json === 'string') ajv.addFormat(name, { type: 'string', validate: primitive.test });
    else ajv.addFormat(name, { type: 'number', validate: primitive.test });
  }
  addFhirKeywords(ajv);
  return ajv;
}

type AjvSource = NonNullable<ReturnType<Ajv['compile']>['source']>;

function factorySource({ validateName, validateCode, scopeValues }: AjvSource): string {
  const constants: string[] = [];
  for (const [prefix, names] of Object.entries(scopeValues)) {
    // The schema itself is of no use to the code, and as long.
    if (prefix === 'schema' || prefix === 'validate') continue;
    for (const name of names ?? []) constants.push(`const ${name.str} = ${String(name.value?.code)};`);
  }
  return `function (runtime) {${constants.join('')}${validateCode}return ${validateName.str};}`;
}

/** The text `({ "Observation": function (runtime) {...}, ... })`, whose value has all factories by name. */
export function tableSource(sources: ReadonlyMap<string, Buffer>): Buffer {
  const parts: Buffer[] = [Buffer.from('({\n')];
  for (const [name, source] of sources)
    parts.push(Buffer.from(`${JSON.stringify(name)}: `), source, Buffer.from(',\n'));
  return Buffer.concat([...parts, Buffer.from('})')]);
}

export function evaluate(source: string): CheckFactory {
  return new Script(`(${source})`, { filename: 'kap-bridge-check.js' }).runInThisContext() as CheckFactory;
}
