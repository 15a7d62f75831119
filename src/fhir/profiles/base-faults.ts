/** What a profile says that R4 has no place for, or that is wider than R4: its snapshot may come from anywhere. */
import type { Definitions, ElementDigest, TypeDigest } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import type { Profile, ProfileElement } from './model.ts';
import type { Profiles } from './registry.ts';

/** The first MAX_FAULTS of them. `known` has the profiles that it names, as far as anybody here has them. */
export function baseFaults(
  { url, type, kind, root }: Profile,
  definitions: Definitions,
  known: Pick<Profiles, 'profile'>,
): readonly Issue[] {
  const structure = definitions.structure(type);
  if (structure === undefined || structure.derivation === 'constraint') {
    const words = `${url}: type ${type} is no type of R4: a profile constrains one of R4's types`;
    return [issue('business-rule', words, 'StructureDefinition.type')];
  }
  if (structure.kind !== kind) {
    const words = `${url}: kind is ${kind}, and ${type} is a ${structure.kind}: write that`;
    return [issue('business-rule', words, 'StructureDefinition.kind')];
  }
  const found: Issue[] = [];
  const fault = ({ id }: ProfileElement, words: string) => {
    if (found.length < MAX_FAULTS) {
      const place = `StructureDefinition.snapshot.element.where(id = '${id}')`;
      found.push(issue('business-rule', `${url}, element ${id}: ${words}`, place));
    }
  };
  const base: Base = {
    definitions,
    typeOf: (canonical) => definitions.structure(canonical)?.type ?? known.profile(canonical)?.type,
  };
  for (const child of root.children) compare(child, type, base, fault);
  const named = type === 'Extension' ? root.children.find(({ name }) => name === 'url') : undefined;
  if (named?.fixed !== undefined && named.fixed.value !== url) {
    fault(
      named,
      `the fixed url ${String(named.fixed.value)} is not that of the definition: an extension is known by it`,
    );
  }
  return found;
}

const MAX_FAULTS = 50;

type Fault = (element: ProfileElement, words: string) => void;

type Base = {
  readonly definitions: Definitions;
  /** The type that a type or profile is of; undefined when it is not known here. */
  typeOf(canonical: string): string | undefined;
};

function compare(element: ProfileElement, parent: string, base: Base, fault: Fault): void {
  const { definitions } = base;
  const step = element.path.slice(element.path.lastIndexOf('.') + 1);
  const allowed = definitions.elementsOf(parent).find(({ path }) => path.slice(path.lastIndexOf('.') + 1) === step);
  if (allowed === undefined) {
    fault(element, `${parent} has no element ${step} in R4`);
    return;
  }
  for (const each of [element, ...slicesOf(element)]) {
    compareRange(each, allowed, each === element, fault);
    compareTypes(each, allowed, base, fault);
    const content = contentOf(each, allowed, definitions);
    if (content === undefined) continue;
    for (const child of each.children) compare(child, content, base, fault);
  }
}

function slicesOf({ slices }: ProfileElement): ProfileElement[] {
  return slices.flatMap((slice) => [slice, ...slicesOf(slice)]);
}

function compareRange(element: ProfileElement, base: ElementDigest, isWhole: boolean, fault: Fault): void {
  if (element.max > base.max) fault(element, `max is more than R4's ${base.max}: a profile may only lower it`);
  if (isWhole && element.min < base.min) fault(element, `min ${element.min} is less than R4's ${base.min}`);
}

function compareTypes(element: ProfileElement, allowed: ElementDigest, base: Base, fault: Fault): void {
  for (const type of element.types) {
    const { code } = type;
    const from =
      allowed.types.find((each) => each.code === code) ??
      allowed.types.find((each) => isBelow(code, each.code, base.definitions));
    if (from === undefined && allowed.types.length > 0) {
      const names = allowed.types.map((each) => each.code).join(', ');
      fault(element, `type ${code} is none of R4's (${names}): a profile may only leave types out`);
    }
    compareProfiles(element, type, base, fault);
    if (from !== undefined) compareTargets(element, type, from, base, fault);
  }
}

function compareProfiles(element: ProfileElement, { code, profiles = [] }: TypeDigest, base: Base, fault: Fault): void {
  for (const profile of profiles) {
    const type = base.typeOf(profile);
    if (type === undefined || isAkin(type, code, base.definitions)) continue;
    fault(element, `profile ${profile} is of ${type}, and the type is ${code}: nothing could satisfy both`);
  }
}

function compareTargets(
  element: ProfileElement,
  { targets = [] }: TypeDigest,
  { targets: allowed = [] }: TypeDigest,
  { typeOf, definitions }: Base,
  fault: Fault,
): void {
  if (allowed.length === 0) return;
  for (const target of targets) {
    const type = typeOf(target);
    if (type === undefined || allowed.some((each) => isAkin(type, each, definitions))) continue;
    fault(
      element,
      `target ${target} is of ${type}, and R4 allows ${allowed.join(', ')}: a profile may only narrow them`,
    );
  }
}

/** Whether something can be of both types. */
function isAkin(a: string, b: string, definitions: Definitions): boolean {
  return a === b || isBelow(a, b, definitions) || isBelow(b, a, definitions);
}

/** A type of R4 that is made from the other; strings of FHIRPath are published under several names. */
function isBelow(code: string, ancestor: string, definitions: Definitions): boolean {
  let at = definitions.structure(code);
  const [kind, other] = [at?.kind, definitions.structure(ancestor)?.kind];
  if (kind === 'primitive-type' && other === 'primitive-type' && (code === 'string' || ancestor === 'string'))
    return true;
  while (at?.base !== undefined) {
    at = definitions.structure(at.base);
    if (at?.name === ancestor) return true;
  }
  return false;
}

/** Where the elements below are defined; undefined where the value may be of several types, or of a resource. */
function contentOf(element: ProfileElement, base: ElementDigest, definitions: Definitions): string | undefined {
  if (definitions.elementsOf(base.path).length > 0) return base.path;
  const codes = new Set((element.types.length > 0 ? element.types : base.types).map(({ code }) => code));
  const [code] = codes;
  return codes.size === 1 ? code : undefined;
}
