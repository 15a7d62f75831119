/** SVG as text, put together from elements whose attributes and texts are escaped. Never a script, a style or a link. */

import { escaped } from '../xml-text.ts';

export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** `children` are elements, made here; texts go through `text`. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes)
    .filter((entry): entry is [string, string | number] => entry[1] !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? short(value) : escaped(value)}"`)
    .join('');
  const content = children.join('');
  return content === '' ? `<${name}${written}/>` : `<${name}${written}>${content}</${name}>`;
}

/** A line of text; its baseline is at `y`. */
export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escaped(content));
}

export function line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes): string {
  return element('line', { x1, y1, x2, y2, ...attributes });
}

export function rect(x: number, y: number, width: number, height: number, attributes: Attributes): string {
  return element('rect', { x, y, width: Math.max(width, 0), height: Math.max(height, 0), ...attributes });
}

/** Words that a reader of the screen, or a pointer, gets for what is shown. */
export function tip(content: string): string {
  return element('title', {}, escaped(content));
}

export function path(
  points: readonly (readonly [x: number, y: number])[],
  attributes: Attributes,
  ...children: readonly string[]
): string {
  const d = points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${short(x)} ${short(y)}`).join('');
  return element('path', { d, fill: 'none', ...attributes }, ...children);
}

/** Two decimals at most. */
function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}
