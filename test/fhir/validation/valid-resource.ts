/** Valid resources of every R4 type, grown from the definitions. */
import type { Definitions, ElementDigest, TypeDigest } from '../../../src/fhir/definitions.ts';

export type Json = Record<string, unknown>;

/** What constraints want beyond the required elements, by type or path. */
const WANTED: Readonly<Record<string, Json>> = {
  AllergyIntolerance: {
    clinicalStatus: {
      coding: [{ system: 'http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical', code: 'active' }],
    },
  },
  'Appointment.participant': { actor: { reference: 'Patient/p1' } },
  AppointmentResponse: { actor: { reference: 'Patient/p1' } },
  Bundle: { type: 'collection' },
  CapabilityStatement: {
    status: 'draft',
    kind: 'requirements',
    description: 'What is wanted',
    rest: [{ mode: 'server' }],
  },
  Consent: { policyRule: { text: 'Policy' } },
  'CoverageEligibilityResponse.insurance.item': { category: { text: 'x' } },
  ElementDefinition: { path: 'Basic' },
  InsurancePlan: { name: 'Plan' },
  'ImmunizationRecommendation.recommendation': { vaccineCode: [{ text: 'x' }] },
  Linkage: {
    item: [
      { type: 'source', resource: { reference: 'Patient/p1' } },
      { type: 'alternate', resource: { reference: 'Patient/p2' } },
    ],
  },
  Organization: { name: 'Clinic' },
  'Questionnaire.item': { type: 'string' },
  StructureDefinition: {
    kind: 'resource',
    abstract: false,
    type: 'Basic',
    baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Basic',
    derivation: 'constraint',
    differential: { element: [{ id: 'Basic', path: 'Basic' }] },
  },
  TriggerDefinition: { type: 'named-event', name: 'event' },
  TerminologyCapabilities: { kind: 'requirements', description: 'What is wanted' },
};

const VALUES: Readonly<Record<string, unknown>> = {
  base64Binary: 'QUJD',
  boolean: true,
  canonical: 'http://example.org/canonical|1',
  code: 'a-code',
  date: '2026-02-28',
  dateTime: '2026-02-28T10:00:00Z',
  decimal: 1.25,
  id: 'id-1',
  instant: '2026-02-28T10:00:00.123Z',
  integer: 1,
  markdown: 'some *text*',
  oid: 'urn:oid:1.2.3',
  positiveInt: 1,
  string: 'text',
  time: '10:00:00',
  unsignedInt: 1,
  uri: 'http://example.org/uri',
  url: 'http://example.org/url',
  uuid: 'urn:uuid:6d1c1a76-5d8a-4c60-9d3f-0c9d2a4b1e01',
  xhtml: '<div xmlns="http://www.w3.org/1999/xhtml">text</div>',
};

/** The required elements, and what the constraints of the type want. */
export function minimalResource(type: string, definitions: Definitions): Json {
  return { resourceType: type, ...contentOf(type, definitions) };
}

function contentOf(path: string, definitions: Definitions): Json {
  const content: Json = {};
  for (const element of definitions.elementsOf(path)) {
    if (element.min === 0) continue;
    const [type] = typesOf(element);
    if (type !== undefined) content[keyOf(element, type)] = valueFor(element, type, definitions);
  }
  return { ...content, ...structuredClone(WANTED[path] ?? {}) };
}

function typesOf(element: ElementDigest): readonly TypeDigest[] {
  return element.contentReference === undefined ? element.types : [{ code: element.contentReference }];
}

function keyOf({ path }: ElementDigest, { code }: TypeDigest): string {
  const last = path.slice(path.lastIndexOf('.') + 1);
  return last.endsWith('[x]') ? last.slice(0, -3) + code.charAt(0).toUpperCase() + code.slice(1) : last;
}

function valueFor(element: ElementDigest, type: TypeDigest, definitions: Definitions): unknown {
  const value = single(element, type, definitions);
  return element.max > 1 ? [value] : value;
}

function single(element: ElementDigest, type: TypeDigest, definitions: Definitions): unknown {
  const { code } = type;
  const bound = element.binding?.valueSet === undefined ? undefined : definitions.valueSet(element.binding.valueSet);
  const [first] = element.binding?.strength === 'required' ? (bound?.codes ?? []) : [];
  if (code === 'code' && first !== undefined) return first;
  if (code in VALUES) return VALUES[code];
  switch (code) {
    case 'BackboneElement':
    case 'Element':
      return filled(contentOf(element.path, definitions));
    case 'Reference':
      return {
        reference: `${(type.targets ?? []).find((target) => definitions.isResourceType(target)) ?? 'Patient'}/p1`,
      };
    case 'CodeableConcept':
      return { text: 'text' };
    case 'Extension':
      return { url: 'http://example.org/extension', valueCode: 'x' };
    case 'Resource':
      return { resourceType: 'Basic', code: { text: 'x' } };
    case 'Quantity':
    case 'Duration':
    case 'Age':
    case 'Distance':
      return { value: 1, system: 'http://unitsofmeasure.org', code: 'd' };
    case 'Count':
      return { value: 1, system: 'http://unitsofmeasure.org', code: '1' };
    case 'Money':
      return { value: 1, currency: 'USD' };
    case 'Ratio':
      return { numerator: { value: 1 }, denominator: { value: 2 } };
    case 'Expression':
      return { language: 'text/fhirpath', expression: 'true' };
    case 'ContactPoint':
      return { system: 'phone', value: '1' };
    default:
      return filled(contentOf(code, definitions));
  }
}

function filled(content: Json): Json {
  return Object.keys(content).length === 0
    ? { extension: [{ url: 'http://example.org/extension', valueCode: 'x' }] }
    : content;
}

/**
 * The minimal resource with each optional element that may stand there without breaking a constraint, of each choice the
 * `nth` type.
 */
export function fullResource(
  type: string,
  definitions: Definitions,
  isValid: (resource: Json) => boolean,
  nth = 0,
): Json {
  let resource = minimalResource(type, definitions);
  const grow = (path: string, at: (copy: Json) => Json, depth: number) => {
    for (const element of definitions.elementsOf(path)) {
      const types = typesOf(element);
      const chosen = types[nth % Math.max(types.length, 1)];
      if (chosen === undefined || element.max === 0 || element.path.endsWith('.contained')) continue;
      const key = keyOf(element, chosen);
      if (at(resource)[key] === undefined) {
        const copy = structuredClone(resource);
        at(copy)[key] = valueFor(element, chosen, definitions);
        if (!isValid(copy)) continue;
        resource = copy;
      }
      const isBackbone = chosen.code === 'BackboneElement' || chosen.code === 'Element';
      const below = isBackbone ? element.path : chosen.code;
      if (depth === 0 || !/^[A-Z]/.test(below) || below === 'Extension' || below === 'Resource') continue;
      grow(
        below,
        (copy) => {
          const value = at(copy)[key];
          return (Array.isArray(value) ? value[0] : value) as Json;
        },
        isBackbone ? depth - 1 : 0,
      );
    }
  };
  grow(type, (copy) => copy, 3);
  return resource;
}
