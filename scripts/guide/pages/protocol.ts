/** Pages of plan definitions (the protocols) and activity definitions. */
import type {
  ActivityDefinition,
  CodeableConcept,
  Extension,
  PlanDefinition,
  PlanDefinitionAction,
} from '@medplum/fhirtypes';
import { valueView } from '../element-table.ts';
import { html, joined, type Piece, table } from '../html.ts';
import { type Links, pageOf } from '../links.ts';
import { heading, type Page, SECTIONS } from '../page.ts';
import { type DefinitionFile, titleOf } from '../source.ts';
import { choiceIn, measureOf } from '../values.ts';
import { type Uses, usedBy } from './profile.ts';

export function planPage({ file, resource }: DefinitionFile<PlanDefinition>, links: Links, uses: Uses): Page {
  const title = titleOf(resource);
  const actions = flattened(resource.action ?? []);
  const thresholds = thresholdsOf(resource);
  const body = html`${heading('Plan definition', title, resource, [
    ['Type', conceptView(resource.type)],
    ['Goals', joined((resource.goal ?? []).map(({ description }) => conceptView(description)))],
    ['Used by', usedBy(resource.url, uses)],
  ])}
<section aria-labelledby="actions">
<h2 id="actions">Actions</h2>
${table(
  `Actions of ${title}`,
  [
    { head: 'Action', name: 'element' },
    { head: 'What', name: 'asked' },
    { head: 'When', name: 'asked' },
  ],
  actions.map(({ action, depth }) => ({
    cells: [
      html`<span class="tree d${Math.min(depth, 9)}">${action.prefix && `${action.prefix} `}${action.title ?? action.id}</span>`,
      whatOf(action, links),
      whenOf(action),
    ],
  })),
)}</section>
${
  thresholds.length > 0 &&
  html`<section aria-labelledby="thresholds">
<h2 id="thresholds">Thresholds of the clinic</h2>
<p>Stated in the protocol, so that a clinic changes them by a version of its own and not in code.</p>
${table('Thresholds of the clinic', [{ head: 'Name', name: 'code' }, { head: 'Value' }], thresholds)}</section>
`
}`;
  return { file: pageOf(file), title, section: SECTIONS.protocols, body };
}

type Placed = { readonly action: PlanDefinitionAction; readonly depth: number };

function flattened(actions: readonly PlanDefinitionAction[], depth = 0): Placed[] {
  return actions.flatMap((action) => [{ action, depth }, ...flattened(action.action ?? [], depth + 1)]);
}

function whatOf(action: PlanDefinitionAction, links: Links): Piece {
  const { description, definitionCanonical, code, condition, requiredBehavior, cardinalityBehavior } = action;
  return [
    description && html`<div>${description}</div>`,
    definitionCanonical && html`<div>${links.to(definitionCanonical)}</div>`,
    code?.map((concept) => html`<div>${conceptView(concept)}</div>`),
    condition?.map(
      ({ kind, expression }) =>
        html`<div class="soft">${kind} when <code>${expression?.expression ?? expression?.description}</code></div>`,
    ),
    (requiredBehavior ?? cardinalityBehavior) &&
      html`<div class="soft">${joined([requiredBehavior, cardinalityBehavior].filter((one) => one !== undefined))}</div>`,
  ];
}

function whenOf(action: PlanDefinitionAction): Piece {
  const timing = choiceIn(action, 'timing');
  return [
    timing !== undefined && html`<div>${measureOf(timing)}</div>`,
    action.relatedAction?.map(({ actionId, relationship, offsetRange, offsetDuration }) => {
      const offset = offsetRange ?? offsetDuration;
      return html`<div>${offset && html`${measureOf(offset)} `}${relationship?.replaceAll('-', ' ')} <code>${actionId}</code></div>`;
    }),
  ];
}

/** Names and values of the extension kap-policy-parameter; several of one name are a list. */
function thresholdsOf({ extension = [] }: PlanDefinition): { cells: readonly Piece[] }[] {
  const all = extension.filter(({ url = '' }) => url.endsWith('/kap-policy-parameter')).map(thresholdOf);
  return [...Map.groupBy(all, ({ name }) => name)].map(([name, list]) => ({
    cells: [name, joined(list.map(({ value }) => value))],
  }));
}

function thresholdOf({ extension: parts = [] }: Extension): { name: string; value: Piece } {
  const part = (name: string) => choiceIn(parts.find(({ url }) => url === name) ?? {}, 'value');
  const period = part('effectivePeriod');
  const value = [
    measureOf(part('value')),
    period !== undefined && html` <span class="soft">${measureOf(period)}</span>`,
  ];
  return { name: String(part('name') ?? ''), value };
}

export function activityPage({ file, resource }: DefinitionFile<ActivityDefinition>, links: Links, uses: Uses): Page {
  const title = titleOf(resource);
  const timing = choiceIn(resource, 'timing');
  const { kind, profile, code, dosage, participant = [], productCodeableConcept } = resource;
  const body = heading('Activity definition', title, resource, [
    ['Makes a', kind],
    ['With the profile', profile && links.to(profile)],
    ['Code', conceptView(code)],
    ['Product', conceptView(productCodeableConcept)],
    ['Takes', timing !== undefined && measureOf(timing)],
    [
      'Dosage',
      dosage &&
        joined(
          dosage.map((one) => one.text ?? valueView(one)),
          '; ',
        ),
    ],
    ['By', joined(participant.map(({ type, role }) => (role === undefined ? type : conceptView(role))))],
    ['Used by', usedBy(resource.url, uses)],
  ]);
  return { file: pageOf(file), title, section: SECTIONS.protocols, body };
}

export function conceptView(concept: CodeableConcept | undefined): Piece {
  if (concept === undefined) return undefined;
  if (concept.coding === undefined) return concept.text;
  return valueView(concept);
}
