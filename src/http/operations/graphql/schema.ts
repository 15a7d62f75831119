/**
 * The GraphQL schema of R4, as far as one query can see it: the root fields, the reverse look-ups and the types of its
 * fragments are those that the query names, so a schema has some dozens of types and not some thousands.
 *
 * @see https://hl7.org/fhir/R4/graphql.html
 */
import type { Reference, Resource } from '@medplum/fhirtypes';
import {
  type DocumentNode,
  GraphQLBoolean,
  GraphQLError,
  type GraphQLFieldConfig,
  type GraphQLFieldConfigArgumentMap,
  type GraphQLFieldConfigMap,
  GraphQLFloat,
  GraphQLID,
  GraphQLInt,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  type GraphQLOutputType,
  GraphQLScalarType,
  GraphQLSchema,
  GraphQLString,
  GraphQLUnionType,
  Kind,
  visit,
} from 'graphql';
import type { Definitions, ElementDigest } from '../../../fhir/definitions.ts';
import type { SearchParameterRegistry } from '../../../fhir/search-parameters.ts';
import { argumentOf, type GraphReader } from './reader.ts';

export type Context = { readonly reader: GraphReader };
type Node = Readonly<Record<string, unknown>>;
type Field = GraphQLFieldConfig<Node, Context>;
type Fields = GraphQLFieldConfigMap<Node, Context>;
type Arguments = Readonly<Record<string, unknown>>;

/** What a query names. */
type Named = { readonly fields: ReadonlySet<string>; readonly types: ReadonlySet<string> };

export function schemasOf(registry: SearchParameterRegistry): (document: DocumentNode) => GraphQLSchema {
  const made = new Map<string, GraphQLSchema>();
  return (document) => {
    const named = namesIn(document, registry.definitions);
    const key = [...named.fields, '', ...named.types].join(' ');
    let schema = made.get(key);
    if (schema === undefined) {
      schema = new SchemaBuilder(registry, named).build();
      if (made.size >= MAX_SCHEMAS) made.delete(made.keys().next().value as string);
      made.set(key, schema);
    }
    return schema;
  };
}

const MAX_SCHEMAS = 20;

const ROOT_FIELD = /^([A-Z][A-Za-z]+?)(List|Connection)?$/;

function namesIn(document: DocumentNode, definitions: Definitions): Named {
  const fields = new Set<string>();
  const types = new Set<string>();
  visit(document, {
    Field: ({ name }) => {
      const type = ROOT_FIELD.exec(name.value)?.[1];
      if (definitions.isResourceType(name.value) || (type !== undefined && definitions.isResourceType(type))) {
        fields.add(name.value);
      }
    },
    NamedType: ({ name }) => {
      if (definitions.isResourceType(name.value)) types.add(name.value);
    },
  });
  return { fields: new Set([...fields].sort()), types: new Set([...types].sort()) };
}

const SCALARS: Readonly<Record<string, GraphQLScalarType>> = {
  boolean: GraphQLBoolean,
  decimal: GraphQLFloat,
  integer: GraphQLInt,
  positiveInt: GraphQLInt,
  unsignedInt: GraphQLInt,
  id: GraphQLID,
};

class SchemaBuilder {
  readonly #registry: SearchParameterRegistry;
  readonly #definitions: Definitions;
  readonly #named: Named;
  readonly #objects = new Map<string, GraphQLObjectType<Node, Context>>();
  readonly #connections = new Map<string, GraphQLObjectType<unknown, Context>>();
  readonly #arguments = new Map<string, GraphQLFieldConfigArgumentMap>();
  #anyResource: GraphQLOutputType | undefined;

  constructor(registry: SearchParameterRegistry, named: Named) {
    this.#registry = registry;
    this.#definitions = registry.definitions;
    this.#named = named;
  }

  build(): GraphQLSchema {
    const fields: Fields = {};
    for (const name of this.#named.fields) {
      const field = this.#rootField(name);
      if (field !== undefined) fields[name] = field;
    }
    // A query type needs a field; this one is there for a query that names none that exists.
    if (Object.keys(fields).length === 0) fields._none = { type: GraphQLString, resolve: () => null };
    const query = new GraphQLObjectType({ name: 'Query', fields });
    return new GraphQLSchema({ query, assumeValid: true });
  }

  #rootField(name: string): Field | undefined {
    if (this.#definitions.isResourceType(name)) {
      return {
        type: this.#object(name),
        args: { id: { type: new GraphQLNonNull(GraphQLID) } },
        resolve: (_source, { id }: Arguments, { reader }) => reader.read(name, String(id)),
      };
    }
    const [, type = '', kind] = ROOT_FIELD.exec(name) ?? [];
    return kind === undefined ? undefined : this.#searchField(type, kind, undefined);
  }

  /** @param of the type whose instances are referred to; undefined at the root */
  #searchField(type: string, kind: string, of: string | undefined): Field {
    const references = of === undefined ? [] : this.#referencesTo(of, type);
    const args =
      of === undefined ? this.#searchArguments(type) : { ...this.#searchArguments(type), _reference: REQUIRED };
    return {
      type: kind === 'List' ? new GraphQLList(this.#object(type)) : this.#connection(type),
      args,
      resolve: (source, given: Arguments, { reader }) => {
        const { _reference, ...search } = given;
        const about =
          of === undefined
            ? undefined
            : { parameter: String(_reference), allowed: references, of: `${of}/${source.id}` };
        return kind === 'List' ? reader.list(type, search, about) : reader.connection(type, search, about);
      },
    };
  }

  #referencesTo(of: string, type: string): readonly string[] {
    return [...this.#registry.of(type).values()]
      .filter(({ kind, targets }) => kind === 'reference' && (targets.length === 0 || targets.includes(of)))
      .map(({ code }) => argumentOf(code));
  }

  #searchArguments(type: string): GraphQLFieldConfigArgumentMap {
    let found = this.#arguments.get(type);
    if (found === undefined) {
      found = { _count: { type: GraphQLInt }, _sort: { type: GraphQLString }, _cursor: { type: GraphQLString } };
      for (const { code } of this.#registry.of(type).values()) found[argumentOf(code)] = { type: GraphQLString };
      this.#arguments.set(type, found);
    }
    return found;
  }

  #connection(type: string): GraphQLObjectType<unknown, Context> {
    const known = this.#connections.get(type);
    if (known !== undefined) return known;
    const edge = new GraphQLObjectType({
      name: `${type}Edge`,
      fields: { mode: { type: GraphQLString }, score: { type: GraphQLFloat }, resource: { type: this.#object(type) } },
    });
    const connection = new GraphQLObjectType<unknown, Context>({
      name: `${type}Connection`,
      fields: {
        count: { type: GraphQLInt },
        pagesize: { type: GraphQLInt },
        edges: { type: new GraphQLList(edge) },
        next: { type: GraphQLString },
      },
    });
    this.#connections.set(type, connection);
    return connection;
  }

  /** @param path a type, or an element with content of its own */
  #object(path: string): GraphQLObjectType<Node, Context> {
    let object = this.#objects.get(path);
    if (object === undefined) {
      object = new GraphQLObjectType<Node, Context>({ name: nameOf(path), fields: () => this.#fieldsOf(path) });
      this.#objects.set(path, object);
    }
    return object;
  }

  #fieldsOf(path: string): Fields {
    const fields: Fields = {};
    const isResource = this.#definitions.isResourceType(path);
    if (isResource) fields.resourceType = { type: GraphQLString };
    for (const element of this.#definitions.elementsOf(path)) this.#addElement(element, fields);
    if (path === 'Reference') fields.resource = this.#referredField();
    if (isResource) {
      for (const name of this.#named.fields) {
        const [, type = '', kind] = ROOT_FIELD.exec(name) ?? [];
        if (kind !== undefined && this.#referencesTo(path, type).length > 0) {
          fields[name] = this.#searchField(type, kind, path);
        }
      }
    }
    return fields;
  }

  #addElement(element: ElementDigest, fields: Fields): void {
    const name = element.path.slice(element.path.lastIndexOf('.') + 1);
    for (const { code } of element.types.length === 0 ? [{ code: '' }] : element.types) {
      const key = name.endsWith('[x]') ? `${name.slice(0, -3)}${code.charAt(0).toUpperCase()}${code.slice(1)}` : name;
      const type = this.#typeOf(element, code);
      const isList = element.max > 1;
      fields[key] = isList
        ? { type: new GraphQLList(type), args: this.#listArguments(element, code), resolve: listOf(key) }
        : { type };
      if (isPrimitive(code) && element.bare !== true) {
        const beside = this.#object('Element');
        fields[`_${key}`] = { type: isList ? new GraphQLList(beside) : beside };
      }
    }
  }

  #typeOf(element: ElementDigest, code: string): GraphQLOutputType {
    if (element.contentReference !== undefined) return this.#object(element.contentReference);
    if (code === 'Resource') return this.#resource();
    if (code === 'BackboneElement' || code === 'Element') return this.#object(element.path);
    return isPrimitive(code) ? (SCALARS[code] ?? GraphQLString) : this.#object(code);
  }

  /** `_count`, `_offset`, and for each plain element of the items the value that it must have. */
  #listArguments(element: ElementDigest, code: string): GraphQLFieldConfigArgumentMap {
    const args: GraphQLFieldConfigArgumentMap = { _count: { type: GraphQLInt }, _offset: { type: GraphQLInt } };
    if (isPrimitive(code) || code === 'Resource') return args;
    const path = element.contentReference ?? (code === 'BackboneElement' || code === 'Element' ? element.path : code);
    for (const child of this.#definitions.elementsOf(path)) {
      const [only, ...others] = child.types;
      if (only === undefined || others.length > 0 || !isPrimitive(only.code) || child.max > 1) continue;
      args[child.path.slice(child.path.lastIndexOf('.') + 1)] = { type: GraphQLString };
    }
    return args;
  }

  #referredField(): Field {
    return {
      type: this.#resource(),
      args: { optional: { type: GraphQLBoolean }, type: { type: NAME } },
      resolve: (source, { optional, type }: Arguments, { reader }) =>
        reader.referred(source as Reference, {
          ...(type === undefined ? {} : { type: String(type) }),
          optional: optional === true,
        }),
    };
  }

  /** Of the types that the query has fragments for: of others nothing could be asked. */
  #resource(): GraphQLOutputType {
    if (this.#anyResource === undefined) {
      const types = this.#named.types.size === 0 ? ['Basic'] : [...this.#named.types];
      this.#anyResource = new GraphQLUnionType({
        name: 'Resource',
        types: () => types.map((type) => this.#object(type)),
        resolveType: (value) => (value as Resource).resourceType,
      });
    }
    return this.#anyResource;
  }
}

/** Written as a name or as a string: `ConditionList(_reference: patient)`, `resource(type: Practitioner)`. */
const NAME = new GraphQLScalarType<string, string>({
  name: 'Name',
  coerceInputValue: (value) => {
    if (typeof value === 'string') return value;
    throw new GraphQLError('A name is needed here');
  },
  coerceInputLiteral: (node) => {
    if (node.kind === Kind.ENUM || node.kind === Kind.STRING) return node.value;
    throw new GraphQLError('A name is needed here', { nodes: [node] });
  },
});

const REQUIRED = { type: new GraphQLNonNull(NAME) };

function isPrimitive(code: string): boolean {
  return /^[a-z]/.test(code);
}

/** `Patient.contact` is PatientContact. */
function nameOf(path: string): string {
  return path
    .split('.')
    .map((part) => `${part.charAt(0).toUpperCase()}${part.slice(1).replace('[x]', '')}`)
    .join('');
}

function listOf(key: string): (source: Node, given: Arguments) => unknown {
  return (source, { _count, _offset, ...wanted }) => {
    const list = source[key];
    if (!Array.isArray(list)) return list;
    const names = Object.keys(wanted);
    const found =
      names.length === 0
        ? list
        : list.filter((item: Node) => names.every((name) => String(item?.[name]) === wanted[name]));
    const from = typeof _offset === 'number' ? Math.max(_offset, 0) : 0;
    return found.slice(from, typeof _count === 'number' ? from + Math.max(_count, 0) : undefined);
  };
}
