import type {
  Attachment,
  CodeableConcept,
  Identifier,
  OperationDefinitionParameter,
  Quantity,
  Reference,
} from '@medplum/fhirtypes';
import { choiceStep } from '../fhir/choice-step.ts';
import type { Issue } from '../fhir/failure.ts';
import { isObject, PARAMETER_TYPES, type ParameterType } from './parameter-types.ts';

/**
 * Reading the `Parameters` of an operation by its definition.
 *
 * A definition says which parameters there are, of which type, how often and with which parts; its FHIR form is the
 * OperationDefinition in fhir-profiles/. Reading lists every fault at once, each with its place
 * (`Parameters.parameter[3].value.ofType(dateTime)`), and never guesses: an unknown name, another type or a second value where
 * one is allowed is refused.
 */
export type ParameterDefinition = {
  readonly name: string;
  readonly documentation: string;
  /** One of them; a parameter with `part` has none. */
  readonly types?: readonly ParameterType[];
  readonly part?: readonly ParameterDefinition[];
  /** Resource types a Reference may have. */
  readonly targets?: readonly string[];
  readonly required?: true;
  /** May be repeated. */
  readonly many?: true;
};

/** One value with the place it came from. */
export type Placed<T> = { readonly value: T; readonly place: string };

type Entry = {
  readonly name: string;
  readonly place: string;
  readonly value?: unknown;
  readonly type?: string;
  readonly part?: Given;
};

/** The parameters that were given and are well formed. A name asked for must be one of the definition's. */
export class Given {
  readonly #entries: readonly Entry[];
  /** Where a missing parameter is reported. */
  readonly place: string;

  constructor(entries: readonly Entry[], place: string) {
    this.#entries = entries;
    this.place = place;
  }

  parts(name: string): readonly Given[] {
    return this.#entries.flatMap((entry) => (entry.name === name && entry.part ? [entry.part] : []));
  }

  part(name: string): Given | undefined {
    return this.parts(name)[0];
  }

  /** Names in the order given, for parameters whose names are themselves the answer (a checklist). */
  names(): readonly string[] {
    return this.#entries.map((entry) => entry.name);
  }

  /** Where a parameter was given, whatever its type. */
  placeOf(name: string): string | undefined {
    return this.#entries.find((entry) => entry.name === name)?.place;
  }

  text(name: string): Placed<string> | undefined {
    return this.#first(name, (value) => typeof value === 'string');
  }

  texts(name: string): readonly Placed<string>[] {
    return this.#all(name, (value) => typeof value === 'string');
  }

  number(name: string): Placed<number> | undefined {
    return this.#first(name, (value) => typeof value === 'number');
  }

  numbers(name: string): readonly Placed<number>[] {
    return this.#all(name, (value) => typeof value === 'number');
  }

  boolean(name: string): Placed<boolean> | undefined {
    return this.#first(name, (value) => typeof value === 'boolean');
  }

  quantity(name: string): Placed<Quantity> | undefined {
    return this.#first(name, isObject, ['Quantity']);
  }

  concept(name: string): Placed<CodeableConcept> | undefined {
    return this.#first(name, isObject, ['CodeableConcept']);
  }

  identifier(name: string): Placed<Identifier> | undefined {
    return this.#first(name, isObject, ['Identifier']);
  }

  attachment(name: string): Placed<Attachment> | undefined {
    return this.#first(name, isObject, ['Attachment']);
  }

  reference(name: string): Placed<Reference> | undefined {
    return this.references(name)[0];
  }

  /** As a transaction writes it. */
  bundleReference(name: string): Reference<never> | undefined {
    const placed = this.reference(name);
    return placed && asBundleReference(placed.value);
  }

  references(name: string): readonly Placed<Reference>[] {
    return this.#all<Reference>(name, isObject, ['Reference']);
  }

  #first<T>(name: string, is: (value: unknown) => boolean, types?: readonly string[]): Placed<T> | undefined {
    return this.#all<T>(name, is, types)[0];
  }

  #all<T>(name: string, is: (value: unknown) => boolean, types?: readonly string[]): Placed<T>[] {
    return this.#entries.flatMap(({ name: given, value, place, type }) =>
      given === name && is(value) && (types === undefined || types.includes(type ?? ''))
        ? [{ value: value as T, place }]
        : [],
    );
  }
}

/** Reads by the definition. Faults go to `issues`; what is well formed can be read on, so that later checks join in. */
export function readParameters(resource: unknown, definitions: readonly ParameterDefinition[], issues: Issue[]): Given {
  const body = resource as { resourceType?: unknown; parameter?: unknown } | null | undefined;
  if (!isObject(body) || body.resourceType !== 'Parameters') {
    issues.push(fault('structure', 'The body must be a Parameters resource.', 'Parameters'));
    return new Given([], 'Parameters');
  }
  return readLevel(body.parameter ?? [], 'Parameters', 'parameter', definitions, issues);
}

function readLevel(
  list: unknown,
  parent: string,
  field: 'parameter' | 'part',
  definitions: readonly ParameterDefinition[],
  issues: Issue[],
): Given {
  const entries: Entry[] = [];
  const seen = new Set<string>();
  if (!Array.isArray(list)) {
    issues.push(fault('structure', `${field} must be a list.`, `${parent}.${field}`));
    return new Given([], parent);
  }
  for (const [index, item] of list.entries()) {
    const place = `${parent}.${field}[${index}]`;
    const name = isObject(item) && typeof item.name === 'string' ? item.name : undefined;
    const definition = definitions.find((candidate) => candidate.name === name);
    if (!isObject(item) || name === undefined) {
      issues.push(fault('required', 'A parameter needs a name.', `${place}.name`));
    } else if (definition === undefined) {
      const known = definitions.map((candidate) => candidate.name).join(', ');
      issues.push(
        fault('not-supported', `There is no parameter of this name here. Known are: ${known}.`, `${place}.name`),
      );
    } else if (seen.has(name) && definition.many === undefined) {
      issues.push(fault('structure', `${name} may be given once.`, place));
    } else {
      seen.add(name);
      const entry = readEntry(item, place, definition, issues);
      if (entry !== undefined) entries.push(entry);
    }
  }
  for (const { name, required } of definitions) {
    if (required && !seen.has(name)) issues.push(fault('required', `${name} is missing.`, `${parent}.${field}`));
  }
  return new Given(entries, parent);
}

function readEntry(
  item: Record<string, unknown>,
  place: string,
  definition: ParameterDefinition,
  issues: Issue[],
): Entry | undefined {
  const { name } = definition;
  const values = Object.keys(item).filter((key) => key.startsWith('value'));
  const allowed = ['id', 'extension', 'name', ...(definition.part ? ['part'] : values.slice(0, 1))];
  if (Object.keys(item).some((key) => !allowed.includes(key))) {
    issues.push(
      fault('structure', `${name} has ${definition.part ? 'parts and no value' : 'one value and no parts'}.`, place),
    );
  }
  if (definition.part !== undefined) {
    const parts = item.part ?? [];
    if (Array.isArray(parts) && parts.length === 0) issues.push(fault('required', `${name} needs parts.`, place));
    return { name, place, part: readLevel(parts, place, 'part', definition.part, issues) };
  }
  const types = definition.types ?? [];
  const [key] = values;
  const type = types.find((candidate) => key === valueKey(candidate));
  const forms = types.map(valueKey).join(' or ');
  const at = key === undefined ? place : `${place}.${choiceStep('value', key)}`;
  if (key === undefined || type === undefined) {
    issues.push(fault('value', `${name} must be given as ${forms}.`, at));
    return undefined;
  }
  const problem = PARAMETER_TYPES[type](item[key]);
  if (problem !== undefined) {
    issues.push(fault('value', `${name} ${problem}`, at));
    return undefined;
  }
  if (
    type === 'Reference' &&
    definition.targets &&
    !definition.targets.includes(targetTypeOf(item[key] as Reference))
  ) {
    const text = `${name} must refer to ${definition.targets.join(' or ')}.`;
    issues.push(fault('value', text, at));
    return undefined;
  }
  return { name, place: at, value: item[key], type };
}

/** `Practitioner/4` and `Practitioner?identifier=…` refer to a Practitioner. */
export function targetTypeOf({ reference, type }: Reference): string {
  return reference === undefined
    ? (type ?? '')
    : (/^(?:https?:\/\/.+\/)?([A-Z][A-Za-z]+)[/?]/.exec(reference)?.[1] ?? '');
}

function valueKey(type: string): string {
  return `value${type.charAt(0).toUpperCase()}${type.slice(1)}`;
}

export function fault(code: Issue['code'], diagnostics: string, expression: string): Issue {
  return { severity: 'error', code, diagnostics, expression };
}

/** The same definitions as OperationDefinition.parameter writes them. FHIR has one type there, so several become Element. */
export function asOperationParameters(definitions: readonly ParameterDefinition[]): OperationDefinitionParameter[] {
  return definitions.map(({ name, documentation, types, part, targets, required, many }) => {
    const severalTypes = (types ?? []).length > 1;
    const documented = severalTypes ? `${documentation} As ${(types ?? []).join(' or ')}.` : documentation;
    const type = part ? undefined : severalTypes ? 'Element' : types?.[0];
    return {
      name,
      use: 'in',
      min: required ? 1 : 0,
      max: many ? '*' : '1',
      documentation: documented,
      ...(type === undefined ? {} : { type: type as NonNullable<OperationDefinitionParameter['type']> }),
      ...(targets &&
        !severalTypes && {
          targetProfile: targets.map((target) => `http://hl7.org/fhir/StructureDefinition/${target}`),
        }),
      ...(part ? { part: asOperationParameters(part) } : {}),
    };
  });
}

/** A reference as transactions write it: one by identifier becomes conditional (`Practitioner?identifier=system|value`). */
export function asBundleReference({ reference, type, identifier, display }: Reference): Reference<never> {
  const target = reference ?? `${type}?identifier=${identifier?.system}|${identifier?.value}`;
  return { reference: target, ...(display === undefined ? {} : { display }) };
}
