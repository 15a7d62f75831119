/** A course as FHIR writes data of its own shape: Parameters, as OperationDefinition-kap-timeline describes them. */
import type { Parameters, ParametersParameter, Quantity, Reference } from '@medplum/fhirtypes';
import { SYSTEM } from './codes.ts';
import type { Key } from './course.ts';
import type { Moment } from './moments.ts';
import type {
  Point,
  PressurePoint,
  Timeline,
  TimelineEvent,
  TimelineFinding,
  TimelineInfusion,
  TimelineScale,
  TimelineSession,
} from './timeline.ts';

type Part = ParametersParameter;

export function timelineParameters(timeline: Timeline): Parameters {
  const { carePlan, title, status, protocol, infusions, sessions, scales, findings, adverseEvents } = timeline;
  return {
    resourceType: 'Parameters',
    parameter: [
      { name: 'carePlan', valueReference: { reference: carePlan, ...(title === undefined ? {} : { display: title }) } },
      { name: 'status', valueCode: status },
      ...some(protocol, (canonical) => ({ name: 'protocol', valueCanonical: canonical })),
      ...infusions.map(infusionParameter),
      ...sessions.map(sessionParameter),
      ...scales.map(scaleParameter),
      ...findings.map(findingParameter),
      ...adverseEvents.map(eventParameter),
    ],
  };
}

function infusionParameter(infusion: TimelineInfusion): Part {
  const { key, number, state, start, end, doseMg, doseMgPerKg, window, policy } = infusion;
  return {
    name: 'infusion',
    part: [
      reference('procedure', key),
      ...(number === 0 ? [] : [{ name: 'number', valuePositiveInt: number }]),
      { name: 'state', valueCode: state },
      ...moment('start', start),
      ...moment('end', end),
      ...some(doseMg, (value) => quantity('dose', value, 'mg')),
      ...some(doseMgPerKg, (value) => quantity('dosePerWeight', value, 'mg/kg')),
      ...infusion.bloodPressure.map(pressureParameter),
      ...infusion.sedation.map(pointParameter('sedation')),
      ...infusion.dissociation.map(pointParameter('dissociation')),
      ...some(window, ({ from, to }) => ({
        name: 'integrationWindow',
        valuePeriod: { start: from.text, end: to.text },
      })),
      quantity('integrationWindowStart', policy.integrationWindowStartHours, 'h'),
      quantity('integrationWindowEnd', policy.integrationWindowEndHours, 'h'),
      quantity('systolicHold', policy.bloodPressureHoldSystolic, 'mm[Hg]'),
      quantity('systolicStop', policy.bloodPressureStopSystolic, 'mm[Hg]'),
    ],
  };
}

function pressureParameter({ key, at, systolic, diastolic }: PressurePoint): Part {
  return {
    name: 'bloodPressure',
    part: [
      reference('observation', key),
      ...moment('at', at),
      ...some(systolic, (value) => quantity('systolic', value, 'mm[Hg]')),
      ...some(diastolic, (value) => quantity('diastolic', value, 'mm[Hg]')),
    ],
  };
}

function pointParameter(name: string): (point: Point) => Part {
  return ({ key, at, value }) => ({
    name,
    part: [reference('observation', key), ...moment('at', at), { name: 'value', valueDecimal: value }],
  });
}

function sessionParameter({ key, infusion, start, end, hoursAfter, class: found }: TimelineSession): Part {
  return {
    name: 'session',
    part: [
      reference('act', key),
      ...some(infusion, (of) => reference('infusion', of)),
      ...moment('start', start),
      ...moment('end', end),
      ...some(hoursAfter, (value) => quantity('interval', value, 'h')),
      ...some(found, (code) => ({ name: 'class', valueCode: code })),
    ],
  };
}

function scaleParameter({ title, code, highest, bands, points }: TimelineScale): Part {
  return {
    name: 'scale',
    part: [
      { name: 'title', valueString: title },
      { name: 'code', valueCoding: { ...code } },
      { name: 'highest', valueDecimal: highest },
      ...bands.map(({ from, name }) => ({
        name: 'band',
        part: [{ name: 'from', valueDecimal: from }, ...(name === '' ? [] : [{ name: 'name', valueString: name }])],
      })),
      ...points.map(({ key, at, value, band }) => ({
        name: 'score',
        part: [
          reference('observation', key),
          ...moment('at', at),
          { name: 'value', valueDecimal: value },
          ...some(band, (words) => ({ name: 'band', valueString: words })),
        ],
      })),
    ],
  };
}

function findingParameter({ key, at, text, severity, detail, infusion }: TimelineFinding): Part {
  return {
    name: 'finding',
    part: [
      reference('detectedIssue', key),
      ...moment('at', at),
      { name: 'text', valueString: text },
      ...some(severity, (code) => ({ name: 'severity', valueCode: code })),
      ...some(detail, (words) => ({ name: 'detail', valueString: words })),
      ...some(infusion, (of) => reference('infusion', of)),
    ],
  };
}

function eventParameter({ key, at, text, seriousness, infusion }: TimelineEvent): Part {
  return {
    name: 'adverseEvent',
    part: [
      reference('adverseEvent', key),
      ...moment('at', at),
      { name: 'text', valueString: text },
      ...some(seriousness, (code) => ({ name: 'seriousness', valueCode: code })),
      ...some(infusion, (of) => reference('infusion', of)),
    ],
  };
}

function some<T>(value: T | undefined, make: (value: T) => Part): Part[] {
  return value === undefined ? [] : [make(value)];
}

function moment(name: string, at: Moment | undefined): Part[] {
  return some(at, ({ text }) => ({ name, valueDateTime: text }));
}

function reference(name: string, key: Key): Part {
  return { name, valueReference: { reference: key } as Reference };
}

function quantity(name: string, value: number, unit: string): Part {
  const valueQuantity: Quantity = { value, unit, system: SYSTEM.ucum, code: unit };
  return { name, valueQuantity };
}
