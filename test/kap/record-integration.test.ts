import type { Binary, DocumentReference, Encounter, Procedure, Resource } from '@medplum/fhirtypes';
import fc from 'fast-check';
import { defaultPolicy } from '../../src/kap/policy.ts';
import { recordIntegration } from '../../src/kap/record-integration.ts';
import {
  bundleOf,
  type Chart,
  enrolled,
  infused,
  integrated,
  integration,
  type Parameter,
  placesOf,
  sessionOf,
} from './chart.ts';
import { faultsOf } from './structure.ts';

const at = (day: string, time: string) => `2026-09-${day}T${time}:00-05:00`;
const replaced = (name: string, value: Record<`value${string}`, unknown>) => ({
  [name]: { name, ...value } as Parameter,
});

/** Enrolled, and the infusion of 2026-09-14 09:35 to 10:22 recorded. */
function afterInfusion(): Chart {
  const chart = enrolled();
  chart.apply(bundleOf(infused(chart)));
  return chart;
}

const full = () => ({
  ...replaced('arrival', { valueDateTime: at('15', '13:52') }),
  ...replaced('location', { valueReference: { reference: 'Location/chair' } }),
  ...replaced('note', { valueString: 'Worked on acceptance; plan: infusion 2 on Thursday.' }),
  ...replaced('psychotherapyNote', { valueString: 'Private process note.' }),
  score: {
    name: 'score',
    part: [
      { name: 'instrument', valueCode: 'phq-9' },
      ...Array.from({ length: 9 }, () => ({ name: 'item', valueInteger: 1 })),
    ],
  } as Parameter,
});

test('a therapy session names its infusion as the reason of Encounter and Procedure, and all references resolve', () => {
  const chart = afterInfusion();
  const [infusion] = chart.ofType('Procedure') as [Procedure];
  const before = new Set(chart.resources.keys());
  chart.apply(bundleOf(integrated(chart, full())));
  const added = chart.all().filter(({ resourceType, id }) => !before.has(`${resourceType}/${id}`));
  const [encounter] = added.filter((found): found is Encounter => found.resourceType === 'Encounter');
  const [procedure] = added.filter((found): found is Procedure => found.resourceType === 'Procedure');
  expect(encounter?.reasonReference?.[0]?.reference).toBe(`Procedure/${infusion.id}`);
  expect(procedure?.reasonReference?.[0]?.reference).toBe(`Procedure/${infusion.id}`);
  expect(procedure?.partOf).toBeUndefined();
  expect(encounter?.period).toEqual({ start: at('15', '13:52'), end: at('15', '14:55') });
  for (const resource of added) {
    expect(faultsOf(resource)).toEqual([]);
    for (const [, target] of JSON.stringify(resource).matchAll(/"reference":"([^"#][^"]*)"/g)) {
      expect(chart.resources.has(target as string)).toBe(true);
    }
  }
  const order = chart
    .ofType('ServiceRequest')
    .find(({ code, status }) => status === 'completed' && code?.text?.startsWith('Integration'));
  expect(procedure?.basedOn?.[1]?.reference).toBe(`ServiceRequest/${order?.id}`);
});

test.each([
  ['14:15', []],
  ['14:16', ['90832']],
  ['14:37', ['90832']],
  ['14:38', ['90834']],
  ['14:52', ['90834']],
  ['14:53', ['90837']],
])('a session from 14:00 to %s is billed as %j', (end, cpt) => {
  const bundle = bundleOf(integrated(afterInfusion(), replaced('end', { valueDateTime: at('15', end) })));
  const procedure = bundle.entry?.map(({ resource }) => resource).find((found) => found?.resourceType === 'Procedure');
  const codings = procedure?.resourceType === 'Procedure' ? (procedure.code?.coding ?? []) : [];
  expect(codings.flatMap(({ system, code }) => (system?.includes('cpt') ? [code] : []))).toEqual(cpt);
});

test('therapy while the infusion runs belongs to the visit of the infusion and is part of it', () => {
  const chart = afterInfusion();
  const [infusion] = chart.ofType('Procedure') as [Procedure];
  const times = {
    ...replaced('start', { valueDateTime: at('14', '09:45') }),
    ...replaced('end', { valueDateTime: at('14', '10:20') }),
  };
  chart.apply(bundleOf(integrated(chart, times)));
  expect(chart.ofType('Encounter')).toHaveLength(1);
  expect(chart.ofType('Procedure')[1]).toMatchObject({
    partOf: [{ reference: `Procedure/${infusion.id}` }],
    encounter: { reference: infusion.encounter?.reference },
  });
});

test('a psychotherapy note lies apart: labelled, no clinical note, with its own Provenance, and nothing in the chart refers to it', () => {
  const chart = afterInfusion();
  chart.apply(bundleOf(integrated(chart, full())));
  const notes = chart.ofType('DocumentReference');
  const apart = notes.find(({ type }) => type?.coding?.[0]?.code === 'psychotherapy-note') as DocumentReference;
  const [binary] = chart.ofType('Binary') as [Binary];
  const labels = (resource: Resource) => resource.meta?.security?.map(({ code }) => code);
  for (const resource of [apart, binary]) expect(labels(resource)).toEqual(['R', 'PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH']);
  expect(apart.meta?.profile).toEqual(['https://kap.example.org/fhir/StructureDefinition/kap-psychotherapy-note']);
  expect(JSON.stringify(apart.category)).not.toContain('clinical-note');
  expect(apart.content[0]?.attachment).toMatchObject({ url: `Binary/${binary.id}` });
  expect(binary.securityContext?.reference).toBe(`DocumentReference/${apart.id}`);
  const own = [`DocumentReference/${apart.id}`, `Binary/${binary.id}`];
  const naming = chart
    .all()
    .filter(
      (resource) =>
        resource !== apart && resource !== binary && own.some((key) => JSON.stringify(resource).includes(key)),
    );
  expect(naming.map(({ resourceType }) => resourceType)).toEqual(['Provenance']);
  expect(labels(naming[0] as Resource)).toEqual(['R', 'PSYTHPN', 'HIPAAPsyNotes', 'NOAUTH']);
});

test('whatever a psychotherapy note says, it is in one resource, the Binary, and leaves no trace in any other', () => {
  const text = fc.string({ minLength: 12, unit: 'grapheme' }).filter((found) => found.trim().length >= 12);
  fc.assert(
    fc.property(text, (note) => {
      const without = bundleOf(integrated(afterInfusion(), { ...full(), psychotherapyNote: null }));
      const chart = afterInfusion();
      const bundle = bundleOf(
        integrated(chart, { ...full(), ...replaced('psychotherapyNote', { valueString: note }) }),
      );
      const holding = (bundle.entry ?? []).filter(({ resource }) => {
        const { data, ...rest } = resource as Binary;
        return (
          data === Buffer.from(note, 'utf8').toString('base64') ||
          JSON.stringify(rest).includes(JSON.stringify(note).slice(1, -1))
        );
      });
      expect(holding.map(({ resource }) => resource?.resourceType)).toEqual(['Binary']);
      // The chart part is the same, digests included, as if no note had been written.
      const chartPart = bundle.entry?.slice(0, without.entry?.length);
      expect(chartPart).toEqual(without.entry);
    }),
    { numRuns: 20 },
  );
});

test('the same message twice is one session; another start for the same infusion needs a correction', () => {
  const chart = afterInfusion();
  chart.apply(bundleOf(integrated(chart, full())));
  expect(chart.apply(bundleOf(integrated(chart, full())))).toEqual([]);
  const named = replaced('infusion', {
    valueReference: { reference: `Procedure/${chart.ofType('Procedure')[0]?.id}` },
  });
  const earlier = { ...full(), ...named, ...replaced('start', { valueDateTime: at('15', '13:55') }) };
  expect(placesOf(integrated(chart, earlier))).toEqual(['Parameters.parameter[0].value.ofType(dateTime) conflict']);
  chart.apply(bundleOf(integrated(chart, { ...earlier, ...replaced('correction', { valueBoolean: true }) })));
  expect(chart.ofType('Procedure').map(({ performedPeriod }) => performedPeriod?.start)).toEqual([
    at('14', '09:35'),
    at('15', '13:55'),
  ]);
  expect(chart.ofType('Binary')).toHaveLength(1);
});

test('a further session in the same window is recorded under its own identifier', () => {
  const chart = afterInfusion();
  chart.apply(bundleOf(integrated(chart)));
  const named = replaced('infusion', {
    valueReference: { reference: `Procedure/${chart.ofType('Procedure')[0]?.id}` },
  });
  const second = {
    ...named,
    ...replaced('start', { valueDateTime: at('16', '09:00') }),
    ...replaced('end', { valueDateTime: at('16', '09:45') }),
  };
  const identifier = replaced('identifier', {
    valueIdentifier: { system: 'https://clinic.example/visit', value: 'V-9' },
  });
  chart.apply(bundleOf(integrated(chart, { ...second, ...identifier })));
  expect(chart.ofType('Encounter')).toHaveLength(3);
});

test('without a name it is the latest infusion in reach that has no therapy yet', () => {
  const chart = afterInfusion();
  const moved = (time: string) => ({ valueDateTime: at('17', time) });
  chart.apply(
    bundleOf(
      infused(chart, {
        ...replaced('arrival', moved('09:00')),
        ...replaced('start', moved('09:30')),
        ...replaced('end', moved('10:20')),
        ...replaced('departure', moved('11:30')),
      }),
    ),
  );
  const [first, second] = chart.ofType('Procedure') as [Procedure, Procedure];
  const reasonOf = (start: string) => {
    const bundle = bundleOf(
      integrated(chart, {
        ...replaced('start', { valueDateTime: start }),
        ...replaced('end', { valueDateTime: start.replace(':00-', ':50-').replace(/T(\d\d):00:50/, 'T$1:50:00') }),
      }),
    );
    chart.apply(bundle);
    return chart.ofType('Procedure').at(-1)?.reasonReference?.[0]?.reference;
  };
  expect(reasonOf(at('18', '12:00'))).toBe(`Procedure/${second.id}`);
  expect(reasonOf(at('18', '15:00'))).toBe(`Procedure/${first.id}`);
});

test('how far back an infusion is looked for is the policy of the clinic', () => {
  const chart = afterInfusion();
  const late = {
    ...replaced('start', { valueDateTime: at('20', '14:00') }),
    ...replaced('end', { valueDateTime: at('20', '14:50') }),
  };
  expect(integrated(chart, late).ok).toBe(true);
  const request = sessionOf(chart, ...integration(late));
  const strict = recordIntegration({ ...request, policy: { ...defaultPolicy, integrationMissedAfterDays: 3 } });
  expect(placesOf(strict)).toEqual(['Parameters.parameter[0].value.ofType(dateTime) business-rule']);
});

test.each<[string, Parameters<typeof integration>[0], string[]]>([
  [
    'therapy that names an infusion of another patient',
    replaced('infusion', { valueReference: { reference: 'Procedure/of-someone-else' } }),
    ['Parameters.parameter[3].value.ofType(Reference) not-found'],
  ],
  [
    'an infusion by an unknown identifier',
    replaced('infusion', { valueReference: { reference: 'Procedure?identifier=https://x|1' } }),
    ['Parameters.parameter[3].value.ofType(Reference) not-found'],
  ],
  [
    'therapy before any infusion',
    {
      ...replaced('start', { valueDateTime: at('10', '14:00') }),
      ...replaced('end', { valueDateTime: at('10', '15:00') }),
    },
    ['Parameters.parameter[0].value.ofType(dateTime) business-rule'],
  ],
  [
    'therapy that ends before it starts',
    replaced('end', { valueDateTime: at('15', '13:00') }),
    ['Parameters.parameter[1].value.ofType(dateTime) business-rule'],
  ],
  ['a missing therapist', { therapist: null }, ['Parameters.parameter required']],
  [
    'a correction of nothing',
    replaced('correction', { valueBoolean: true }),
    ['Parameters.parameter[3].value.ofType(boolean) not-found'],
  ],
  ['an unknown parameter', replaced('dose', { valueString: 'x' }), ['Parameters.parameter[3].name not-supported']],
  [
    'a note that is empty',
    replaced('note', { valueString: ' ' }),
    ['Parameters.parameter[3].value.ofType(string) value'],
  ],
])('recording refuses %s at its place', (_what, changes, places) => {
  expect(placesOf(integrated(afterInfusion(), changes))).toEqual(places);
});

test('therapy before the infusion that it names is refused', () => {
  const chart = afterInfusion();
  const named = replaced('infusion', {
    valueReference: { reference: `Procedure/${chart.ofType('Procedure')[0]?.id}` },
  });
  const early = {
    ...replaced('start', { valueDateTime: at('14', '08:00') }),
    ...replaced('end', { valueDateTime: at('14', '08:50') }),
  };
  expect(placesOf(integrated(chart, { ...named, ...early }))).toEqual([
    'Parameters.parameter[0].value.ofType(dateTime) business-rule',
  ]);
});

test('another psychotherapy note for the same session is a conflict; the same one again changes nothing', () => {
  const chart = afterInfusion();
  chart.apply(bundleOf(integrated(chart, { ...full(), psychotherapyNote: null })));
  expect(chart.apply(bundleOf(integrated(chart, full()))).map((key) => key.split('/')[0])).toEqual([
    'Binary',
    'DocumentReference',
    'Provenance',
  ]);
  expect(chart.apply(bundleOf(integrated(chart, full())))).toEqual([]);
  const other = { ...full(), ...replaced('psychotherapyNote', { valueString: 'Another note.' }) };
  expect(placesOf(integrated(chart, other))).toEqual([expect.stringMatching(/value\.ofType\(string\) conflict$/)]);
});

test('an infusion that another system recorded without naming the plan can be named, and its time is taken', () => {
  const chart = enrolled();
  const foreign: Procedure = {
    resourceType: 'Procedure',
    id: 'foreign',
    status: 'completed',
    code: { coding: [{ system: 'https://kap.example.org/fhir/CodeSystem/kap', code: 'kap-infusion' }] },
    subject: { reference: 'Patient/p1' },
    performedPeriod: { start: at('14', '09:35'), end: at('14', '10:20') },
  };
  chart.resources.set('Procedure/foreign', foreign);
  const named = replaced('infusion', { valueReference: { reference: 'Procedure/foreign' } });
  chart.apply(bundleOf(integrated(chart, named)));
  expect(chart.ofType('Procedure')[1]?.reasonReference?.[0]?.reference).toBe('Procedure/foreign');
  expect(placesOf(infused(chart))).toEqual(['Parameters.parameter[1].value.ofType(dateTime) conflict']);
});
