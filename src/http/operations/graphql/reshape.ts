/**
 * The directives @flatten, @first, @singleton and @slice of R4: the answer as the query selects it becomes the answer in
 * the form that the query wants.
 *
 * GraphQL executes a query without them. To know which fragments were meant for an object, it is asked for the types of
 * all objects as well, under a name of ours that goes away here.
 *
 * @see https://hl7.org/fhir/R4/graphql.html (Data Flattening Directives)
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  getNamedType,
  isInterfaceType,
  isLeafType,
  isListType,
  Kind,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
  visit,
} from 'graphql';
import type { PartChooser } from './chosen.ts';

const TYPE_KEY = '_typeOfThis';
const NAMES: ReadonlySet<string> = new Set(['flatten', 'first', 'singleton', 'slice']);

export function hasReshaping(document: DocumentNode): boolean {
  let found = false;
  visit(document, {
    Directive: ({ name }) => {
      found ||= NAMES.has(name.value);
    },
  });
  return found;
}

/** The query, asking for the types of objects too. For `execute`, after validation. */
export function withTypes(document: DocumentNode): DocumentNode {
  return visit(document, {
    SelectionSet: { leave: (set) => ({ ...set, selections: [...set.selections, TYPE_OF_THIS] }) },
  });
}

const TYPE_OF_THIS: FieldNode = {
  kind: Kind.FIELD,
  alias: { kind: Kind.NAME, value: TYPE_KEY },
  name: { kind: Kind.NAME, value: '__typename' },
};

/** What @slice adds to names, by the place of the list in the answer: its FHIRPath is about the record, not the answer. */
export class Slices {
  readonly #texts = new Map<string, readonly string[]>();

  /** Gives `value`, the value of a field that is being answered. @throws Failure `invalid` */
  noted(value: unknown, { path, fieldNodes }: GraphQLResolveInfo, chooser: PartChooser): unknown {
    const expression = sliceOf(fieldNodes);
    if (expression !== undefined && value != null) {
      const keys: (string | number)[] = [];
      for (let at: typeof path | undefined = path; at !== undefined; at = at.prev) keys.unshift(at.key);
      const items = Array.isArray(value) ? value : [value];
      const texts = items.map((item, index) => chooser.text(item, index, expression));
      this.#texts.set(keys.join('.'), texts);
    }
    return value;
  }

  at(place: Path): readonly string[] {
    return this.#texts.get(place.join('.')) ?? [];
  }
}

type Path = readonly (string | number)[];
type Data = Readonly<Record<string, unknown>>;

/** @throws GraphQLError where @singleton finds several values, or values of different types would be in one list */
export function reshaped(
  data: Data,
  operation: OperationDefinitionNode,
  document: DocumentNode,
  schema: GraphQLSchema,
  slices: Slices,
): Data {
  const fragments = new Map(
    document.definitions.flatMap((each) =>
      each.kind === Kind.FRAGMENT_DEFINITION ? [[each.name.value, each] as const] : [],
    ),
  );
  const target = new Target();
  new Reshaper(fragments, schema, slices).fill(target, data, [operation.selectionSet], [], NOTHING);
  return target.data;
}

type Fragments = ReadonlyMap<string, FragmentDefinitionNode>;

/** What holds for the fields of a flattened element. */
type Inherited = { readonly list: boolean; readonly suffix: string; readonly isFlat: boolean };

const NOTHING: Inherited = { list: false, suffix: '', isFlat: false };

class Reshaper {
  readonly #fragments: Fragments;
  readonly #schema: GraphQLSchema;
  readonly #slices: Slices;

  constructor(fragments: Fragments, schema: GraphQLSchema, slices: Slices) {
    this.#fragments = fragments;
    this.#schema = schema;
    this.#slices = slices;
  }

  fill(target: Target, source: Data, sets: readonly SelectionSetNode[], place: Path, inherited: Inherited): void {
    const type = String(source[TYPE_KEY]);
    const fields = new Map<string, FieldNode[]>();
    for (const { selections } of sets) this.#collect(selections, type, fields);
    for (const [key, nodes] of fields) {
      // Fields that @skip and @include left out are not there.
      if (key in source) this.#field(target, source[key], nodes, type, [...place, key], inherited);
    }
  }

  #field(
    target: Target,
    value: unknown,
    nodes: readonly FieldNode[],
    parent: string,
    place: Path,
    { list, suffix, isFlat }: Inherited,
  ): void {
    const [node] = nodes as [FieldNode, ...FieldNode[]];
    const names = new Set(nodes.flatMap(({ directives = [] }) => directives.map(({ name }) => name.value)));
    const { isList, type } = this.#typeOf(parent, node.name.value);
    const all = value === null || value === undefined ? [] : Array.isArray(value) ? value : [value];
    const items = names.has('first') ? all.slice(0, 1) : all;
    const makesList = list || (isList && !names.has('first'));
    const isSliced = names.has('slice');
    const suffixes = isSliced ? this.#slices.at(place) : [];
    const sets = nodes.flatMap(({ selectionSet }) => selectionSet ?? []);
    const cardinality = names.has('singleton') ? 'one' : makesList ? 'list' : 'any';
    // Of something that was flattened, what has no value is left out.
    const empty = isFlat ? 'left out' : value === null || cardinality !== 'list' ? 'null' : 'list';
    const form: Form = { node, type, cardinality, empty };
    const key = (node.alias ?? node.name).value;
    if (!names.has('flatten') && !isSliced) target.declare(`${key}${suffix}`, form);
    items.forEach((item, index) => {
      const within = suffixes[index] === undefined ? suffix : `${suffix}.${suffixes[index]}`;
      const at = isList ? [...place, index] : place;
      const isPart = sets.length > 0 && item !== null;
      if (names.has('flatten')) {
        if (isPart) this.fill(target, item, sets, at, { list: makesList, suffix: within, isFlat: true });
        return;
      }
      if (isSliced) target.declare(`${key}${within}`, form);
      target.add(`${key}${within}`, isPart ? this.#object(item, sets, at) : item);
    });
  }

  #object(source: Data, sets: readonly SelectionSetNode[], place: Path): Data {
    const target = new Target();
    this.fill(target, source, sets, place, NOTHING);
    return target.data;
  }

  #collect(selections: readonly SelectionNode[], type: string, fields: Map<string, FieldNode[]>): void {
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) {
        const key = (selection.alias ?? selection.name).value;
        const same = fields.get(key);
        if (same === undefined) fields.set(key, [selection]);
        else same.push(selection);
        continue;
      }
      const fragment = selection.kind === Kind.FRAGMENT_SPREAD ? this.#fragments.get(selection.name.value) : selection;
      if (fragment === undefined) continue;
      const condition = fragment.typeCondition?.name.value;
      if (condition === undefined || this.#isOf(type, condition)) {
        this.#collect(fragment.selectionSet.selections, type, fields);
      }
    }
  }

  #isOf(type: string, condition: string): boolean {
    if (type === condition) return true;
    const known = this.#schema.getType(type);
    return (
      known !== undefined && 'getInterfaces' in known && known.getInterfaces().some(({ name }) => name === condition)
    );
  }

  #typeOf(parent: string, field: string): { isList: boolean; type: string } {
    const known = this.#schema.getType(parent);
    if (known === undefined || isLeafType(known) || !('getFields' in known)) return { isList: false, type: 'String' };
    const type = known.getFields()[field]?.type;
    if (type === undefined) return { isList: false, type: 'String' };
    const named = getNamedType(type);
    return { isList: isListType(type), type: isInterfaceType(named) ? field : named.name };
  }
}

type Form = {
  readonly node: FieldNode;
  /** Of FHIR, as the schema calls it. */
  readonly type: string;
  readonly cardinality: 'one' | 'list' | 'any';
  readonly empty: 'left out' | 'null' | 'list';
};

/** One object of the answer while it is put together. */
class Target {
  readonly #values = new Map<string, { readonly form: Form; readonly items: unknown[] }>();

  declare(key: string, form: Form): void {
    const known = this.#values.get(key);
    if (known === undefined) {
      this.#values.set(key, { form, items: [] });
      return;
    }
    if (known.form.type === form.type) return;
    throw fault(
      `'${key}' would have values of different types, ${known.form.type} and ${form.type}. Use an alias`,
      form,
    );
  }

  add(key: string, item: unknown): void {
    const known = this.#values.get(key);
    // What is not there is nothing to collate.
    if (known === undefined || item === null || item === undefined) return;
    known.items.push(item);
    const { form, items } = known;
    if (form.cardinality === 'list' || items.length < 2) return;
    throw fault(
      `'${key}' ${form.cardinality === 'one' ? 'is a @singleton' : 'is no list'}, and has several values`,
      form,
    );
  }

  get data(): Data {
    return Object.fromEntries(
      [...this.#values].flatMap(([key, { form, items }]) => {
        if (items.length > 0) return [[key, form.cardinality === 'list' ? items : items[0]]];
        return form.empty === 'left out' ? [] : [[key, form.empty === 'null' ? null : []]];
      }),
    );
  }
}

function fault(message: string, { node }: Form): GraphQLError {
  return new GraphQLError(message, { nodes: [node] });
}

function sliceOf(nodes: readonly FieldNode[] | undefined): string | undefined {
  for (const { directives } of nodes ?? []) {
    const value = directives?.find(({ name }) => name.value === 'slice')?.arguments?.[0]?.value;
    if (value?.kind === Kind.STRING) return value.value;
  }
  return undefined;
}
