import { primitives } from './validation/primitives.ts';

/**
 * The step of FHIRPath for the JSON name of a choice element: `valueDateTime` is `value.ofType(dateTime)`.
 *
 * @param element its name without a type: 'value'
 * @param key 'valueDateTime'
 */
export function choiceStep(element: string, key: string): string {
  const type = key.slice(element.length);
  const primitive = type.charAt(0).toLowerCase() + type.slice(1);
  return `${element}.ofType(${primitive in primitives ? primitive : type})`;
}
