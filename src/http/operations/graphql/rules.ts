/** What a query must keep to, beside what GraphQL asks for. */
import {
  GraphQLError,
  getNamedType,
  getNullableType,
  isListType,
  isNonNullType,
  isTypeSubTypeOf,
  Kind,
  OverlappingFieldsCanBeMergedRule,
  type ValidationRule as Rule,
  specifiedRules,
  typeFromAST,
  type ValidationContext,
  VariablesInAllowedPositionRule,
} from 'graphql';

/** @param spread whether fields were written out for several types, where the same name may be of different types */
export function rulesFor(spread: boolean): readonly Rule[] {
  const rules = specifiedRules.filter((rule) => rule !== VariablesInAllowedPositionRule);
  const kept = spread ? rules.filter((rule) => rule !== OverlappingFieldsCanBeMergedRule) : rules;
  return [...kept, textVariables, reshapingDirectives];
}

/** Whatever text is a code, a token or a date where one is meant: `query ($name: String)` for `PatientList(name: $name)`. */
function textVariables(context: ValidationContext): ReturnType<Rule> {
  return {
    OperationDefinition: {
      leave(operation) {
        for (const { node, type, defaultValue } of context.getRecursiveVariableUsages(operation)) {
          const name = node.name.value;
          const definition = operation.variableDefinitions?.find(({ variable }) => variable.name.value === name);
          const schema = context.getSchema();
          const given = definition === undefined ? undefined : typeFromAST(schema, definition.type);
          if (definition === undefined || given === undefined || type == null) continue;
          const hasDefault = (definition.defaultValue ?? defaultValue) !== undefined;
          const isThere = !isNonNullType(type) || isNonNullType(given) || hasDefault;
          const [from, to] = [getNullableType(given), getNullableType(type)];
          const isText = !TYPED.has(getNamedType(to).name) && (isListType(to) || !isListType(from));
          if (isThere && (isText || isTypeSubTypeOf(schema, from, to))) continue;
          const message = `Variable "$${name}" of type "${given}" used in position expecting type "${type}".`;
          context.reportError(new GraphQLError(message, { nodes: [definition, node] }));
        }
      },
    },
  };
}

const TYPED: ReadonlySet<string> = new Set(['Boolean', 'Int', 'Float']);

/** @slice needs one FHIRPath, written out, and does not go with @first. */
function reshapingDirectives(context: ValidationContext): ReturnType<Rule> {
  return {
    Field(field) {
      const slice = field.directives?.find(({ name }) => name.value === 'slice');
      if (slice === undefined) return undefined;
      const report = (message: string) => context.reportError(new GraphQLError(message, { nodes: [slice] }));
      const [path, ...others] = slice.arguments ?? [];
      if (path === undefined || others.length > 0 || path.value.kind !== Kind.STRING) {
        report('@slice takes one FHIRPath, written out: @slice(path: "use")');
      }
      if (field.directives?.some(({ name }) => name.value === 'first') === true) {
        report('@slice and @first cannot stand at the same field');
      }
      return undefined;
    },
  };
}
