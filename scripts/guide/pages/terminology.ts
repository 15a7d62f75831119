/** Pages of value sets, code systems and concept maps. */
import type { CodeSystem, CodeSystemConcept, ConceptMap, ValueSet, ValueSetComposeInclude } from '@medplum/fhirtypes';
import type { Expansion } from '../expansions.ts';
import { anchor, type Html, html, joined, type Piece, table } from '../html.ts';
import { codeAddress, external, type Links, pageOf, shortName } from '../links.ts';
import { contents, heading, type Page, SECTIONS } from '../page.ts';
import { type DefinitionFile, titleOf } from '../source.ts';
import { type Uses, usedBy } from './profile.ts';

export function valueSetPage(
  { file, resource }: DefinitionFile<ValueSet>,
  links: Links,
  expansion: Expansion,
  uses: Uses,
): Page {
  const title = titleOf(resource);
  const { include = [], exclude = [] } = resource.compose ?? {};
  const body = html`${heading('Value set', title, resource, [['Used by', usedBy(resource.url, uses)]])}
${contents([
  ['codes', 'Codes'],
  ['made-of', 'What it is made of'],
])}
<section aria-labelledby="codes">
<h2 id="codes">Codes</h2>
${expansionView(title, expansion)}</section>
<section aria-labelledby="made-of">
<h2 id="made-of">What it is made of</h2>
<ul>${include.map((part) => html`<li>${partView(part, links)}</li>\n`)}${exclude.map((part) => html`<li>without ${partView(part, links)}</li>\n`)}</ul>
</section>
`;
  return { file: pageOf(file), title, section: SECTIONS.valueSets, body };
}

function expansionView(title: string, expansion: Expansion): Html {
  if ('reason' in expansion) return html`<p>The codes cannot be listed here: ${expansion.reason}</p>\n`;
  return html`<p>${expansion.members.length} codes, listed when this page was made.</p>
${table(
  `Codes of ${title}`,
  [{ head: 'Code', name: 'code' }, { head: 'Display', name: 'asked' }, { head: 'System' }],
  expansion.members.map(({ system, code, display }) => ({
    cells: [
      external(codeAddress(system, code), code),
      display,
      html`<span title="${system}">${shortName(system)}</span>`,
    ],
  })),
)}`;
}

function partView({ system, version, concept, filter, valueSet }: ValueSetComposeInclude, links: Links): Piece {
  const sets = (valueSet ?? []).map((url) => html`the codes of ${links.to(url)}`);
  if (system === undefined) return joined(sets, ' that are also in ');
  const from = html`${links.to(system, shortName(system))}${version && ` ${version}`}`;
  const which =
    concept !== undefined
      ? html`${concept.length} codes of ${from}`
      : filter !== undefined
        ? html`codes of ${from} where ${joined(
            filter.map(({ property, op, value }) => html`<code>${property} ${op} ${value}</code>`),
            ' and ',
          )}`
        : html`all codes of ${from}`;
  return joined([which, ...sets], ' that are also in ');
}

export function codeSystemPage({ file, resource }: DefinitionFile<CodeSystem>, uses: Uses): Page {
  const title = titleOf(resource);
  const concepts = flattened(resource.concept ?? []);
  const body = html`${heading('Code system', title, resource, [
    ['Content', resource.content],
    ['Used by', usedBy(resource.url, uses)],
  ])}
<section aria-labelledby="codes">
<h2 id="codes">Codes</h2>
${table(
  `Codes of ${title}`,
  [
    { head: 'Code', name: 'code' },
    { head: 'Display', name: 'asked' },
    { head: 'Meaning', name: 'asked' },
  ],
  concepts.map(({ concept: { code = '', display, definition }, depth }) => ({
    id: anchor('code', code),
    cells: [
      html`<span class="tree d${Math.min(depth, 9)}"><a href="#${anchor('code', code)}">${code}</a></span>`,
      display,
      definition,
    ],
  })),
)}</section>
`;
  return { file: pageOf(file), title, section: SECTIONS.codeSystems, body };
}

function flattened(concepts: readonly CodeSystemConcept[], depth = 0): { concept: CodeSystemConcept; depth: number }[] {
  return concepts.flatMap((concept) => [{ concept, depth }, ...flattened(concept.concept ?? [], depth + 1)]);
}

export function conceptMapPage({ file, resource }: DefinitionFile<ConceptMap>, links: Links): Page {
  const title = titleOf(resource);
  const { sourceUri, sourceCanonical, targetUri, targetCanonical, group = [] } = resource;
  const [from, to] = [sourceCanonical ?? sourceUri, targetCanonical ?? targetUri];
  const body = html`${heading('Concept map', title, resource, [
    ['From', from && links.to(from)],
    ['To', to && links.to(to)],
  ])}
${group.map(
  ({ source = '', target = '', element = [], unmapped }) => html`<section>
<h2>${shortName(source)} to ${shortName(target)}</h2>
${table(
  `${shortName(source)} to ${shortName(target)}`,
  [
    { head: 'Code', name: 'code' },
    { head: 'means' },
    { head: 'There', name: 'code' },
    { head: 'Remark', name: 'asked' },
  ],
  element.flatMap(({ code = '', display, target: targets = [{}] }) =>
    targets.map((one) => ({
      cells: [
        coded(source, code, display),
        'equivalence' in one ? one.equivalence : 'nothing there',
        'code' in one && one.code !== undefined && coded(target, one.code, one.display),
        [
          'comment' in one && one.comment,
          'dependsOn' in one &&
            one.dependsOn?.map(
              ({ property, value, display: shown }) =>
                html`<div>where <code>${property}</code> is ${shown ?? value}</div>`,
            ),
        ],
      ],
    })),
  ),
)}${unmapped && html`<p>Any other code: ${unmapped.mode}${unmapped.code && html` <code>${unmapped.code}</code>`}</p>\n`}</section>
`,
)}`;
  return { file: pageOf(file), title, section: SECTIONS.conceptMaps, body };
}

function coded(system: string, code: string, display: string | undefined): Html {
  return html`${external(codeAddress(system, code), code)}${display && html` <span class="display">${display}</span>`}`;
}
