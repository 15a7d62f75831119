/** Therapy in its window: for each infusion a row of hours after its end, the window of its own plan, its sessions. */
import type { Timeline, TimelineInfusion, TimelineSession } from '../timeline.ts';
import {
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
import { line, rect, text } from './svg.ts';

const ROW = 26;
const TOP = 44;

export function therapyPanel({ infusions, sessions }: Timeline): Panel {
  const heading = text(MARGIN, 16, 'Integration therapy, hours after the end of the infusion', HEADING);
  const loose = sessions.filter(({ infusion }) => infusion === undefined);
  if (infusions.length === 0) {
    return { height: 52, content: heading + text(MARGIN, 40, looseWords(loose) || 'No session is recorded.', SMALL) };
  }
  const last = lastHour(infusions, sessions);
  const x = scaled(0, last, PLOT_LEFT, PLOT_RIGHT);
  const bottom = TOP + infusions.length * ROW;
  const step = last <= 96 ? 12 : last <= 192 ? 24 : 24 * Math.ceil(last / 240);
  const drawn = [heading, legend(sessions)];
  for (let hour = 0; hour <= last; hour += step) {
    drawn.push(line(x(hour), TOP - 6, x(hour), bottom, { stroke: GRID }));
    drawn.push(text(x(hour), bottom + 16, `${hour} h`, { ...SMALL, ...MIDDLE }));
  }
  infusions.forEach((infusion, i) => {
    const own = sessions.filter((session) => session.infusion === infusion.key);
    drawn.push(row(infusion, own, TOP + i * ROW, x));
  });
  if (loose.length > 0) drawn.push(text(PLOT_LEFT, bottom + 34, looseWords(loose), SMALL));
  return { height: bottom + (loose.length > 0 ? 46 : 28), content: drawn.join('') };
}

function looseWords(loose: readonly TimelineSession[]): string {
  if (loose.length === 0) return '';
  return loose.length === 1 ? '1 session belongs to no infusion.' : `${loose.length} sessions belong to no infusion.`;
}

function lastHour(infusions: readonly TimelineInfusion[], sessions: readonly TimelineSession[]): number {
  const ends = infusions.map(({ policy }) => policy.integrationWindowEndHours + 24);
  const held = sessions.flatMap(({ hoursAfter }) => hoursAfter ?? []);
  return Math.ceil(Math.max(...ends, ...held.map((hour) => hour + 4)) / 24) * 24;
}

function legend(sessions: readonly TimelineSession[]): string {
  const shown = new Set(sessions.map((session) => session.class ?? 'unknown'));
  const classes = (['in-window', 'early', 'late', 'during-infusion', 'unknown'] as const).filter((each) =>
    shown.has(each),
  );
  let x = 540;
  const drawn = [rect(x - 8, 6, 16, 12, { fill: WINDOW, stroke: GRID }), text(x + 14, 16, 'window', SMALL)];
  x += 84;
  for (const each of classes) {
    const { word } = SESSION_MARKS[each];
    drawn.push(SESSION_MARKS[each].draw(x, 12, word), text(x + 12, 16, word, SMALL));
    x += 34 + word.length * 6.2;
  }
  return drawn.join('');
}

function row(
  { number, policy, end }: TimelineInfusion,
  sessions: readonly TimelineSession[],
  y: number,
  x: (hour: number) => number,
): string {
  const middle = y + ROW / 2 - 4;
  const { integrationWindowStartHours: from, integrationWindowEndHours: to } = policy;
  const drawn = [
    rect(x(from), y, x(to) - x(from), ROW - 8, { fill: WINDOW, rx: 2 }),
    text(PLOT_LEFT - 10, middle + 4, number === 0 ? 'Infusion' : `Infusion ${number}`, {
      'font-size': 12,
      fill: INK,
      ...END,
    }),
  ];
  if (sessions.length === 0) {
    const words = end === undefined ? 'the infusion has no end yet' : 'no session recorded';
    drawn.push(text(x(to) + 8, middle + 4, words, { ...SMALL, 'font-style': 'italic' }));
  }
  for (const session of sessions) {
    const mark = SESSION_MARKS[session.class ?? 'unknown'];
    const at = x(Math.max(session.hoursAfter ?? 0, 0));
    const when = session.start === undefined ? 'start not known' : timeOf(session.start.text);
    const hours = session.hoursAfter === undefined ? 'time not known' : `${session.hoursAfter.toFixed(1)} h`;
    drawn.push(mark.draw(at, middle, `${when}, ${hours}, ${mark.word}`));
    drawn.push(label(at, middle, session.class === 'in-window' ? hours : `${hours}, ${mark.word}`));
  }
  return drawn.join('');
}

function label(x: number, y: number, words: string): string {
  const isFar = x > PLOT_RIGHT - 40;
  return text(isFar ? x - 11 : x + 11, y + 4, words, { 'font-size': 11, fill: SOFT, ...(isFar ? END : {}) });
}
