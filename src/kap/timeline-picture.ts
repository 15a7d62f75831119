/**
 * A course as a picture: SVG that a browser, a printer and a screen reader can show. Made from the timeline alone, so it
 * is the same for the same facts; no script, no style, no link, nothing to load; names nobody.
 */
import type { Timeline, TimelineEvent, TimelineFinding } from './timeline.ts';
import {
  dateOf,
  fitted,
  HEADING,
  INK,
  MARGIN,
  ORANGE,
  type Panel,
  SMALL,
  SOFT,
  timeOf,
  WIDTH,
} from './timeline-picture/look.ts';
import { pressurePanel } from './timeline-picture/pressure.ts';
import { scalesPanel } from './timeline-picture/scales.ts';
import { element, line, rect, text } from './timeline-picture/svg.ts';
import { therapyPanel } from './timeline-picture/therapy.ts';
import { escaped } from './xml-text.ts';

/** SVG 1.1 as text. */
export function timelinePicture(timeline: Timeline): string {
  const panels = [
    headPanel(timeline),
    pressurePanel(timeline),
    therapyPanel(timeline),
    scalesPanel(timeline),
    foundPanel(timeline),
  ];
  const drawn: string[] = [];
  let y = 20;
  for (const [i, { height, content }] of panels.entries()) {
    if (height === 0) continue;
    if (i > 0) drawn.push(line(MARGIN, y - 14, WIDTH - MARGIN, y - 14, { stroke: '#e6e6e6' }));
    drawn.push(element('g', { transform: `translate(0 ${y})` }, content));
    y += height + 30;
  }
  const height = Math.ceil(y - 10);
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${WIDTH} ${height}`,
      width: WIDTH,
      height,
      role: 'img',
      'aria-labelledby': 'course-title course-description',
      'font-family': "system-ui, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif",
      'font-size': 12,
    },
    element('title', { id: 'course-title' }, escaped(timeline.title ?? UNTITLED)),
    element('desc', { id: 'course-description' }, escaped(inWords(timeline))),
    rect(0, 0, WIDTH, height, { fill: '#ffffff' }),
    ...drawn,
  );
}

const UNTITLED = 'Ketamine-assisted psychotherapy';

function headPanel(timeline: Timeline): Panel {
  const { title = UNTITLED, status, infusions } = timeline;
  const starts = infusions.flatMap(({ start }) => start ?? []);
  const [first, last] = [starts[0], starts.at(-1)];
  const span = first === undefined || last === undefined ? '' : ` · ${dateOf(first.text)} to ${dateOf(last.text)}`;
  const words = `${status} · ${counted(infusions.length, 'infusion')}${span}`;
  return {
    height: 46,
    content:
      text(MARGIN, 22, fitted(title, WIDTH - 2 * MARGIN, 20), { 'font-size': 20, 'font-weight': 600, fill: INK }) +
      text(MARGIN, 43, words, { 'font-size': 12, fill: SOFT }),
  };
}

const MOST_FOUND = 15;

/** What the rules found and what happened to the patient, as a list. */
function foundPanel({ findings, adverseEvents, infusions }: Timeline): Panel {
  const all = [...findings.map(findingLine), ...adverseEvents.map(eventLine)].sort((a, b) => a.at - b.at);
  if (all.length === 0) return { height: 0, content: '' };
  const numbers = new Map(infusions.map(({ key, number }) => [key, number]));
  const shown = all.slice(0, MOST_FOUND);
  const drawn = [text(MARGIN, 16, 'Findings and adverse events', HEADING)];
  shown.forEach(({ when, kind, words, infusion }, i) => {
    const y = 40 + i * 19;
    const number = infusion === undefined ? undefined : numbers.get(infusion);
    drawn.push(
      text(MARGIN, y, when, SMALL),
      text(MARGIN + 130, y, fitted(kind, 180, 11), { 'font-size': 11, 'font-weight': 600, fill: ORANGE }),
      text(MARGIN + 320, y, fitted(words, WIDTH - 3 * MARGIN - 320 - 80, 12), { 'font-size': 12, fill: INK }),
      ...(number === undefined
        ? []
        : [text(WIDTH - MARGIN, y, `infusion ${number}`, { ...SMALL, 'text-anchor': 'end' })]),
    );
  });
  const rest = all.length - shown.length;
  if (rest > 0) drawn.push(text(MARGIN, 40 + shown.length * 19, `and ${rest} more`, SMALL));
  return { height: 40 + (shown.length + (rest > 0 ? 1 : 0)) * 19, content: drawn.join('') };
}

type Found = {
  readonly at: number;
  readonly when: string;
  readonly kind: string;
  readonly words: string;
  readonly infusion: string | undefined;
};

function findingLine({ at, severity, text: words, infusion }: TimelineFinding): Found {
  return { ...placed(at), kind: severity === undefined ? 'finding' : `finding, ${severity}`, words, infusion };
}

function eventLine({ at, seriousness, text: words, infusion }: TimelineEvent): Found {
  const kind = seriousness === undefined ? 'adverse event' : `adverse event, ${seriousness.toLowerCase()}`;
  return { ...placed(at), kind, words, infusion };
}

function placed(at: TimelineFinding['at']): { at: number; when: string } {
  return { at: at?.at ?? Number.POSITIVE_INFINITY, when: at === undefined ? 'time not known' : timeOf(at.text) };
}

/** The picture for those who do not see it. */
function inWords({ infusions, sessions, scales, findings, adverseEvents }: Timeline): string {
  const classes = Map.groupBy(sessions, (session) => session.class ?? 'of unknown time');
  const therapy = [...classes].map(([name, all]) => `${all.length} ${name}`).join(', ');
  const scores = scales.map(({ title, points }) => {
    const [first, last] = [points[0], points.at(-1)];
    return first === undefined || last === undefined || first === last
      ? `${title} ${first?.value ?? ''}`
      : `${title} from ${first.value} to ${last.value} in ${points.length} ratings`;
  });
  return [
    `${counted(infusions.length, 'infusion')}.`,
    `${counted(sessions.length, 'therapy session')}${therapy === '' ? '' : `: ${therapy}`}.`,
    ...(scores.length === 0 ? [] : [`${scores.join('; ')}.`]),
    `${counted(findings.length, 'finding')}, ${counted(adverseEvents.length, 'adverse event')}.`,
  ].join(' ');
}

function counted(count: number, name: string): string {
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}
