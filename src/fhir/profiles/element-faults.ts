/** Elements of a profile that no resource could satisfy, or that say two things at once. */
import type { Faults } from './faults.ts';
import type { ProfileElement, Typed } from './model.ts';

/** `placeOf` gives the FHIRPath of an element in its definition. */
export function contradictions(element: ProfileElement, placeOf: (id: string) => string, faults: Faults): void {
  const fault = (step: string, words: string) => faults.add(`${placeOf(element.id)}${step}`, words, element.id);
  const { min, max, types, fixed, pattern, contentReference } = element;
  if (min > max) fault('.min', `min ${min} is more than max ${max}: nothing could satisfy it`);
  if (fixed !== undefined && pattern !== undefined) fault('', 'it has both a fixed value and a pattern: leave one out');
  for (const typed of [fixed, pattern]) {
    if (typed !== undefined && !fits(typed, element)) {
      const names = types.map(({ code }) => code).join(', ');
      fault('', `a value of type ${typed.type} is asked for, and its types are ${names}: take one of these`);
    }
  }
  if (types.length === 0 && contentReference === undefined && element.path.includes('.')) {
    fault('.type', 'it has no type: name at least one');
  }
  rangeFaults(element, fault);
  sliceFaults(element, placeOf, faults);
  for (const below of [...element.children, ...element.slices]) contradictions(below, placeOf, faults);
}

function fits({ type }: Typed, { types }: ProfileElement): boolean {
  if (types.length === 0) return true;
  return types.some(({ code }) => code === type || kindOfJson(code) === kindOfJson(type));
}

/** How a value of the type is written in JSON: a fixedString for a code is the same, and a quantity for a duration. */
function kindOfJson(type: string): string {
  if (type === 'boolean') return 'boolean';
  if (/^(integer|positiveInt|unsignedInt|decimal)$/.test(type)) return 'number';
  if (/^(Age|Count|Distance|Duration|Quantity)$/.test(type)) return 'Quantity';
  return /^[a-z]/.test(type) && type !== 'xhtml' ? 'string' : type;
}

function rangeFaults({ minValue, maxValue }: ProfileElement, fault: (step: string, words: string) => void): void {
  if (minValue === undefined || maxValue === undefined) return;
  if (minValue.type !== maxValue.type) fault('', 'minValue and maxValue are of different types');
  else if (typeof minValue.value === 'number' && minValue.value > (maxValue.value as number)) {
    fault('', 'minValue is more than maxValue: nothing could satisfy both');
  }
}

function sliceFaults(element: ProfileElement, placeOf: (id: string) => string, faults: Faults): void {
  const needed = element.slices.reduce((sum, { min }) => sum + min, 0);
  if (needed > element.max) {
    const words = `its slices need ${needed} and no more than ${element.max} are allowed: nothing could satisfy it`;
    faults.add(`${placeOf(element.id)}.max`, words, element.id);
  }
  for (const slice of element.slices) {
    if (slice.max <= element.max) continue;
    const words = `max ${textOf(slice.max)} of the slice is more than max ${element.max} of the element: lower it`;
    faults.add(`${placeOf(slice.id)}.max`, words, slice.id);
  }
}

function textOf(max: number): string {
  return Number.isFinite(max) ? String(max) : '*';
}
