import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, CarePlan, OperationDefinition, Patient, PlanDefinition, Resource } from '@medplum/fhirtypes';
import { KAP } from '../../src/kap/codes.ts';
import { parametersOfCsv } from '../../src/kap/csv-request.ts';
import { APPLY_PARAMETERS, applyProtocol } from '../../src/kap/enrol.ts';
import { INFUSION_PARAMETERS } from '../../src/kap/infusion-parameters.ts';
import { asOperationParameters } from '../../src/kap/parameters.ts';
import { defaultPolicy, policyIssues, policyOf } from '../../src/kap/policy.ts';
import { readProtocol } from '../../src/kap/protocol.ts';
import { recordInfusion } from '../../src/kap/record-infusion.ts';
import { INTEGRATION_PARAMETERS, recordIntegration } from '../../src/kap/record-integration.ts';
import { activities, bundleOf, Chart, NOW, plan, profile } from './chart.ts';
import { faultsOf } from './structure.ts';

const EXAMPLES = join(import.meta.dirname, '../../examples');
const PROFILES = join(import.meta.dirname, '../../fhir-profiles');
const read = (file: string) => readFileSync(join(EXAMPLES, file), 'utf8');
type Step = { title: string; url: string; file: string; contentType: string };
const { steps } = JSON.parse(read('course.json')) as { steps: Step[] };

/** Plays one step as the service would. @returns what it changed */
function play(chart: Chart, { url, file, contentType }: Step): string[] {
  const body = contentType === 'text/csv' ? undefined : JSON.parse(read(file));
  if (url === '') return chart.apply(body as Bundle);
  const shared = { course: chart.all(), newUuid: chart.newUuid, now: NOW };
  if (url.endsWith('$apply')) {
    const [patient] = chart.ofType('Patient') as [Patient];
    return chart.apply(
      bundleOf(
        applyProtocol({
          ...shared,
          parameters: body,
          planDefinition: plan(),
          activityDefinitions: activities(),
          patient,
        }),
      ),
    );
  }
  const [, criteria = '', operation, query] = /^\{CarePlan\?(.*)\}\/\$([a-z-]+)(?:\?(.*))?$/.exec(url) ?? [];
  const carePlan = chart.resources.get(chart.find('CarePlan', criteria) ?? '') as CarePlan;
  const parameters = body ?? parametersOfCsv(read(file), new URLSearchParams(query));
  const request = { ...shared, parameters, carePlan, policy: defaultPolicy };
  return chart.apply(bundleOf(operation === 'record-infusion' ? recordInfusion(request) : recordIntegration(request)));
}

function played(): Chart {
  const chart = new Chart();
  for (const step of steps) expect(play(chart, step).length).toBeGreaterThan(0);
  return chart;
}

test('the example course plays from the first step to the last, and every resource of it is valid', () => {
  const chart = played();
  expect(chart.ofType('Encounter').map(({ period }) => period?.start?.slice(0, 10))).toEqual([
    '2026-08-27',
    '2026-09-14',
    '2026-09-15',
    '2026-09-17',
    '2026-09-20',
    '2026-09-21',
    '2026-09-22',
    '2026-09-24',
    '2026-09-26',
  ]);
  expect(chart.ofType('MedicationAdministration')).toHaveLength(4);
  expect(chart.all().flatMap(faultsOf)).toEqual([]);
});

test('played again, the example course changes nothing', () => {
  const chart = played();
  const before = JSON.stringify(chart.all());
  for (const step of steps) expect([step.title, play(chart, step)]).toEqual([step.title, []]);
  expect(JSON.stringify(chart.all())).toBe(before);
});

test('its therapies start 27.6, 70.2, 28.95 (first written down as 21.95) and 47.67 hours after their infusions', () => {
  const chart = new Chart();
  const hours: string[] = [];
  for (const step of steps) {
    play(chart, step);
    if (!step.url.endsWith('$record-integration')) continue;
    const therapy = chart
      .ofType('Procedure')
      .filter(({ code }) => code?.coding?.some(({ code: own }) => own === 'kap-integration-session'));
    const last = therapy.at(-1);
    const infusion = chart.resources.get(last?.reasonReference?.[0]?.reference ?? '');
    const ended = infusion?.resourceType === 'Procedure' ? infusion.performedPeriod?.end : undefined;
    hours.push(((Date.parse(last?.performedPeriod?.start ?? '') - Date.parse(ended ?? '')) / 3_600_000).toFixed(2));
  }
  expect(hours).toEqual(['27.60', '70.20', '21.95', '28.95', '47.67']);
});

test('the infusion that is sent as a transaction holds the kinds of resources that the operation makes', () => {
  const kinds = (bundle: Bundle) => new Set(bundle.entry?.map(({ resource }) => resource?.resourceType));
  const chart = new Chart();
  for (const step of steps.slice(0, 2)) play(chart, step);
  const carePlan = chart.ofType('CarePlan')[0] as CarePlan;
  const request = { carePlan, course: chart.all(), policy: defaultPolicy, newUuid: chart.newUuid, now: NOW };
  const made = bundleOf(recordInfusion({ ...request, parameters: JSON.parse(read('02-infusion-1.parameters.json')) }));
  expect(kinds(JSON.parse(read('09-infusion-4.bundle.json')) as Bundle)).toEqual(kinds(made));
});

const shipped = readdirSync(PROFILES).filter((file) => file.endsWith('.json'));

test.each(shipped)('%s is valid and named after its type and id', (file) => {
  const resource = profile<Resource & { url?: string; content?: string }>(file.replace('.json', ''));
  expect(`${resource.resourceType}-${resource.id}.json`).toBe(file);
  // A fragment of another's code system keeps its owner's address.
  if (resource.content !== 'fragment')
    expect(resource.url).toBe(`https://kap.example.org/fhir/${resource.resourceType}/${resource.id}`);
  expect(faultsOf(resource)).toEqual([]);
});

test('whatever the protocols refer to is shipped, and they state the default policy', () => {
  for (const name of ['PlanDefinition-kap-iv-induction', 'PlanDefinition-kap-iv-induction-during']) {
    const protocol = profile<PlanDefinition>(name);
    for (const [, type, id] of JSON.stringify(protocol).matchAll(
      /kap\.example\.org\/fhir\/(ActivityDefinition|Questionnaire)\/([a-z0-9-]+)\|1\.0\.0/g,
    )) {
      expect(shipped).toContain(`${type}-${id}.json`);
    }
    expect(readProtocol(protocol, activities()).ok).toBe(true);
    expect(policyIssues(protocol)).toEqual([]);
    const during = name.endsWith('during') ? { therapyModel: 'during-infusion' } : {};
    expect(policyOf(protocol)).toEqual({ ...defaultPolicy, ...during, reference: `${protocol.url}|1.0.0` });
  }
});

test('the code system holds exactly the codes of the domain', () => {
  const codes = profile<Resource & { concept: { code: string; display: string }[] }>('CodeSystem-kap').concept;
  expect(Object.fromEntries(codes.map(({ code, display }) => [code, display]))).toEqual(KAP);
});

test.each([
  ['kap-apply', APPLY_PARAMETERS],
  ['kap-record-infusion', INFUSION_PARAMETERS],
  ['kap-record-integration', INTEGRATION_PARAMETERS],
])('the OperationDefinition %s states the parameters that are read', (id, definitions) => {
  const { parameter } = profile<OperationDefinition>(`OperationDefinition-${id}`);
  expect(parameter?.filter(({ use }) => use === 'in')).toEqual(asOperationParameters(definitions));
});
