/** A query as text becomes a document that may be run: bounded in length, depth and fields, and only reading. */
import {
  type ArgumentNode,
  type ConstArgumentNode,
  type DocumentNode,
  type FieldNode,
  GraphQLError,
  Kind,
  type OperationDefinitionNode,
  OperationTypeNode,
  parse,
  type SelectionSetNode,
  type ValueNode,
  visit,
} from 'graphql';

const MAX_TOKENS = 5000;
const MAX_DEPTH = 15;
/** After fragments are written out. */
export const MAX_FIELDS = 2000;

/** @throws GraphQLError for text that is no query, a mutation, or one that is too deep or too large */
export function readDocument(text: string): DocumentNode {
  const document = parse(text, { maxTokens: MAX_TOKENS });
  requireBounds(document);
  return visit(document, {
    Field: (field) => ({ ...field, arguments: field.arguments?.map(asText) ?? [] }),
    Directive: (directive) =>
      directive.name.value === 'slice'
        ? { ...directive, arguments: directive.arguments?.map((each) => asText(each) as ConstArgumentNode) ?? [] }
        : undefined,
  });
}

function requireBounds(document: DocumentNode): void {
  const fragments = new Map(
    document.definitions.flatMap((each) =>
      each.kind === Kind.FRAGMENT_DEFINITION ? [[each.name.value, each.selectionSet] as const] : [],
    ),
  );
  const measured = new Map<string, Size>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) continue;
    if (definition.kind !== Kind.OPERATION_DEFINITION)
      throw refused('Only queries and fragments can be sent', definition);
    if (definition.operation !== OperationTypeNode.QUERY) {
      throw refused(`A ${definition.operation} is not answered here, only queries: write with REST`, definition);
    }
    const { depth, fields } = sizeOf(definition.selectionSet, fragments, measured, new Set());
    if (depth > MAX_DEPTH) throw refused(`The query is more than ${MAX_DEPTH} levels deep`, definition);
    if (fields > MAX_FIELDS) throw refused(`The query has more than ${MAX_FIELDS} fields`, definition);
  }
}

type Size = { readonly depth: number; readonly fields: number };

/** A circle of fragments has no size; the validation names it. */
function sizeOf(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, SelectionSetNode>,
  measured: Map<string, Size>,
  within: ReadonlySet<string>,
): Size {
  let [depth, fields] = [0, 0];
  for (const selection of selections) {
    let inner: Size = { depth: 0, fields: 0 };
    if (selection.kind === Kind.FRAGMENT_SPREAD) {
      const name = selection.name.value;
      const fragment = fragments.get(name);
      if (fragment !== undefined && !within.has(name)) {
        inner = measured.get(name) ?? sizeOf(fragment, fragments, measured, new Set([...within, name]));
        measured.set(name, inner);
      }
    } else if (selection.selectionSet !== undefined) {
      inner = sizeOf(selection.selectionSet, fragments, measured, within);
    }
    const own = selection.kind === Kind.FIELD ? 1 : 0;
    depth = Math.max(depth, inner.depth + own);
    fields += inner.fields + own;
    if (depth > MAX_DEPTH || fields > MAX_FIELDS) break;
  }
  return { depth, fields };
}

/** What is no text in these. */
const TYPED_ARGUMENTS: readonly string[] = ['_count', '_offset', 'optional', 'includeDeprecated'];

/** R4 writes values as names and numbers where texts are meant: `name(use: official)`, `_id: [1, 2, example]`. */
function asText<T extends ArgumentNode>(argument: T): T {
  if (TYPED_ARGUMENTS.includes(argument.name.value)) return argument;
  return { ...argument, value: textOf(argument.value) };
}

function textOf(node: ValueNode): ValueNode {
  switch (node.kind) {
    case Kind.LIST:
      return { ...node, values: node.values.map(textOf) };
    case Kind.BOOLEAN:
    case Kind.ENUM:
    case Kind.FLOAT:
    case Kind.INT:
      return { kind: Kind.STRING, value: String(node.value), ...(node.loc === undefined ? {} : { loc: node.loc }) };
    default:
      return node;
  }
}

export function refused(message: string, node: FieldNode | ArgumentNode | DocumentNode['definitions'][number]) {
  return new GraphQLError(message, { nodes: [node] });
}

/**
 * A query about one resource, `{ name { family } }` at Patient/1/$graphql, as the same query from the root:
 * `{ Patient(id: "1") { name { family } } }`.
 */
export function aboutInstance(document: DocumentNode, type: string, id: string): DocumentNode {
  const wrapped = (definition: OperationDefinitionNode): OperationDefinitionNode => ({
    ...definition,
    selectionSet: {
      kind: Kind.SELECTION_SET,
      selections: [
        {
          kind: Kind.FIELD,
          name: { kind: Kind.NAME, value: type },
          arguments: [
            {
              kind: Kind.ARGUMENT,
              name: { kind: Kind.NAME, value: 'id' },
              value: { kind: Kind.STRING, value: id },
            },
          ],
          selectionSet: definition.selectionSet,
        },
      ],
    },
  });
  return {
    ...document,
    definitions: document.definitions.map((each) => (each.kind === Kind.OPERATION_DEFINITION ? wrapped(each) : each)),
  };
}
