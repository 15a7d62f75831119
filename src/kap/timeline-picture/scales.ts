/** Scores over time, above them the infusions and the therapy on the same axis of days. */
import { atOffset, offsetOf } from '../instant.ts';
import { DAY, type Moment, momentOf } from '../moments.ts';
import type { Timeline, TimelineScale } from '../timeline.ts';
import {
  BLUE,
  dateOf,
  dayOf,
  END,
  GRID,
  HEADING,
  INK,
  MARGIN,
  MIDDLE,
  type Panel,
  PLOT_LEFT,
  PLOT_RIGHT,
  SESSION_MARKS,
  SMALL,
  SOFT,
  scaled,
  timeOf,
  WINDOW,
} from './look.ts';
import { element, line, path, rect, text, tip } from './svg.ts';

const STRIP = 70;
const TOP = 34;

type Axis = { readonly x: (moment: number) => number; readonly ticks: readonly Moment[] };

export function scalesPanel(timeline: Timeline): Panel {
  const heading = text(MARGIN, 16, 'The course over time', HEADING);
  const axis = axisOf(timeline);
  if (axis === undefined) return { height: 52, content: heading + text(MARGIN, 40, 'Nothing is recorded yet.', SMALL) };
  const heights = timeline.scales.map((_, i) => (i === 0 ? 150 : 84));
  const plots: string[] = [];
  let y = TOP + STRIP;
  timeline.scales.forEach((scale, i) => {
    const height = heights[i] as number;
    plots.push(element('g', { transform: `translate(0 ${y})` }, scalePlot(scale, height, axis)));
    y += height + 26;
  });
  const bottom = y - (timeline.scales.length === 0 ? 0 : 20);
  const ticks = axis.ticks.flatMap(({ at, text: written }) => [
    line(axis.x(at), bottom, axis.x(at), bottom + 4, { stroke: SOFT }),
    text(axis.x(at), bottom + 17, dayOf(written), { ...SMALL, ...MIDDLE }),
  ]);
  const none = timeline.scales.length === 0 ? text(PLOT_LEFT, TOP + STRIP + 2, 'No score is recorded.', SMALL) : '';
  const verticals = timeline.infusions.flatMap(({ start }) =>
    start === undefined
      ? []
      : [line(axis.x(start.at), TOP + 24, axis.x(start.at), bottom, { stroke: '#8fa9bb', 'stroke-dasharray': '2 3' })],
  );
  return {
    height: bottom + 30,
    content: [
      heading,
      ...plots,
      ...verticals,
      strip(timeline, axis),
      none,
      line(PLOT_LEFT, bottom, PLOT_RIGHT, bottom, { stroke: SOFT }),
      ...ticks,
    ].join(''),
  };
}

/** Infusions with their numbers, below them the windows and the sessions. */
function strip({ infusions, sessions }: Timeline, { x }: Axis): string {
  const drawn = [
    text(PLOT_LEFT - 10, TOP + 16, 'Infusions', { 'font-size': 12, fill: INK, ...END }),
    text(PLOT_LEFT - 10, TOP + 44, 'Therapy', { 'font-size': 12, fill: INK, ...END }),
  ];
  for (const { window } of infusions) {
    if (window === undefined) continue;
    drawn.push(rect(x(window.from.at), TOP + 32, x(window.to.at) - x(window.from.at), 16, { fill: WINDOW, rx: 2 }));
  }
  let free = Number.NEGATIVE_INFINITY;
  for (const { start, number, doseMg } of infusions) {
    if (start === undefined) continue;
    const at = x(start.at);
    const words = `Infusion ${number}, ${timeOf(start.text)}${doseMg === undefined ? '' : `, ${doseMg} mg`}`;
    drawn.push(element('circle', { cx: at, cy: TOP + 12, r: 9, fill: BLUE }, tip(words)));
    // Close ones keep their mark; only a number that would cover another is left out.
    if (at - free < 14) continue;
    drawn.push(text(at, TOP + 16, String(number), { 'font-size': 11, 'font-weight': 600, fill: '#ffffff', ...MIDDLE }));
    free = at;
  }
  for (const session of sessions) {
    if (session.start === undefined) continue;
    const mark = SESSION_MARKS[session.class ?? 'unknown'];
    drawn.push(mark.draw(x(session.start.at), TOP + 40, `Therapy, ${timeOf(session.start.text)}, ${mark.word}`));
  }
  return drawn.join('');
}

function scalePlot({ title, highest, bands, points }: TimelineScale, height: number, { x }: Axis): string {
  const y = scaled(0, highest, height, 0);
  const drawn: string[] = [];
  bands.forEach(({ from, name }, i) => {
    const to = bands[i + 1]?.from ?? highest;
    const top = y(Math.min(to, highest));
    drawn.push(
      rect(PLOT_LEFT, top, PLOT_RIGHT - PLOT_LEFT, y(from) - top, { fill: i % 2 === 0 ? '#ffffff' : '#f3f3f3' }),
    );
    if (height > 100 || i === bands.length - 1) {
      drawn.push(text(PLOT_RIGHT + 8, (y(from) + top) / 2 + 4, name, SMALL));
    }
  });
  const values = height > 100 ? [...new Set([0, ...bands.map(({ from }) => from), highest])] : [0, highest];
  for (const value of values) {
    drawn.push(line(PLOT_LEFT, y(value), PLOT_RIGHT, y(value), { stroke: GRID }));
    drawn.push(text(PLOT_LEFT - 6, y(value) + 4, String(value), { ...SMALL, ...END }));
  }
  drawn.push(text(MARGIN, height / 2 + 4, title, { 'font-size': 12, 'font-weight': 600, fill: INK }));
  drawn.push(
    path(
      points.map(({ at, value }) => [x(at.at), y(value)] as const),
      { stroke: BLUE, 'stroke-width': 2 },
    ),
  );
  let free = Number.NEGATIVE_INFINITY;
  for (const { at, value, band } of points) {
    const words = `${title} ${value}${band === undefined ? '' : `, ${band}`}, ${dateOf(at.text)}`;
    drawn.push(element('circle', { cx: x(at.at), cy: y(value), r: 4, fill: BLUE }, tip(words)));
    if (x(at.at) - free < 20) continue;
    const above = y(value) > 16;
    drawn.push(
      text(x(at.at), y(value) + (above ? -9 : 18), String(value), {
        'font-size': 11,
        'font-weight': 600,
        fill: INK,
        ...MIDDLE,
      }),
    );
    free = x(at.at);
  }
  return drawn.join('');
}

/** All that has a time, with some room around it; undefined when nothing has. */
function axisOf({ infusions, sessions, scales }: Timeline): Axis | undefined {
  const moments = [
    ...infusions.flatMap(({ start, end, window }) => [start, end, window?.to]),
    ...sessions.map(({ start }) => start),
    ...scales.flatMap(({ points }) => points.map(({ at }) => at)),
  ].filter((moment) => moment !== undefined);
  const [first] = moments;
  if (first === undefined) return undefined;
  let [low, high] = [first.at, first.at];
  for (const { at } of moments) {
    low = Math.min(low, at);
    high = Math.max(high, at);
  }
  const room = Math.max((high - low) * 0.03, DAY / 2);
  return {
    x: scaled(low - room, high + room, PLOT_LEFT, PLOT_RIGHT),
    ticks: ticksOf(low - room, high + room, offsetOf(first.text)),
  };
}

/** Steps of days at which an axis of some weeks, months or years has a dozen ticks at most. */
const STEPS = [1, 2, 7, 14, 28, 56, 91, 182, 364, 728, 1820, 3640];
const MOST_TICKS = 12;

function ticksOf(low: number, high: number, offset: string): Moment[] {
  const step = (STEPS.find((days) => (high - low) / (days * DAY) <= MOST_TICKS) ?? 36_400) * DAY;
  const firstDay = momentOf(`${atOffset(low, offset).slice(0, 10)}T00:00:00${offset}`)?.at ?? low;
  const ticks: Moment[] = [];
  for (let at = firstDay; at <= high; at += step) {
    if (at >= low) ticks.push({ at, text: atOffset(at, offset) });
  }
  return ticks;
}
