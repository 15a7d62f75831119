/** One run over a resource and the resources inside it. */
import type { ErrorObject } from 'ajv';
import type { Definitions } from '../definitions.ts';
import { type Issue, issue } from '../failure.ts';
import { wholeNumbersAsDecimals } from '../json.ts';
import type { Profile } from '../profiles/model.ts';
import type { BaseChecks } from './base-checks.ts';
import type { Beside } from './beside.ts';
import { boundTo } from './binding.ts';
import { hasResourcesInside, resourcesInside } from './inside.ts';
import { type FhirNode, isNode, list } from './invariants/invariant.ts';
import { type IssueSource, issuesOf } from './issues.ts';
import { nearest } from './nearest.ts';
import { asStep, type Place, placeOf } from './place.ts';
import { primitives } from './primitives.ts';
import { checkExtensions } from './profile/extensions.ts';
import { isOfType } from './profile/known.ts';
import { canonicalOf, type ProfileChecks } from './profile/profile-checks.ts';
import { type CheckState, enter, forget, leave } from './state.ts';
import { MAX_FINDINGS, TOP } from './type-check.ts';

export type RunOptions = {
  readonly definitions: Definitions;
  readonly base: BaseChecks;
  /** Absent: base R4 alone. */
  readonly own?: ProfileChecks;
  readonly profiles?: readonly string[];
  readonly claimed?: boolean;
  readonly warnings?: boolean;
  readonly beside?: Beside;
  readonly fullUrl?: string;
};

export class Run {
  readonly #options: RunOptions;
  readonly #state: CheckState;
  readonly #issues: Issue[] = [];
  /** What base R4 finds wrong: a profile need not say it again. */
  #said: Set<string> | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#state = options.base.state;
  }

  of(resource: unknown, place: string | undefined): readonly Issue[] {
    const { own, warnings = false, beside, profiles = [], fullUrl } = this.#options;
    const state = this.#state;
    forget(state);
    state.engineWork = 0;
    state.warnings = warnings;
    state.follows = own !== undefined;
    state.claims = own !== undefined && this.#options.claimed !== false;
    state.beside = beside;
    if (own !== undefined) {
      state.memberOf = (value, url) => memberOf(value, url, own);
      state.conformsTo = (node, canonical) => own.conformance.meetsOne(node, [canonical]);
    }
    this.#collect(resource, place, false, fullUrl, profiles);
    state.follows = false;
    state.claims = false;
    state.warnings = false;
    state.beside = undefined;
    return this.#issues;
  }

  #collect(
    resource: unknown,
    place: string | undefined,
    isContained: boolean,
    fullUrl: string | undefined,
    asked: readonly string[],
  ): void {
    const { definitions, base } = this.#options;
    const type = typeOf(resource, place, definitions, this.#issues);
    if (type === undefined) return;
    const node = resource as FhirNode;
    const root: Place = { expression: place ?? type, path: type, type };
    const saved = enter(this.#state, node, isContained, fullUrl);
    this.#state.sawExtension = false;
    const check = base.check(type);
    if (!check(node, TOP)) this.#report(check.errors ?? [], node, root, isContained);
    for (const finding of decimalIntegers(node, root, definitions)) this.#add(finding);
    if (node.contained !== undefined) for (const finding of repeatedIds(node, root.expression)) this.#add(finding);
    if (this.#options.own !== undefined && !this.#isFull()) this.#profiles(node, root, asked, this.#options.own);
    if (hasResourcesInside(node)) {
      for (const { value, step, isContained, fullUrl } of resourcesInside(node)) {
        if (this.#isFull()) break;
        this.#collect(value, `${root.expression}${step}`, isContained, fullUrl, NONE);
      }
    }
    leave(this.#state, saved);
  }

  #isFull(): boolean {
    return this.#issues.length >= MAX_FINDINGS;
  }

  #add(found: Issue): void {
    if (this.#isFull()) return;
    this.#said ??= new Set();
    this.#said.add(faultOf(found));
    this.#issues.push(found);
  }

  #report(errors: readonly ErrorObject[], node: FhirNode, root: Place, isContained: boolean): void {
    for (const error of errors) {
      if (isContained && isAboutNarrative(error)) continue;
      for (const found of issuesOf(error, this.#words(node, root))) this.#add(found);
    }
  }

  #words(resource: FhirNode, root: Place, profile?: Profile): IssueSource {
    const { definitions, own } = this.#options;
    return {
      resource,
      root,
      definitions,
      valueSet: own?.valueSet ?? definitions.valueSet,
      constraint: (key, id) => (profile === undefined ? undefined : own?.constraint(profile, key, id)),
    };
  }

  #profiles(node: FhirNode, root: Place, asked: readonly string[], own: ProfileChecks): void {
    const sawExtension = this.#state.sawExtension;
    const done = new Set<Profile>();
    for (const canonical of asked) this.#meet(canonical, node, root, root.expression, done, own);
    if (this.#options.claimed !== false) this.#claims(node, root, done, own);
    if (sawExtension) this.#extensions(node, root, own);
  }

  #claims(node: FhirNode, root: Place, done: Set<Profile>, own: ProfileChecks): void {
    const { meta } = node;
    if (!isNode(meta)) return;
    for (const [at, canonical] of list(meta.profile).entries()) {
      if (typeof canonical !== 'string') continue;
      const where = `${root.expression}.meta.profile[${at}]`;
      if (this.#meet(canonical, node, root, where, done, own) || this.#options.warnings !== true) continue;
      this.#add({ ...issue('not-supported', NOT_KNOWN, where), severity: 'warning' });
    }
  }

  /** False when nobody here knows it. */
  #meet(
    canonical: string,
    node: FhirNode,
    root: Place,
    where: string,
    done: Set<Profile>,
    own: ProfileChecks,
  ): boolean {
    const structure = this.#options.definitions.structure(canonical);
    if (structure?.kind === 'resource') {
      const isRight = structure.abstract || structure.type === root.type;
      if (!isRight) this.#addOf(canonical, issue('structure', ofOtherType(structure.type, root.type), where));
      return true;
    }
    const profile = own.profile(canonical);
    if (profile === undefined) return false;
    this.#profile(profile, node, root, where, done, own);
    return true;
  }

  #profile(profile: Profile, node: FhirNode, root: Place, where: string, done: Set<Profile>, own: ProfileChecks): void {
    if (done.has(profile) || this.#isFull()) return;
    done.add(profile);
    const canonical = canonicalOf(profile);
    if (!isOfType(root.type, profile.type, this.#options.definitions)) {
      this.#addOf(canonical, issue('structure', ofOtherType(profile.type, root.type), where));
      return;
    }
    for (const error of own.conformance.errors(node, canonical) ?? []) {
      if (error.keyword === 'rebound') {
        this.#withdraw(placeOf(error.instancePath, root, this.#options.definitions).expression);
        continue;
      }
      for (const found of this.#issuesOf(error, node, root, profile)) this.#addOf(canonical, found);
    }
  }

  /** Where a profile binds an element otherwise, base R4's own extensible set is no advice. */
  #withdraw(expression: string): void {
    const at = this.#issues.findIndex(
      (said) => said.expression === expression && said.code === 'code-invalid' && said.severity === 'warning',
    );
    if (at >= 0 && this.#issues[at]?.profile === undefined) this.#issues.splice(at, 1);
    this.#said?.delete(`warning code-invalid ${expression}`);
  }

  #issuesOf(error: ErrorObject, node: FhirNode, root: Place, profile: Profile): readonly Issue[] {
    const { within } = error.params as { within?: string };
    const below = within === undefined ? undefined : this.#options.own?.profile(within);
    const found = issuesOf(error, this.#words(node, root, below ?? profile));
    if (within === undefined) return found;
    return found.map((entry) => ({ ...entry, diagnostics: `${entry.diagnostics}, by ${within}` }));
  }

  #addOf(profile: string, found: Issue): void {
    const key = faultOf(found);
    this.#said ??= new Set();
    if (this.#said.has(key) || this.#said.has(`${key} ${profile} ${found.diagnostics}`) || this.#isFull()) return;
    this.#said.add(`${key} ${profile} ${found.diagnostics}`);
    this.#issues.push({ ...found, profile });
  }

  #extensions(node: FhirNode, root: Place, own: ProfileChecks): void {
    checkExtensions(node, root, {
      definitions: this.#options.definitions,
      state: this.#state,
      extension: (url) => {
        const profile = own.profile(url);
        return profile?.type === 'Extension' ? profile : undefined;
      },
      errors: (extension, profile) => own.conformance.errors(extension, canonicalOf(profile)) ?? [],
      isEnough: () => this.#isFull(),
      found: (issues, profile) => {
        for (const found of issues) {
          if (profile === undefined) this.#add(found);
          else this.#addOf(canonicalOf(profile), found);
        }
      },
      issuesOf: (error, profile) => this.#issuesOf(error, node, root, profile),
    });
  }
}

const NONE: readonly string[] = [];

const NOT_KNOWN = 'This profile is not known here, so the resource was not checked against it';

/** dom-6 asks for a narrative, which contained resources do without. @see https://hl7.org/fhir/R4/references.html#contained */
function isAboutNarrative({ keyword, params }: ErrorObject): boolean {
  return keyword === 'invariants' && (params as { found: readonly unknown[] }).found[0] === 'dom-6';
}

function ofOtherType(expected: string, found: string | undefined): string {
  return `This profile is of ${expected}, and the resource is of type ${found}`;
}

function memberOf(value: unknown, url: string, own: ProfileChecks): boolean | undefined {
  const valueSet = own.valueSet(url);
  return valueSet === undefined ? undefined : boundTo(valueSet)(value);
}

function typeOf(
  resource: unknown,
  place: string | undefined,
  definitions: Definitions,
  issues: Issue[],
): string | undefined {
  if (typeof resource !== 'object' || resource === null || Array.isArray(resource)) {
    issues.push(issue('structure', 'Expected a resource: a JSON object with a resourceType', place, 'MSG_JSON_OBJECT'));
    return undefined;
  }
  const type: unknown = Object.hasOwn(resource, 'resourceType') ? (resource as FhirNode).resourceType : undefined;
  if (typeof type === 'string' && definitions.isResourceType(type)) return type;
  const where = place === undefined ? 'resourceType' : `${place}.resourceType`;
  if (type === undefined) {
    issues.push(issue('required', 'resourceType is required: the name of an R4 resource type', where));
  } else if (typeof type !== 'string' || asStep(type) === '') {
    issues.push(issue('structure', 'resourceType must be the name of an R4 resource type', where));
  } else {
    const suggestion = nearest(type, definitions.resourceTypes);
    const hint = suggestion === undefined ? '' : `: did you mean ${suggestion}?`;
    issues.push(issue('structure', `Unknown resource type ${type}${hint}`, where, 'MSG_UNKNOWN_TYPE'));
  }
  return undefined;
}

/** 1.0 and 1e2 are no integers of FHIR, and could not be said in XML. */
function* decimalIntegers(node: FhirNode, root: Place, definitions: Definitions): Generator<Issue> {
  for (const pointer of wholeNumbersAsDecimals(node)) {
    const { type = '', expression } = placeOf(pointer, root, definitions);
    if (primitives[type]?.json !== 'integer') continue;
    yield issue('value', 'A whole number is written without a fraction and without an exponent', expression);
  }
}

/** Of two contained resources with one id a reference could mean either. @see https://hl7.org/fhir/R4/references.html#contained */
function* repeatedIds({ contained }: FhirNode, place: string): Generator<Issue> {
  if (!Array.isArray(contained) || contained.length < 2) return;
  const ids = new Set<unknown>();
  for (const [at, value] of contained.entries()) {
    if (!isNode(value) || value.id === undefined) continue;
    if (ids.has(value.id)) {
      yield issue('duplicate', 'Another contained resource has this id', `${place}.contained[${at}].id`);
    }
    ids.add(value.id);
  }
}

/** What base R4 and a profile would say twice: the same kind of fault at a place. Constraints there are many. */
function faultOf({ severity, code, expression, diagnostics }: Issue): string {
  return `${severity} ${code} ${expression}${code === 'invariant' ? ` ${diagnostics}` : ''}`;
}
