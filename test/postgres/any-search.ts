/** Searches and conditions that often find something: their values are taken from the resources. */
import type { Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { Failure } from '../../src/fhir/failure.ts';
import { parseSearch, type SearchFilter } from '../../src/fhir/search/query.ts';
import { extractors, registry } from './search-writer.ts';

/** Searches that often find something: values are taken from the resources. */
export function anyQuery(types: readonly string[], resources: readonly Resource[]): fc.Arbitrary<string> {
  const offered = new Map(types.map((type) => [type, conditionsOf(type, resources)]));
  return fc.constantFrom(...types).chain((type) => {
    const indexed = [...registry.of(type).values()].filter(({ stored }) => stored === 'index').map(({ code }) => code);
    const key = fc
      .tuple(fc.boolean(), fc.constantFrom('_id', ...indexed))
      .map(([down, code]) => (down ? '-' : '') + code);
    const chart = fc
      .constantFrom('', '', 'patient=p1&', 'subject=Patient/p2&')
      .map((text) =>
        registry.of(type).has('patient') && (text === '' || registry.of(type).has('subject')) ? text : '',
      );
    const conditions = fc.array(fc.constantFrom(...(offered.get(type) as string[])), { maxLength: 3 });
    const sort = fc.array(key, { maxLength: 2 }).map((keys) => (keys.length === 0 ? '' : `&_sort=${keys.join(',')}`));
    return fc
      .tuple(chart, conditions, sort, fc.integer({ min: 1, max: 12 }))
      .map(([of, list, order, count]) => `${type}?${of}_count=${count}&${[...new Set(list)].join('&')}${order}`);
  });
}

/** `name=value`, encoded: every way to ask for the values of the resources. */
export function conditionsOf(type: string, resources: readonly Resource[]): string[] {
  const conditions = new Set<string>();
  const add = (name: string, value: string) => conditions.add(`${name}=${encodeURIComponent(value)}`);
  const escaped = (text: string) => text.replace(/[\\,$|]/g, '\\$&');
  for (const parameter of registry.of(type).values()) {
    if (parameter.stored !== 'index') continue;
    const { code } = parameter;
    add(`${code}:missing`, 'true');
    add(`${code}:missing`, 'false');
    for (const resource of resources) {
      if (resource.resourceType !== type) continue;
      extractors.extractorOf(parameter)(resource, {
        token(_, system, value) {
          if (value === '') return;
          add(code, escaped(value));
          add(code, `${escaped(system)}|${escaped(value)}`);
          add(code, `x,${escaped(value)},${escaped(system)}|${escaped(value)},y|z`);
          add(`${code}:not`, escaped(value));
          if (system !== '') add(code, `${escaped(system)}|`);
        },
        reference(_, target) {
          add(code, escaped(target));
          add(code, `${escaped(target)},Device/none`);
        },
        date(_, low) {
          if (low < 0) return;
          const day = new Date(low).toISOString().slice(0, 10);
          for (const prefix of ['', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap']) add(code, prefix + day);
          add(code, `${day.slice(0, 7)},eb${day}`);
        },
        string(_, text) {
          if (text.trim() === '') return;
          add(code, escaped(text.slice(0, 2)));
          add(code, `${escaped(text)},zz`);
          add(`${code}:exact`, escaped(text));
          add(`${code}:contains`, escaped(text.slice(1, 3).trim() || text));
        },
        quantity(_, low, high, system, unit) {
          const value = Math.abs(low) > 1e9 ? high : low;
          for (const prefix of ['', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap']) add(code, `${prefix}${value}`);
          if (parameter.kind === 'quantity') add(code, `le${value}|${escaped(system)}|${escaped(unit)}`);
        },
        uri(_, value) {
          add(code, escaped(value));
          add(code, `${escaped(value)},http://none`);
        },
      });
    }
  }
  // Some values are none for some parameters: a version has no system.
  return [...conditions].filter((condition) => isAsked(type, condition));
}

function isAsked(type: string, condition: string): boolean {
  try {
    parseSearch(type, [...new URLSearchParams(condition)] as [string, string][], registry, { strict: true });
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

// ---- conditions within conditions

/** Conditions of every kind about a type, of values and references that the resources have. */
export function anyFilter(
  type: string,
  resources: readonly Resource[],
  leaves: (type: string) => readonly SearchFilter[],
  depth = 2,
): fc.Arbitrary<SearchFilter> {
  const leaf = fc.constantFrom(...leaves(type));
  if (depth === 0) return leaf;
  const types = [...new Set(resources.map(({ resourceType }) => resourceType as string))];
  const within = (of: string) => anyFilter(of, resources, leaves, depth - 1);
  const some = fc.array(within(type), { maxLength: 3 });
  const referring = (of: string) =>
    [...registry.of(of).values()].filter(({ kind, stored }) => kind === 'reference' && stored === 'index');
  const chains = referring(type).flatMap((parameter) =>
    types
      .filter((target) => parameter.targets.length === 0 || parameter.targets.includes(target))
      .map((target) => within(target).map((filter): SearchFilter => ({ kind: 'chain', parameter, target, filter }))),
  );
  const has = types.flatMap((other) =>
    referring(other)
      .filter(({ targets }) => targets.length === 0 || targets.includes(type))
      .map((parameter) => within(other).map((filter): SearchFilter => ({ kind: 'has', parameter, filter }))),
  );
  const lists = resources.filter(({ resourceType }) => resourceType === 'List').map(({ id }) => id as string);
  const list = fc.subarray(lists).map((values): SearchFilter => ({ kind: 'list', values: [...values, 'none'] }));
  return fc.oneof(
    leaf,
    some.map((filters): SearchFilter => ({ kind: 'any', filters })),
    some.map((filters): SearchFilter => ({ kind: 'all', filters })),
    within(type).map((filter): SearchFilter => ({ kind: 'not', filter })),
    ...(chains.length === 0 ? [] : [fc.oneof(...chains)]),
    ...(has.length === 0 ? [] : [fc.oneof(...has)]),
    list,
  );
}
