/** docs/us-core.md: what US Core asks for and the request that shows it, from the same data as the test. */
import { idOf, valuesOf } from './chart.ts';
import { type UsCoreRequirement, usCoreTypes } from './requirements.ts';

export type Check = {
  readonly type: string;
  readonly kind: UsCoreRequirement['kind'];
  readonly expectation: UsCoreRequirement['expectation'];
  readonly since: '6.1.0' | '7.0.0';
  readonly name: string;
  /** Below the FHIR base; finds the resource of the chart. */
  readonly request: string;
};

export const checks: readonly Check[] = usCoreTypes.flatMap(({ type, requirements }) =>
  requirements.flatMap(({ kind, expectation, since, names }) =>
    names.split(' ').map((name) => ({
      type,
      kind,
      expectation,
      since: since === 7 ? ('7.0.0' as const) : ('6.1.0' as const),
      name,
      request: requestOf(type, kind, name),
    })),
  ),
);

/** A search by its example values, `at` 0 for what finds and 1 for what does not in the last parameter. */
export function searchRequest(type: string, name: string, at: 0 | 1 = 0): string {
  const parameters = name.split('+');
  const query = parameters.map((parameter, i) => {
    const value = valuesOf(type, parameter)[i === parameters.length - 1 ? at : 0];
    return `${parameter}=${encodeURIComponent(value)}`;
  });
  return `${type}?${query.join('&')}`;
}

function requestOf(type: string, kind: Check['kind'], name: string): string {
  if (kind === 'search') return searchRequest(type, name);
  return `${type}?_id=${idOf(type)}&_${kind}=${name}`;
}

export function conformanceTable(): string {
  const rows = checks.map(
    ({ type, kind, expectation, since, name, request }) =>
      `| ${type} | ${kind} | \`${name}\` | ${expectation} | ${since} | \`${decodeURIComponent(request).replaceAll('|', '\\|')}\` |`,
  );
  return `${HEAD}\n${rows.join('\n')}\n`;
}

const HEAD = `# US Core 6.1.0 and 7.0.0: searches of a server

Made by \`test/us-core/us-core.test.ts\`, which sends each of these requests to the service and looks that it finds what it
must and nothing else. 7.0.0 asks for all that 6.1.0 asks for. Do not edit by hand: run that test with \`KAP_WRITE_DOCS=1\`.

\`DocumentReference/$docref\` and \`ValueSet/$expand\` are served too. A search never needs a \`status\` beside what is
given here. Dates take all comparators, lists of values (or) and repeated parameters (and), on every parameter.

| Type | | Name | Expectation | Since | Request |
| --- | --- | --- | --- | --- | --- |`;
