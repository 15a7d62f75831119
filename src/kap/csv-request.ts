import type { Parameters, ParametersParameter } from '@medplum/fhirtypes';
import { INFUSION_PARAMETERS } from './infusion-parameters.ts';
import type { ParameterType } from './parameter-types.ts';

/**
 * The Parameters that a `text/csv` body of $record-infusion and the query of its url stand for: the body is
 * `vitalsCsv`, the query holds the parameters without parts, each as FHIR search writes its type:
 * `start=2026-10-05T09:30:00-07:00`, `dose=34|http://unitsofmeasure.org|mg`, `nurse=Practitioner/4`, `session=2`,
 * `identifier=system|value`.
 *
 * Nothing is refused here. What does not fit its type stays a text, and reading the Parameters says so at its place.
 */
export function parametersOfCsv(csv: string, query: Iterable<readonly [string, string]>): Parameters {
  const parameter = [...query].map(([name, text]) => asParameter(name, text));
  return { resourceType: 'Parameters', parameter: [...parameter, { name: 'vitalsCsv', valueString: csv }] };
}

function asParameter(name: string, text: string): ParametersParameter {
  const types = INFUSION_PARAMETERS.find((definition) => definition.name === name)?.types ?? [];
  for (const type of types) {
    const value = valueAs(type, text);
    if (value !== undefined) return { name, ...value };
  }
  return { name, valueString: text };
}

/** The text as a value of this type, or undefined where it cannot be one. */
function valueAs(type: ParameterType, text: string): Omit<ParametersParameter, 'name'> | undefined {
  const parts = text.split('|');
  switch (type) {
    case 'integer':
    case 'positiveInt':
      return /^\d{1,9}$/.test(text) ? { valueInteger: Number(text) } : undefined;
    case 'boolean':
      return text === 'true' || text === 'false' ? { valueBoolean: text === 'true' } : undefined;
    case 'dateTime':
      return { valueDateTime: text };
    case 'date':
      return { valueDate: text };
    case 'code':
      return { valueCode: text };
    case 'Reference':
      return { valueReference: { reference: text } };
    case 'Identifier':
      return parts.length === 2 ? { valueIdentifier: { system: parts[0] ?? '', value: parts[1] ?? '' } } : undefined;
    case 'CodeableConcept':
      return parts.length === 2
        ? { valueCodeableConcept: { coding: [{ system: parts[0] ?? '', code: parts[1] ?? '' }] } }
        : { valueCodeableConcept: { text } };
    case 'Quantity': {
      const [value = '', system, code] = parts;
      if (!/^\d+(\.\d+)?$/.test(value)) return undefined;
      return { valueQuantity: { value: Number(value), ...(system && { system }), ...(code && { code }) } };
    }
    default:
      return undefined;
  }
}
