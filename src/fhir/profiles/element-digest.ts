/** One ElementDefinition as the part of it that validation and the pages of the guide use. */
import type { ElementDefinition, ElementDefinitionBinding, ElementDefinitionType, Extension } from '@medplum/fhirtypes';
import { publishedTypeCode, publishedValueSet, withoutVersion } from '../definitions/structure.ts';
import type { ConstraintDigest } from '../definitions.ts';
import type { ProfileBinding, ProfileElement, ProfileType, Slicing, Typed } from './model.ts';

export type ElementContent = Omit<ProfileElement, 'id' | 'path' | 'name' | 'sliceName' | 'children' | 'slices'>;

const BASE = 'http://hl7.org/fhir/StructureDefinition/';
const MAX_VALUE_SET = `${BASE}elementdefinition-maxValueSet`;
/** Constraints of every element and of every extension. */
const EVERYWHERE: ReadonlySet<string> = new Set(['ele-1', 'ext-1']);

/** `element` is one of a snapshot of `type`, and has the shape that R4 gives it. */
export function contentOf(element: ElementDefinition, type: string, kind: string): ElementContent {
  const { contentReference, maxLength, binding, slicing } = element;
  return {
    min: element.min ?? 0,
    max: element.max === '*' ? Number.POSITIVE_INFINITY : Number(element.max ?? 1),
    types: (element.type ?? []).map((each) => typeOf(each, element.path, type, kind)),
    ...(contentReference === undefined ? {} : { contentReference: pathReferredTo(contentReference) }),
    ...typedEntry('fixed', element),
    ...typedEntry('pattern', element),
    ...typedEntry('minValue', element),
    ...typedEntry('maxValue', element),
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(binding === undefined ? {} : { binding: bindingOf(binding) }),
    constraints: constraintsOf(element),
    ...(slicing === undefined ? {} : { slicing: slicingOf(slicing) }),
    ...(element.mustSupport === true ? { mustSupport: true as const } : {}),
    ...(element.isModifier === true ? { isModifier: true as const } : {}),
    ...proseOf(element),
  };
}

/** The value of `fixed[x]`, `pattern[x]`, `minValue[x]` or `maxValue[x]` with the type that its name ends in. */
export function typedValue(
  prefix: 'fixed' | 'pattern' | 'minValue' | 'maxValue',
  element: ElementDefinition,
): Typed | undefined {
  const keys = Object.keys(element).filter((key) => key.startsWith(prefix) && /^[A-Z]/.test(key.slice(prefix.length)));
  const [key] = keys;
  if (key === undefined) return undefined;
  return { type: typeNamed(key.slice(prefix.length)), value: (element as unknown as Record<string, unknown>)[key] };
}

/** The type in the name of a choice: `Quantity` of valueQuantity, `dateTime` of valueDateTime. */
export function typeNamed(suffix: string): string {
  const lower = `${suffix.charAt(0).toLowerCase()}${suffix.slice(1)}`;
  return PRIMITIVES.has(lower) ? lower : suffix;
}

const PRIMITIVES: ReadonlySet<string> = new Set(
  (
    'base64Binary boolean canonical code date dateTime decimal id instant integer markdown oid positiveInt string ' +
    'time unsignedInt uri url uuid'
  ).split(' '),
);

function typedEntry(name: 'fixed' | 'pattern' | 'minValue' | 'maxValue', element: ElementDefinition) {
  const typed = typedValue(name, element);
  return typed === undefined ? {} : { [name]: typed };
}

function typeOf(type: ElementDefinitionType, path: string, ofType: string, kind: string): ProfileType {
  const { aggregation, versioning } = type;
  const [profile, targetProfile] = [textsOf(type.profile), textsOf(type.targetProfile)];
  return {
    code: publishedTypeCode(type, path, ofType, kind),
    ...(profile.length === 0 ? {} : { profiles: profile }),
    ...(targetProfile.length === 0 ? {} : { targets: targetProfile.map(targetOf) }),
    ...(aggregation === undefined ? {} : { aggregation }),
    ...(versioning === undefined ? {} : { versioning }),
  };
}

/** A primitive with extensions alone has null in its place. */
function textsOf(list: readonly (string | null)[] = []): string[] {
  return list.flatMap((each) => each ?? []);
}

/** Base types start with a capital letter, the profiles that R4 publishes under the same address do not. */
function targetOf(canonical: string): string {
  const name = withoutVersion(canonical).slice(BASE.length);
  return canonical.startsWith(BASE) && /^[A-Z][A-Za-z]*$/.test(name) ? name : canonical;
}

function bindingOf({ strength, valueSet, extension }: ElementDefinitionBinding): ProfileBinding {
  const maxValueSet = extensionValue(extension, MAX_VALUE_SET);
  return {
    strength,
    ...(valueSet === undefined ? {} : { valueSet: publishedValueSet(valueSet) }),
    ...(maxValueSet === undefined ? {} : { maxValueSet }),
  };
}

function extensionValue(extensions: readonly Extension[] | undefined, url: string): string | undefined {
  const extension = extensions?.find((each) => each.url === url);
  return extension?.valueCanonical ?? extension?.valueUri;
}

function constraintsOf({ constraint = [] }: ElementDefinition): ConstraintDigest[] {
  return constraint
    .filter(({ key }) => !EVERYWHERE.has(key))
    .map(({ key, severity, human, expression }) => ({
      key,
      severity,
      human,
      ...(expression === undefined ? {} : { expression }),
    }));
}

function slicingOf({ discriminator = [], rules, ordered }: NonNullable<ElementDefinition['slicing']>): Slicing {
  return { discriminators: discriminator.map(({ type, path }) => ({ type, path })), rules, ordered: ordered === true };
}

function proseOf({ short, definition, comment }: ElementDefinition) {
  return {
    ...(short === undefined ? {} : { short }),
    ...(definition === undefined ? {} : { definition }),
    ...(comment === undefined ? {} : { comment }),
  };
}

/** `#Questionnaire.item` and `http://hl7.org/fhir/StructureDefinition/Questionnaire#Questionnaire.item` alike. */
function pathReferredTo(contentReference: string): string {
  return contentReference.slice(contentReference.indexOf('#') + 1).replace(/:[^.]*/g, '');
}
