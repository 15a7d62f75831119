/**
 * The GraphQL schema of R4, as far as one query can see it: the root fields, the reverse look-ups and the types of its
 * fragments are those that the query names, so a schema has some dozens of whole types and not some hundreds. Other
 * resource types are there by what every resource has.
 *
 * @see https://hl7.org/fhir/R4/graphql.html
 */
import type { Reference } from '@medplum/fhirtypes';
import {
  DirectiveLocation,
  type DocumentNode,
  GraphQLBoolean,
  GraphQLDirective,
  GraphQLError,
  type GraphQLFieldConfig,
  type GraphQLFieldConfigArgumentMap,
  type GraphQLFieldConfigMap,
  GraphQLID,
  type GraphQLInputType,
  GraphQLInt,
  GraphQLInterfaceType,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  GraphQLScalarType,
  GraphQLSchema,
  GraphQLString,
  Kind,
  specifiedDirectives,
  visit,
} from 'graphql';
import { writtenNumber } from '../../../fhir/json.ts';
import { chosen, type PartChooser, textsOf } from './chosen.ts';
import type { GraphReader } from './reader.ts';
import type { Slices } from './reshape.ts';
import { type ArgShape, type FieldShape, QUERY, RESOURCE, SCALARS, type Shapes, type TypeRef } from './shapes.ts';

export type Context = { readonly reader: GraphReader; readonly chooser: PartChooser; readonly slices: Slices };
type Node = Readonly<Record<string, unknown>>;
type Field = GraphQLFieldConfig<Node, Context>;
type Fields = GraphQLFieldConfigMap<Node, Context>;
type Arguments = Readonly<Record<string, unknown>>;
type Resolver = (source: Node, given: Arguments, context: Context, info: GraphQLResolveInfo) => unknown;

/** What a query names. */
type Named = { readonly fields: ReadonlySet<string>; readonly types: ReadonlySet<string> };

/** Schemas are kept by what queries name, since clients ask the same again; so many whole resource types at most. */
export function schemasOf(shapes: Shapes): (document: DocumentNode) => GraphQLSchema {
  const made = new Map<string, { readonly schema: GraphQLSchema; readonly types: number }>();
  let types = 0;
  return (document) => {
    const named = namesIn(document, shapes);
    const key = [...named.fields, '', ...named.types].join(' ');
    const known = made.get(key);
    if (known !== undefined) return known.schema;
    const schema = new SchemaBuilder(shapes, named).build();
    made.set(key, { schema, types: named.types.size + 1 });
    types += named.types.size + 1;
    for (const [oldest, { types: fewer }] of made) {
      if (types <= MAX_TYPES_KEPT || oldest === key) break;
      made.delete(oldest);
      types -= fewer;
    }
    return schema;
  };
}

/** A schema takes about 1.3 MB, and 0.2 MB for each whole type. */
const MAX_TYPES_KEPT = 60;

function namesIn(document: DocumentNode, shapes: Shapes): Named {
  const fields = new Set<string>();
  const types = new Set<string>();
  visit(document, {
    Field: ({ name }) => {
      const shape = shapes.rootField(name.value);
      if (shape === undefined) return;
      fields.add(name.value);
      if (shape.answer.kind === 'read' || shape.answer.kind === 'search') types.add(shape.answer.type);
    },
    NamedType: ({ name }) => {
      if (shapes.isResourceType(name.value)) types.add(name.value);
    },
  });
  return { fields: new Set([...fields].sort()), types: new Set([...types].sort()) };
}

class SchemaBuilder {
  readonly #shapes: Shapes;
  readonly #named: Named;
  readonly #types = new Map<string, GraphQLOutputType>();

  constructor(shapes: Shapes, named: Named) {
    this.#shapes = shapes;
    this.#named = named;
  }

  build(): GraphQLSchema {
    const fields: Fields = {};
    for (const name of this.#named.fields) {
      const shape = this.#shapes.rootField(name);
      if (shape !== undefined) fields[name] = this.#field(shape);
    }
    // A query type needs a field; this one is there for a query that names none that exists.
    if (Object.keys(fields).length === 0) fields._none = { type: GraphQLString, resolve: () => null };
    const query = new GraphQLObjectType({ name: QUERY, fields });
    const types = this.#shapes.resourceTypes.map((type) => this.#object(type));
    const directives = [...specifiedDirectives, ...RESHAPING];
    return new GraphQLSchema({ query, types: [...types, ...SCALAR_TYPES.values()], directives, assumeValid: true });
  }

  #field({ name, type, args, answer }: FieldShape): Field {
    const resolve = this.#resolver(name, answer);
    return {
      type: this.#output(type),
      args: this.#argumentsOf(args),
      ...(resolve === undefined ? {} : { resolve: slicing(resolve) }),
    };
  }

  #resolver(name: string, answer: FieldShape['answer']): Resolver | undefined {
    switch (answer.kind) {
      case 'element':
        return undefined;
      case 'decimal':
        return (source) => writtenNumber(source, name);
      case 'part':
        return (source, given, { chooser }) => chosen(source[name], given, chooser);
      case 'referred':
        return (source, { optional, type }, { reader }) =>
          reader.referred(source as object as Reference, { types: textsOf(type), optional: optional === true });
      case 'read':
        return (_source, { id }, { reader }) => reader.read(name, String(id));
      case 'search': {
        const { type, form, of } = answer;
        const allowed = of === undefined ? [] : this.#shapes.referencesTo(of, type);
        return (source, { _reference, ...search }, { reader }) => {
          const about =
            of === undefined ? undefined : { parameter: String(_reference), allowed, of: `${of}/${source.id}` };
          return form === 'List' ? reader.list(type, search, about) : reader.connection(type, search, about);
        };
      }
    }
  }

  #output({ name, list }: TypeRef): GraphQLOutputType {
    const type = SCALAR_TYPES.get(name) ?? this.#object(name);
    return list === true ? new GraphQLList(type) : type;
  }

  #object(name: string): GraphQLObjectType<Node, Context> | GraphQLInterfaceType {
    let object = this.#types.get(name) as GraphQLObjectType<Node, Context> | GraphQLInterfaceType | undefined;
    if (object === undefined) {
      object = name === RESOURCE ? this.#anyResource() : this.#made(name);
      this.#types.set(name, object);
    }
    return object;
  }

  #anyResource(): GraphQLInterfaceType {
    return new GraphQLInterfaceType<Node, Context>({
      name: RESOURCE,
      fields: () => this.#fields(this.#shapes.resourceFields),
      resolveType: (value) => String((value as Node).resourceType),
    });
  }

  #made(name: string): GraphQLObjectType<Node, Context> {
    const isResource = this.#shapes.isResourceType(name);
    return new GraphQLObjectType<Node, Context>({
      name,
      fields: () => this.#fields(isResource ? this.#resourceFields(name) : this.#partFields(name)),
      ...(isResource ? { interfaces: () => [this.#object(RESOURCE) as GraphQLInterfaceType] } : {}),
    });
  }

  #partFields(name: string): readonly FieldShape[] {
    const fields = this.#shapes.fieldsOf(name);
    return fields.length > 0 ? fields : this.#shapes.pageFields(name);
  }

  #resourceFields(name: string): readonly FieldShape[] {
    if (!this.#named.types.has(name)) return this.#shapes.resourceFields;
    const reverse = [...this.#named.fields].flatMap((field) => this.#shapes.reverseField(name, field) ?? []);
    return [...this.#shapes.fieldsOf(name), ...reverse];
  }

  #fields(shapes: readonly FieldShape[]): Fields {
    return Object.fromEntries(shapes.map((shape) => [shape.name, this.#field(shape)]));
  }

  #argumentsOf(args: readonly ArgShape[]): GraphQLFieldConfigArgumentMap {
    return Object.fromEntries(args.map(({ name, type }) => [name, { type: this.#input(type) }]));
  }

  #input({ name, list, required }: TypeRef): GraphQLInputType {
    const scalar = SCALAR_TYPES.get(name) as GraphQLScalarType;
    const type = list === true ? new GraphQLList(scalar) : scalar;
    return required === true ? new GraphQLNonNull(type) : type;
  }
}

/** Values of the record are answered as they stand; texts of any of these types are compared and searched as texts. */
const SCALAR_TYPES: ReadonlyMap<string, GraphQLScalarType> = new Map([
  ...[GraphQLBoolean, GraphQLID, GraphQLInt, GraphQLString].map((type) => [type.name, type] as const),
  ...SCALARS.map((name) => [name, plainScalar(name)] as const),
]);

function plainScalar(name: string): GraphQLScalarType {
  const text = (value: unknown) => {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
    throw new GraphQLError(`A ${name} is written as a text`);
  };
  return new GraphQLScalarType({
    name,
    coerceOutputValue: (value) => value,
    coerceInputValue: text,
    coerceInputLiteral: (node) => {
      if (node.kind === Kind.STRING || node.kind === Kind.INT || node.kind === Kind.FLOAT) return node.value;
      throw new GraphQLError(`A ${name} is written as a text`, { nodes: [node] });
    },
  });
}

/** They change the form of the answer once it is there (reshape.ts). */
export const RESHAPING: readonly GraphQLDirective[] = [
  directive('flatten', 'The field is left out, and its fields stand in its place; of a list they become lists.'),
  directive('first', 'Only the first of the list, and not as a list.'),
  directive('singleton', 'One value and no list, although something above was flattened. Two values are an error.'),
  directive('slice', "Each of the list becomes a field of its own: the name, '.', and the FHIRPath's result.", {
    path: { type: GraphQLString },
    fhirpath: { type: GraphQLString },
  }),
];

function directive(name: string, description: string, args: GraphQLFieldConfigArgumentMap = {}): GraphQLDirective {
  return new GraphQLDirective({ name, description, args, locations: [DirectiveLocation.FIELD] });
}

/** Remembers what a @slice needs to know of the values, which the answer need not show. */
function slicing(resolve: Resolver) {
  return (source: Node, given: Arguments, context: Context, info: GraphQLResolveInfo): unknown => {
    const value = resolve(source, given, context, info);
    if (!(value instanceof Promise)) return context.slices.noted(value, info, context.chooser);
    return value.then((found) => context.slices.noted(found, info, context.chooser));
  };
}

/** For fields without a resolver of their own. */
export const elementField = slicing((source, _given, _context, { fieldName }) => source[fieldName]);
