/**
 * A profile as data: the tree of its snapshot, without anything that the published form says twice.
 *
 * @see https://hl7.org/fhir/R4/structuredefinition.html and https://hl7.org/fhir/R4/elementdefinition.html
 */
import type { BindingDigest, ConstraintDigest, TypeDigest } from '../definitions.ts';

export type Profile = {
  readonly url: string;
  readonly version?: string;
  readonly name: string;
  readonly title?: string;
  readonly description?: string;
  /** The type that is constrained: `Observation`, `Extension`, `Quantity`. */
  readonly type: string;
  readonly kind: 'resource' | 'complex-type' | 'primitive-type';
  readonly abstract: boolean;
  /** Canonical of the parent, with its version where the definition names one. */
  readonly base: string;
  /** Where an extension may stand; one of them must hold. */
  readonly context?: readonly ExtensionContext[];
  /** FHIRPath that must hold of the element that has the extension. */
  readonly contextInvariant?: readonly string[];
  readonly root: ProfileElement;
  /** sha256 (hex) of all that validation depends on: prose is left out. */
  readonly hash: string;
};

export type ExtensionContext = { readonly type: 'element' | 'extension' | 'fhirpath'; readonly expression: string };

export type ProfileElement = {
  /** `Observation.component:systolic.value[x]`; made from path and names of slices, whatever the definition says. */
  readonly id: string;
  /** `Observation.component.value[x]`; never a choice by its shorthand. */
  readonly path: string;
  /** The last step of the path without `[x]`: `value`. */
  readonly name: string;
  /** As it is in the definition: a slice of slice `a` is `a/b`. */
  readonly sliceName?: string;
  readonly min: number;
  /** Infinity when unbounded. */
  readonly max: number;
  /** Empty for the root, and for an element with a contentReference. */
  readonly types: readonly ProfileType[];
  /** Path of the element whose content this one shares, without `#`: the one of the base type, unconstrained. */
  readonly contentReference?: string;
  readonly fixed?: Typed;
  readonly pattern?: Typed;
  readonly minValue?: Typed;
  readonly maxValue?: Typed;
  readonly maxLength?: number;
  readonly binding?: ProfileBinding;
  /** Of all severities; `ele-1` and `ext-1` are left out: they hold everywhere. */
  readonly constraints: readonly ConstraintDigest[];
  readonly slicing?: Slicing;
  readonly mustSupport?: true;
  readonly isModifier?: true;
  /** Prose, for the pages of the guide. */
  readonly short?: string;
  readonly definition?: string;
  readonly comment?: string;
  /** Directly below, in order; slices are not among them. */
  readonly children: readonly ProfileElement[];
  /** In the order of the definition, which counts where the slicing is ordered. Re-slices are slices of their slice. */
  readonly slices: readonly ProfileElement[];
};

/** A type that the value may have; `targets` are names of base types, or canonicals of profiles with their version. */
export type ProfileType = TypeDigest & {
  /** How a Reference may lead to its target; all ways when absent. */
  readonly aggregation?: readonly ('contained' | 'referenced' | 'bundled')[];
  readonly versioning?: 'either' | 'independent' | 'specific';
};

/** The value set keeps its `|version` where the definition has one. */
export type ProfileBinding = BindingDigest & {
  /** Where the binding is extensible or weaker: codes must be of this set all the same (extension maxValueSet). */
  readonly maxValueSet?: string;
};

/** A value of the definition with the type that it is written in: `{ type: 'CodeableConcept', value: { … } }`. */
export type Typed = { readonly type: string; readonly value: unknown };

export type Slicing = {
  /** Empty when slices can only be told apart by their description: nothing is then sorted into slices. */
  readonly discriminators: readonly Discriminator[];
  readonly rules: 'open' | 'closed' | 'openAtEnd';
  readonly ordered: boolean;
};

export type Discriminator = {
  readonly type: 'value' | 'pattern' | 'type' | 'profile' | 'exists';
  readonly path: string;
};
