/** Blood pressure around each infusion: one small plot for each, all with the same axes, so that they can be compared. */
import { MINUTE } from '../moments.ts';
import type { PressurePoint, Timeline, TimelineInfusion } from '../timeline.ts';
import {
  BLUE,
  dateOf,
  END,
  GRID,
  HEADING,
  INK,
  MARGIN,
  MIDDLE,
  ORANGE,
  type Panel,
  SHADE,
  SMALL,
  SOFT,
  scaled,
  WIDTH,
} from './look.ts';
import { element, line, path, rect, text, tip } from './svg.ts';

const PLOT_HEIGHT = 130;
const CELL_HEIGHT = PLOT_HEIGHT + 92;
const AXIS = 30;
const GAP = 16;

type Axes = { readonly first: number; readonly last: number; readonly low: number; readonly high: number };

export function pressurePanel({ infusions }: Timeline): Panel {
  const heading = text(MARGIN, 16, 'Infusions and blood pressure in mm[Hg]', HEADING);
  if (infusions.length === 0) {
    return { height: 52, content: heading + text(MARGIN, 40, 'No infusion is recorded.', SMALL) };
  }
  const columns = Math.min(Math.max(infusions.length, 2), 4);
  const width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) / columns;
  const axes = axesOf(infusions);
  const cells = infusions.map((infusion, i) =>
    element(
      'g',
      {
        transform: `translate(${MARGIN + (i % columns) * (width + GAP)} ${34 + Math.floor(i / columns) * CELL_HEIGHT})`,
      },
      cell(infusion, width, axes),
    ),
  );
  return {
    height: 34 + Math.ceil(infusions.length / columns) * CELL_HEIGHT,
    content: heading + legend() + cells.join(''),
  };
}

function legend(): string {
  const y = 12;
  const dashed = (x: number, dash: string) =>
    line(x - 10, y, x + 12, y, { stroke: ORANGE, 'stroke-width': 1.25, 'stroke-dasharray': dash });
  return [
    pressureMark(452, y, 'systolic'),
    text(462, y + 4, 'systolic', SMALL),
    pressureMark(536, y, 'diastolic'),
    text(546, y + 4, 'diastolic', SMALL),
    rect(616, y - 6, 16, 12, { fill: SHADE, stroke: GRID }),
    text(638, y + 4, 'infusion', SMALL),
    dashed(718, STOP_DASH),
    text(736, y + 4, 'stop (systolic)', SMALL),
    dashed(842, HOLD_DASH),
    text(860, y + 4, 'hold', SMALL),
  ].join('');
}

const STOP_DASH = '5 3';
const HOLD_DASH = '1.5 3';

/** Minutes from the start of the infusion, and mm[Hg], that all plots share. */
function axesOf(infusions: readonly TimelineInfusion[]): Axes {
  const minutes = [-15, 60];
  const pressures = [60, 160];
  for (const infusion of infusions) {
    const { start, end, bloodPressure, policy } = infusion;
    if (start === undefined) continue;
    if (end !== undefined) minutes.push((end.at - start.at) / MINUTE);
    for (const { at, systolic, diastolic } of bloodPressure) {
      minutes.push((at.at - start.at) / MINUTE);
      for (const value of [systolic, diastolic]) if (value !== undefined) pressures.push(value);
    }
    pressures.push(policy.bloodPressureStopSystolic);
  }
  return {
    first: Math.floor(Math.min(...minutes) / 30) * 30,
    last: Math.ceil(Math.max(...minutes) / 30) * 30,
    low: Math.floor((Math.min(...pressures) - 5) / 20) * 20,
    high: Math.ceil((Math.max(...pressures) + 5) / 20) * 20,
  };
}

function cell(infusion: TimelineInfusion, width: number, axes: Axes): string {
  const { number, start, state } = infusion;
  const name = number === 0 ? 'Infusion' : `Infusion ${number}`;
  const when = start === undefined ? state : dateOf(start.text);
  return [
    text(0, 14, `${name} · ${when}`, { 'font-size': 12, 'font-weight': 600, fill: INK }),
    text(0, 30, doseWords(infusion), SMALL),
    element('g', { transform: 'translate(0 40)' }, plot(infusion, width, axes)),
    text(0, CELL_HEIGHT - 18, effectWords(infusion), SMALL),
  ].join('');
}

function doseWords({ doseMg, doseMgPerKg, state, start, end }: TimelineInfusion): string {
  const dose = doseMg === undefined ? 'dose not recorded' : `${doseMg} mg`;
  const perKg = doseMgPerKg === undefined ? '' : ` (${doseMgPerKg} mg/kg)`;
  const minutes = start === undefined || end === undefined ? '' : `, ${Math.round((end.at - start.at) / MINUTE)} min`;
  return `${dose}${perKg}${minutes}${state === 'completed' ? '' : `, ${state}`}`;
}

function effectWords({ sedation, dissociation }: TimelineInfusion): string {
  const parts = [
    ...(sedation.length === 0 ? [] : [`MOAA/S lowest ${Math.min(...sedation.map(({ value }) => value))}`]),
    ...(dissociation.length === 0 ? [] : [`CADSS highest ${Math.max(...dissociation.map(({ value }) => value))}`]),
  ];
  return parts.join(' · ');
}

function plot(infusion: TimelineInfusion, width: number, { first, last, low, high }: Axes): string {
  const { start, end, bloodPressure, policy } = infusion;
  const x = scaled(first, last, AXIS, width);
  const y = scaled(low, high, PLOT_HEIGHT, 0);
  const drawn: string[] = [];
  if (start !== undefined && end !== undefined) {
    const minutes = (end.at - start.at) / MINUTE;
    drawn.push(rect(x(0), 0, x(minutes) - x(0), PLOT_HEIGHT, { fill: SHADE }));
  }
  for (let value = low; value <= high; value += 40) {
    drawn.push(line(AXIS, y(value), width, y(value), { stroke: GRID }));
    drawn.push(text(AXIS - 5, y(value) + 4, String(value), { ...SMALL, ...END }));
  }
  const step = last - first > 150 ? 60 : 30;
  for (let minute = Math.ceil(first / step) * step; minute <= last; minute += step) {
    drawn.push(line(x(minute), PLOT_HEIGHT, x(minute), PLOT_HEIGHT + 4, { stroke: SOFT }));
    const words = minute + step > last ? `${minute} min` : String(minute);
    const isAtEdge = x(minute) > width - 24;
    drawn.push(text(isAtEdge ? width : x(minute), PLOT_HEIGHT + 17, words, { ...SMALL, ...(isAtEdge ? END : MIDDLE) }));
  }
  drawn.push(line(AXIS, PLOT_HEIGHT, width, PLOT_HEIGHT, { stroke: SOFT }));
  for (const [value, dash] of [
    [policy.bloodPressureStopSystolic, STOP_DASH],
    [policy.bloodPressureHoldSystolic, HOLD_DASH],
  ] as const) {
    drawn.push(
      line(AXIS, y(value), width, y(value), { stroke: ORANGE, 'stroke-width': 1.25, 'stroke-dasharray': dash }),
    );
  }
  if (bloodPressure.length === 0 || start === undefined) {
    const middle = AXIS + (width - AXIS) / 2;
    drawn.push(text(middle, PLOT_HEIGHT / 2, 'no blood pressure recorded', { ...SMALL, ...MIDDLE }));
    return drawn.join('');
  }
  const minuteOf = ({ at }: PressurePoint) => x((at.at - start.at) / MINUTE);
  for (const side of ['systolic', 'diastolic'] as const) {
    const measured = bloodPressure.flatMap((point) => {
      const value = point[side];
      return value === undefined ? [] : [{ point, value }];
    });
    const colour = side === 'systolic' ? BLUE : INK;
    drawn.push(
      path(
        measured.map(({ point, value }) => [minuteOf(point), y(value)] as const),
        { stroke: colour, 'stroke-width': 1.5, ...(side === 'diastolic' ? { 'stroke-dasharray': '4 2' } : {}) },
      ),
    );
    for (const { point, value } of measured) {
      drawn.push(pressureMark(minuteOf(point), y(value), side, `${point.at.text}: ${side} ${value} mm[Hg]`));
    }
  }
  return drawn.join('');
}

function pressureMark(x: number, y: number, side: 'systolic' | 'diastolic', words?: string): string {
  const look = side === 'systolic' ? { fill: BLUE, stroke: BLUE } : { fill: '#ffffff', stroke: INK };
  return element(
    'circle',
    { cx: x, cy: y, r: 3, 'stroke-width': 1.25, ...look },
    ...(words === undefined ? [] : [tip(words)]),
  );
}
