/**
 * The parameters of an operation as data, and how a request gives them.
 *
 * A declaration says what an OperationDefinition says. Values come from the url, from a Parameters resource, or, where
 * one parameter is a resource, from that resource alone as the body; from url and body together they are one list.
 * Reading lists every fault at once with its place (`http.start`, `Parameters.parameter[2].value.ofType(code)`).
 *
 * @see https://hl7.org/fhir/R4/operations.html#executing
 */
import type { CodeableConcept, Coding, Resource } from '@medplum/fhirtypes';
import { choiceStep } from '../../fhir/choice-step.ts';
import { Failure, type Issue, issue } from '../../fhir/failure.ts';
import { primitives } from '../../fhir/validation/primitives.ts';

export type ParameterDeclaration = {
  readonly name: string;
  /**
   * A FHIR data type ('code', 'Coding', …), 'Resource', or a resource type. Several where the definition leaves the
   * choice; none for a parameter with parts.
   */
  readonly types?: readonly string[];
  readonly min?: 1;
  readonly max?: '*';
  readonly part?: readonly ParameterDeclaration[];
};

/** One value as it was given, with its place. */
export type GivenValue = {
  readonly name: string;
  readonly place: string;
  /** Of the declaration. */
  readonly type: string;
  readonly value: unknown;
  readonly part?: Given;
};

/** What was given, well formed by the declarations. */
export class Given {
  readonly values: readonly GivenValue[];
  /** Search parameters of an operation that takes them, as name and value. */
  readonly others: readonly (readonly [name: string, value: string])[];

  constructor(values: readonly GivenValue[], others: readonly (readonly [string, string])[] = []) {
    this.values = values;
    this.others = others;
  }

  all(name: string): readonly GivenValue[] {
    return this.values.filter((given) => given.name === name);
  }

  first(name: string): GivenValue | undefined {
    return this.values.find((given) => given.name === name);
  }

  /** The place to name when the value of a parameter will not do. */
  placeOf(name: string): string {
    return this.first(name)?.place ?? `http.${name}`;
  }

  /** Of any type that JSON writes as a string. */
  text(name: string): string | undefined {
    const value = this.first(name)?.value;
    return typeof value === 'string' ? value : undefined;
  }

  texts(name: string): readonly string[] {
    return this.all(name).flatMap(({ value }) => (typeof value === 'string' ? [value] : []));
  }

  number(name: string): number | undefined {
    const value = this.first(name)?.value;
    return typeof value === 'number' ? value : undefined;
  }

  boolean(name: string): boolean | undefined {
    const value = this.first(name)?.value;
    return typeof value === 'boolean' ? value : undefined;
  }

  coding(name: string): Coding | undefined {
    return this.#typed<Coding>(name, 'Coding');
  }

  concept(name: string): CodeableConcept | undefined {
    return this.#typed<CodeableConcept>(name, 'CodeableConcept');
  }

  /** Of a complex data type or a resource; valid R4 where it came in a Parameters resource. */
  complex<T>(name: string): T | undefined {
    const value = this.first(name)?.value;
    return typeof value === 'object' && value !== null ? (value as T) : undefined;
  }

  resource(name: string): Resource | undefined {
    return this.complex<Resource>(name);
  }

  parts(name: string): readonly Given[] {
    return this.all(name).flatMap(({ part }) => (part === undefined ? [] : [part]));
  }

  #typed<T>(name: string, type: string): T | undefined {
    const given = this.first(name);
    return given?.type === type ? (given.value as T) : undefined;
  }
}

export type ParameterRules = {
  readonly parameters: readonly ParameterDeclaration[];
  /** Names that are not declared are search parameters, with their modifiers. */
  readonly takesSearch?: boolean;
  /** The type of the url. */
  readonly type?: string;
  readonly isResourceType: (name: string) => boolean;
  /** All that is wrong with a resource, with places that begin with `place`. */
  readonly validate: (resource: unknown, place: string) => readonly Issue[];
};

/** @throws Failure `invalid` with every fault */
export function readGiven(query: URLSearchParams, body: unknown, rules: ParameterRules): Given {
  const reader = new Reader(rules);
  for (const [name, value] of query) reader.addText(name, value);
  if (body !== undefined) reader.addBody(body);
  return reader.finish();
}

/** Parameters of every request, which no operation declares. */
const OF_EVERY_REQUEST: ReadonlySet<string> = new Set(['_format', '_pretty']);

const MAX_VALUES = 1000;

class Reader {
  readonly #rules: ParameterRules;
  readonly #issues: Issue[] = [];
  readonly #values: GivenValue[] = [];
  readonly #others: [string, string][] = [];

  constructor(rules: ParameterRules) {
    this.#rules = rules;
  }

  finish(): Given {
    refuseRepeated(this.#values, this.#rules.parameters, this.#issues);
    refuseMissing(this.#values, this.#rules.parameters, 'Parameters.parameter', this.#issues);
    if (this.#issues.length > 0) throw new Failure('invalid', this.#issues);
    return new Given(this.#values, this.#others);
  }

  addText(name: string, text: string): void {
    if (OF_EVERY_REQUEST.has(name)) return;
    const place = `http.${shown(name)}`;
    const declared = this.#rules.parameters.find((parameter) => parameter.name === name);
    if (declared === undefined) {
      if (this.#rules.takesSearch === true) this.#others.push([name, text]);
      else this.#issues.push(unknownName(this.#rules.parameters, place));
      return;
    }
    const value = textValue(declared, text);
    if (typeof value === 'string') this.#issues.push(issue('value', `${name} ${value}`, place, 'MSG_PARAM_INVALID'));
    else this.#values.push({ name, place, ...value });
  }

  addBody(body: unknown): void {
    const { resourceType } = body as { resourceType?: unknown };
    if (resourceType === 'Parameters' && !this.#isMeant(body as object)) {
      this.#addParameters(body as object);
      return;
    }
    const alone = this.#rules.parameters.filter(({ types = [] }) =>
      types.some((type) => type === 'Resource' || type === resourceType),
    );
    const [declared, ...more] = alone;
    if (declared === undefined || more.length > 0) {
      this.#issues.push(
        issue('structure', 'The body must be a Parameters resource', 'Parameters', 'MSG_RESOURCE_TYPE_MISMATCH'),
      );
      return;
    }
    const type = typeof resourceType === 'string' ? resourceType : 'Resource';
    this.#values.push({ name: declared.name, place: type, type, value: body });
  }

  /** Parameters that are sent to an operation on Parameters and name none of its own are the resource that it is about. */
  #isMeant({ parameter }: { parameter?: unknown }): boolean {
    const { type, parameters } = this.#rules;
    if (type !== 'Parameters' || !parameters.some(({ types }) => types?.includes('Resource'))) return false;
    const names = Array.isArray(parameter) ? parameter.map((item) => (item as { name?: unknown } | null)?.name) : [];
    return !parameters.some(({ name }) => names.includes(name));
  }

  #addParameters(body: object): void {
    const { parameter } = body as { parameter?: unknown };
    // What is wrong with a resource in a parameter is for the operation to say.
    const faults = this.#rules.validate(withoutResources(body), 'Parameters');
    this.#issues.push(...faults.filter(({ severity }) => severity === 'error' || severity === 'fatal'));
    if (!Array.isArray(parameter)) return;
    if (parameter.length > MAX_VALUES) {
      const diagnostics = `There are ${parameter.length} parameters, more than ${MAX_VALUES}. Send fewer`;
      throw new Failure('invalid', issue('too-costly', diagnostics, 'Parameters.parameter'));
    }
    this.#values.push(...this.#level(parameter, 'Parameters.parameter', this.#rules.parameters));
  }

  #level(list: readonly unknown[], at: string, declarations: readonly ParameterDeclaration[]): GivenValue[] {
    return list.flatMap((item, i) => {
      const place = `${at}[${i}]`;
      if (typeof item !== 'object' || item === null) return [];
      const { name } = item as { name?: unknown };
      if (typeof name !== 'string') return [];
      const declared = declarations.find((parameter) => parameter.name === name);
      if (declared !== undefined) return this.#value(item as Record<string, unknown>, place, declared);
      const { valueString } = item as { valueString?: unknown };
      if (this.#rules.takesSearch === true && at === 'Parameters.parameter' && typeof valueString === 'string') {
        this.#others.push([name, valueString]);
      } else this.#issues.push(unknownName(declarations, `${place}.name`));
      return [];
    });
  }

  #value(item: Record<string, unknown>, place: string, declared: ParameterDeclaration): GivenValue[] {
    const { name, types = [], part } = declared;
    if (part !== undefined) {
      const list = Array.isArray(item.part) ? item.part : [];
      const values = this.#level(list, `${place}.part`, part);
      refuseRepeated(values, part, this.#issues);
      refuseMissing(values, part, `${place}.part`, this.#issues);
      return [{ name, place, type: 'part', value: undefined, part: new Given(values) }];
    }
    const { resource } = item;
    if (resource !== undefined) {
      const type = String((resource as { resourceType?: unknown } | null)?.resourceType);
      if (types.includes('Resource') || types.includes(type)) {
        return [{ name, place: `${place}.resource`, type, value: resource }];
      }
    }
    const key = Object.keys(item).find((each) => each.startsWith('value'));
    const type = types.find((each) => accepted(each).some((form) => key === valueKey(form)));
    if (key !== undefined && type !== undefined) {
      return [{ name, place: `${place}.${choiceStep('value', key)}`, type, value: item[key] }];
    }
    const wanted = types.map((each) => (this.#isResource(each) ? `resource (${each})` : valueKey(each))).join(' or ');
    const where =
      key === undefined
        ? resource === undefined
          ? place
          : `${place}.resource`
        : `${place}.${choiceStep('value', key)}`;
    this.#issues.push(issue('value', `${name} must be given as ${wanted}`, where, 'MSG_PARAM_INVALID'));
    return [];
  }

  #isResource(type: string): boolean {
    return type === 'Resource' || this.#rules.isResourceType(type);
  }
}

/** R4 itself writes one in the place of the other. */
const URIS: readonly string[] = ['uri', 'url', 'canonical'];

function accepted(type: string): readonly string[] {
  return URIS.includes(type) ? URIS : [type];
}

function valueKey(type: string): string {
  return `value${type.charAt(0).toUpperCase()}${type.slice(1)}`;
}

/** The value that a url writes, or what is wrong with it as the end of a sentence. */
function textValue({ types = [] }: ParameterDeclaration, text: string): { type: string; value: unknown } | string {
  for (const type of types) {
    const value = ofType(type, text);
    if (value !== undefined) return { type, value };
  }
  const [type] = types;
  const primitive = type === undefined ? undefined : primitives[type];
  if (primitive !== undefined) return `must be ${primitive.expected}`;
  if (types.some(isCoded)) return 'must be written as code or system|code in a url';
  return 'cannot be written in a url: send it in a Parameters resource with POST';
}

function ofType(type: string, text: string): unknown {
  const primitive = primitives[type];
  if (primitive === undefined) return isCoded(type) ? codedValue(type, text) : undefined;
  switch (primitive.json) {
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'string': {
      // A plus sign that was not encoded arrives as a space.
      const value = type === 'dateTime' || type === 'instant' ? text.replace(' ', '+') : text;
      return primitive.test(value) ? value : undefined;
    }
    default:
      return /^-?\d{1,15}(\.\d{1,15})?$/.test(text) && isNumber(primitive, Number(text)) ? Number(text) : undefined;
  }
}

function isNumber(primitive: Extract<(typeof primitives)[string], { json: 'number' | 'integer' }>, value: number) {
  return (primitive.json === 'number' || Number.isInteger(value)) && primitive.test(value);
}

function isCoded(type: string): boolean {
  return type === 'Coding' || type === 'CodeableConcept';
}

/** `system|code` or `code`, as a search writes a token. */
function codedValue(type: string, text: string): Coding | CodeableConcept | undefined {
  const [, system, code] = /^(?:([^|]*)\|)?([^|]+)$/.exec(text) ?? [];
  if (code === undefined) return undefined;
  const coding: Coding = { ...(system === undefined || system === '' ? {} : { system }), code };
  return type === 'Coding' ? coding : { coding: [coding] };
}

function refuseRepeated(
  values: readonly GivenValue[],
  declarations: readonly ParameterDeclaration[],
  issues: Issue[],
): void {
  const seen = new Set<string>();
  for (const { name, place } of values) {
    const { max } = declarations.find((parameter) => parameter.name === name) ?? {};
    if (seen.has(name) && max !== '*')
      issues.push(issue('structure', `${name} may be given once`, place, 'MSG_PARAM_NO_REPEAT'));
    seen.add(name);
  }
}

function refuseMissing(
  values: readonly GivenValue[],
  declarations: readonly ParameterDeclaration[],
  place: string,
  issues: Issue[],
): void {
  for (const { name, min } of declarations) {
    // One of the wrong type is reported as such, and is not missing as well.
    const isReported = issues.some(({ diagnostics }) => diagnostics.startsWith(`${name} `));
    if (min === 1 && !isReported && !values.some((given) => given.name === name)) {
      issues.push(issue('required', `${name} is missing`, place));
    }
  }
}

function unknownName(declarations: readonly ParameterDeclaration[], place: string): Issue {
  const known = declarations.map(({ name }) => name).join(', ');
  const words = known === '' ? 'The operation takes no parameters' : `The operation takes: ${known}`;
  return issue('not-supported', `There is no such parameter. ${words}`, place, 'MSG_PARAM_UNKNOWN');
}

function withoutResources(parameters: object): object {
  const { parameter } = parameters as { parameter?: unknown };
  return Array.isArray(parameter) ? { ...parameters, parameter: parameter.map(withoutResource) } : parameters;
}

function withoutResource(item: unknown): unknown {
  if (typeof item !== 'object' || item === null || !('resource' in item)) return item;
  const { resource, ...rest } = item;
  const isOne = typeof resource === 'object' && resource !== null && !Array.isArray(resource);
  // In its place a value that is well formed, so that the parameter still has one.
  return isOne && Object.keys(rest).every((key) => !key.startsWith('value')) ? { ...rest, valueBoolean: true } : item;
}

function shown(text: string): string {
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}
