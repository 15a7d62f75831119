/** How a course flows through the resources, as a picture: five bands from enrolment to what is found, each box a link. */
import type { StructureDefinition } from '@medplum/fhirtypes';
import { element, line, rect, text } from '../../src/kap/timeline-picture/svg.ts';
import { escaped } from '../../src/kap/xml-text.ts';
import { Html, html, joined, type Piece } from './html.ts';
import { pageOf } from './links.ts';
import { type GuideSource, profilesIn, titleOf } from './source.ts';

type Band = {
  readonly title: string;
  readonly words: string;
  /** Ids of profiles, in rows; an arrow leads from one box of the first row to the next. */
  readonly rows: readonly (readonly string[])[];
};

const BANDS: readonly Band[] = [
  {
    title: '1  Enrolment',
    words: 'who is treated, what was agreed, what is planned',
    rows: [
      ['kap-patient', 'kap-course', 'kap-care-plan'],
      ['kap-ketamine-order', 'kap-infusion-request', 'kap-integration-request'],
      ['kap-treatment-consent', 'kap-part2-consent', 'kap-psychotherapy-note-authorization'],
    ],
  },
  {
    title: '2  Infusion visit',
    words: 'as often as the plan says; vital signs and scores belong to the visit',
    rows: [
      ['kap-infusion-encounter', 'kap-infusion-procedure', 'kap-ketamine-administration'],
      [
        'kap-infusion-blood-pressure',
        'kap-infusion-heart-rate',
        'kap-infusion-respiratory-rate',
        'kap-infusion-oxygen-saturation',
      ],
      ['kap-dissociation-score', 'kap-sedation-score', 'kap-adverse-event'],
    ],
  },
  {
    title: '3  Integration',
    words: 'therapy in its window after the infusion; a psychotherapy note is kept apart',
    rows: [
      ['kap-integration-encounter', 'kap-integration-procedure', 'kap-integration-interval'],
      ['kap-clinical-note', 'kap-psychotherapy-note'],
    ],
  },
  {
    title: '4  Scores',
    words: 'before the course, along it and at its end',
    rows: [
      ['kap-phq9-score', 'kap-phq9-item9', 'kap-gad7-score', 'kap-pcl5-score'],
      ['kap-cssrs-risk', 'kap-ybocs-score', 'kap-madrs-score', 'kap-audit-score'],
    ],
  },
  {
    title: '5  Findings',
    words: 'what the rules find, for a person to look at; closed when the reason is gone',
    rows: [['kap-rule-finding']],
  },
];

const WIDTH = 1084;
const BOX = { width: 190, gap: 20, left: 222 } as const;
const LINE = 14.5;

export function flowPicture(source: GuideSource): Html {
  const profiles = byId(source);
  const drawn: string[] = [];
  let y = 10;
  for (const [at, band] of BANDS.entries()) {
    const height = heightOf(band, profiles);
    drawn.push(bandOf(band, y, height, profiles));
    if (at < BANDS.length - 1) drawn.push(arrow(28, y + height, 28, y + height + 18));
    if (at === 2) drawn.push(again(y));
    y += height + 20;
  }
  const words = BANDS.map(({ title, words: more }) => `${title}: ${more}`).join('. ');
  const svg = element(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${y - 8}`, role: 'group', 'aria-labelledby': 'flow-title flow-description' },
    element('title', { id: 'flow-title' }, 'How a course flows through the resources'),
    element('desc', { id: 'flow-description' }, escaped(words)),
    ...drawn,
  );
  return html`<div class="picture" role="region" aria-label="Picture of the course" tabindex="0">${new Html(svg)}</div>
`;
}

type Profiles = ReadonlyMap<string, { readonly page: string; readonly resource: StructureDefinition }>;

function byId(source: GuideSource): Profiles {
  return new Map(profilesIn(source).map(({ file, resource }) => [resource.id ?? '', { page: pageOf(file), resource }]));
}

/** Its rows, or the words beside them where these are longer. */
function heightOf({ words, rows }: Band, profiles: Profiles): number {
  const boxes = rows.reduce((sum, row) => sum + rowHeight(row, profiles) + 14, 18);
  return Math.max(boxes, 58 + lines(words, 24).length * 16);
}

/** As high as its longest name needs. */
function rowHeight(row: readonly string[], profiles: Profiles): number {
  return 25 + LINE * Math.max(2, ...row.map((id) => nameLines(id, profiles).length));
}

function bandOf({ title, words, rows }: Band, y: number, height: number, profiles: Profiles): string {
  const parts = [rect(10, y, WIDTH - 20, height, { class: 'band', rx: 8 }), text(48, y + 30, title, { class: 'step' })];
  lines(words, 24).forEach((said, at) => {
    parts.push(text(48, y + 50 + at * 16, said, { class: 'words' }));
  });
  let top = y + 16;
  for (const row of rows) {
    const rowHigh = rowHeight(row, profiles);
    for (const [at, id] of row.entries()) {
      const x = BOX.left + at * (BOX.width + BOX.gap);
      const middle = top + rowHigh / 2;
      // Scores stand beside each other; the others lead to one another.
      if (row === rows[0] && at > 0 && row.length < 4) parts.push(arrow(x - BOX.gap + 2, middle, x - 3, middle));
      parts.push(box(id, x, top, rowHigh, profiles));
    }
    top += rowHigh + 14;
  }
  return parts.join('');
}

function box(id: string, x: number, y: number, height: number, profiles: Profiles): string {
  const known = profiles.get(id);
  const shown = nameLines(id, profiles);
  const apart = id === 'kap-psychotherapy-note' ? ' apart' : '';
  const parts = [rect(x, y, BOX.width, height, { class: `box${apart}`, rx: 6 })];
  const top = y + (height - (shown.length + 1) * LINE) / 2 + 11;
  shown.forEach((said, at) => {
    parts.push(text(x + 9, top + at * LINE, said, { class: 'name' }));
  });
  parts.push(text(x + 9, top + shown.length * LINE + 1, known?.resource.type ?? '', { class: 'type' }));
  if (known === undefined) return element('g', { class: 'plain' }, ...parts);
  return element('a', { href: known.page }, ...parts);
}

function nameLines(id: string, profiles: Profiles): string[] {
  const known = profiles.get(id);
  const name = known === undefined ? id.replace(/^kap-/, '').replaceAll('-', ' ') : titleOf(known.resource);
  return lines(
    name.replace(/^KAP /i, '').replace(/^./, (first) => first.toUpperCase()),
    22,
  );
}

function arrow(x1: number, y1: number, x2: number, y2: number): string {
  const tip = y1 === y2 ? `M${x2 + 2} ${y2}l-7 -4v8z` : `M${x2} ${y2 + 2}l-4 -7h8z`;
  return line(x1, y1, x2, y2, { class: 'way' }) + element('path', { d: tip, class: 'tip' });
}

/** From the integration session back up to the next infusion visit. */
function again(y: number): string {
  const x = WIDTH - 24;
  const way = element('path', { d: `M${x - 10} ${y + 40}h10V${y - 60}h-8`, class: 'way' });
  return (
    way +
    element('path', { d: `M${x - 10} ${y - 60}l7 -4v8z`, class: 'tip' }) +
    text(x - 6, y + 60, 'next infusion', { class: 'words', 'text-anchor': 'end' })
  );
}

/** Words in lines of about so many letters. */
function lines(words: string, letters: number): string[] {
  const list: string[] = [];
  for (const word of words.split(' ')) {
    const last = list.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= letters) list[list.length - 1] = `${last} ${word}`;
    else list.push(word);
  }
  return list;
}

/** The same in words, for those who read it on a phone or by ear. */
export function flowInWords(source: GuideSource): Html {
  const profiles = byId(source);
  const link = (id: string): Piece => {
    const known = profiles.get(id);
    return known && html`<a href="${known.page}">${titleOf(known.resource)}</a>`;
  };
  return html`<ol class="reading">${BANDS.map(({ title, words, rows }) => {
    const links = rows
      .flat()
      .map(link)
      .filter((one) => one !== undefined);
    return html`<li><b>${title.replace(/^\d\s+/, '')}</b>: ${words}. ${joined(links)}</li>\n`;
  })}</ol>
`;
}
