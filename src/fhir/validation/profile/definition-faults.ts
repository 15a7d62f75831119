/** What makes a profile useless although its form is right: slices nobody can tell apart, values that cannot be. */
import { type Issue, issue } from '../../failure.ts';
import type { Profile, ProfileElement, Typed } from '../../profiles/model.ts';
import { expressionFault } from '../invariants/source.ts';
import { contentPath } from '../place.ts';
import { primitives } from '../primitives.ts';
import { type ElementForm, formsUnder } from '../schema.ts';
import { discriminatorFault, matchOf } from './discriminators.ts';
import type { Known } from './known.ts';

/** Each with the url of the profile and the id of the element. */
export function definitionFaults(profile: Profile, known: Known): readonly Issue[] {
  const found: Issue[] = [];
  const report = ({ id }: ProfileElement, words: string) =>
    found.push(issue('business-rule', `${profile.url}, element ${id}: ${words}`, placeOf(id)));
  const walk = (element: ProfileElement, path: string | undefined) => {
    for (const words of valueFaults(element)) report(element, words);
    for (const { key, expression } of element.constraints) {
      const fault = expression === undefined ? undefined : expressionFault(expression);
      if (fault !== undefined) report(element, `the expression of ${key} cannot be used: ${fault}`);
    }
    for (const words of slicingFaults(element, path, known)) report(element, words);
    const forms = path === undefined ? [] : formsUnder(path, known.definitions);
    for (const child of element.children) {
      walk(
        child,
        pathBelow(
          child,
          forms.find(({ name }) => name === child.name),
        ),
      );
    }
    for (const slice of element.slices) walk(slice, path);
  };
  walk(profile.root, profile.type);
  return found;
}

function placeOf(id: string): string {
  return `StructureDefinition.snapshot.element.where(id = '${id}')`;
}

/** What stands below an element; undefined where that depends on its type. */
function pathBelow({ types }: ProfileElement, form: ElementForm | undefined): string | undefined {
  const left = form?.types.filter(
    ({ type }) => form.types.length === 1 || types.some(({ code }) => code === type.code),
  );
  const [only] = left ?? [];
  return form !== undefined && only !== undefined && left?.length === 1 ? contentPath(form, only.type) : undefined;
}

function* valueFaults({ fixed, pattern, minValue, maxValue }: ProfileElement): Generator<string> {
  for (const [name, typed] of Object.entries({ fixed, pattern, minValue, maxValue })) {
    if (typed !== undefined && !isOfType(typed)) yield `its ${name} is no ${typed.type}, so no value meets it`;
  }
}

function isOfType({ type, value }: Typed): boolean {
  const primitive = primitives[type];
  if (primitive === undefined) return typeof value === 'object' && value !== null;
  if (primitive.json === 'boolean') return typeof value === 'boolean';
  if (primitive.json === 'string') return typeof value === 'string' && primitive.test(value);
  return (
    typeof value === 'number' && (primitive.json !== 'integer' || Number.isInteger(value)) && primitive.test(value)
  );
}

function* slicingFaults(element: ProfileElement, path: string | undefined, known: Known): Generator<string> {
  const { slicing, slices } = element;
  if (slicing === undefined || path === undefined) return;
  for (const { path: steps } of slicing.discriminators) {
    const fault = discriminatorFault(element, path, steps, known);
    if (fault !== undefined) yield `the discriminator ${steps.slice(0, 100)} ${fault}`;
  }
  if (slicing.rules !== 'closed' || slicing.discriminators.length === 0 || element.path.endsWith('[x]')) return;
  for (const slice of slices) {
    if (slice.sliceName === '@default' || matchOf(slice, path, slicing.discriminators, known) !== undefined) continue;
    yield `the slice ${slice.sliceName} says nothing that its items could be told by, and nothing else is allowed`;
  }
}
