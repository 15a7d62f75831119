/**
 * References between resources: what a literal reference means, and finding and replacing all of them.
 *
 * @see https://hl7.org/fhir/R4/references.html#literal
 * @see https://hl7.org/fhir/R4/http.html#trules which elements of a transaction are links to its entries
 */

export type ParsedReference =
  /** `Type/id`, or absolute under one of our own bases. */
  | { readonly kind: 'local'; readonly type: string; readonly id: string; readonly version?: string }
  | { readonly kind: 'contained'; readonly id: string }
  | { readonly kind: 'urn'; readonly urn: string }
  /** `Type?search`, for a transaction only. */
  | { readonly kind: 'conditional'; readonly type: string; readonly criteria: string }
  /** Another server's; type, id and version where the url has the form of a FHIR read. */
  | {
      readonly kind: 'absolute';
      readonly url: string;
      readonly type?: string;
      readonly id?: string;
      readonly version?: string;
    };

const LOCAL = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/;
const AT_THE_END = /\/([A-Z][A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/;
const CONDITIONAL = /^([A-Z][A-Za-z]+)\?(\S.*)$/;

/** Undefined for a text that is no literal reference. `baseUrls` are ours, without a slash at the end. */
export function parseReference(text: string, baseUrls: readonly string[] = []): ParsedReference | undefined {
  if (text.startsWith('#')) return { kind: 'contained', id: text.slice(1) };
  if (/^urn:(?:uuid|oid):\S+$/.test(text)) return { kind: 'urn', urn: text };
  const base = baseUrls.find((url) => text.startsWith(`${url}/`));
  const local = LOCAL.exec(base === undefined ? text : text.slice(base.length + 1));
  if (local !== null) return { kind: 'local', ...readOf(local) };
  const conditional = CONDITIONAL.exec(base === undefined ? text : text.slice(base.length + 1));
  if (conditional !== null) {
    return { kind: 'conditional', type: conditional[1] ?? '', criteria: conditional[2] ?? '' };
  }
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:\S+$/.test(text)) return undefined;
  const read = AT_THE_END.exec(text);
  return { kind: 'absolute', url: text, ...(read === null ? {} : readOf(read)) };
}

function readOf([, type = '', id = '', version]: RegExpExecArray): { type: string; id: string; version?: string } {
  return { type, id, ...(version === undefined ? {} : { version }) };
}

/** Gives the new text, or undefined to leave it. `place` is the FHIRPath of the text. */
export type ResolveReference = (reference: string, place: string) => string | undefined;

/** What is asked about elements that may be links to entries of a transaction. */
export type ResolveLinks = {
  /** Gives the new text of a link, or undefined to leave it. */
  readonly resolve: (url: string) => string | undefined;
  /** Whether the element at a JSON path of the resource is of type uri, url, oid or uuid; asked about those that resolve. */
  readonly isLink: (path: readonly (string | number)[]) => boolean;
};

/**
 * Asks `resolve` about each Reference.reference of `resource`, contained ones included, and writes its answers into
 * the resource itself.
 *
 * `links` is asked about elements of type uri, url, oid and uuid and about href and src in the narrative, which are
 * links where they equal the fullUrl of an entry; canonical elements are not.
 *
 * @param place stands for the resource, e.g. `Bundle.entry[3].resource`; by default its type
 */
export function rewriteReferences(
  resource: object,
  resolve: ResolveReference,
  place?: string,
  links?: ResolveLinks,
): void {
  const root = place ?? String((resource as { resourceType?: unknown }).resourceType ?? 'Resource');
  new Walk(resolve, links, root).object(resource as Record<string, unknown>);
}

/** The choice elements with a Reference among their types, under their JSON names. */
export const REFERENCE_CHOICES: ReadonlySet<string> = new Set(
  `additiveReference answerReference authorReference chargeItemReference codeReference contentReference
  defaultValueReference definingSubstanceReference diagnosisReference entityReference fixedReference
  indicationReference itemReference legallyBindingReference locationReference manufacturerReference medicationReference
  nameReference patternReference procedureReference productReference reportedReference sourceReference
  statusReasonReference subjectReference substanceReference targetReference timingReference topicReference
  valueReference`.split(/\s+/),
);

/** JSON names of elements of type uri, url, oid or uuid, where a link may stand. */
export const LINK_ELEMENTS: ReadonlySet<string> = new Set(
  `address authority authorizationUrl code contentReference defaultValueOid defaultValueUri defaultValueUrl
  defaultValueUuid definition definitionUri derivedFromUri detail endpoint eventUri fixedOid fixedUri fixedUrl fixedUuid
  fullUrl identifier implicitRules instantiates instantiatesUri issuer jurisdiction link location moduleUri nameUrl
  onlineInformation patternOid patternUri patternUrl patternUuid policy property protocol reference
  relativePath rendering source sourceUri system target targetUri type uri url valueOid valueUri valueUrl
  valueUuid`.split(/\s+/),
);

const NARRATIVE_LINK = /\b(href|src)(\s*=\s*)(["'])([^"'<>]{1,2000})\3/g;

/** One pass over one resource. The path is kept as parts and joined only for a reference. */
class Walk {
  readonly #resolve: ResolveReference;
  readonly #links: ResolveLinks | undefined;
  readonly #path: (string | number)[];

  constructor(resolve: ResolveReference, links: ResolveLinks | undefined, root: string) {
    this.#resolve = resolve;
    this.#links = links;
    this.#path = [root];
  }

  object(node: Record<string, unknown>): void {
    for (const key in node) {
      const value = node[key];
      if (typeof value === 'string') {
        // Reference.reference is a string; other elements of the name are links, and canonical ones neither.
        if (key === 'reference') this.#reference(node, value);
        else if (this.#links !== undefined) this.#link(node, key, value, this.#links);
      } else if (typeof value === 'object' && value !== null) {
        this.#path.push(key);
        if (Array.isArray(value)) this.#array(value, LINK_ELEMENTS.has(key));
        else this.object(value as Record<string, unknown>);
        this.#path.pop();
      }
    }
  }

  #array(list: unknown[], mayBeLinks: boolean): void {
    for (let at = 0; at < list.length; at++) {
      const item = list[at];
      if (typeof item === 'object' && item !== null) {
        this.#path.push(at);
        if (Array.isArray(item)) this.#array(item, false);
        else this.object(item as Record<string, unknown>);
        this.#path.pop();
      } else if (mayBeLinks && typeof item === 'string') {
        const link = this.#linked(item, at);
        if (link !== undefined) list[at] = link;
      }
    }
  }

  #reference(node: Record<string, unknown>, value: string): void {
    const resolved = this.#resolve(value, `${this.#place()}.reference`);
    if (resolved !== undefined) node.reference = resolved;
  }

  #link(node: Record<string, unknown>, key: string, value: string, links: ResolveLinks): void {
    if (LINK_ELEMENTS.has(key)) {
      const link = this.#linked(value, key);
      if (link !== undefined) node[key] = link;
    } else if (key === 'div' && value.includes('=')) {
      node[key] = value.replace(NARRATIVE_LINK, (whole, name, equals, quote, url) => {
        const link = links.resolve(url);
        return link === undefined ? whole : `${name}${equals}${quote}${link}${quote}`;
      });
    }
  }

  /** What the element is, is looked up only where it would change. */
  #linked(value: string, step: string | number): string | undefined {
    const link = this.#links?.resolve(value);
    return link !== undefined && this.#links?.isLink([...this.#path.slice(1), step]) === true ? link : undefined;
  }

  #place(): string {
    let place = '';
    for (const part of this.#path) {
      if (typeof part === 'number') place += `[${part}]`;
      else if (REFERENCE_CHOICES.has(part)) place += `.${part.slice(0, -'Reference'.length)}.ofType(Reference)`;
      else place += place === '' ? part : `.${part}`;
    }
    return place;
  }
}
