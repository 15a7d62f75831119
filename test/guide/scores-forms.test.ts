import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalFhirPath } from '@medplum/core';
import type { Questionnaire, QuestionnaireItem, QuestionnaireResponse } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { FHIR_PROFILES } from '../../scripts/guide/source.ts';
import { loadDefinitions } from '../../src/fhir/definitions.ts';
import { createValidator } from '../../src/fhir/validation/validator.ts';
import { FREQUENCY_ANSWERS, GAD7_ITEMS, LOINC, PHQ9_ITEMS, SYSTEM } from '../../src/kap/codes.ts';

const CALCULATED = 'http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-calculatedExpression';
const ORDINAL = 'http://hl7.org/fhir/StructureDefinition/ordinalValue';

const forms = new Map(
  readdirSync(FHIR_PROFILES)
    .filter((file) => file.startsWith('Questionnaire-'))
    .map((file) => {
      const form = JSON.parse(readFileSync(join(FHIR_PROFILES, file), 'utf8')) as Questionnaire;
      return [form.id ?? '', form] as const;
    }),
);

function form(id: string): Questionnaire & { readonly item: QuestionnaireItem[] } {
  const found = forms.get(id);
  if (found?.item === undefined) throw new Error(`there is no form ${id}`);
  return { ...found, item: found.item };
}

function totalOf(id: string): QuestionnaireItem {
  const found = form(id).item.find(({ readOnly }) => readOnly);
  if (found === undefined) throw new Error(`${id} has no total`);
  return found;
}

/** What the form says that the total of these answers is. */
function scored(id: string, answers: Readonly<Record<string, object>>): unknown {
  const expression = totalOf(id).extension?.find(({ url }) => url === CALCULATED)?.valueExpression?.expression ?? '';
  const response: QuestionnaireResponse = {
    resourceType: 'QuestionnaireResponse',
    status: 'completed',
    item: Object.entries(answers).map(([linkId, value]) => ({ linkId, answer: [value] })),
  };
  return evalFhirPath(expression.replaceAll('%resource', 'QuestionnaireResponse'), response)[0];
}

function limitOf(item: QuestionnaireItem, name: 'minValue' | 'maxValue'): number | undefined {
  const found = item.extension?.find(({ url }) => url === `http://hl7.org/fhir/StructureDefinition/${name}`);
  return found?.valueDecimal ?? found?.valueInteger;
}

test.each([
  ['phq-9', PHQ9_ITEMS, LOINC.phq9Panel, LOINC.phq9Total, 27],
  ['gad-7', GAD7_ITEMS, LOINC.gad7Panel, LOINC.gad7Total, 21],
] as const)(
  '%s has the items, the answers and the scores that the service writes',
  (id, items, panel, total, highest) => {
    const asked = form(id).item.filter(({ required }) => required);
    expect(asked.map(({ linkId }) => linkId)).toEqual(items.map((code) => `/${code}`));
    expect(asked.map(({ code }) => code)).toEqual(items.map((code) => [{ system: SYSTEM.loinc, code }]));
    expect(form(id).code).toEqual([{ system: panel.system, code: panel.code }]);
    for (const { answerOption = [] } of asked) {
      expect(answerOption.map(({ valueCoding }) => valueCoding)).toEqual(FREQUENCY_ANSWERS);
      const ordinals = answerOption.map(({ extension }) => extension?.find(({ url }) => url === ORDINAL)?.valueDecimal);
      expect(ordinals).toEqual([0, 1, 2, 3]);
    }
    expect(totalOf(id).linkId).toBe(`/${total.code}`);
    expect(totalOf(id).code?.[0]).toEqual(total);
    expect([limitOf(totalOf(id), 'minValue'), limitOf(totalOf(id), 'maxValue')]).toEqual([0, highest]);
  },
);

test.each([
  ['phq-9', PHQ9_ITEMS],
  ['gad-7', GAD7_ITEMS],
] as const)('the total that %s calculates is the sum of its answers', (id, items) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: items.length, maxLength: items.length }),
      (given) => {
        const answers = Object.fromEntries(
          given.map((score, at) => [`/${items[at]}`, { valueCoding: FREQUENCY_ANSWERS[score] ?? {} }]),
        );
        expect(scored(id, answers)).toBe(given.reduce((all, each) => all + each, 0));
      },
    ),
    { numRuns: 50 },
  );
});

test('how hard the problems made life is no part of the PHQ-9 total', () => {
  const answers = Object.fromEntries(
    PHQ9_ITEMS.map((code) => [`/${code}`, { valueCoding: FREQUENCY_ANSWERS[1] ?? {} }]),
  );
  const difficulty = { valueCoding: { system: SYSTEM.loinc, code: 'LA6575-0' } };
  expect(scored('phq-9', { ...answers, '/69722-7': difficulty })).toBe(9);
});

const SCALES = [
  ['pcl-5', 20, 80],
  ['audit', 10, 40],
  ['madrs', 10, 60],
  ['y-bocs', 10, 40],
  ['cadss', 23, 92],
] as const;

test.each(SCALES)('%s has %i items of our own labels, and its highest answers make %i', (id, count, highest) => {
  const asked = form(id).item.filter(({ required }) => required);
  expect(asked).toHaveLength(count);
  asked.forEach(({ text }, at) => {
    expect(text).toMatch(new RegExp(`^Item ${at + 1}, [0-9, to]+$`));
  });
  const highestOf = (item: QuestionnaireItem) =>
    limitOf(item, 'maxValue') ?? Math.max(...(item.answerOption ?? []).map(({ valueInteger = 0 }) => valueInteger));
  const answers = asked.map((item) => [item.linkId, { valueInteger: highestOf(item) }] as const);
  expect(scored(id, Object.fromEntries(answers))).toBe(highest);
  expect(scored(id, Object.fromEntries(asked.map(({ linkId }) => [linkId, { valueInteger: 0 }])))).toBe(0);
  expect(limitOf(totalOf(id), 'maxValue')).toBe(highest);
  expect(form(id).copyright).toContain('not part of this form');
});

test('the C-SSRS screener asks its seven questions by code, without their wording', () => {
  const asked = form('c-ssrs-screener').item.filter(({ type }) => type === 'boolean');
  expect(asked.map(({ linkId }) => linkId)).toEqual(
    [
      LOINC.cssrsWishDead,
      LOINC.cssrsThoughts,
      LOINC.cssrsMethod,
      LOINC.cssrsIntent,
      LOINC.cssrsPlan,
      LOINC.cssrsBehaviourLifetime,
      LOINC.cssrsBehaviourThreeMonths,
    ].map(({ code }) => `/${code}`),
  );
  for (const { text } of asked) expect(text).toMatch(/^Question \d/);
  expect(form('c-ssrs-screener').copyright).toContain('not part of this form');
});

test.each([...forms.values()])('$title is a valid form that says who owns its wording', (resource) => {
  expect(createValidator(loadDefinitions()).validate(resource)).toEqual([]);
  expect(resource.copyright).toBeDefined();
  const ids = (resource.item ?? []).map(({ linkId }) => linkId);
  expect(new Set(ids).size).toBe(ids.length);
});
