/** `_include` and `_revinclude`. @see https://hl7.org/fhir/R4/search.html#include */
import { targetsOf } from './criterion.ts';
import { InvalidSearch } from './escaping.ts';
import { shown } from './names.ts';
import type { SearchParameterRegistry, TypeSearchParameter } from './parameters.ts';

/** `forward` adds what a match refers to, `reverse` what refers to a match. */
export type SearchInclude = {
  readonly direction: 'forward' | 'reverse';
  /** Of the type that refers: that of the matches (forward), or of what is added (reverse). */
  readonly parameter: TypeSearchParameter;
  /** Only targets of this type. */
  readonly target?: string;
  /** Also applied to what is included, again and again; else to the matches alone. */
  readonly iterate: boolean;
};

/**
 * The includes that one parameter asks for: several where it has a wildcard (`*`, `Type:*`), none where it starts from
 * a type that no match has and does not iterate.
 *
 * @param name `_include` or `_revinclude`, with `:iterate` or, as DSTU2 named it, `:recurse`
 * @param types of the matches
 * @throws InvalidSearch
 */
export function includesOf(
  name: string,
  value: string,
  types: readonly string[],
  registry: SearchParameterRegistry,
): readonly SearchInclude[] {
  const [base, modifier, ...others] = name.split(':');
  if (others.length > 0 || (modifier !== undefined && modifier !== 'iterate' && modifier !== 'recurse')) {
    throw new InvalidSearch(`${base} has the modifier :iterate only`, 'not-supported', 'MSG_PARAM_MODIFIER_INVALID');
  }
  const direction = base === '_include' ? 'forward' : 'reverse';
  const iterate = modifier !== undefined;
  const [type = '', code = '', target, ...more] = value.split(':');
  if (more.length > 0) throw notInclude(value);
  if (type === '*' && code === '') return everyReference(registry, { direction, iterate, types });
  if (!registry.definitions.isResourceType(type)) throw notInclude(value);
  if (target !== undefined && !registry.definitions.isResourceType(target)) {
    throw new InvalidSearch(`'${shown(target)}' is not a resource type`, 'value', 'MSG_UNKNOWN_TYPE');
  }
  if (direction === 'forward' && !iterate && !types.includes(type)) {
    return [];
  }
  if (code === '*') return everyReference(registry, { direction, iterate, types, from: type, target });
  const parameter = registry.of(type).get(code);
  if (parameter?.kind !== 'reference' || parameter.stored !== 'index') throw notInclude(value);
  const targets = targetsOf(parameter, registry);
  if (target !== undefined && !targets.includes(target)) {
    throw new InvalidSearch(`${type}:${code} never refers to a ${target}`);
  }
  if (direction === 'reverse' && !iterate && !types.some((match) => targets.includes(match))) return [];
  return [{ direction, parameter, iterate, ...(target === undefined ? {} : { target }) }];
}

type Wildcard = Pick<SearchInclude, 'direction' | 'iterate'> & {
  readonly types: readonly string[];
  readonly from?: string;
  readonly target?: string | undefined;
};

function everyReference(
  registry: SearchParameterRegistry,
  { direction, iterate, types, from, target }: Wildcard,
): SearchInclude[] {
  const anyType = direction === 'reverse' || iterate;
  const sources = from === undefined ? (anyType ? registry.definitions.resourceTypes : types) : [from];
  const wanted = target !== undefined ? [target] : direction === 'reverse' && !iterate ? types : undefined;
  return sources.flatMap((type) =>
    [...registry.of(type).values()]
      // The rows of a narrower parameter (`patient` of `subject`) are among those of the wider one.
      .filter(({ kind, stored, onlyTarget }) => kind === 'reference' && stored === 'index' && onlyTarget === undefined)
      .filter((parameter) => {
        const targets = targetsOf(parameter, registry);
        return wanted === undefined || wanted.some((each) => targets.includes(each));
      })
      .map((parameter) => ({ direction, parameter, iterate, ...(target === undefined ? {} : { target }) })),
  );
}

function notInclude(value: string): InvalidSearch {
  const words = 'Type:parameter or Type:parameter:Target of a reference parameter, Type:* or *';
  return new InvalidSearch(`'${shown(value)}' is not ${words}`);
}
