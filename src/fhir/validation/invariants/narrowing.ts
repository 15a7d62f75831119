/** Items of one type among others: `ofType`, `is`, `as`, and what is chosen from a list. */

import { primitives } from '../primitives.ts';
import type { ElementsOf } from './invariant.ts';
import { type Items, NOT_COMPILED } from './values.ts';

export const WRITTEN_AS_TEXT = new Set(
  'System.String string code uri url canonical id markdown oid uuid date dateTime instant time'.split(' '),
);

export type Narrowed = Pick<Items, 'on' | 'run'>;

/** The items that the focus is, when its type is a wanted one. */
export function narrowed(focus: readonly ElementsOf[], type: string, run: (isIt: boolean) => Items['run']): Narrowed {
  const [on] = focus;
  if (focus.length !== 1 || on === undefined || on.type === 'Resource') throw NOT_COMPILED;
  const isIt = isType(on, type);
  return { on: isIt ? focus : [], run: run(isIt) };
}

/** An element is of a type of FHIR, never of one of FHIRPath itself (`Boolean`), be it ever so much like it. */
export function isType(on: ElementsOf, type: string): boolean {
  const name = type.startsWith('FHIR.') ? type.slice(5) : type;
  if (SYSTEM_TYPES.has(type) && !on.type.startsWith('System.')) return false;
  const isKnown = on.other(name).element('id') !== undefined || WRITTEN_AS_TEXT.has(name) || PLAIN.has(name);
  if (!isKnown || on.type.startsWith('System.')) throw NOT_COMPILED;
  return on.isA(name);
}

const SYSTEM_TYPES = new Set(['Boolean', 'String', 'Integer', 'Decimal', 'Date', 'DateTime', 'Time']);
const PLAIN = new Set('boolean integer decimal positiveInt unsignedInt base64Binary'.split(' '));

/** A resource says its own type. */
export function ofResourceType(type: string, run: Items['run'], on: ElementsOf): Narrowed {
  const wanted = on.other(type);
  if (!wanted.isA('Resource') || ['Resource', 'DomainResource'].includes(type)) throw NOT_COMPILED;
  const isWanted = (item: unknown) => (item as { resourceType?: unknown }).resourceType === type;
  return { on: [wanted], run: (value) => run(value).filter(isWanted) };
}

/** Some of the items, of whatever type those are. */
export function sublist(
  items: Items,
  choose: (list: readonly unknown[]) => readonly unknown[],
  isList: boolean,
): Items {
  const { narrow } = items;
  return {
    kind: 'items',
    on: items.on,
    isList,
    ...(items.repeats === true ? { repeats: true } : {}),
    run: (value) => choose(items.run(value)),
    ...(narrow === undefined ? {} : { narrow: (type: string) => narrowedSublist(narrow(type), choose, items) }),
  };
}

// Choosing the first and then a type is not the first of that type.
function narrowedSublist(
  those: Narrowed | undefined,
  choose: (list: readonly unknown[]) => readonly unknown[],
  all: Items,
) {
  if (those === undefined) return undefined;
  // Two equal texts of two types could not be told apart.
  if (those.on.some(({ type }) => type in primitives)) throw NOT_COMPILED;
  return {
    on: those.on,
    run: (value: unknown) => {
      const chosen = new Set(choose(all.run(value)));
      return those.run(value).filter((item) => chosen.has(item));
    },
  };
}
