import type { ElementDefinition } from '@medplum/fhirtypes';

/** One step of the way to an element: its name as in a path, and the slice of it. */
export type ElementStep = { readonly step: string; readonly sliceName?: string };

/**
 * The way to an element of a differential: by its id; without one by its path, in the slices that the element before
 * it was in.
 *
 * @returns why there is none, where id and path, or id and sliceName, do not mean the same
 */
export function stepsOf(
  { id, path, sliceName }: ElementDefinition,
  before: readonly ElementStep[],
): readonly ElementStep[] | string {
  const names = path.split('.');
  if (id === undefined) return byPath(names, sliceName, before);
  const steps = id.split('.').map(stepOf);
  if (steps.length !== names.length || !steps.every(({ step }, at) => isSameStep(step, names[at] ?? ''))) {
    return `the id does not fit the path ${path}: write it as the path, with :sliceName after each element that is sliced`;
  }
  const last = steps[steps.length - 1];
  if (sliceName === undefined || last === undefined) return steps;
  if (last.sliceName === undefined) return [...steps.slice(0, -1), { ...last, sliceName }];
  return last.sliceName === sliceName ? steps : `the id names slice ${last.sliceName} and sliceName is ${sliceName}`;
}

function stepOf(text: string): ElementStep {
  const colon = text.indexOf(':');
  return colon < 0 ? { step: text } : { step: text.slice(0, colon), sliceName: text.slice(colon + 1) };
}

/** A choice may stand in one of the two by its shorthand. */
function isSameStep(a: string, b: string): boolean {
  if (a === b) return true;
  const [choice, name] = a.endsWith('[x]') ? [a, b] : [b, a];
  return choice.endsWith('[x]') && name.startsWith(choice.slice(0, -'[x]'.length));
}

function byPath(
  names: readonly string[],
  sliceName: string | undefined,
  before: readonly ElementStep[],
): readonly ElementStep[] {
  let isShared = true;
  return names.map((step, at) => {
    const earlier = before[at];
    isShared &&= earlier?.step === step;
    if (at === names.length - 1) return sliceName === undefined ? { step } : { step, sliceName };
    return isShared && earlier !== undefined ? earlier : { step };
  });
}
