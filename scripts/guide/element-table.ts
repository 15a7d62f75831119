/** Rows of a profile as a table: tree, flags, cardinality, type, and what is asked and why. */
import type { Coding, ElementDefinition } from '@medplum/fhirtypes';
import type { Cardinality, ElementRow } from './elements.ts';
import { anchor, type Html, html, joined, type Piece, table } from './html.ts';
import { codeAddress, external, type Links, shortName, typeAddress } from './links.ts';

/** Of an element's row, in one of the two tables of a page. */
export function elementAnchor(kind: 'el' | 'all', id: string): string {
  return anchor(kind, id);
}

export function elementTable(caption: string, kind: 'el' | 'all', rows: readonly ElementRow[], links: Links): Html {
  const shownIds = new Set(rows.map(({ id }) => id));
  return table(
    caption,
    [
      { head: 'Element', name: 'element' },
      { head: 'Flags', name: 'flags' },
      { head: 'Card.', name: 'card' },
      { head: 'Type', name: 'type' },
      { head: 'What is asked, and why', name: 'asked' },
    ],
    rows.map((row) => ({
      id: elementAnchor(kind, row.id),
      name: row.isOurs ? 'ours' : 'theirs',
      cells: [
        nameCell(row, kind),
        flags(row),
        cardinality(row),
        types(row, links, kind, shownIds),
        asked(row, links, kind === 'all'),
      ],
    })),
    'elements',
  );
}

function nameCell({ id, name, sliceName, depth, card }: ElementRow, kind: 'el' | 'all'): Html {
  const words = sliceName === undefined ? html`${name}` : html`${name}:<b>${sliceName}</b>`;
  const shown = card.max === '0' ? html`<s>${words}</s>` : words;
  return html`<span class="tree d${Math.min(depth, 9)}"><a href="#${elementAnchor(kind, id)}" title="${id}">${shown}</a></span>`;
}

function flags({ mustSupport, isModifier, isSummary }: ElementRow): Piece {
  return [
    mustSupport &&
      html`<abbr class="flag must" title="must support: send it where you have it, and keep it where you receive it">S</abbr>`,
    isModifier && html`<abbr class="flag" title="modifier: it can change what the rest means">?!</abbr>`,
    isSummary && html`<abbr class="flag" title="part of the summary">Σ</abbr>`,
  ];
}

function cardinality({ card, before }: ElementRow): Html {
  if (card.max === '0') return html`<span class="never">never</span>${was(before)}`;
  const known = card.min !== undefined || card.max !== undefined;
  return html`${known && range(card)}${was(before)}`;
}

function range({ min, max }: Cardinality): Html {
  const text = `${min ?? ''}..${max ?? ''}`;
  return (min ?? 0) > 0 ? html`<b>${text}</b>` : html`${text}`;
}

function was(before: ElementRow['before']): Piece {
  return (
    before !== undefined && html` <span class="was" title="in ${before.of}">was ${before.min}..${before.max}</span>`
  );
}

type Type = NonNullable<ElementDefinition['type']>[number];

function types(
  { types: list, contentReference }: ElementRow,
  links: Links,
  kind: string,
  shown: ReadonlySet<string>,
): Piece {
  if (contentReference !== undefined) {
    const id = contentReference.slice(contentReference.indexOf('#') + 1);
    const words = html`as <code>${id}</code>`;
    return shown.has(id) ? html`<a href="#${anchor(kind, id)}">${words}</a>` : words;
  }
  return joined(
    list.map((type) => typeOf(type, links)),
    html`<br>`,
  );
}

function typeOf({ code = '', profile, targetProfile, aggregation }: Type, links: Links): Html {
  const name = code.startsWith('http://hl7.org/fhirpath/System.')
    ? code.slice(code.lastIndexOf('.') + 1).toLowerCase()
    : code;
  const base = external(typeAddress(name), name);
  const said = profile === undefined ? base : html`${base}: ${joined(profile.map((one) => links.to(one)))}`;
  const targets =
    targetProfile === undefined
      ? undefined
      : html` (${joined(
          targetProfile.map((one) => links.to(one)),
          html` <span class="or">|</span> `,
        )})`;
  return html`${said}${targets}${aggregation && html` <span class="was">${aggregation.join(', ')}</span>`}`;
}

function asked(row: ElementRow, links: Links, brief: boolean): Piece {
  return [
    row.short && html`<div class="short">${row.short}</div>`,
    !brief && row.why.map((sentence) => html`<div class="why">${sentence}</div>`),
    row.values.map(
      ({ name, value }) =>
        html`<div>${VALUE_WORDS[/^[a-z]+?(?=[A-Z]|$)/.exec(name)?.[0] ?? ''] ?? wordsOf(name)}: ${valueView(value)}</div>`,
    ),
    row.card.max !== '0' && row.binding && bindingView(row.binding, links),
    row.isSliced && row.slicing && slicingView(row.slicing),
    row.maxLength !== undefined && html`<div>At most ${row.maxLength} characters</div>`,
    rules(row, brief),
  ];
}

const VALUE_WORDS: Readonly<Record<string, string>> = { fixed: 'Always', pattern: 'At least' };

function wordsOf(name: string): string {
  if (name.startsWith('min')) return 'Not below';
  if (name.startsWith('max')) return 'Not above';
  return name;
}

/** Values as a person says them; anything without a short form as JSON. */
export function valueView(value: unknown): Piece {
  if (typeof value !== 'object' || value === null) return html`<code>${JSON.stringify(value)}</code>`;
  const { coding, text, ...others } = value as { coding?: readonly Coding[]; text?: string };
  if (Array.isArray(coding) && Object.keys(others).length === 0) {
    const said = joined(coding.map(codingView), html` <span class="or">and</span> `);
    return [said, text !== undefined && html` <q>${text}</q>`];
  }
  const keys = Object.keys(value);
  if (keys.length === 1 && 'system' in value) return html`a code of <code>${String(value.system)}</code>`;
  if ('code' in value && keys.every((key) => ['system', 'code', 'display', 'version'].includes(key))) {
    return codingView(value as Coding);
  }
  return html`<code>${JSON.stringify(value)}</code>`;
}

/** `LOINC 85354-9 Blood pressure panel` */
export function codingView({ system, code, display, version }: Coding): Html {
  const known = code === undefined ? undefined : external(codeAddress(system, code), code);
  const name = system === undefined ? undefined : html`<span title="${system}">${shortName(system)}</span> `;
  return html`<span class="coding">${name}${version && `${version} `}${known}${display && ` ${display}`}</span>`;
}

function bindingView({ strength, valueSet, description }: NonNullable<ElementRow['binding']>, links: Links): Html {
  const from = valueSet === undefined ? description : links.to(valueSet);
  return html`<div><span class="strength ${strength}">${strength}</span> codes from ${from}</div>`;
}

function slicingView({ discriminator, rules, ordered, description }: NonNullable<ElementRow['slicing']>): Html {
  const by = joined(
    (discriminator ?? []).map(({ type, path }) => html`the ${type} of <code>${path}</code>`),
    ' and ',
  );
  return html`<div class="slicing">Slices${discriminator === undefined ? ` (${description ?? ''})` : html` by ${by}`}: ${RULES[rules ?? '']}${ordered === true && ', in this order'}</div>`;
}

const RULES: Readonly<Record<string, string>> = {
  open: 'others may stand beside them',
  closed: 'no others',
  openAtEnd: 'others only after them',
};

/** Rules of the profile by a link; those of parents stand in the snapshot by their key. */
function rules({ constraints }: ElementRow, brief: boolean): Piece {
  const ours = constraints.filter(({ key }) => key?.startsWith('kap-'));
  const others = brief ? constraints.filter(({ key }) => !key?.startsWith('kap-')) : [];
  const own = ours.map(({ key = '' }) => html`<a class="rule" href="#${anchor('rule', key)}">${key}</a>`);
  const rest = others.map(({ key = '', human }) => html`<span class="rule" title="${human}">${key}</span>`);
  const all = [...own, ...rest];
  return all.length > 0 && html`<div class="rules">Rules: ${joined(all, ' ')}</div>`;
}
