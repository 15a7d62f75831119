/**
 * What is not wrong with a resource, and yet worth saying: codings outside of an extensible binding, codes and displays
 * that their code system does not know, profiles that are named and cannot be checked, no narrative.
 *
 * For a resource that is valid R4. A write never looks at this; $validate shows it.
 */
import type { Coding } from '@medplum/fhirtypes';
import type { Definitions } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import type { TerminologyResources } from '../terminology/resources.ts';
import { type CodeAnswer, validateInSystem } from '../terminology/validate-code.ts';
import { ValueSets } from '../terminology/value-set.ts';
import type { FhirNode } from './invariant.ts';
import { type Place, stepInto } from './place.ts';
import { formsUnder } from './schema.ts';

/** More would not be read. */
const MAX_ADVICE = 100;

export async function adviceOn(
  resource: object,
  place: string,
  definitions: Definitions,
  terminology: TerminologyResources,
): Promise<readonly Issue[]> {
  const node = resource as FhirNode;
  const type = String(node.resourceType);
  const found = new Found(definitions);
  found.walk(node, { expression: place, path: type, type });
  const sets = new ValueSets(terminology);
  const advice = [...profilesNotChecked(node, place, definitions), ...found.outside];
  for (const { coding, expression } of found.codings) {
    if (advice.length >= MAX_ADVICE) break;
    const answer = await adviceOnCoding(coding, sets);
    if (answer !== undefined) advice.push(warning('code-invalid', answer, expression));
  }
  if (isDomainResource(type, definitions) && node.text === undefined) {
    const words = 'A resource should have a narrative for robust management (dom-6)';
    advice.push(warning('invariant', words, place));
  }
  return advice.slice(0, MAX_ADVICE);
}

function warning(code: Issue['code'], diagnostics: string, expression: string): Issue {
  return { ...issue(code, diagnostics, expression), severity: 'warning' };
}

function isDomainResource(type: string, definitions: Definitions): boolean {
  return definitions.structure(type)?.base === 'http://hl7.org/fhir/StructureDefinition/DomainResource';
}

function profilesNotChecked({ meta }: FhirNode, place: string, definitions: Definitions): Issue[] {
  const { profile } = (meta ?? {}) as { profile?: unknown };
  if (!Array.isArray(profile)) return [];
  return profile.flatMap((url: unknown, at) =>
    typeof url === 'string' && definitions.structure(url) === undefined
      ? [warning('not-supported', PROFILE_NOT_KNOWN, `${place}.meta.profile[${at}]`)]
      : [],
  );
}

const PROFILE_NOT_KNOWN = 'This profile is not known here, so the resource was not checked against it';

/** Undefined where there is nothing to say, and where the content of the system is not here. */
async function adviceOnCoding({ system, ...coding }: Coding, sets: ValueSets): Promise<string | undefined> {
  if (system === undefined || coding.code === undefined) return undefined;
  const index = await systemOrNone(sets, system, coding.version);
  if (index?.isComplete !== true) return undefined;
  const { version: _version, ...plain } = coding;
  const answer: CodeAnswer = await validateInSystem(sets, system, index.version, { codings: [plain], abstract: true });
  return answer.message;
}

async function systemOrNone(sets: ValueSets, system: string, version: string | undefined) {
  // Of a version that is not here nothing can be said.
  const current = await sets.system(system);
  return version === undefined || version === current?.version ? current : undefined;
}

type PlacedCoding = { readonly coding: Coding; readonly expression: string };

/** All codings of a resource, and those that an extensible binding does not have. */
class Found {
  readonly #definitions: Definitions;
  readonly codings: PlacedCoding[] = [];
  readonly outside: Issue[] = [];

  constructor(definitions: Definitions) {
    this.#definitions = definitions;
  }

  walk(node: FhirNode, place: Place): void {
    if (place.path === undefined) return;
    if (place.path === 'Coding') this.codings.push({ coding: node as Coding, expression: place.expression });
    for (const { types } of formsUnder(place.path, this.#definitions)) {
      for (const { key } of types) {
        const value = node[key];
        if (typeof value !== 'object' || value === null) continue;
        const below = stepInto(key, place, this.#definitions);
        if (!Array.isArray(value)) this.#visit(value as FhirNode, below);
        else {
          for (const [at, item] of value.entries()) {
            if (typeof item !== 'object' || item === null) continue;
            this.#visit(item as FhirNode, { ...below, expression: `${below.expression}[${at}]` });
          }
        }
      }
    }
  }

  #visit(value: FhirNode, place: Place): void {
    this.#checkBinding(value, place);
    // A resource inside says its own type.
    const type = typeof value.resourceType === 'string' ? value.resourceType : undefined;
    if (type === undefined) this.walk(value, place);
    else if (this.#definitions.isResourceType(type))
      this.walk(value, { expression: place.expression, path: type, type });
  }

  #checkBinding(value: FhirNode, place: Place): void {
    const binding = place.form?.element.binding;
    if (binding?.strength !== 'extensible' || binding.valueSet === undefined) return;
    const valueSet = this.#definitions.valueSet(binding.valueSet);
    const codings = place.type === 'CodeableConcept' ? value.coding : place.type === 'Coding' ? [value] : undefined;
    if (valueSet === undefined || !Array.isArray(codings) || codings.length === 0) return;
    const isAllowed = codings.some(({ system, code }: Coding) => code !== undefined && valueSet.allows(system, code));
    if (isAllowed) return;
    const words = `No coding here is from the extensible value set ${binding.valueSet}: use one of its codes where it has what is meant`;
    this.outside.push(warning('code-invalid', words, place.expression));
  }
}
