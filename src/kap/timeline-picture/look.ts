/**
 * How the picture looks. Colours are those of Okabe and Ito, told apart with any colour vision; what they tell is told
 * by shape, dash or word as well, so that a black-and-white print says the same.
 */
import type { SessionClass } from '../rules/integration-window.ts';
import { type Attributes, element, path, tip } from './svg.ts';

export const WIDTH = 960;
export const MARGIN = 28;
/** Where plots begin and end: axes have their labels before, bands their names behind. */
export const PLOT_LEFT = 104;
export const PLOT_RIGHT = WIDTH - 132;

export const INK = '#1a1a1a';
export const SOFT = '#595959';
export const GRID = '#d9d9d9';
export const BLUE = '#0072b2';
export const ORANGE = '#d55e00';
export const GREEN = '#007a5a';
export const AMBER = '#b07d00';
export const SHADE = '#e3eef6';
export const WINDOW = '#cfe9df';

export const SMALL: Attributes = { 'font-size': 11, fill: SOFT };
export const HEADING: Attributes = { 'font-size': 14, 'font-weight': 600, fill: INK };
export const MIDDLE = { 'text-anchor': 'middle' } as const;
export const END = { 'text-anchor': 'end' } as const;

/** A part of the picture, drawn from y = 0 on. */
export type Panel = { readonly height: number; readonly content: string };

type Mark = { readonly word: string; readonly colour: string; draw(x: number, y: number, words: string): string };

function mark(word: string, colour: string, outline: readonly (readonly [number, number])[] | 'circle'): Mark {
  return {
    word,
    colour,
    draw: (x, y, words) => {
      if (outline === 'circle') return element('circle', { cx: x, cy: y, r: 5, fill: colour }, tip(words));
      const points = outline.map(([dx, dy]) => [x + dx, y + dy] as const);
      return path([...points, points[0] as readonly [number, number]], { fill: colour }, tip(words));
    },
  };
}

/** One shape for each way in which a session stands to its window. */
export const SESSION_MARKS: Readonly<Record<SessionClass | 'unknown', Mark>> = {
  'in-window': mark('in its window', GREEN, 'circle'),
  early: mark('early', AMBER, [
    [-6, 0],
    [5, -6],
    [5, 6],
  ]),
  late: mark('late', ORANGE, [
    [0, -7],
    [7, 0],
    [0, 7],
    [-7, 0],
  ]),
  'during-infusion': mark('during the infusion', BLUE, [
    [-5, -5],
    [5, -5],
    [5, 5],
    [-5, 5],
  ]),
  unknown: mark('time not known', SOFT, [
    [-6, -2],
    [6, -2],
    [6, 2],
    [-6, 2],
  ]),
};

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `14 Sep`, from a date as its author wrote it. */
export function dayOf(dateTime: string): string {
  return `${Number(dateTime.slice(8, 10))} ${MONTHS[Number(dateTime.slice(5, 7)) - 1] ?? ''}`;
}

/** `14 Sep 2026` */
export function dateOf(dateTime: string): string {
  return `${dayOf(dateTime)} ${dateTime.slice(0, 4)}`;
}

/** `14 Sep 2026, 09:35` */
export function timeOf(dateTime: string): string {
  return `${dateOf(dateTime)}, ${dateTime.slice(11, 16)}`;
}

/** Cut to about so many pixels at the given size; a letter is taken for 0.56 of its size. */
export function fitted(words: string, pixels: number, size: number): string {
  const letters = Math.floor(pixels / (size * 0.56));
  return words.length <= letters ? words : `${words.slice(0, Math.max(letters - 1, 1)).trimEnd()}…`;
}

/** Maps a domain to a range of pixels. */
export function scaled(low: number, high: number, from: number, to: number): (value: number) => number {
  const width = high - low || 1;
  return (value) => from + ((value - low) / width) * (to - from);
}
