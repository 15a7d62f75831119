/** What the service does with one resource type, for the CapabilityStatement. */
import type {
  CapabilityStatementRestResource,
  CapabilityStatementRestResourceInteraction,
  CapabilityStatementRestResourceSearchParam,
} from '@medplum/fhirtypes';
import type { SearchParameterRegistry, TypeSearchParameter } from '../../fhir/search/parameters.ts';
import { SUPPORTED_MODIFIERS } from '../../fhir/search/query.ts';
import type { Interaction } from '../exchange.ts';
import type { Routes } from '../routes.ts';
import { auditSearchCodes } from './audit-events.ts';

type SearchParam = CapabilityStatementRestResourceSearchParam;

/** Patterns of the interactions on a type and its instances, in the order of the standard's list. */
const PATTERNS = ['/:id', '/:id/_history/:version', '/:id/_history', '', '/_search', '/_history'];

export function capabilitiesOfType(
  type: string,
  routes: Routes,
  registry: SearchParameterRegistry,
  profiles: readonly string[],
): CapabilityStatementRestResource {
  const own = (pattern: string) => routes[`/${type}${pattern}`] ?? routes[`/:type${pattern}`] ?? {};
  const interactions = new Set(
    PATTERNS.flatMap((pattern) => Object.values<Interaction>(own(pattern)).map(({ name }) => name)),
  );
  const writes = interactions.has('update');
  const parameters = parametersOf(type, registry);
  const operation = operationsAt(routes, `/${type}`);
  return {
    type: type as NonNullable<CapabilityStatementRestResource['type']>,
    profile: `http://hl7.org/fhir/StructureDefinition/${type}`,
    ...(profiles.length === 0 ? {} : { supportedProfile: [...profiles] }),
    interaction: [...interactions].map((code) => ({
      code: code as NonNullable<CapabilityStatementRestResourceInteraction['code']>,
    })),
    versioning: writes ? 'versioned-update' : 'no-version',
    readHistory: interactions.has('vread'),
    updateCreate: writes,
    conditionalCreate: writes,
    conditionalRead: writes ? 'full-support' : 'not-supported',
    conditionalUpdate: writes,
    conditionalDelete: writes ? 'single' : 'not-supported',
    referencePolicy: ['literal', 'logical', 'local'],
    ...(writes ? includesOf(type, parameters, registry) : {}),
    searchParam: parameters.map(searchParam),
    ...(operation.length === 0 ? {} : { operation }),
  };
}

/** The parameters that stand for every type. */
export function searchParamsOfAll(registry: SearchParameterRegistry): SearchParam[] {
  const [first = '', ...others] = registry.definitions.resourceTypes;
  return [...registry.of(first).values()]
    .filter(
      ({ code, url, stored }) => stored !== 'none' && others.every((type) => registry.of(type).get(code)?.url === url),
    )
    .map(searchParam);
}

function parametersOf(type: string, registry: SearchParameterRegistry): TypeSearchParameter[] {
  const served = [...registry.of(type).values()].filter(({ stored }) => stored !== 'none');
  return type === 'AuditEvent' ? served.filter(({ code }) => auditSearchCodes.has(code)) : served;
}

function searchParam(parameter: TypeSearchParameter): SearchParam {
  const { code, kind, url } = parameter;
  return {
    name: code,
    definition: url,
    type: kind as NonNullable<SearchParam['type']>,
    documentation: wordsOn(parameter),
  };
}

function wordsOn({ type, kind, stored, targets, components }: TypeSearchParameter): string {
  if (components.length > 0) return `Values joined by $: ${components.map(({ code }) => code).join(', ')}`;
  if (stored === 'text') return 'Words of the text; "and", "or", "not", and quotes for words that follow each other';
  if (stored === 'position') return 'latitude|longitude|distance|unit';
  const modifiers = type === 'AuditEvent' ? [] : (SUPPORTED_MODIFIERS[kind] ?? []);
  const words =
    modifiers.length === 0 ? 'No modifiers' : `Modifiers: ${modifiers.map((each) => `:${each}`).join(', ')}`;
  return targets.length === 0 ? words : `${words}. May name: ${targets.join(', ')}`;
}

/** What can be added to the matches: what they name, and what names them. */
function includesOf(
  type: string,
  parameters: readonly TypeSearchParameter[],
  registry: SearchParameterRegistry,
): Pick<CapabilityStatementRestResource, 'searchInclude' | 'searchRevInclude'> {
  const forward = parameters.filter(isReference).map(({ code }) => `${type}:${code}`);
  const reverse = registry.definitions.resourceTypes
    .filter((other) => other !== 'AuditEvent')
    .flatMap((other) =>
      [...registry.of(other).values()]
        .filter((parameter) => isReference(parameter) && mayName(parameter, type))
        .map(({ code }) => `${other}:${code}`),
    );
  return {
    ...(forward.length === 0 ? {} : { searchInclude: ['*', ...forward] }),
    ...(reverse.length === 0 ? {} : { searchRevInclude: ['*', ...reverse] }),
  };
}

function isReference({ kind, stored }: TypeSearchParameter): boolean {
  return kind === 'reference' && stored === 'index';
}

function mayName({ targets }: TypeSearchParameter, type: string): boolean {
  return targets.length === 0 || targets.includes(type);
}

// ---- operations

type OperationOfRoute = { readonly name: string; readonly definition: string };

/** Operations below a type ('/Patient'), or of the system (''), each once for all its levels. */
export function operationsAt(routes: Routes, root: string): OperationOfRoute[] {
  const found = new Map<string, OperationOfRoute>();
  for (const [pattern, methods] of Object.entries(routes)) {
    const mark = pattern.indexOf('/$');
    if (mark === -1 || !isBelow(pattern.slice(0, mark), root)) continue;
    const name = pattern.slice(mark + 2);
    const definition = Object.values(methods)[0]?.operation?.definition ?? ownDefinition(name);
    found.set(name, { name, definition });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isBelow(place: string, root: string): boolean {
  if (root === '') return place === '';
  return [root, '/:type'].some((start) => place === start || place.startsWith(`${start}/`));
}

/** Those of ours that are published in fhir-profiles. */
function ownDefinition(name: string): string {
  return `https://kap.example.org/fhir/OperationDefinition/kap-${name}`;
}
