/** What a profile says that R4 has no place for, or that is wider than R4: its snapshot may come from anywhere. */
import type { Definitions, ElementDigest } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import type { Profile, ProfileElement } from './model.ts';

/** The first MAX_FAULTS of them. */
export function baseFaults({ url, type, kind, root }: Profile, definitions: Definitions): readonly Issue[] {
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
  for (const child of root.children) compare(child, type, definitions, fault);
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

function compare(element: ProfileElement, parent: string, definitions: Definitions, fault: Fault): void {
  const step = element.path.slice(element.path.lastIndexOf('.') + 1);
  const base = definitions.elementsOf(parent).find(({ path }) => path.slice(path.lastIndexOf('.') + 1) === step);
  if (base === undefined) {
    fault(element, `${parent} has no element ${step} in R4`);
    return;
  }
  for (const each of [element, ...slicesOf(element)]) {
    compareRange(each, base, each === element, fault);
    compareTypes(each, base, definitions, fault);
    const content = contentOf(each, base, definitions);
    if (content === undefined) continue;
    for (const child of each.children) compare(child, content, definitions, fault);
  }
}

function slicesOf({ slices }: ProfileElement): ProfileElement[] {
  return slices.flatMap((slice) => [slice, ...slicesOf(slice)]);
}

function compareRange(element: ProfileElement, base: ElementDigest, isWhole: boolean, fault: Fault): void {
  if (element.max > base.max) fault(element, `max is more than R4's ${base.max}: a profile may only lower it`);
  if (isWhole && element.min < base.min) fault(element, `min ${element.min} is less than R4's ${base.min}`);
}

function compareTypes(element: ProfileElement, base: ElementDigest, definitions: Definitions, fault: Fault): void {
  if (base.types.length === 0) return;
  for (const { code } of element.types) {
    if (base.types.some((type) => type.code === code || isBelow(code, type.code, definitions))) continue;
    const names = base.types.map((type) => type.code).join(', ');
    fault(element, `type ${code} is none of R4's (${names}): a profile may only leave types out`);
  }
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
