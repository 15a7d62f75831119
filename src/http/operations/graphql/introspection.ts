/**
 * `__schema` and `__type`: the schema of R4 as tools ask for it, written from the shapes type by type. The whole of it
 * has some 80,000 fields and arguments, so nothing is kept of it but the text, and other requests are let through in
 * between. One such query is answered at a time.
 *
 * Reverse look-ups are told of where a search parameter is made for the type; those by parameters for references to
 * anything (`focus`, `_reference: entity`, …) are answered as well and not listed at all types.
 *
 * @see https://spec.graphql.org/October2021/#sec-Introspection
 */
import { setImmediate } from 'node:timers/promises';
import {
  type DocumentNode,
  type FieldNode,
  GraphQLError,
  GraphQLIncludeDirective,
  type GraphQLSchema,
  GraphQLSkipDirective,
  getDirectiveValues,
  getOperationAST,
  getVariableValues,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  specifiedDirectives,
} from 'graphql';
import type { Asked } from './asked.ts';
import { RESHAPING } from './schema.ts';
import { type ArgShape, type FieldShape, QUERY, RESOURCE, SCALARS, type Shapes, type TypeRef } from './shapes.ts';

type VariableValues = NonNullable<Parameters<typeof getDirectiveValues>[2]>;

const META_FIELDS: readonly string[] = ['__schema', '__type'];
const MAX_CHARACTERS = 40_000_000;
/** Other requests wait about so long. */
const SLICE_MS = 10;

/** Whether the operation that is to be run asks for the schema. */
export function asksForSchema(document: DocumentNode, operationName: string | undefined): boolean {
  const operation = getOperationAST(document, operationName);
  return operation?.selectionSet.selections.some((each) => isMeta(each, document)) === true;
}

function isMeta(selection: SelectionNode, document: DocumentNode): boolean {
  if (selection.kind === Kind.FIELD) return META_FIELDS.includes(selection.name.value);
  const inner = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragmentOf(selection.name.value, document);
  return inner?.selectionSet.selections.some((each) => isMeta(each, document)) === true;
}

function fragmentOf(name: string, document: DocumentNode) {
  for (const each of document.definitions) {
    if (each.kind === Kind.FRAGMENT_DEFINITION && each.name.value === name) return each;
  }
  return undefined;
}

export class Introspection {
  readonly #shapes: Shapes;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(shapes: Shapes) {
    this.#shapes = shapes;
  }

  /** The answer as JSON, or what is wrong with the query. */
  async answer(
    document: DocumentNode,
    schema: GraphQLSchema,
    { operationName, variables = {} }: Asked,
  ): Promise<string | { errors: readonly GraphQLError[] }> {
    const operation = getOperationAST(document, operationName) as OperationDefinitionNode;
    const given = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
    if (given.errors !== undefined) return given;
    const writer = new Writer(document, operation, given.variableValues, new Metas(this.#shapes));
    const writing = this.#turn.then(() => writer.write());
    this.#turn = writing.catch(() => undefined);
    try {
      return await writing;
    } catch (error) {
      if (error instanceof GraphQLError) return { errors: [error] };
      throw error;
    }
  }
}

/** An object of the schema of schemas. */
type Meta = {
  readonly typename: string;
  readonly fields: Readonly<Record<string, () => unknown>>;
  readonly key?: object;
};

class Writer {
  readonly #document: DocumentNode;
  readonly #operation: OperationDefinitionNode;
  readonly #variables: VariableValues;
  readonly #metas: Metas;
  readonly #collected = new Map<readonly FieldNode[], ReadonlyMap<string, readonly FieldNode[]>>();
  /** Texts of what stands in many places, by what it is and what is asked of it. */
  readonly #texts = new Map<readonly FieldNode[], Map<object, string>>();
  #characters = 0;
  #resumed = performance.now();

  constructor(document: DocumentNode, operation: OperationDefinitionNode, variables: VariableValues, metas: Metas) {
    this.#document = document;
    this.#operation = operation;
    this.#variables = variables;
    this.#metas = metas;
  }

  /** @throws GraphQLError for data asked for beside the schema, and for more than one answer holds */
  async write(): Promise<string> {
    const members: string[] = [];
    for (const [key, nodes] of this.#collect([this.#operation])) {
      const [node] = nodes as [FieldNode, ...FieldNode[]];
      members.push(`${JSON.stringify(key)}:${await this.#rootText(node, nodes)}`);
    }
    return `{"data":{${members.join(',')}}}`;
  }

  async #rootText(node: FieldNode, nodes: readonly FieldNode[]): Promise<string> {
    switch (node.name.value) {
      case '__typename':
        return JSON.stringify(QUERY);
      case '__type':
        return await this.#typeText(this.#metas.named(this.#argument(node, 'name')), nodes);
      case '__schema':
        return await this.#schemaText(nodes);
      default:
        throw new GraphQLError('The schema is asked for in a query of its own, without data', { nodes: [node] });
    }
  }

  async #schemaText(nodes: readonly FieldNode[]): Promise<string> {
    const members: string[] = [];
    const schema = this.#metas.schema();
    for (const [key, inner] of this.#collect(nodes)) {
      const name = inner[0]?.name.value ?? '';
      members.push(
        `${JSON.stringify(key)}:${name === 'types' ? await this.#typesText(inner) : this.#valueText(schema, name, inner)}`,
      );
    }
    return `{${members.join(',')}}`;
  }

  async #typesText(nodes: readonly FieldNode[]): Promise<string> {
    const texts: string[] = [];
    for (const name of this.#metas.names()) texts.push(await this.#typeText(this.#metas.named(name), nodes));
    return `[${texts.join(',')}]`;
  }

  async #typeText(meta: Meta | null, nodes: readonly FieldNode[]): Promise<string> {
    if (meta === null) return 'null';
    const members: string[] = [];
    for (const [key, inner] of this.#collect(nodes)) {
      const name = inner[0]?.name.value ?? '';
      const text = name === 'fields' ? await this.#fieldsText(meta, inner) : this.#valueText(meta, name, inner);
      members.push(`${JSON.stringify(key)}:${text}`);
    }
    return `{${members.join(',')}}`;
  }

  /** The fields of one type, which for the root are many: other requests are let through. */
  async #fieldsText(meta: Meta, nodes: readonly FieldNode[]): Promise<string> {
    const fields = meta.fields.fields?.();
    if (!Array.isArray(fields)) return 'null';
    const texts: string[] = [];
    for (const field of fields) {
      const text = this.#text(field, nodes);
      this.#characters += text.length;
      if (this.#characters > MAX_CHARACTERS)
        throw new GraphQLError('The answer would be too long. Ask for less at once');
      texts.push(text);
      await this.#pause();
    }
    return `[${texts.join(',')}]`;
  }

  async #pause(): Promise<void> {
    if (performance.now() - this.#resumed < SLICE_MS) return;
    await setImmediate();
    this.#resumed = performance.now();
  }

  #valueText(meta: Meta, name: string, nodes: readonly FieldNode[]): string {
    if (name === '__typename') return JSON.stringify(meta.typename);
    const value = meta.fields[name]?.() ?? null;
    if (Array.isArray(value)) return `[${value.map((each) => this.#text(each, nodes)).join(',')}]`;
    return this.#text(value, nodes);
  }

  #text(value: unknown, nodes: readonly FieldNode[]): string {
    if (!isMetaObject(value)) return JSON.stringify(value ?? null);
    const known = value.key === undefined ? undefined : this.#texts.get(nodes)?.get(value.key);
    const text = known ?? this.#objectText(value, nodes);
    if (known === undefined && value.key !== undefined) {
      const texts = this.#texts.get(nodes) ?? new Map<object, string>();
      this.#texts.set(nodes, texts.set(value.key, text));
    }
    return text;
  }

  #objectText(meta: Meta, nodes: readonly FieldNode[]): string {
    const members: string[] = [];
    for (const [key, inner] of this.#collect(nodes)) {
      members.push(`${JSON.stringify(key)}:${this.#valueText(meta, inner[0]?.name.value ?? '', inner)}`);
    }
    return `{${members.join(',')}}`;
  }

  /** The fields that are selected under some, by their names in the answer. All types here are plain objects. */
  #collect(nodes: readonly (FieldNode | OperationDefinitionNode)[]): ReadonlyMap<string, readonly FieldNode[]> {
    const known = this.#collected.get(nodes as readonly FieldNode[]);
    if (known !== undefined) return known;
    const fields = new Map<string, FieldNode[]>();
    const add = (selections: readonly SelectionNode[]): void => {
      for (const selection of selections) {
        if (!this.#isIncluded(selection)) continue;
        if (selection.kind === Kind.FIELD) {
          const key = (selection.alias ?? selection.name).value;
          fields.set(key, [...(fields.get(key) ?? []), selection]);
        } else if (selection.kind === Kind.INLINE_FRAGMENT) add(selection.selectionSet.selections);
        else add(fragmentOf(selection.name.value, this.#document)?.selectionSet.selections ?? []);
      }
    };
    for (const node of nodes) add(node.selectionSet?.selections ?? []);
    this.#collected.set(nodes as readonly FieldNode[], fields);
    return fields;
  }

  #isIncluded(selection: SelectionNode): boolean {
    const given = (directive: typeof GraphQLSkipDirective) =>
      getDirectiveValues(directive, selection, this.#variables)?.if;
    return given(GraphQLSkipDirective) !== true && given(GraphQLIncludeDirective) !== false;
  }

  #argument(node: FieldNode, name: string): string {
    const value = node.arguments?.find((each) => each.name.value === name)?.value;
    if (value?.kind === Kind.STRING) return value.value;
    return value?.kind === Kind.VARIABLE ? String(this.#variables.coerced[value.name.value]) : '';
  }
}

function isMetaObject(value: unknown): value is Meta {
  return typeof value === 'object' && value !== null;
}

/** The schema's own objects, made when they are looked at. */
class Metas {
  readonly #shapes: Shapes;
  readonly #references = new Map<string, Meta>();
  readonly #arguments = new WeakMap<ArgShape, Meta>();

  constructor(shapes: Shapes) {
    this.#shapes = shapes;
  }

  *names(): Iterable<string> {
    yield* [QUERY, RESOURCE, ...BUILT_IN_SCALARS, ...SCALARS];
    yield* this.#shapes.names;
    for (const type of this.#shapes.resourceTypes) yield* [`${type}Connection`, `${type}Edge`];
  }

  schema(): Meta {
    return {
      typename: '__Schema',
      fields: {
        description: () => 'FHIR R4 (https://hl7.org/fhir/R4/graphql.html)',
        queryType: () => this.named(QUERY),
        mutationType: () => null,
        subscriptionType: () => null,
        directives: () => [...specifiedDirectives, ...RESHAPING].map((each) => this.#directive(each)),
      },
    };
  }

  /** Null for a name that the schema has not. */
  named(name: string): Meta | null {
    if (BUILT_IN_SCALARS.includes(name) || SCALARS.includes(name)) return type({ kind: 'SCALAR', name });
    const fields = this.#fieldsOf(name);
    if (fields === undefined) return null;
    const named = (names: readonly string[]) => names.map((each) => this.#reference({ name: each }));
    if (name === RESOURCE) {
      const possible = () => named(this.#shapes.resourceTypes);
      return type({ kind: 'INTERFACE', name, fields, interfaces: () => [], possibleTypes: possible });
    }
    const interfaces = () => (this.#shapes.isResourceType(name) ? named([RESOURCE]) : []);
    return type({ kind: 'OBJECT', name, fields, interfaces });
  }

  #fieldsOf(name: string): (() => Meta[]) | undefined {
    const of = (fields: readonly FieldShape[]) => () => fields.map((field) => this.#field(field));
    if (name === QUERY) return of(this.#shapes.rootFields);
    if (name === RESOURCE) return of(this.#shapes.resourceFields);
    if (this.#shapes.has(name)) return of([...this.#shapes.fieldsOf(name), ...this.#shapes.reverseFields(name)]);
    const page = this.#shapes.pageFields(name);
    return page.length === 0 ? undefined : of(page);
  }

  #field({ name, type: of, args }: FieldShape): Meta {
    return {
      typename: '__Field',
      fields: {
        name: () => name,
        args: () => args.map((each) => this.#argument(each)),
        type: () => this.#reference(of),
        isDeprecated: () => false,
      },
    };
  }

  #argument(shape: ArgShape): Meta {
    let made = this.#arguments.get(shape);
    if (made === undefined) {
      made = inputValue(shape.name, () => this.#reference(shape.type), shape);
      this.#arguments.set(shape, made);
    }
    return made;
  }

  /** A type where it is used: the same object for the same use, so that its text is written once. */
  #reference({ name, list, required }: TypeRef): Meta {
    const id = `${name}${list === true ? '[]' : ''}${required === true ? '!' : ''}`;
    let made = this.#references.get(id);
    if (made === undefined) {
      const within = () =>
        required === true ? this.#reference({ name, ...(list && { list }) }) : this.#reference({ name });
      if (required === true) made = type({ kind: 'NON_NULL', ofType: within });
      else if (list === true) made = type({ kind: 'LIST', ofType: within });
      else made = this.named(name) as Meta;
      made = { ...made, key: made };
      this.#references.set(id, made);
    }
    return made;
  }

  #directive({ name, description, locations, args, isRepeatable }: (typeof RESHAPING)[number]): Meta {
    return {
      typename: '__Directive',
      fields: {
        name: () => name,
        description: () => description,
        isRepeatable: () => isRepeatable,
        locations: () => locations,
        args: () =>
          args.map((each) => {
            const text = String(each.type);
            const required = text.endsWith('!') ? { required: true as const } : {};
            return inputValue(each.name, () => this.#reference({ name: text.replace('!', ''), ...required }));
          }),
      },
    };
  }
}

const BUILT_IN_SCALARS: readonly string[] = ['Boolean', 'Int', 'String', 'ID'];

type TypeFields = { readonly kind: string; readonly name?: string } & {
  readonly [field in 'fields' | 'interfaces' | 'possibleTypes' | 'ofType']?: () => unknown;
};

function type({ kind, name, ...fields }: TypeFields): Meta {
  return { typename: '__Type', fields: { kind: () => kind, name: () => name, ...fields } };
}

function inputValue(name: string, of: () => Meta, key?: object): Meta {
  const fields = { name: () => name, type: of, isDeprecated: () => false };
  return { typename: '__InputValue', fields, ...(key === undefined ? {} : { key }) };
}
