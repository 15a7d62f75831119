/**
 * The compact form of a StructureDefinition: what a machine needs to validate and to index, without prose.
 *
 * The lists `ele-1` and `ext-1` are left out of elements: they hold for every element and every extension.
 */
export type StructureDigest = {
  readonly url: string;
  readonly name: string;
  /** The type it describes, e.g. `Observation`; equal to `name` except for constraints such as SimpleQuantity. */
  readonly type: string;
  readonly kind: 'primitive-type' | 'complex-type' | 'resource' | 'logical';
  readonly abstract: boolean;
  /** Canonical url of the parent; absent for Element and Resource. */
  readonly base?: string;
  readonly derivation?: 'specialization' | 'constraint';
  /** In snapshot order; the first is the type itself. */
  readonly elements: readonly ElementDigest[];
};

export type ElementDigest = {
  /** As in the snapshot, choices with `[x]`: `Observation.value[x]`. */
  readonly path: string;
  readonly min: number;
  /** Infinity when unbounded. */
  readonly max: number;
  readonly types: readonly TypeDigest[];
  /** Path of the element whose content this one shares, without `#`: `Observation.referenceRange`. */
  readonly contentReference?: string;
  readonly binding?: BindingDigest;
  readonly constraints?: readonly ConstraintDigest[];
  /** A value without `id` and `extension` of its own, such as Element.id and Extension.url. */
  readonly bare?: true;
  /** Part of the summary of a resource. */
  readonly summary?: true;
};

export type TypeDigest = {
  /** A FHIR type name; FHIRPath system types are already translated. */
  readonly code: string;
  /** Canonical urls of profiles the value must follow, e.g. SimpleQuantity. */
  readonly profiles?: readonly string[];
  /** Types or profiles a Reference or canonical may name: type names for base types, else canonical urls. */
  readonly targets?: readonly string[];
};

export type BindingDigest = {
  readonly strength: 'required' | 'extensible' | 'preferred' | 'example';
  /** Canonical url without version. */
  readonly valueSet?: string;
};

export type ConstraintDigest = {
  readonly key: string;
  readonly severity: 'error' | 'warning';
  readonly human: string;
  readonly expression?: string;
};

const BASE = 'http://hl7.org/fhir/StructureDefinition/';
const FHIR_TYPE = `${BASE}structuredefinition-fhir-type`;

/** The parts of StructureDefinition that are read; the rest of the resource is ignored. */
export type StructureDefinitionSource = {
  readonly url: string;
  readonly name: string;
  readonly type: string;
  readonly kind: StructureDigest['kind'];
  readonly abstract: boolean;
  readonly baseDefinition?: string;
  readonly derivation?: 'specialization' | 'constraint';
  readonly snapshot: { readonly element: readonly ElementSource[] };
};

type ElementSource = {
  readonly path: string;
  readonly min: number;
  readonly max: string;
  readonly representation?: readonly string[];
  readonly isSummary?: boolean;
  readonly contentReference?: string;
  readonly type?: readonly {
    readonly code: string;
    readonly extension?: readonly { readonly url: string; readonly valueUrl?: string }[];
    readonly profile?: readonly string[];
    readonly targetProfile?: readonly string[];
  }[];
  readonly binding?: { readonly strength: BindingDigest['strength']; readonly valueSet?: string };
  readonly constraint?: readonly ConstraintDigest[];
};

export function digestStructure(source: StructureDefinitionSource): StructureDigest {
  return {
    url: source.url,
    name: source.name,
    type: source.type,
    kind: source.kind,
    abstract: source.abstract,
    ...(source.baseDefinition === undefined ? {} : { base: source.baseDefinition }),
    ...(source.derivation === undefined ? {} : { derivation: source.derivation }),
    elements: source.snapshot.element.filter(isPublished).map((element) => digestElement(element, source)),
  };
}

/**
 * Elements that the package adds to R4: those of its own server, and some of R5. On the wire they are unknown elements.
 *
 * @see https://hl7.org/fhir/R4/resource-definitions.html#Meta and the pages of the types
 */
const ADDED: Readonly<Record<string, string>> = {
  Meta: 'project author onBehalfOf account accounts compartment deleted',
  Binary: 'url',
  DeviceDefinition: 'bodySite',
  EvidenceVariable:
    'characteristic.linkId characteristic.note characteristic.definitionId characteristic.definitionByTypeAndValue ' +
    'characteristic.definitionByCombination characteristic.instances[x] characteristic.duration[x] ' +
    'characteristic.timeFromEvent',
  ResearchStudy:
    'name label studyDesign region descriptionSummary classifier associatedParty progressStatus whyStopped recruitment ' +
    'comparisonGroup outcomeMeasure result objective.description',
};

const ADDED_PATHS = Object.entries(ADDED).flatMap(([type, paths]) => paths.split(' ').map((path) => `${type}.${path}`));

/** Whether R4 itself has the element, as against what the package adds. */
export function isPublished({ path }: { readonly path: string }): boolean {
  return !ADDED_PATHS.some((added) => path === added || path.startsWith(`${added}.`));
}

function digestElement(element: ElementSource, structure: StructureDefinitionSource): ElementDigest {
  const constraints = (element.constraint ?? [])
    .filter(({ key }) => key !== 'ele-1' && key !== 'ext-1')
    .map(({ key, severity, human, expression }) => ({
      key,
      severity,
      human,
      ...(expression === undefined ? {} : { expression }),
    }));
  return {
    path: element.path,
    min: element.min,
    max: element.max === '*' ? Number.POSITIVE_INFINITY : Number(element.max),
    types: (element.type ?? []).map((type) => digestType(type, element, structure)),
    ...(element.contentReference === undefined
      ? {}
      : { contentReference: element.contentReference.slice(element.contentReference.indexOf('#') + 1) }),
    ...(element.binding === undefined ? {} : { binding: digestBinding(element.binding) }),
    ...(constraints.length === 0 ? {} : { constraints }),
    ...(element.representation?.includes('xmlAttr') ? { bare: true as const } : {}),
    ...(element.isSummary === true ? { summary: true as const } : {}),
  };
}

function digestType(
  type: NonNullable<ElementSource['type']>[number],
  element: ElementSource,
  structure: StructureDefinitionSource,
): TypeDigest {
  return {
    code: publishedTypeCode(type, element.path, structure.type, structure.kind),
    ...(type.profile === undefined ? {} : { profiles: type.profile }),
    ...(type.targetProfile === undefined ? {} : { targets: type.targetProfile.map(targetName) }),
  };
}

/** The package narrows it; R4 has any resource there, in an element of its own in XML. */
const OF_ANY_RESOURCE = 'Bundle.entry.response.outcome';

/** `id` and `url` elements carry a FHIRPath system type; the FHIR type stands in an extension. */
export function publishedTypeCode(
  type: NonNullable<ElementSource['type']>[number],
  path: string,
  ofType: string,
  kind: string,
): string {
  if (path === OF_ANY_RESOURCE) return 'Resource';
  if (!type.code.startsWith('http://hl7.org/fhirpath/')) return type.code;
  // R4 publishes Resource.id as string here, and as type id in the text of https://hl7.org/fhir/R4/resource.html#id
  if (kind === 'resource' && path === `${ofType}.id`) return 'id';
  return type.extension?.find(({ url }) => url === FHIR_TYPE)?.valueUrl ?? 'string';
}

function targetName(canonical: string): string {
  return canonical.startsWith(BASE) ? canonical.slice(BASE.length) : canonical;
}

function digestBinding(binding: NonNullable<ElementSource['binding']>): BindingDigest {
  if (binding.valueSet === undefined) return { strength: binding.strength };
  return { strength: binding.strength, valueSet: publishedValueSet(withoutVersion(binding.valueSet)) };
}

/** `canonical`, or what R4 has in its place. */
export function publishedValueSet(canonical: string): string {
  return PUBLISHED_VALUE_SETS.get(withoutVersion(canonical)) ?? canonical;
}

/**
 * Where the package binds a value set of R5 in a definition of R4: DetectedIssue.status has the codes of an
 * Observation, `cancelled` among them (https://hl7.org/fhir/R4/detectedissue.html).
 */
const PUBLISHED_VALUE_SETS: ReadonlyMap<string, string> = new Map([
  ['http://hl7.org/fhir/ValueSet/detectedissue-status', 'http://hl7.org/fhir/ValueSet/observation-status'],
]);

/** A canonical url without its `|version`. */
export function withoutVersion(canonical: string): string {
  const bar = canonical.indexOf('|');
  return bar < 0 ? canonical : canonical.slice(0, bar);
}
