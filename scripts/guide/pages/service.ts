/** Pages of search parameters, operations, the capability statement, and of definitions without a page of their own form. */
import type {
  CapabilityStatement,
  CapabilityStatementRestResource,
  OperationDefinition,
  OperationDefinitionParameter,
  SearchParameter,
} from '@medplum/fhirtypes';
import { anchor, html, joined, type Piece, paragraphs, table } from '../html.ts';
import { jsonView } from '../json-view.ts';
import { external, type Links, pageOf, shortName, typeAddress } from '../links.ts';
import { heading, type Page, SECTIONS } from '../page.ts';
import { type DefinitionFile, titleOf } from '../source.ts';

export function searchParameterPage({ file, resource }: DefinitionFile<SearchParameter>, links: Links): Page {
  const title = searchName(resource);
  const { base = [], target = [], code, type, expression, modifier = [], comparator = [], chain = [] } = resource;
  const example = `GET /fhir/${base[0] ?? ''}?${code ?? ''}=${EXAMPLES[type ?? ''] ?? ''}`;
  const body = html`${heading('Search parameter', title, resource, [
    ['Of', joined(base.map((name) => external(typeAddress(name), name)))],
    ['Name in the url', code && html`<code>${code}</code>`],
    ['Type', type],
    ['Finds', expression && html`<code class="expression">${expression}</code>`],
    ['Leads to', joined(target.map((name) => external(typeAddress(name), name)))],
    ['Modifiers', joined(modifier.map((one) => html`<code>:${one}</code>`))],
    ['Prefixes', joined(comparator.map((one) => html`<code>${one}</code>`))],
    ['Chains', joined(chain.map((one) => html`<code>${one}</code>`))],
    ['Derived from', resource.derivedFrom && links.to(resource.derivedFrom)],
  ])}
<h2>In a search</h2>
<pre tabindex="0"><code>${example}</code></pre>
`;
  return { file: pageOf(file), title, section: SECTIONS.searchParameters, body };
}

export function searchName({ base = [], code, name }: SearchParameter): string {
  return `${base.join(', ')}: ${code ?? name ?? ''}`;
}

const EXAMPLES: Readonly<Record<string, string>> = {
  reference: '{type}/{id}',
  token: '{system}|{code}',
  date: 'ge{date}',
  quantity: 'gt{number}||{unit}',
  number: '{number}',
  string: '{beginning of the text}',
  uri: '{url}',
};

export function operationPage({ file, resource }: DefinitionFile<OperationDefinition>, links: Links): Page {
  const title = titleOf(resource);
  const { code = '', resource: types = [], system, type, instance, parameter = [] } = resource;
  const places = [
    system === true && `/fhir/$${code}`,
    ...types.flatMap((name) => [
      type === true && `/fhir/${name}/$${code}`,
      instance === true && `/fhir/${name}/{id}/$${code}`,
    ]),
  ].filter((place) => place !== false);
  const part = (use: string) => flattened(parameter.filter((one) => one.use === use));
  const [inputs, outputs] = [part('in'), part('out')];
  const body = html`${heading('Operation', title, resource, [
    [
      'Called at',
      joined(
        places.map((place) => html`<code>${place}</code>`),
        html`<br>`,
      ),
    ],
    ['Changes the record', resource.affectsState === true ? 'yes: POST only' : 'no'],
  ])}
${inputs.length > 0 && parameterTable('Parameters', inputs, links)}${outputs.length > 0 && parameterTable('Answer', outputs, links)}${
  resource.comment && html`<h2>Remarks</h2>\n${paragraphs(resource.comment)}`
}`;
  return { file: pageOf(file), title, section: SECTIONS.operations, body };
}

type Placed = { readonly parameter: OperationDefinitionParameter; readonly depth: number };

function flattened(parameters: readonly OperationDefinitionParameter[], depth = 0): Placed[] {
  return parameters.flatMap((parameter) => [{ parameter, depth }, ...flattened(parameter.part ?? [], depth + 1)]);
}

function parameterTable(title: string, parameters: readonly Placed[], links: Links): Piece {
  return html`<h2>${title}</h2>
${table(
  title,
  [
    { head: 'Name', name: 'element' },
    { head: 'Card.', name: 'card' },
    { head: 'Type', name: 'type' },
    { head: 'What it is', name: 'asked' },
  ],
  parameters.map(
    ({ parameter: { name, min, max, type, documentation, targetProfile, binding, searchType }, depth }) => ({
      cells: [
        html`<span class="tree d${Math.min(depth, 9)}">${name}</span>`,
        `${min ?? ''}..${max ?? ''}`,
        [
          type === undefined ? 'parts' : external(typeAddress(type), type),
          searchType && ` (${searchType})`,
          targetProfile &&
            html` (${joined(
              targetProfile.map((one) => links.to(one)),
              ' | ',
            )})`,
        ],
        [
          documentation,
          binding?.valueSet &&
            html`<div><span class="strength ${binding.strength}">${binding.strength}</span> codes from ${links.to(binding.valueSet)}</div>`,
        ],
      ],
    }),
  ),
)}`;
}

export function capabilityPage({ file, resource }: DefinitionFile<CapabilityStatement>, links: Links): Page {
  const title = titleOf(resource);
  const body = html`${heading('Capability statement', title, resource, [
    ['Kind', resource.kind],
    ['Formats', joined((resource.format ?? []).map((one) => html`<code>${one}</code>`))],
    ['Builds on', joined([...(resource.instantiates ?? []), ...(resource.imports ?? [])].map((one) => links.to(one)))],
  ])}
${(resource.rest ?? []).map(
  ({ mode, documentation, security, resource: types = [], operation = [] }) => html`<section>
<h2>As a ${mode}</h2>
${paragraphs(documentation)}${paragraphs(security?.description)}${operation.length > 0 && html`<p>Operations: ${joined(operation.map(({ name, definition }) => (definition === undefined ? `$${name}` : links.to(definition, `$${name}`))))}</p>\n`}${table(
  `Types of the ${mode}`,
  [
    { head: 'Type', name: 'type' },
    { head: 'Profiles', name: 'asked' },
    { head: 'Interactions', name: 'asked' },
    { head: 'Search parameters', name: 'asked' },
    { head: 'Operations' },
  ],
  types.map((type) => ({ id: anchor('type', type.type ?? ''), cells: typeCells(type, links) })),
)}</section>
`,
)}`;
  return { file: pageOf(file), title, section: SECTIONS.service, body };
}

function typeCells(type: CapabilityStatementRestResource, links: Links): Piece[] {
  const {
    type: name = '',
    profile,
    supportedProfile = [],
    interaction = [],
    searchParam = [],
    operation = [],
    documentation,
  } = type;
  const profiles = [...(profile === undefined ? [] : [profile]), ...supportedProfile];
  return [
    external(typeAddress(name), name),
    [
      profiles.map((one) => html`<div>${links.to(one)}</div>`),
      documentation && html`<div class="soft">${documentation}</div>`,
    ],
    joined(
      interaction.map(({ code, documentation: words }) =>
        words === undefined ? code : html`${code} <span class="soft">(${words})</span>`,
      ),
    ),
    joined(
      searchParam.map(
        ({ name: code, definition, type: kind }) =>
          html`<span title="${kind}">${definition === undefined ? html`<code>${code}</code>` : links.to(definition, code)}</span>`,
      ),
    ),
    joined(
      operation.map(({ name: code, definition }) =>
        definition === undefined ? `$${code}` : links.to(definition, `$${code}`),
      ),
    ),
  ];
}

/** For any other type: what it says of itself, and its JSON. */
export function plainPage({ file, resource, text }: DefinitionFile, links: Links): Page {
  const title = titleOf(resource);
  const names = 'dependsOn' in resource && Array.isArray(resource.dependsOn) ? resource.dependsOn : [];
  const body = html`${heading(
    resource.resourceType.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
    title,
    resource,
    [
      [
        'Depends on',
        joined(
          names.flatMap((one) =>
            'uri' in one && typeof one.uri === 'string' ? [links.to(one.uri, shortName(one.uri))] : [],
          ),
        ),
      ],
    ],
  )}
<details><summary>JSON</summary>
${jsonView(text, `JSON of ${title}`)}</details>
`;
  return { file: pageOf(file), title, section: SECTIONS.service, body };
}
