/**
 * From the discriminators of a slicing to what each slice's items have in common (matcher.ts).
 *
 * What a slice says at the path of a discriminator comes from the slice itself and from the profiles its types name:
 * a fixed value, a pattern, a required binding, the same of elements below, or else that the element is there or not.
 *
 * @see https://hl7.org/fhir/R4/profiling.html#discriminator
 */
import { withoutVersion } from '../../definitions/structure.ts';
import type { Discriminator, ProfileElement, ProfileType } from '../../profiles/model.ts';
import { contentPath } from '../place.ts';
import { type ElementForm, formsUnder } from '../schema.ts';
import type { Known } from './known.ts';
import type { Match } from './matcher.ts';

/**
 * Elements of profiles that all speak of one place, what may stand below it by definition, and what fixed values and
 * patterns further up say of it.
 */
type Place = {
  readonly elements: readonly ProfileElement[];
  readonly path: string | undefined;
  readonly said: readonly Said[];
  /** The value set that R4 itself requires there: it tells no slice from another. */
  readonly boundAnyway?: string;
};

type Said = { readonly fixed: unknown } | { readonly pattern: unknown };

type Step =
  | { readonly name: string; readonly type?: string }
  | { readonly extension: string }
  | { readonly resolve: true };

/** Undefined where the slice says nothing that its items could be told by. */
export function matchOf(
  slice: ProfileElement,
  path: string | undefined,
  discriminators: readonly Discriminator[],
  known: Known,
): Match | undefined {
  const extension = extensionUrl(slice, discriminators);
  if (extension !== undefined) return { keys: ['url'], match: { fixed: extension } };
  const matches: Match[] = [];
  for (const { type, path: steps } of discriminators) {
    const place = { elements: withTypeProfiles([slice], known), path, said: [] };
    const match = stepsOf(steps) === undefined ? undefined : matchAlong(stepsOf(steps) ?? [], place, type, known);
    if (match === undefined) return undefined;
    if (match !== true) matches.push(match);
  }
  return both(matches);
}

/** Why a discriminator can tell nothing of what stands at `path`; undefined where it may. */
export function discriminatorFault(
  element: ProfileElement,
  path: string,
  text: string,
  known: Known,
): string | undefined {
  const steps = text.length > MAX_PATH ? undefined : stepsOf(text);
  if (steps === undefined) return 'is none of the paths that R4 allows there';
  let place: Place = { elements: [element, ...element.slices], path, said: [] };
  for (const step of steps) {
    if ('extension' in step) place = { elements: [], path: 'Extension', said: [] };
    else if ('resolve' in step) place = { elements: [], path: undefined, said: [] };
    if (!('name' in step)) continue;
    // Below a choice, or a resource of any type, there may be anything.
    if (place.path === undefined) return undefined;
    const below = placeBelow(place, step, known);
    if (below === undefined || below.keys.length === 0) return `leads nowhere: ${place.path} has no ${step.name}`;
    place = below;
  }
  return undefined;
}

const MAX_PATH = 1000;

/** An extension's url is the canonical of its profile, known here or not. */
export function extensionUrl(slice: ProfileElement, discriminators: readonly Discriminator[]): string | undefined {
  const [profile, ...others] = slice.types.flatMap(({ profiles = [] }) => profiles);
  const isExtension = slice.name === 'extension' || slice.name === 'modifierExtension';
  const isByUrl = discriminators.length === 1 && discriminators[0]?.path === 'url';
  return isExtension && isByUrl && profile !== undefined && others.length === 0 ? withoutVersion(profile) : undefined;
}

const STEP = /^(?:extension\('([^']+)'\)|resolve\(\)|ofType\(([A-Za-z]+)\)|([A-Za-z]+)(?:\[x\])?)(?:\.|$)/;

/** Undefined for a path that is not of the restricted FHIRPath that R4 allows. */
function stepsOf(path: string): readonly Step[] | undefined {
  const steps: Step[] = [];
  let rest = path.trim() === '$this' ? '' : path.trim().replace(/^\$this\./, '');
  while (rest !== '') {
    const found = STEP.exec(rest);
    if (found === null) return undefined;
    const [whole, extension, type, name] = found;
    if (extension !== undefined) steps.push({ extension });
    else if (name !== undefined) steps.push({ name });
    else if (type === undefined) steps.push({ resolve: true });
    else {
      const before = steps.pop();
      if (before === undefined || !('name' in before)) return undefined;
      steps.push({ ...before, type });
    }
    rest = rest.slice(whole.length);
  }
  return steps;
}

function matchAlong(
  [step, ...rest]: readonly Step[],
  place: Place,
  type: Discriminator['type'],
  known: Known,
): Match | true | undefined {
  if (step === undefined) return matchHere(place, type, known);
  if ('resolve' in step) return matchTarget(rest, place, type, known);
  if ('extension' in step) return matchExtension(step.extension, rest, place, type, known);
  const below = placeBelow(place, step, known);
  if (below === undefined) return undefined;
  if (rest.length === 0 && (type === 'exists' || isLeftOut(below.elements))) return existence(below);
  // Of a list in a pattern, each item may be met by another one.
  const matches = (below.said.length > 1 ? below.said.map((said) => [said]) : [below.said]).map((said) =>
    matchAlong(rest, { ...below, said }, type, known),
  );
  if (matches.includes(undefined)) return rest.length === 0 ? existence(below) : undefined;
  return both(matches.map((match) => ({ keys: below.keys, match: match ?? true })));
}

function both(matches: readonly Match[]): Match | undefined {
  return matches.length > 1 ? { all: matches } : matches[0];
}

type PlaceBelow = Place & { readonly keys: readonly string[] };

function placeBelow(place: Place, step: { name: string; type?: string }, known: Known): PlaceBelow | undefined {
  if (place.path === undefined) return undefined;
  const forms = formsUnder(place.path, known.definitions);
  const form =
    forms.find(({ name }) => name === step.name) ??
    forms.find(({ types }) => types.some(({ key }) => key === step.name));
  if (form === undefined) return undefined;
  const children = place.elements.flatMap((element) => element.children).filter(({ name }) => name === form.name);
  const wanted =
    step.type ?? (form.name === step.name ? undefined : form.types.find(({ key }) => key === step.name)?.type.code);
  const codes = new Set(children.flatMap(typesOf));
  const types = form.types.filter(({ type: { code } }) =>
    wanted === undefined ? isAmong(code, codes, form) : code === wanted,
  );
  const [only] = types;
  const elements = withTypeProfiles(children.flatMap(withRequiredSlice), known);
  return {
    elements,
    keys: types.flatMap(({ key, sibling }) => (sibling === undefined ? [key] : [key, sibling])),
    path: types.length === 1 && only !== undefined ? pathOf(contentPath(form, only.type), codes) : undefined,
    ...boundAnyway(form),
    said: saidBelow(
      place,
      types.map(({ key }) => key),
    ),
  };
}

function boundAnyway({ element: { binding } }: ElementForm): { boundAnyway?: string } {
  return binding?.strength === 'required' && binding.valueSet !== undefined ? { boundAnyway: binding.valueSet } : {};
}

/** A fixed value or a pattern has one type, whatever the element allows. */
function typesOf({ types, fixed, pattern }: ProfileElement): readonly string[] {
  const said = fixed ?? pattern;
  return said === undefined ? types.map(({ code }) => code) : [said.type];
}

/** Below a resource of any type there may be anything; a slice may say which type it is. */
function pathOf(path: string, codes: ReadonlySet<string>): string | undefined {
  if (path !== 'Resource') return path;
  const [only] = codes;
  return codes.size === 1 && only !== 'Resource' && only !== 'DomainResource' ? only : undefined;
}

function saidBelow({ elements, said }: Place, keys: readonly string[]): Said[] {
  const here = [...said, ...elements.flatMap(saidBy)];
  return here.flatMap((one): Said[] => {
    const isFixed = 'fixed' in one;
    const value = isFixed ? one.fixed : one.pattern;
    if (typeof value !== 'object' || value === null) return [];
    const key = keys.find((name) => name in value);
    const part: unknown = key === undefined ? undefined : (value as Record<string, unknown>)[key];
    const parts: readonly unknown[] = Array.isArray(part) ? part : part === undefined ? [] : [part];
    return parts.map((item) => (isFixed ? { fixed: item } : { pattern: item }));
  });
}

function saidBy({ fixed, pattern }: ProfileElement): Said[] {
  return [
    ...(fixed === undefined ? [] : [{ fixed: fixed.value }]),
    ...(pattern === undefined ? [] : [{ pattern: pattern.value }]),
  ];
}

function isAmong(code: string, codes: ReadonlySet<string>, { types }: ElementForm): boolean {
  return types.length === 1 || codes.size === 0 || codes.has(code);
}

/** Where one slice of an element must be there, what it says is said of some item. */
function withRequiredSlice(element: ProfileElement): ProfileElement[] {
  const required = element.slices.filter(({ min }) => min > 0);
  return required.length === 1 ? [element, ...required] : [element];
}

function withTypeProfiles(elements: readonly ProfileElement[], known: Known): ProfileElement[] {
  return elements.flatMap((element) => {
    const profiles = element.types.flatMap(({ profiles = [] }) => profiles);
    const [only] = profiles;
    const profile = profiles.length === 1 && only !== undefined ? known.profile(only) : undefined;
    return profile === undefined ? [element] : [element, profile.root];
  });
}

function matchHere(place: Place, type: Discriminator['type'], known: Known): Match | true | undefined {
  const types = place.elements.flatMap((element) => element.types);
  switch (type) {
    case 'value':
    case 'pattern':
      return valueMatch(place, known, MAX_LEVELS);
    case 'type':
      return typeMatch(types);
    case 'profile': {
      const profiles = types.flatMap(({ profiles = [] }) => profiles);
      return profiles.length === 0 ? undefined : { conforms: [...new Set(profiles)] };
    }
    case 'exists':
      return undefined;
  }
}

/** Of a choice the keys have the type already; of a resource it is in the resource. */
function typeMatch(types: readonly ProfileType[]): Match | true | undefined {
  const codes = [...new Set(types.map(({ code }) => code))];
  if (codes.length === 0) return undefined;
  if (codes.includes('Resource') || codes.includes('DomainResource')) return true;
  return codes.every((code) => /^[A-Z]/.test(code))
    ? { any: [{ resourceType: codes }, { not: { keys: ['resourceType'], match: true } }] }
    : true;
}

function isLeftOut(elements: readonly ProfileElement[]): boolean {
  return elements.some(({ max }) => max === 0);
}

function existence({ elements, keys, said }: PlaceBelow): Match | undefined {
  if (isLeftOut(elements)) return { not: { keys, match: true } };
  return said.length > 0 || elements.some(({ min }) => min > 0) ? { keys, match: true } : undefined;
}

/** Discriminators name few levels; a definition that says more is compared at these. */
const MAX_LEVELS = 6;

function valueMatch({ elements, path, said, boundAnyway }: Place, known: Known, levels: number): Match | undefined {
  const matches: Match[] = [...said, ...elements.flatMap(saidBy)];
  if (matches.length === 0) {
    for (const { binding } of elements) {
      if (binding?.strength !== 'required' || binding.valueSet === undefined) continue;
      if (withoutVersion(binding.valueSet) !== boundAnyway) matches.push({ bound: binding.valueSet });
    }
  }
  // A value that is said as a whole tells enough: what is said below it is for the slice to meet.
  if (matches.length === 0 && levels > 0 && path !== undefined) {
    for (const form of formsUnder(path, known.definitions)) {
      const below = placeBelow({ elements, path, said: [] }, { name: form.name }, known);
      if (below === undefined || !isSaid(below.elements)) continue;
      const match = valueMatch(below, known, levels - 1);
      if (match === undefined) continue;
      const { keys } = below;
      const isThere: Match = { keys, match };
      const mayBeAbsent = !below.elements.some(({ min }) => min > 0);
      matches.push(mayBeAbsent ? { any: [isThere, { not: { keys, match: true } }] } : isThere);
    }
  }
  return both(matches);
}

/** The binding of an element below is nothing that slices are told by, unless the path itself leads there. */
function isSaid(elements: readonly ProfileElement[]): boolean {
  return elements.some(
    ({ fixed, pattern, children }) => fixed !== undefined || pattern !== undefined || isSaid(children),
  );
}

function matchTarget(
  rest: readonly Step[],
  place: Place,
  type: Discriminator['type'],
  known: Known,
): Match | undefined {
  const targets = [...new Set(place.elements.flatMap(({ types }) => types.flatMap(({ targets = [] }) => targets)))];
  if (targets.length === 0) return undefined;
  if (rest.length === 0 && type === 'type') {
    return { targetType: [...new Set(targets.map((target) => typeOfTarget(target, known)))] };
  }
  if (rest.length === 0 && type === 'profile') return { target: { conforms: targets } };
  const matches = targets.flatMap((target): Match[] => {
    const profile = known.profile(target);
    const path = typeOfTarget(target, known);
    const match = matchAlong(
      rest,
      { elements: profile === undefined ? [] : [profile.root], path, said: [] },
      type,
      known,
    );
    return match === undefined || match === true ? [] : [match];
  });
  const [first] = matches;
  if (first === undefined) return undefined;
  return { target: matches.length === 1 ? first : { any: matches } };
}

function typeOfTarget(target: string, known: Known): string {
  return known.profile(target)?.type ?? known.definitions.structure(target)?.type ?? 'Resource';
}

function matchExtension(
  url: string,
  rest: readonly Step[],
  place: Place,
  type: Discriminator['type'],
  known: Known,
): Match | true | undefined {
  const slices = place.elements
    .flatMap(({ children }) => children)
    .filter(({ name }) => name === 'extension')
    .flatMap((extension) => extension.slices)
    .filter((slice) =>
      slice.types.some(({ profiles = [] }) => profiles.some((profile) => withoutVersion(profile) === url)),
    );
  if (rest.length === 0 && (type === 'exists' || isLeftOut(slices))) {
    if (isLeftOut(slices)) return { not: { extension: url, match: true } };
    return slices.some(({ min }) => min > 0) ? { extension: url, match: true } : undefined;
  }
  const profile = known.profile(url);
  const elements = [...withTypeProfiles(slices, known), ...(profile === undefined ? [] : [profile.root])];
  const match = matchAlong(rest, { elements, path: 'Extension', said: [] }, type, known);
  return match === undefined ? undefined : { extension: url, match };
}
