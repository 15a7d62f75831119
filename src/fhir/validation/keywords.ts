/**
 * The JSON Schema keywords that FHIR needs beyond the standard ones, as Ajv code. Base types and profiles share them.
 *
 * A keyword emits code that calls functions of the runtime (runtime.ts), named with their data. Hostile input must not
 * grow the list of findings: a keyword reports what it finds once per object or list, with a bounded number of places
 * in its parameters, and nothing is descended into once MAX_FINDINGS is reached. Below a `fhirType`, paths start anew;
 * they are completed only when there is something to report, so that valid data never pays for a path.
 */
import { _, type Ajv, type Code, type KeywordCxt, type Name } from 'ajv';
import { strConcat, stringify } from 'ajv/dist/compile/codegen/code.js';
import ajvNames from 'ajv/dist/compile/names.js';
import { Type } from 'ajv/dist/compile/util.js';
import type { Finding, Runtime } from './runtime.ts';
import { type ElementKeys, MAX_FINDINGS } from './type-check.ts';

const names = ajvNames.default; // a CommonJS module

export function addFhirKeywords(ajv: Ajv): void {
  addDescents(ajv);
  addObjectKeywords(ajv);
  addListKeywords(ajv);
  addValueKeywords(ajv);
  addInvariantKeywords(ajv);
  addSlices(ajv);
}

/** A function of the runtime as a constant of the check; equal ones are one constant. */
function fromRuntime(cxt: KeywordCxt, name: keyof Runtime, ...data: unknown[]): Name {
  const given = data.map((value) => stringify(value).toString()).join(', ');
  const code = `runtime.${name}(${given})`;
  return cxt.gen.scopeValue('func', { ref: code, key: code, code: rawCode(code) });
}

/** The state of the check that runs. */
function stateOf(cxt: KeywordCxt): Name {
  return cxt.gen.scopeValue('obj', { ref: 'state', key: 'state', code: rawCode('runtime.state') });
}

function rawCode(code: string): Code {
  const text = stringify('');
  return new (text.constructor as new (code: string) => Code)(code);
}

/**
 * `fhirType: path`: the value is of a complex type, or has the content of a backbone element. `conforms: canonicals`:
 * the value meets one of the profiles. `seen: true`: there is an extension somewhere.
 */
function addDescents(ajv: Ajv): void {
  descent(ajv, 'fhirType', 'object', 'string', (cxt) => fromRuntime(cxt, 'type', cxt.schema));
  descent(ajv, 'conforms', undefined, 'array', (cxt) => fromRuntime(cxt, 'conforms', cxt.schema));
  ajv.addKeyword({
    keyword: 'seen',
    schemaType: 'boolean',
    code: (cxt: KeywordCxt) => cxt.gen.assign(_`${stateOf(cxt)}.sawExtension`, true),
  });
}

function descent(
  ajv: Ajv,
  keyword: string,
  type: 'object' | undefined,
  schemaType: 'string' | 'array',
  checkOf: (cxt: KeywordCxt) => Name,
): void {
  ajv.addKeyword({
    keyword,
    ...(type === undefined ? {} : { type }),
    schemaType,
    code(cxt: KeywordCxt) {
      const { gen, data } = cxt;
      const check = checkOf(cxt);
      const top = gen.scopeValue('obj', { ref: 'TOP', key: 'TOP', code: rawCode('runtime.TOP') });
      const under = gen.scopeValue('func', { ref: 'under', key: 'under', code: rawCode('runtime.errorsUnder') });
      gen.if(_`${names.errors} < ${MAX_FINDINGS} && !${check}(${data}, ${top})`, () => {
        gen.assign(names.vErrors, _`${under}(${names.vErrors}, ${check}.errors, ${pathOf(cxt)})`);
        gen.assign(names.errors, _`${names.vErrors}.length`);
      });
    },
  });
}

function pathOf(cxt: KeywordCxt): Name {
  return cxt.gen.const('path', strConcat(names.instancePath, cxt.it.errorPath));
}

/**
 * `keys`: no other elements, at most one type of a choice, not only an id. `needs`: one of several keys. `absent`: elements that a profile leaves out. `counted`: how often elements of a profile repeat.
 * `extended`: what must stand beside a primitive value; `valued`: where the value must stand. `pairs`: each null of a list has its sibling in the other list.
 */
function addObjectKeywords(ajv: Ajv): void {
  finding(ajv, 'object', 'keys');
  finding(ajv, 'object', 'pairs');
  finding(ajv, 'object', 'absent');
  finding(ajv, 'object', 'counted');
  finding(ajv, 'object', 'extended');
  finding(ajv, 'object', 'valued');
  ajv.addKeyword({
    keyword: 'needs',
    type: 'object',
    schemaType: 'array',
    error: { message: 'is missing', params: ({ params }) => _`{found: ${params.found}}` },
    code(cxt: KeywordCxt) {
      for (const { name, keys, slice } of cxt.schema as (ElementKeys & { slice?: string })[]) {
        const absent = keys.map((key) => _`${cxt.data}[${key}] === undefined`);
        const all = absent.reduce((left, right) => _`${left} && ${right}`);
        cxt.gen.if(all, () => {
          cxt.setParams({ found: stringify(slice === undefined ? [name] : [name, slice]) });
          cxt.error(true);
        });
      }
    },
  });
}

/** `list: schema`: like `items`, up to MAX_FINDINGS. `primitives: type`: primitives or nulls. `boundList: url`. */
function addListKeywords(ajv: Ajv): void {
  ajv.addKeyword({
    keyword: 'list',
    type: 'array',
    schemaType: 'object',
    code(cxt: KeywordCxt) {
      const { gen, data } = cxt;
      gen.forRange('i', 0, _`${data}.length`, (i) => {
        gen.if(_`${names.errors} < ${MAX_FINDINGS}`, () => {
          cxt.subschema({ keyword: 'list', dataProp: i, dataPropType: Type.Num }, gen.name('valid'));
        });
      });
    },
  });
  finding(ajv, 'array', 'primitives');
  finding(ajv, 'array', 'boundList');
}

/**
 * About one value. `binding: url`: the code, Coding or CodeableConcept is from the value set; `extensible: url`: it
 * should be. `targets: types`: what a literal Reference may point to; ['Resource'] for anything. `targetProfiles`: what
 * the resource there meets, where it is at hand. `ways`: how a reference leads there. `typed`: the type of a resource. The rest is of ElementDefinition:
 * `fixed`, `patterned`, `atLeast`, `atMost`, `maxLength`; `bare`: nothing beside a fixed primitive.
 */
function addValueKeywords(ajv: Ajv): void {
  finding(ajv, undefined, 'binding');
  finding(ajv, undefined, 'extensible', 'warning');
  finding(ajv, undefined, 'unknownSet', 'warning');
  finding(ajv, undefined, 'rebound', 'warning');
  finding(ajv, 'object', 'targets');
  finding(ajv, 'object', 'targetProfiles');
  finding(ajv, 'object', 'ways');
  finding(ajv, 'object', 'typed');
  finding(ajv, undefined, 'fixed');
  finding(ajv, undefined, 'patterned');
  finding(ajv, undefined, 'bare');
  finding(ajv, undefined, 'atLeast');
  finding(ajv, undefined, 'atMost');
  finding(ajv, 'string', 'longest');
}

/**
 * `invariants: { path, keys }`: constraints of base R4. `constraints: { path, list }`: those of a profile, with
 * `sibling` for the key of what stands beside a primitive value. Those of severity warning are evaluated on demand.
 */
function addInvariantKeywords(ajv: Ajv): void {
  ajv.addKeyword({
    keyword: 'invariants',
    schemaType: 'object',
    error: { message: 'does not hold', params: ({ params }) => _`{found: ${params.found}}` },
    code(cxt: KeywordCxt) {
      const { path, content, keys, warnings = [], ...where } = cxt.schema as BaseConstraints;
      for (const key of keys)
        holds(cxt, calledWith(cxt, fromRuntime(cxt, 'invariant', path, content, key), where), [key, path], false);
      for (const key of warnings)
        holds(cxt, calledWith(cxt, fromRuntime(cxt, 'invariant', path, content, key), where), [key, path], true);
    },
  });
  ajv.addKeyword({
    keyword: 'constraints',
    schemaType: 'object',
    error: { message: 'does not hold', params: ({ params }) => _`{found: ${params.found}}` },
    code(cxt: KeywordCxt) {
      const { path, content, id, list, valueless, ...where } = cxt.schema as OwnConstraints;
      const all = () => {
        for (const { key, severity, expression } of list) {
          const check = fromRuntime(cxt, 'constraint', path, content, { key, expression });
          const called = valueless === undefined ? calledWith(cxt, check, where) : _`${check}(undefined, ${cxt.data})`;
          holds(cxt, called, [key, id], severity === 'warning');
        }
      };
      if (valueless === undefined) all();
      else cxt.gen.if(_`${besideOf(cxt, valueless, where.inList)} === undefined`, all);
    },
  });
}

export type BaseConstraints = Constrained & { readonly keys: readonly string[]; readonly warnings?: readonly string[] };

type Constrained = {
  /** The type or the element that has the constraints: `Period`, `Observation.effective[x]`. */
  readonly path: string;
  /** What the value is: a type, or the path of a backbone element. */
  readonly content: string;
  /** The key of what stands beside a primitive value, or beside the list of such values. */
  readonly sibling?: string;
  /** The value is an item of a list. */
  readonly inList?: boolean;
};

export type OwnConstraints = Constrained & {
  /** Id of the element in the profile. */
  readonly id: string;
  /** The key of the primitive value beside, where the schema is that of its sibling: asked when there is no value. */
  readonly valueless?: string;
  readonly list: readonly { readonly key: string; readonly severity: string; readonly expression?: string }[];
};

function calledWith(cxt: KeywordCxt, check: Name, { sibling, inList }: Pick<Constrained, 'sibling' | 'inList'>): Code {
  if (sibling === undefined) return _`${check}(${cxt.data})`;
  return _`${check}(${cxt.data}, ${besideOf(cxt, sibling, inList)})`;
}

/** What stands under the other key of the same element: of an item, at its place in the other list. */
function besideOf({ it }: KeywordCxt, key: string, inList = false): Code {
  const owner = it.dataNames[it.dataLevel - 2];
  if (!inList || owner === undefined) return _`${it.parentData}[${key}]`;
  return _`${owner}[${key}]?.[${it.parentDataProperty}]`;
}

/** A check that answers false is broken; undefined: it could not be evaluated, which is worth a warning. */
function holds(cxt: KeywordCxt, called: Code, found: readonly [key: string, place: string], isWarning: boolean): void {
  const { gen } = cxt;
  const state = stateOf(cxt);
  const evaluated = () => {
    const answer = gen.const('answer', called);
    gen.if(_`${answer} === false || (${answer} === undefined && ${state}.warnings)`, () => {
      const [key, place] = found;
      cxt.setParams({ found: _`[${key}, ${place}, ${isWarning}, ${answer} === undefined]` });
      cxt.error(true);
    });
  };
  if (isWarning) gen.if(_`${state}.warnings`, evaluated);
  else evaluated();
}

/**
 * `slices: contents` with `slicing: how` beside it: items of a list (or the one value, where `slicing.single`) belong to
 * slices, numbered from 0 in the order of the tree; `contents` has the schema of each, an empty one where it says nothing.
 */
function addSlices(ajv: Ajv): void {
  ajv.addKeyword({ keyword: 'slicing', schemaType: 'object' });
  ajv.addKeyword({
    keyword: 'slices',
    schemaType: 'array',
    error: { message: 'is sliced otherwise', params: ({ params }) => _`{found: ${params.found}}` },
    code(cxt: KeywordCxt) {
      const { gen, data, parentSchema } = cxt;
      const slicing = parentSchema.slicing as { single?: boolean; ends: readonly number[] };
      const sliced = gen.const('sliced', _`${fromRuntime(cxt, 'slicing', slicing)}(${data})`);
      gen.if(_`${sliced} !== undefined`, () => {
        gen.if(_`${sliced}.faults !== undefined`, () => {
          cxt.setParams({ found: _`${sliced}.faults` });
          cxt.error(true);
        });
        const contents = cxt.schema as readonly object[];
        const used = contents.flatMap((content, at) => (Object.keys(content).length === 0 ? [] : [at]));
        if (used.length === 0) return;
        const inSlice = (place: Code, at: number) => _`${place} >= ${at} && ${place} <= ${slicing.ends[at] ?? at}`;
        if (slicing.single === true) {
          for (const at of used) {
            gen.if(inSlice(_`${sliced}.of[0]`, at), () => {
              cxt.subschema({ keyword: 'slices', schemaProp: at }, gen.name('valid'));
            });
          }
          return;
        }
        gen.forRange('i', 0, _`${data}.length`, (i) => {
          const place = gen.const('place', _`${sliced}.of[${i}]`);
          for (const at of used) {
            gen.if(_`${names.errors} < ${MAX_FINDINGS} && ${inSlice(place, at)}`, () => {
              cxt.subschema(
                { keyword: 'slices', schemaProp: at, dataProp: i, dataPropType: Type.Num },
                gen.name('valid'),
              );
            });
          }
        });
      });
    },
  });
}

/** A keyword that is a function of the runtime by its name: it reports what it found in `params.found`. */
function finding(
  ajv: Ajv,
  type: 'object' | 'array' | 'string' | undefined,
  keyword: Finding,
  severity?: 'warning',
): void {
  ajv.addKeyword({
    keyword,
    ...(type === undefined ? {} : { type }),
    error: { message: 'is wrong', params: ({ params }) => _`{found: ${params.found}}` },
    code(cxt: KeywordCxt) {
      const find = fromRuntime(cxt, keyword, cxt.schema);
      const report = () => {
        const found = cxt.gen.const('found', _`${find}(${cxt.data})`);
        cxt.setParams({ found });
        cxt.gen.if(_`${found} !== undefined`, () => cxt.error(true));
      };
      if (severity === 'warning') cxt.gen.if(_`${stateOf(cxt)}.warnings`, report);
      else report();
    },
  });
}
