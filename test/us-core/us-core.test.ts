/** US Core's rules for the searches of a server, over HTTP. @see https://hl7.org/fhir/us/core/general-requirements.html */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, CapabilityStatement, Resource, SearchParameter } from '@medplum/fhirtypes';
import { type Caller, startTestService, type TestService } from '../http/service.ts';
import { fhir } from '../record/clinic.ts';
import { chart, idOf, valuesOf } from './chart.ts';
import { type Check, checks, conformanceTable, searchRequest } from './conformance-table.ts';
import { filesInPackage, usCorePackage, usCoreVersions, withPackages } from './package-file.ts';

let service: TestService;
let caller: Caller;

beforeAll(async () => {
  service = await startTestService();
  caller = service.as(await service.token());
  const provenance: Resource = {
    resourceType: 'Provenance',
    id: 'uc-provenance',
    target: chart.map(({ resourceType, id }) => ({ reference: `${resourceType}/${id}` })),
    recorded: '2025-03-01T12:00:00Z',
    agent: [{ who: { reference: 'Practitioner/uc-practitioner' } }],
  };
  const entry = [...chart, provenance].map((resource) => ({
    resource,
    request: { method: 'PUT' as const, url: `${resource.resourceType}/${resource.id}` },
  }));
  const { status, text } = await caller.post('/fhir', { resourceType: 'Bundle', type: 'transaction', entry });
  expect(status === 200 ? '' : text).toBe('');
});
afterAll(() => service.close());

async function bundleOf(request: string): Promise<Bundle> {
  const { status, text } = await caller.get(`/fhir/${request}`);
  expect({ request, answer: status === 200 ? '' : text }).toEqual({ request, answer: '' });
  return JSON.parse(text) as Bundle;
}

const found = async (request: string, mode = 'match') =>
  ((await bundleOf(request)).entry ?? [])
    .filter(({ search }) => search?.mode === mode)
    .map(({ resource }) => `${resource?.resourceType}/${resource?.id}`);

const named = (list: readonly Check[]) =>
  list.map((check) => [`${check.expectation} ${check.request}`, check] as const);

test.each(named(checks.filter(({ kind }) => kind === 'search')))('%s', async (_title, { type, name, request }) => {
  const own = `${type}/${idOf(type)}`;
  expect(await found(request)).toContain(own);
  expect(await found(searchRequest(type, name, 1))).not.toContain(own);
});

test.each(named(checks.filter(({ kind }) => kind !== 'search')))('%s', async (_title, { kind, name, request }) => {
  const [type, code, target] = name.split(':');
  const included = await found(request, 'include');
  const wanted = kind === 'revinclude' ? type : (target ?? targetsOf(type ?? '', code ?? '')[0]);
  expect(included.map((each) => each.split('/')[0])).toContain(wanted);
});

function targetsOf(type: string, code: string): readonly string[] {
  return fhir.registry.of(type).get(code)?.targets ?? [];
}

const dates = [
  ...new Map(
    checks
      .filter(({ kind }) => kind === 'search')
      .flatMap(({ type, name }) =>
        name.split('+').map((parameter) => [`${type}.${parameter}`, type, parameter] as const),
      )
      .filter(([, type, parameter]) => fhir.registry.of(type).get(parameter)?.kind === 'date')
      .map((each) => [each[0], each]),
  ).values(),
];

test.each(dates)('%s takes comparators, an interval and a list', async (_name, type, parameter) => {
  const value = valuesOf(type, parameter)[0].replace(/^[a-z]+/, '');
  const own = `${type}/${idOf(type)}`;
  const finds = async (...values: string[]) =>
    (await found(`${type}?${values.map((each) => `${parameter}=${each}`).join('&')}`)).includes(own);
  expect(await finds('gt2019-12-31', 'lt9999-01-01')).toBe(type !== 'Patient' || parameter === 'death-date');
  expect(await finds(`ge${value}`)).toBe(true);
  expect(await finds('lt1900-01-01')).toBe(false);
  expect(await finds('gt1900-01-01')).toBe(true);
  if (parameter !== '_lastUpdated') expect(await finds(`1999-01-01,${value}`)).toBe(true);
});

test('several codes may be given, and a search by a patient id alone means the same', async () => {
  expect(await found('Observation?patient=uc-patient&status=amended,final')).toContain('Observation/uc-observation');
  expect(await found('Observation?patient=uc-patient&code=http://loinc.org|1,http://loinc.org|29463-7')).toHaveLength(
    1,
  );
});

test('the table of the documentation is what is tested here', () => {
  const file = join(import.meta.dirname, '..', '..', 'docs', 'us-core.md');
  if (process.env.KAP_WRITE_DOCS === '1') writeFileSync(file, conformanceTable());
  expect(readFileSync(file, 'utf8')).toBe(conformanceTable());
});

withPackages.each(usCoreVersions)(
  'the requirements are those of US Core %s (needs its packages in the folder KAP_US_CORE_PACKAGES)',
  (version) => {
    const [text = ''] = filesInPackage(usCorePackage(version), /^package\/CapabilityStatement-us-core-server\.json$/);
    const statement = JSON.parse(text) as CapabilityStatement;
    expect(statement.version).toBe(version);
    const ours = checks
      .filter(({ since }) => since <= version)
      .map(({ type, kind, name, expectation }) => `${type} ${kind} ${name} ${expectation}`);
    expect(ours.sort()).toEqual(requirementsIn(statement).sort());
  },
);

withPackages.each(usCoreVersions)(
  'each search parameter of US Core %s is one of ours, of the same kind and for the same types',
  (version) => {
    const parameters = filesInPackage(usCorePackage(version), /^package\/SearchParameter-.*\.json$/).map(
      (text) => JSON.parse(text) as SearchParameter,
    );
    expect(parameters.length).toBeGreaterThan(50);
    for (const { code, type, base = [] } of parameters) {
      for (const each of base) {
        expect([each, code, fhir.registry.of(each).get(code as string)?.kind]).toEqual([each, code, type]);
      }
    }
  },
);

type Extended = {
  readonly extension?: readonly {
    url?: string;
    valueCode?: string;
    valueString?: string;
    extension?: readonly { url?: string; valueString?: string }[];
  }[];
};

function requirementsIn(statement: CapabilityStatement): string[] {
  const expectation = (element: Extended | undefined) =>
    element?.extension?.find(({ url }) => url?.endsWith('capabilitystatement-expectation'))?.valueCode;
  return (statement.rest?.[0]?.resource ?? []).flatMap((resource) => {
    const { type, searchParam = [], searchInclude = [], searchRevInclude = [] } = resource;
    const combinations = ((resource as Extended).extension ?? []).filter(({ url }) =>
      url?.endsWith('search-parameter-combination'),
    );
    const siblings = resource as { _searchInclude?: Extended[]; _searchRevInclude?: Extended[] };
    return [
      ...searchParam.map((each) => `${type} search ${each.name} ${expectation(each as Extended)}`),
      ...combinations.map((each) => {
        const names = (each.extension ?? []).flatMap(({ url, valueString }) =>
          url === 'required' || url === 'optional' ? [valueString] : [],
        );
        return `${type} search ${names.sort().join('+')} ${expectation(each)}`;
      }),
      ...searchInclude.map((name, at) => `${type} include ${name} ${expectation(siblings._searchInclude?.[at])}`),
      ...searchRevInclude.map(
        (name, at) => `${type} revinclude ${name} ${expectation(siblings._searchRevInclude?.[at])}`,
      ),
    ];
  });
}
