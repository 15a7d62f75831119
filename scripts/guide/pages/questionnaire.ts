/** The page of a questionnaire: its items with their answers and scores. */
import type { Questionnaire, QuestionnaireItem, QuestionnaireItemAnswerOption } from '@medplum/fhirtypes';
import { codingView } from '../element-table.ts';
import { html, joined, type Piece, table } from '../html.ts';
import { type Links, pageOf } from '../links.ts';
import { heading, type Page, SECTIONS } from '../page.ts';
import { type DefinitionFile, titleOf } from '../source.ts';
import { choiceIn } from '../values.ts';
import { type Uses, usedBy } from './profile.ts';

export function questionnairePage({ file, resource }: DefinitionFile<Questionnaire>, links: Links, uses: Uses): Page {
  const title = titleOf(resource);
  const items = flattened(resource.item ?? []);
  const body = html`${heading('Questionnaire', title, resource, [
    ['Code', joined((resource.code ?? []).map(codingView))],
    ['Answered about', joined(resource.subjectType ?? [])],
    ['Used by', usedBy(resource.url, uses)],
  ])}
<section aria-labelledby="items">
<h2 id="items">Items</h2>
${table(
  `Items of ${title}`,
  [
    { head: 'Item', name: 'code' },
    { head: 'Text', name: 'asked' },
    { head: 'Type' },
    { head: 'Card.', name: 'card' },
    { head: 'Answers', name: 'asked' },
  ],
  items.map(({ item, depth }) => ({
    cells: [
      html`<span class="tree d${Math.min(depth, 9)}">${item.linkId}</span>`,
      [
        item.prefix && html`${item.prefix} `,
        item.text,
        item.code && html`<div class="soft">${joined(item.code.map(codingView))}</div>`,
      ],
      item.type,
      `${item.required === true ? 1 : 0}..${item.repeats === true ? '*' : 1}`,
      [answers(item, links), conditions(item)],
    ],
  })),
)}</section>
`;
  return { file: pageOf(file), title, section: SECTIONS.questionnaires, body };
}

type Placed = { readonly item: QuestionnaireItem; readonly depth: number };

function flattened(items: readonly QuestionnaireItem[], depth = 0): Placed[] {
  return items.flatMap((item) => [{ item, depth }, ...flattened(item.item ?? [], depth + 1)]);
}

function answers({ answerOption, answerValueSet, initial, readOnly }: QuestionnaireItem, links: Links): Piece {
  return [
    answerOption && html`<ul class="plain">${answerOption.map((option) => html`<li>${optionView(option)}</li>`)}</ul>`,
    answerValueSet && html`codes from ${links.to(answerValueSet)}`,
    initial && html`<div>at first ${joined(initial.map(answerValue))}</div>`,
    readOnly === true && html`<div>computed, not asked</div>`,
  ];
}

const SCORE = /\/(ordinalValue|itemWeight|questionnaire-ordinalValue)$/;

function optionView(option: QuestionnaireItemAnswerOption): Piece {
  const score = option.extension?.find(({ url = '' }) => SCORE.test(url))?.valueDecimal;
  return [score !== undefined && html`<b>${score}</b> `, answerValue(option)];
}

function answerValue(holder: object): Piece {
  const found = choiceIn(holder, 'value');
  if (typeof found !== 'object' || found === null) return String(found ?? '');
  return codingView(found);
}

function conditions({ enableWhen, enableBehavior }: QuestionnaireItem): Piece {
  if (enableWhen === undefined) return undefined;
  const all = enableWhen.map(({ question, operator, ...answer }) => {
    const value = choiceIn(answer, 'answer');
    const said = typeof value === 'object' && value !== null ? codingView(value) : String(value ?? '');
    return html`<code>${question}</code> ${operator} ${said}`;
  });
  return html`<div class="soft">asked when ${joined(all, enableBehavior === 'any' ? ' or ' : ' and ')}</div>`;
}
