/**
 * Extensions of a resource whose definition is known: they meet it, and stand where it allows. A modifier extension that
 * is not known is refused, since what it changes cannot be told (https://hl7.org/fhir/R4/extensibility.html#modifierExtension).
 */
import type { ErrorObject } from 'ajv';
import type { Definitions } from '../../definitions.ts';
import { type Issue, issue } from '../../failure.ts';
import type { Profile } from '../../profiles/model.ts';
import { type FhirNode, isNode } from '../invariants/invariant.ts';
import { type Place, stepInto } from '../place.ts';
import { type ContextSource, doubtOf } from './extension-context.ts';

export type ExtensionSource = ContextSource & {
  /** The definition of an extension by its url. */
  extension(url: string): Profile | undefined;
  errors(extension: unknown, profile: Profile): readonly ErrorObject[];
  /** More is not looked for once this is true. */
  isEnough(): boolean;
  found(issues: readonly Issue[], profile?: Profile): void;
  /** The issues of an error at a pointer of the resource. */
  issuesOf(error: ErrorObject, profile: Profile): readonly Issue[];
};

/** Those of the resources inside are theirs. */
export function checkExtensions(resource: FhirNode, root: Place, source: ExtensionSource): void {
  new Walk(resource, source).below(resource, new Spot(undefined, '', root, source.definitions), false);
}

/** Where the walk is; the place there is made from the one above when it is asked for. */
class Spot {
  readonly #above: Spot | undefined;
  readonly #segment: string;
  readonly #definitions: Definitions;
  #place: Place | undefined;

  constructor(above: Spot | undefined, segment: string, place: Place | undefined, definitions: Definitions) {
    this.#above = above;
    this.#segment = segment;
    this.#definitions = definitions;
    this.#place = place;
  }

  at(segment: string): Spot {
    return new Spot(this, segment, undefined, this.#definitions);
  }

  get place(): Place {
    if (this.#place !== undefined) return this.#place;
    if (this.#above === undefined) throw new Error('the walk begins without a place');
    this.#place = stepInto(this.#segment, this.#above.place, this.#definitions);
    return this.#place;
  }

  get pointer(): string {
    return this.#above === undefined ? '' : `${this.#above.pointer}/${this.#segment}`;
  }
}

class Walk {
  readonly #resource: FhirNode;
  readonly #source: ExtensionSource;

  constructor(resource: FhirNode, source: ExtensionSource) {
    this.#resource = resource;
    this.#source = source;
  }

  /** @param isPart whether it is inside an extension whose definition says what its parts are */
  below(node: FhirNode, spot: Spot, isPart: boolean): void {
    for (const key in node) {
      const value = node[key];
      if (typeof value !== 'object' || value === null || isOwnResource(node, key, value)) continue;
      if (this.#source.isEnough()) return;
      const isExtension = key === 'extension' || key === 'modifierExtension';
      if (!Array.isArray(value)) {
        this.below(value as FhirNode, spot.at(key), false);
        continue;
      }
      const list = spot.at(key);
      for (const [at, item] of value.entries()) {
        if (!isNode(item)) continue;
        const place = list.at(String(at));
        const isKnown = isExtension && this.#extension(item, key, node, spot, place, isPart);
        this.below(item, place, isExtension && (isKnown || isPart));
      }
    }
  }

  /** @returns whether its definition is known */
  #extension(extension: FhirNode, key: string, holder: FhirNode, above: Spot, spot: Spot, isPart: boolean): boolean {
    const { url } = extension;
    if (typeof url !== 'string') return false;
    const source = this.#source;
    const profile = source.extension(url);
    const found = (words: string) => source.found([issue('extension', words, spot.place.expression)], profile);
    const isModifier = key === 'modifierExtension';
    if (profile === undefined) {
      if (isModifier) found(UNKNOWN_MODIFIER);
      else if (source.state.warnings && !isPart) {
        source.found([{ ...issue('extension', UNKNOWN, spot.place.expression), severity: 'information' }]);
      }
      return false;
    }
    if (profile.root.isModifier === true && !isModifier) found(IS_MODIFIER);
    if (profile.root.isModifier !== true && isModifier) found(NO_MODIFIER);
    for (const error of source.errors(extension, profile)) {
      const inResource = { ...error, instancePath: spot.pointer + error.instancePath };
      source.found(source.issuesOf(inResource, profile), profile);
    }
    if (profile.context !== undefined || profile.contextInvariant !== undefined) {
      const doubt = doubtOf(profile, { holder, place: above.place, resource: this.#resource }, source);
      if (doubt?.isCertain === true) found(doubt.words);
      else if (doubt !== undefined && source.state.warnings) {
        source.found([{ ...issue('extension', doubt.words, spot.place.expression), severity: 'warning' }], profile);
      }
    }
    return true;
  }
}

const UNKNOWN = 'This extension is not known here, so it was not checked';
const UNKNOWN_MODIFIER = 'This modifier extension is not known here, and may change what the rest means: leave it out';
const IS_MODIFIER = 'This extension changes what the rest means: it must stand in modifierExtension';
const NO_MODIFIER = 'This extension is no modifier: it must stand in extension';

/** The validator goes into the resources inside by themselves. */
function isOwnResource(node: FhirNode, key: string, value: object): boolean {
  if (key === 'contained') return typeof node.resourceType === 'string';
  return (key === 'resource' || key === 'outcome') && !Array.isArray(value) && 'resourceType' in value;
}
