/** The page of a profile or an extension: purpose, elements, rules, examples. */
import type { StructureDefinition } from '@medplum/fhirtypes';
import type { ProfileIssue } from '../../../src/fhir/validation/validator.ts';
import { elementTable } from '../element-table.ts';
import { type ElementRow, rowsOf } from '../elements.ts';
import type { ExampleResult } from '../examples.ts';
import { anchor, type Html, html, joined, type Piece, table } from '../html.ts';
import { jsonView } from '../json-view.ts';
import { external, type Links, pageOf, typeAddress } from '../links.ts';
import { contents, heading, type Page, SECTIONS } from '../page.ts';
import { type DefinitionFile, exampleName, type GuideSource, titleOf } from '../source.ts';

export type Uses = ReadonlyMap<string, readonly DefinitionFile[]>;

export function profilePage(
  { file, resource }: DefinitionFile<StructureDefinition>,
  source: GuideSource,
  links: Links,
  results: readonly ExampleResult[],
  uses: Uses,
): Page {
  const isExtension = resource.type === 'Extension';
  const { differential, snapshot } = rowsOf(resource, source);
  const rules = rulesOf(snapshot.length > 0 ? snapshot : differential);
  const title = titleOf(resource);
  const type = resource.type ?? '';
  const body = html`${heading(isExtension ? 'Extension' : `Profile of ${type}`, title, resource, [
    ['Parent', resource.baseDefinition && parentLink(resource, links)],
    ['Base type', !isExtension && external(typeAddress(type), type)],
    ['May stand at', contextOf(resource)],
    ['Used by', usedBy(resource.url, uses)],
  ])}
${contents([
  ['elements', 'Elements'],
  ...(rules.length > 0 ? ([['rules', 'Rules']] as const) : []),
  ...(snapshot.length > 0 ? ([['all-elements', 'All elements']] as const) : []),
  ...(results.length > 0 ? ([['examples', 'Examples']] as const) : []),
])}
<section aria-labelledby="elements">
<h2 id="elements">Elements</h2>
<p>What this ${isExtension ? 'extension' : 'profile'} says beyond its parent. ${claim(resource, isExtension)}</p>
${elementTable(`Elements that ${title} constrains`, 'el', differential, links)}${LEGEND}</section>
${rules.length > 0 && rulesSection(rules)}${snapshot.length > 0 && snapshotSection(title, snapshot, links)}${results.length > 0 && examplesSection(results)}`;
  return { file: pageOf(file), title, section: isExtension ? SECTIONS.extensions : SECTIONS.profiles, body };
}

function parentLink({ baseDefinition = '' }: StructureDefinition, links: Links): Html {
  return links.to(baseDefinition);
}

function contextOf({ context = [] }: StructureDefinition): Piece {
  return joined(context.map(({ expression = '' }) => html`<code>${expression}</code>`));
}

/** The definitions that name this one. */
export function usedBy(url: string | undefined, uses: Uses): Piece {
  const files = url === undefined ? [] : (uses.get(url) ?? []);
  const list = joined(files.map(({ file, resource }) => html`<a href="${pageOf(file)}">${titleOf(resource)}</a>`));
  if (files.length <= MOST_SHOWN) return list;
  return html`<details><summary>${files.length} definitions</summary>${list}</details>`;
}

/** More names are folded. */
const MOST_SHOWN = 8;

function claim({ url = '', abstract }: StructureDefinition, isExtension: boolean): Piece {
  if (isExtension) return undefined;
  if (abstract === true) return 'It is abstract: resources claim one of the profiles that build on it.';
  return html`A resource claims it by <code>"meta": {"profile": ["${url}"]}</code>, and is held to it when it is written.`;
}

const LEGEND = html`<details class="legend"><summary>How to read the table</summary>
<dl class="facts">
<div><dt><abbr class="flag must">S</abbr></dt><dd>Must support: a sender fills it where the fact is known, a receiver keeps and shows it.</dd></div>
<div><dt><abbr class="flag">?!</abbr></dt><dd>Modifier: it can change the meaning of the rest, so it must not be passed over.</dd></div>
<div><dt><abbr class="flag">Σ</abbr></dt><dd>Part of the summary.</dd></div>
<div><dt>1..1 <span class="was">was 0..1</span></dt><dd>At least and at most so many; grey is what the parent allows, or base R4 where the parent is in another guide.</dd></div>
<div><dt>name:<b>slice</b></dt><dd>Some of the items of a list, told apart by the values that the list names under “Slices by”.</dd></div>
<div><dt>Always</dt><dd>The value is this one exactly.</dd></div>
<div><dt>At least</dt><dd>The value has this, and may have more (a further coding, a text).</dd></div>
<div><dt><span class="strength required">required</span></dt><dd>A code from the set, no other. <span class="strength extensible">extensible</span>: a code from the set where it has one that fits. <span class="strength preferred">preferred</span>, <span class="strength example">example</span>: advice.</dd></div>
</dl></details>
`;

type Rule = {
  readonly key: string;
  readonly severity: string;
  readonly human: string;
  readonly expression: string;
  readonly rows: ElementRow[];
};

/** Rules of this guide, each once, with the elements it stands at. */
function rulesOf(rows: readonly ElementRow[]): readonly Rule[] {
  const rules = new Map<string, Rule>();
  for (const row of rows) {
    for (const { key = '', severity = '', human = '', expression = '' } of row.constraints) {
      if (!key.startsWith('kap-')) continue;
      const known = rules.get(key);
      if (known === undefined) rules.set(key, { key, severity, human, expression, rows: [row] });
      else known.rows.push(row);
    }
  }
  return [...rules.values()].sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true }));
}

function rulesSection(rules: readonly Rule[]): Html {
  return html`<section aria-labelledby="rules">
<h2 id="rules">Rules</h2>
${table(
  'Rules beyond the table, in FHIRPath',
  [{ head: 'Key', name: 'key' }, { head: 'Severity' }, { head: 'Rule', name: 'asked' }, { head: 'At', name: 'at' }],
  rules.map(({ key, severity, human, expression, rows }) => ({
    id: anchor('rule', key),
    cells: [
      key,
      html`<span class="severity ${severity}">${severity}</span>`,
      html`<div class="short">${human}</div><code class="expression">${expression}</code>`,
      joined(
        rows.map(({ id }) => html`<code>${id}</code>`),
        html`<br>`,
      ),
    ],
  })),
)}</section>
`;
}

function snapshotSection(title: string, rows: readonly ElementRow[], links: Links): Html {
  return html`<section aria-labelledby="all-elements">
<h2 id="all-elements">All elements</h2>
<p>Everything that holds, what the parents say included (the snapshot). Rows of this profile are marked.</p>
<details><summary>${rows.length} elements</summary>
${elementTable(`All elements of ${title}`, 'all', rows, links)}</details></section>
`;
}

function examplesSection(results: readonly ExampleResult[]): Html {
  const [valid, invalid] = [
    results.filter(({ example }) => example.isValid),
    results.filter(({ example }) => !example.isValid),
  ];
  return html`<section aria-labelledby="examples">
<h2 id="examples">Examples</h2>
${valid.length > 0 && html`<h3>Accepted</h3>\n`}${valid.map((one, at) => exampleView(one, at === 0))}${
  invalid.length > 0 &&
  html`<h3>Refused</h3>
<p>Each breaks one rule. Below it stands what the validator says, as it was when this page was made; the marked lines are the place.</p>\n`
}${invalid.map((one) => exampleView(one, false))}</section>
`;
}

function exampleView({ example, issues, faults }: ExampleResult, isOpen: boolean): Html {
  const { file, isValid, text, promise } = example;
  const id = anchor('example', file.replace(/\.json$/, ''));
  const said = issues.filter(({ severity }) => !isValid || severity !== 'information');
  const expressions = isValid ? [] : said.flatMap(({ expression }) => expression ?? []);
  const label = `JSON of the example ${exampleName(file)}`;
  return html`<article class="example ${isValid ? 'valid' : 'invalid'}" id="${id}">
<h4>${exampleName(file)}</h4>
${promise?.about && html`<p>${promise.about}</p>\n`}${promise?.breaks && html`<p class="breaks">${promise.breaks}</p>\n`}${!isValid && issueList(said)}${faults.length > 0 && html`<p class="fault"><strong>This is not as promised:</strong> ${joined(faults, '; ')}</p>\n`}<details${isOpen && html` open`}><summary>${file}</summary>
${jsonView(text, label, expressions)}</details>
</article>
`;
}

function issueList(issues: readonly ProfileIssue[]): Html {
  return html`<ul class="issues">${issues.map(
    ({ severity, code, expression, diagnostics }) =>
      html`<li><span class="severity ${severity}">${severity}</span> <code>${code}</code> at <code>${expression ?? ''}</code><br>${diagnostics}</li>`,
  )}</ul>
`;
}
