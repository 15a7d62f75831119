/**
 * Fields of what a Reference leads to become fragments on the types that it may lead to, as GraphQL needs them. R4 also
 * writes them without: `subject { resource { active } }`, and
 * `subject { resource(type: Patient) { birthDate } resource(type: Group) { quantity } }`.
 *
 * @see https://hl7.org/fhir/R4/graphql.html (Resource references)
 */
import {
  type ArgumentNode,
  type DocumentNode,
  type FieldNode,
  type InlineFragmentNode,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { MAX_FIELDS, refused } from './document.ts';
import { QUERY, RESOURCE, type Shapes } from './shapes.ts';

export type Directed = {
  readonly document: DocumentNode;
  /** Fields stand in fragments that the query has not: the same name may be of different types there. */
  readonly spread: boolean;
};

/** @throws GraphQLError for a type that R4 has not, and for a query that becomes too large */
export function directed(document: DocumentNode, shapes: Shapes): Directed {
  const director = new Director(shapes);
  const definitions = document.definitions.map((definition) => {
    if (definition.kind === Kind.OPERATION_DEFINITION) {
      return { ...definition, selectionSet: director.direct(definition.selectionSet, QUERY, undefined) };
    }
    if (definition.kind !== Kind.FRAGMENT_DEFINITION) return definition;
    const type = definition.typeCondition.name.value;
    return { ...definition, selectionSet: director.direct(definition.selectionSet, type, undefined) };
  });
  return { document: { ...document, definitions }, spread: director.made > 0 };
}

type Targets = readonly string[] | undefined;

class Director {
  readonly #shapes: Shapes;
  made = 0;

  constructor(shapes: Shapes) {
    this.#shapes = shapes;
  }

  direct(set: SelectionSetNode, typeName: string, targets: Targets): SelectionSetNode {
    const selections = typeName === 'Reference' ? this.#joined(set.selections) : set.selections;
    return { ...set, selections: selections.flatMap((each) => this.#selection(each, typeName, targets)) };
  }

  #selection(selection: SelectionNode, typeName: string, targets: Targets): SelectionNode[] {
    if (selection.kind === Kind.FRAGMENT_SPREAD) return [selection];
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      const type = selection.typeCondition?.name.value ?? typeName;
      return [{ ...selection, selectionSet: this.direct(selection.selectionSet, type, targets) }];
    }
    const shape = this.#shapes.field(typeName, selection.name.value);
    if (shape === undefined) return typeName === RESOURCE ? this.#spread(selection, targets) : [selection];
    if (selection.selectionSet === undefined) return [selection];
    const inner = shape.type.name === RESOURCE ? (this.#typesGiven(selection) ?? targets) : shape.targets;
    return [{ ...selection, selectionSet: this.direct(selection.selectionSet, shape.type.name, inner) }];
  }

  /** The field of a resource for each type that has it; as it stands where none is known. */
  #spread(field: FieldNode, targets: Targets = []): SelectionNode[] {
    const having = targets.filter((type) => this.#fits(field, type));
    if (having.length === 0) return [field];
    return having.map((type) => {
      this.made += 1;
      if (this.made > MAX_FIELDS)
        throw refused('The query leads to too many types. Name them: resource(type: …)', field);
      return onType(type, this.direct({ kind: Kind.SELECTION_SET, selections: [field] }, type, undefined));
    });
  }

  #fits({ name, selectionSet }: FieldNode, type: string): boolean {
    const shape = this.#shapes.field(type, name.value);
    if (shape === undefined) return false;
    const parts = selectionSet?.selections.filter((each) => each.kind === Kind.FIELD) ?? [];
    const hasParts = shape.type.name === RESOURCE || this.#shapes.has(shape.type.name);
    if (hasParts !== (selectionSet !== undefined)) return false;
    return parts.every((part) => this.#shapes.field(shape.type.name, part.name.value) !== undefined);
  }

  /** Several selections `resource(type: …)` of one name, for different types, are one with a fragment for each. */
  #joined(selections: readonly SelectionNode[]): readonly SelectionNode[] {
    const typed = selections.filter(
      (each): each is FieldNode =>
        each.kind === Kind.FIELD && each.name.value === 'resource' && this.#typesGiven(each) !== undefined,
    );
    const byName = Map.groupBy(typed, ({ alias, name }) => (alias ?? name).value);
    return selections.flatMap((selection) => {
      const same = byName.values().find((each) => each.includes(selection as FieldNode));
      if (same === undefined || same.length === 1) return [selection];
      return same[0] === selection ? [this.#join(same)] : [];
    });
  }

  #join(fields: readonly FieldNode[]): FieldNode {
    const [first] = fields as [FieldNode];
    const types = fields.map((field) => this.#typesGiven(field) ?? []);
    const values = types.flat().map((value) => ({ kind: Kind.STRING, value }) as const);
    const selections = fields.flatMap(({ selectionSet }, i) =>
      selectionSet === undefined ? [] : (types[i] ?? []).map((type) => onType(type, selectionSet)),
    );
    this.made += selections.length;
    const others = first.arguments?.filter((each) => !isType(each)) ?? [];
    const type: ArgumentNode = {
      kind: Kind.ARGUMENT,
      name: { kind: Kind.NAME, value: 'type' },
      value: { kind: Kind.LIST, values },
    };
    return { ...first, arguments: [...others, type], selectionSet: { kind: Kind.SELECTION_SET, selections } };
  }

  /** Of the argument `type`, where it is written out. */
  #typesGiven({ arguments: given }: FieldNode): Targets {
    const argument = given?.find(isType);
    if (argument === undefined) return undefined;
    const values = argument.value.kind === Kind.LIST ? argument.value.values : [argument.value];
    const types = values.flatMap((each) => (each.kind === Kind.STRING ? [each.value] : []));
    if (types.length < values.length) return undefined;
    const unknown = types.find((type) => !this.#shapes.isResourceType(type));
    if (unknown !== undefined) throw refused(`R4 has no resource type ${unknown.slice(0, 64)}`, argument);
    return types;
  }
}

function isType({ name }: ArgumentNode): boolean {
  return name.value === 'type';
}

function onType(type: string, selectionSet: SelectionSetNode): InlineFragmentNode {
  const typeCondition = { kind: Kind.NAMED_TYPE, name: { kind: Kind.NAME, value: type } } as const;
  return { kind: Kind.INLINE_FRAGMENT, typeCondition, selectionSet };
}
