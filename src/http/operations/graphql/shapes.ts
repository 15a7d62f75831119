/**
 * The GraphQL types of FHIR R4 as data, made from our definitions when they are asked for. The schema of a query and the
 * answers to introspection both come from here, so they cannot differ.
 *
 * @see https://hl7.org/fhir/R4/graphql.html
 */
import type { ElementDigest } from '../../../fhir/definitions.ts';
import type { SearchParameterRegistry } from '../../../fhir/search/parameters.ts';

export type TypeRef = { readonly name: string; readonly list?: true; readonly required?: true };

export type ArgShape = { readonly name: string; readonly type: TypeRef };

export type FieldShape = {
  readonly name: string;
  readonly type: TypeRef;
  readonly args: readonly ArgShape[];
  readonly answer: Answer;
  /** Types that a Reference there may lead to; absent where any may. */
  readonly targets?: readonly string[];
};

/** What a field is answered with. */
export type Answer =
  | { readonly kind: 'element' }
  | { readonly kind: 'decimal' }
  /** An element with parts, of which arguments may choose. */
  | { readonly kind: 'part' }
  /** What a Reference leads to. */
  | { readonly kind: 'referred' }
  | { readonly kind: 'read'; readonly type: string }
  /** `of`: the type whose instances the matches refer to; absent at the root. */
  | { readonly kind: 'search'; readonly form: SearchForm; readonly type: string; readonly of?: string };

export type SearchForm = 'List' | 'Connection';

export const QUERY = 'Query';
/** The interface of all resource types. */
export const RESOURCE = 'Resource';
/** What stands beside a primitive value: its id and extensions. */
const ELEMENT = 'ElementBase';

const OF_EVERY_RESOURCE: readonly string[] = ['id', 'meta', 'implicitRules', 'language'];

/** Of R4 by its own name, but for those that GraphQL has. */
const BUILT_IN: Readonly<Record<string, string>> = { boolean: 'Boolean', integer: 'Int', string: 'String', id: 'ID' };

const SEARCH_SCALARS: Readonly<Record<string, string>> = { string: 'String', text: 'String' };

/** Names of the scalars that GraphQL does not have: the primitive types of R4, and the types of its search parameters. */
export const SCALARS: readonly string[] = `base64Binary canonical code date dateTime decimal instant markdown oid
  positiveInt time unsignedInt uri url uuid xhtml number token reference composite quantity special`.split(/\s+/);

const SEARCH_FIELD = /^([A-Z][A-Za-z]+?)(List|Connection)$/;

export class Shapes {
  readonly #registry: SearchParameterRegistry;
  readonly #searchArgs = new Map<string, readonly ArgShape[]>();
  readonly #fields = new Map<string, readonly FieldShape[]>();
  #paths: ReadonlyMap<string, string> | undefined;
  #referrers: ReadonlyMap<string, ReadonlySet<string>> | undefined;

  constructor(registry: SearchParameterRegistry) {
    this.#registry = registry;
  }

  get resourceTypes(): readonly string[] {
    return this.#registry.definitions.resourceTypes;
  }

  isResourceType(name: string): boolean {
    return this.#registry.definitions.isResourceType(name);
  }

  /** Types made of elements: resources, datatypes, and elements with content of their own (`PatientContact`). */
  get names(): Iterable<string> {
    return this.#allPaths().keys();
  }

  /** Is made of elements. */
  has(name: string): boolean {
    return this.#allPaths().has(name);
  }

  rootField(name: string): FieldShape | undefined {
    if (this.isResourceType(name)) {
      const args = [{ name: 'id', type: { name: 'ID', required: true as const } }];
      return { name, type: { name }, args, answer: { kind: 'read', type: name } };
    }
    const { type, form } = this.#searched(name) ?? {};
    return type === undefined || form === undefined ? undefined : this.#searchField(type, form);
  }

  get rootFields(): readonly FieldShape[] {
    const names = this.resourceTypes.flatMap((type) => [type, `${type}List`, `${type}Connection`]);
    return names.flatMap((name) => this.rootField(name) ?? []);
  }

  /** The field of a resource type that looks for what refers to it. */
  reverseField(of: string, name: string): FieldShape | undefined {
    const { type, form } = this.#searched(name) ?? {};
    if (type === undefined || form === undefined || this.referencesTo(of, type).length === 0) return undefined;
    return this.#searchField(type, form, of);
  }

  /** The reverse look-ups of a type by parameters that are made for it, and not for references to anything. */
  reverseFields(of: string): readonly FieldShape[] {
    this.#referrers ??= this.#findReferrers();
    return [...(this.#referrers.get(of) ?? [])].flatMap((type) =>
      FORMS.map((form) => this.#searchField(type, form, of)),
    );
  }

  /** Types by what a parameter of theirs is made to refer to; those for references to anything list every type. */
  #findReferrers(): ReadonlyMap<string, ReadonlySet<string>> {
    const referrers = new Map<string, Set<string>>();
    for (const type of this.resourceTypes) {
      for (const { kind, targets } of this.#registry.of(type).values()) {
        if (kind !== 'reference' || targets.length >= MANY) continue;
        for (const of of targets) referrers.set(of, (referrers.get(of) ?? new Set()).add(type));
      }
    }
    return referrers;
  }

  /** Names, as arguments write them, of the parameters by which a type may refer to another. */
  referencesTo(of: string, type: string): readonly string[] {
    return [...this.#registry.of(type).values()]
      .filter(({ kind, targets }) => kind === 'reference' && (targets.length === 0 || targets.includes(of)))
      .map(({ code }) => argumentOf(code));
  }

  /** The fields of a type made of elements, without its reverse look-ups; none for an unknown name. */
  fieldsOf(name: string): readonly FieldShape[] {
    const known = this.#fields.get(name);
    if (known !== undefined) return known;
    const path = this.#allPaths().get(name);
    if (path === undefined) return [];
    const fields = this.#fieldsUnder(path);
    if (this.#fields.size >= MAX_KEPT) this.#fields.delete(this.#fields.keys().next().value as string);
    this.#fields.set(name, fields);
    return fields;
  }

  /** A field of any type there is: of the root (QUERY), of elements, of connections. */
  field(typeName: string, name: string): FieldShape | undefined {
    if (typeName === QUERY) return this.rootField(name);
    const fields = typeName === RESOURCE ? this.resourceFields : this.fieldsOf(typeName);
    const found = fields.find((field) => field.name === name);
    if (found !== undefined) return found;
    if (this.isResourceType(typeName)) return this.reverseField(typeName, name);
    return this.pageFields(typeName).find((field) => field.name === name);
  }

  /** The fields of `PatientConnection` and of `PatientEdge`. */
  pageFields(typeName: string): readonly FieldShape[] {
    const [, type = '', part] = /^([A-Z][A-Za-z]+)(Connection|Edge)$/.exec(typeName) ?? [];
    if (!this.isResourceType(type)) return [];
    if (part === 'Edge') return [...EDGE_FIELDS, plainField('resource', { name: type })];
    return [...CONNECTION_FIELDS, plainField('edges', { name: `${type}Edge`, list: true })];
  }

  /** What every resource has. */
  get resourceFields(): readonly FieldShape[] {
    const names = ['resourceType', ...OF_EVERY_RESOURCE];
    return this.fieldsOf('Basic').filter(({ name }) => names.includes(name));
  }

  #searched(name: string): { type: string; form: SearchForm } | undefined {
    const [, type = '', form] = SEARCH_FIELD.exec(name) ?? [];
    return this.isResourceType(type) ? { type, form: form as SearchForm } : undefined;
  }

  #searchField(type: string, form: SearchForm, of?: string): FieldShape {
    return {
      name: `${type}${form}`,
      type: form === 'List' ? { name: type, list: true } : { name: `${type}Connection` },
      args: of === undefined ? [...this.#argumentsOf(type), ...PAGING] : [REFERENCE, ...this.#argumentsOf(type)],
      answer: { kind: 'search', form, type, ...(of === undefined ? {} : { of }) },
    };
  }

  #argumentsOf(type: string): readonly ArgShape[] {
    let found = this.#searchArgs.get(type);
    if (found === undefined) {
      const parameters = [...this.#registry.of(type).values()].filter(({ stored }) => stored !== 'none');
      found = [
        ...OF_EVERY_SEARCH,
        ...parameters.map(({ code, kind }) => {
          const name = SEARCH_SCALARS[kind] ?? (SCALARS.includes(kind) ? kind : 'String');
          return { name: argumentOf(code), type: { name, list: true as const } };
        }),
      ];
      this.#searchArgs.set(type, found);
    }
    return found;
  }

  #fieldsUnder(path: string): FieldShape[] {
    const fields: FieldShape[] = [];
    if (this.isResourceType(path)) {
      fields.push({ name: 'resourceType', type: { name: 'String' }, args: [], answer: { kind: 'element' } });
    }
    for (const element of this.#registry.definitions.elementsOf(path)) fields.push(...this.#elementFields(element));
    if (path === 'Reference') fields.push(REFERRED);
    return fields;
  }

  #elementFields(element: ElementDigest): FieldShape[] {
    const name = lastOf(element.path);
    const list = element.max > 1 ? { list: true as const } : {};
    return typesOf(element).flatMap((code): FieldShape[] => {
      const key = name.endsWith('[x]') ? `${name.slice(0, -3)}${capitalized(code)}` : name;
      if (element.contentReference === undefined && isPrimitive(code)) {
        const answer: Answer = { kind: code === 'decimal' ? 'decimal' : 'element' };
        const field = { name: key, type: { name: BUILT_IN[code] ?? code, ...list }, args: [], answer };
        if (element.bare === true) return [field];
        return [field, { name: `_${key}`, type: { name: ELEMENT, ...list }, args: [], answer: { kind: 'element' } }];
      }
      const within = contentPath(element, code);
      const args = [...(element.max > 1 ? OF_LISTS : []), FHIRPATH, ...this.#valueArguments(within)];
      const targets = element.types
        .find((type) => type.code === code)
        ?.targets?.filter((each) => this.isResourceType(each));
      const isAny = targets === undefined || targets.length === 0;
      const type = { name: typeName(within), ...list };
      return [{ name: key, type, args, answer: { kind: 'part' }, ...(isAny ? {} : { targets }) }];
    });
  }

  /** For each plain element of the parts the value that it must have. */
  #valueArguments(path: string): ArgShape[] {
    return this.#registry.definitions.elementsOf(path).flatMap((child) => {
      const [only, ...others] = typesOf(child);
      if (only === undefined || others.length > 0 || child.contentReference !== undefined || !isPrimitive(only))
        return [];
      return [{ name: lastOf(child.path), type: { name: BUILT_IN[only] ?? only } }];
    });
  }

  #allPaths(): ReadonlyMap<string, string> {
    if (this.#paths === undefined) {
      const paths = new Map<string, string>();
      const walk = (path: string): void => {
        if (path === RESOURCE || paths.has(typeName(path))) return;
        paths.set(typeName(path), path);
        for (const element of this.#registry.definitions.elementsOf(path)) {
          for (const code of typesOf(element)) if (!isPrimitive(code)) walk(contentPath(element, code));
        }
      };
      walk('Element');
      for (const type of this.resourceTypes) walk(type);
      this.#paths = paths;
    }
    return this.#paths;
  }
}

const MANY = 100;
/** Types whose fields are kept; all of them have 11,000 fields with 26,000 arguments. */
const MAX_KEPT = 200;
const FORMS: readonly SearchForm[] = ['List', 'Connection'];

const FHIRPATH: ArgShape = { name: 'fhirpath', type: { name: 'String' } };
const OF_LISTS: readonly ArgShape[] = [
  { name: '_count', type: { name: 'Int' } },
  { name: '_offset', type: { name: 'Int' } },
];
const OF_EVERY_SEARCH: readonly ArgShape[] = [
  { name: '_filter', type: { name: 'String' } },
  { name: '_list', type: { name: 'String', list: true } },
  { name: '_sort', type: { name: 'String' } },
  ...OF_LISTS,
  FHIRPATH,
];
/** Allowed at the root alone. */
const PAGING: readonly ArgShape[] = [
  { name: '_cursor', type: { name: 'ID' } },
  { name: 'cursor', type: { name: 'ID' } },
];
const REFERENCE: ArgShape = { name: '_reference', type: { name: 'String', required: true } };

const REFERRED: FieldShape = {
  name: 'resource',
  type: { name: RESOURCE },
  args: [
    { name: 'optional', type: { name: 'Boolean' } },
    { name: 'type', type: { name: 'code', list: true } },
  ],
  answer: { kind: 'referred' },
};

const CONNECTION_FIELDS: readonly FieldShape[] = [
  ...['count', 'offset', 'pagesize'].map((name) => plainField(name, { name: 'Int' })),
  ...['first', 'previous', 'next', 'last'].map((name) => plainField(name, { name: 'ID' })),
];
const EDGE_FIELDS: readonly FieldShape[] = [
  plainField('mode', { name: 'code' }),
  plainField('score', { name: 'decimal' }),
];

function plainField(name: string, type: TypeRef): FieldShape {
  return { name, type, args: [], answer: { kind: 'element' } };
}

/** GraphQL names have no '-'. */
export function argumentOf(code: string): string {
  return code.replaceAll('-', '_');
}

function typesOf({ types }: ElementDigest): readonly string[] {
  return types.length === 0 ? [''] : types.map(({ code }) => code);
}

function contentPath(element: ElementDigest, code: string): string {
  if (element.contentReference !== undefined) return element.contentReference;
  return code === 'BackboneElement' || code === 'Element' || code === '' ? element.path : code;
}

function isPrimitive(code: string): boolean {
  return /^[a-z]/.test(code);
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

/** `Patient.contact` is PatientContact. */
function typeName(path: string): string {
  if (path === 'Element') return ELEMENT;
  return path
    .split('.')
    .map((part) => capitalized(part).replace('[x]', ''))
    .join('');
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
