/**
 * Extensions of a resource whose definition is known: they meet it, and stand where it allows. A modifier extension that
 * is not known is refused, since what it changes cannot be told (https://hl7.org/fhir/R4/extensibility.html#modifierExtension).
 */
import type { ErrorObject } from 'ajv';
import { type Issue, issue } from '../../failure.ts';
import type { Profile } from '../../profiles/model.ts';
import { type FhirNode, isNode } from '../invariant.ts';
import { type Place, placeOf } from '../place.ts';
import { type ContextSource, standsRight } from './extension-context.ts';

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
  new Walk(resource, root, source).below(resource, '');
}

class Walk {
  readonly #resource: FhirNode;
  readonly #root: Place;
  readonly #source: ExtensionSource;

  constructor(resource: FhirNode, root: Place, source: ExtensionSource) {
    this.#resource = resource;
    this.#root = root;
    this.#source = source;
  }

  below(node: FhirNode, pointer: string): void {
    for (const key in node) {
      const value = node[key];
      if (typeof value !== 'object' || value === null || isOwnResource(node, key, value)) continue;
      if (this.#source.isEnough()) return;
      const isExtension = key === 'extension' || key === 'modifierExtension';
      if (!Array.isArray(value)) {
        this.below(value as FhirNode, `${pointer}/${key}`);
        continue;
      }
      for (const [at, item] of value.entries()) {
        if (!isNode(item)) continue;
        const place = `${pointer}/${key}/${at}`;
        if (isExtension) this.#extension(item, key, node, pointer, place);
        this.below(item, place);
      }
    }
  }

  #extension(extension: FhirNode, key: string, holder: FhirNode, above: string, pointer: string): void {
    const { url } = extension;
    if (typeof url !== 'string') return;
    const source = this.#source;
    const profile = source.extension(url);
    const at = () => placeOf(pointer, this.#root, source.definitions).expression;
    const isModifier = key === 'modifierExtension';
    if (profile === undefined) {
      if (isModifier) source.found([issue('extension', UNKNOWN_MODIFIER, at())]);
      return;
    }
    if (profile.root.isModifier === true && !isModifier) source.found([issue('extension', IS_MODIFIER, at())], profile);
    if (profile.root.isModifier !== true && isModifier) source.found([issue('extension', NO_MODIFIER, at())], profile);
    for (const error of source.errors(extension, profile)) {
      source.found(source.issuesOf({ ...error, instancePath: pointer + error.instancePath }, profile), profile);
    }
    if (profile.context === undefined && profile.contextInvariant === undefined) return;
    const place = placeOf(above, this.#root, source.definitions);
    const refusal = standsRight(profile, { holder, place, resource: this.#resource }, source);
    if (refusal !== undefined) source.found([issue('extension', refusal, at())], profile);
  }
}

const UNKNOWN_MODIFIER = 'This modifier extension is not known here, and may change what the rest means: leave it out';
const IS_MODIFIER = 'This extension changes what the rest means: it must stand in modifierExtension';
const NO_MODIFIER = 'This extension is no modifier: it must stand in extension';

/** The validator goes into the resources inside by themselves. */
function isOwnResource(node: FhirNode, key: string, value: object): boolean {
  if (key === 'contained') return typeof node.resourceType === 'string';
  return (key === 'resource' || key === 'outcome') && !Array.isArray(value) && 'resourceType' in value;
}
