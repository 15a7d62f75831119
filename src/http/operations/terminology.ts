/**
 * The operations of a terminology service over what is shipped and what the clinic has stored.
 *
 * @see https://hl7.org/fhir/R4/terminology-service.html
 */
import type {
  CodeSystem,
  Coding,
  ConceptMap,
  ParametersParameter,
  Resource,
  ValueSet,
  ValueSetExpansionParameter,
} from '@medplum/fhirtypes';
import type { Definitions } from '../../fhir/definitions.ts';
import { Failure, type Issue, issue } from '../../fhir/failure.ts';
import { stringifyJson } from '../../fhir/json.ts';
import type { ProfileElement } from '../../fhir/profiles/model.ts';
import type { Profiles } from '../../fhir/profiles/registry.ts';
import { type ExpansionRequest, expand, refuseAsOf } from '../../fhir/terminology/expansion.ts';
import { grammarOf } from '../../fhir/terminology/grammars.ts';
import { lookup, subsumes } from '../../fhir/terminology/lookup.ts';
import { joined, splitCanonical, type TerminologyResources } from '../../fhir/terminology/resources.ts';
import { entryOf, terminologyIn } from '../../fhir/terminology/shipped.ts';
import { isBetween, isTranslation, type Translation, translate } from '../../fhir/terminology/translate.ts';
import {
  type CodeAnswer,
  type CodeQuestion,
  codingsOf,
  validateInSystem,
  validateInValueSet,
} from '../../fhir/terminology/validate-code.ts';
import { ValueSets } from '../../fhir/terminology/value-set.ts';
import { uuidv7 } from '../../fhir/uuid.ts';
import type { FhirRequest } from '../exchange.ts';
import { instanceOf } from './operation.ts';
import type { Given, ParameterDeclaration } from './operation-parameters.ts';
import type { Operation, OperationResult } from './operation-routes.ts';
import {
  EXPAND,
  LOOKUP,
  SUBSUMES,
  systemVersions,
  TRANSLATE,
  VALIDATE_CODE,
  VALIDATE_CODE_SYSTEM,
} from './terminology-parameters.ts';

export type TerminologyParts = {
  readonly definitions: Definitions;
  /** All that is wrong with a resource, with places that begin with `place`. */
  readonly validate: (resource: unknown, place: string) => readonly Issue[];
};

export function terminologyOperations(parts: TerminologyParts): readonly Operation[] {
  const on = (
    type: 'ValueSet' | 'CodeSystem' | 'ConceptMap',
    code: string,
    levels: Operation['levels'],
    parameters: readonly ParameterDeclaration[],
    handle: (asking: Asking) => Promise<Resource>,
  ): Operation => ({
    code,
    definition: `http://hl7.org/fhir/OperationDefinition/${type}-${code}`,
    types: [type],
    levels,
    parameters,
    scope: 'read',
    handle: async (request, given) => {
      const resources = await request.clinic.terminology.open();
      return answered(await handle({ request, given, resources, parts }));
    },
  });
  const both = ['type', 'instance'] as const;
  return [
    on('ValueSet', 'expand', both, EXPAND, expandValueSet),
    on('ValueSet', 'validate-code', both, VALIDATE_CODE, validateCode),
    on('CodeSystem', 'validate-code', both, VALIDATE_CODE_SYSTEM, validateSystemCode),
    on('CodeSystem', 'lookup', ['type'], LOOKUP, lookupCode),
    on('CodeSystem', 'subsumes', both, SUBSUMES, subsumesCode),
    on('ConceptMap', 'translate', both, TRANSLATE, translateCode),
  ];
}

type Asking = {
  readonly request: FhirRequest;
  readonly given: Given;
  readonly resources: TerminologyResources;
  readonly parts: TerminologyParts;
};

function answered(resource: Resource): OperationResult {
  return { body: stringifyJson(resource), patients: [] };
}

function parameters(parameter: readonly ParametersParameter[]): Resource {
  return { resourceType: 'Parameters', parameter: [...parameter] };
}

// ---- ValueSet

async function expandValueSet(asking: Asking): Promise<Resource> {
  const { given, request, resources } = asking;
  const sets = new ValueSets(resources, systemVersions(given));
  const count = given.number('count');
  const options: ExpansionRequest = {
    valueSet: await valueSetAsked(asking, sets),
    filter: given.text('filter'),
    offset: given.number('offset'),
    count,
    includeDesignations: given.boolean('includeDesignations'),
    designation: given.texts('designation'),
    includeDefinition: given.boolean('includeDefinition'),
    activeOnly: given.boolean('activeOnly'),
    excludeNested: given.boolean('excludeNested'),
    excludeNotForUI: given.boolean('excludeNotForUI'),
    excludeSystem: given.texts('exclude-system'),
    displayLanguage: given.text('displayLanguage'),
    date: given.text('date'),
    parameters: echoed(given),
    now: request.now,
    identifier: `urn:uuid:${uuidv7(request.now)}`,
  };
  refuseNegative(given, 'offset');
  refuseNegative(given, 'count');
  return expand(sets, options);
}

/** What was asked, as expansion.parameter has it: primitives alone. */
function echoed(given: Given): ValueSetExpansionParameter[] {
  return given.values.flatMap(({ name, value, type }): ValueSetExpansionParameter[] => {
    if (name === 'url' || name === 'valueSetVersion') return [];
    if (typeof value === 'boolean') return [{ name, valueBoolean: value }];
    if (typeof value === 'number') return [{ name, valueInteger: value }];
    if (typeof value !== 'string') return [];
    if (type === 'uri' || type === 'canonical') return [{ name, valueUri: value }];
    if (type === 'code') return [{ name, valueCode: value }];
    return [type === 'dateTime' ? { name, valueDateTime: value } : { name, valueString: value }];
  });
}

function refuseNegative(given: Given, name: string): void {
  if ((given.number(name) ?? 0) >= 0) return;
  throw new Failure(
    'invalid',
    issue('value', `${name} must not be negative`, given.placeOf(name), 'MSG_PARAM_INVALID'),
  );
}

/** The value set of the url, the instance, the body, or an element that is bound to one: exactly one of them. */
async function valueSetAsked({ request, given, parts }: Asking, sets: ValueSets): Promise<ValueSet> {
  const inline = given.resource('valueSet');
  if (request.target.id !== '') {
    refuseTogether(given, ['url', 'valueSet', 'context'], 'The instance of the url is the value set');
    return (await instanceOf<ValueSet>(request)).resource;
  }
  if (inline !== undefined) {
    refuseTogether(given, ['url', 'context'], 'valueSet is the value set');
    return checked<ValueSet>(inline, given.placeOf('valueSet'), parts);
  }
  const url = given.text('url');
  if (url !== undefined) return sets.valueSet(canonical(given, url, 'valueSetVersion'), given.placeOf('url'));
  const context = given.text('context');
  if (context !== undefined) {
    const { profiles } = await request.clinic.profiles.latest();
    return sets.valueSet(boundAt(context, parts, profiles, given.placeOf('context')));
  }
  const words = 'Name a value set: with url, valueSet or context, or by calling the operation on an instance';
  throw new Failure('invalid', issue('required', words, 'http.url', 'MSG_PARAM_INVALID'));
}

function canonical(given: Given, url: string, versionName: string): string {
  const version = given.text(versionName);
  return version === undefined ? url : `${splitCanonical(url).url}|${version}`;
}

/** `[StructureDefinition url]#[path or id]`, or the path of an element of R4 itself. */
function boundAt(context: string, { definitions }: TerminologyParts, profiles: Profiles, place: string): string {
  const [url = '', path = url] = context.split('#');
  const structure = definitions.structure(url === path ? (path.split('.')[0] ?? '') : url);
  const profile = structure === undefined ? profiles.profile(url) : undefined;
  const type = structure?.type ?? profile?.type;
  const full = type === undefined || path.startsWith(`${type}.`) ? path : `${type}.${path}`;
  const element =
    structure?.elements.find((each) => each.path === full || each.path === `${full}[x]`) ??
    (profile && elementAt(profile.root, full));
  const valueSet = element?.binding?.valueSet;
  if (valueSet !== undefined) return valueSet;
  throw new Failure(
    'not-found',
    issue('not-found', 'No element with a bound value set is known by this context', place),
  );
}

/** The element of a profile with this id or path; of several with one path the first, which is no slice. */
function elementAt(element: ProfileElement, name: string): ProfileElement | undefined {
  if ([element.id, element.path].some((each) => each === name || each === `${name}[x]`)) return element;
  for (const below of [...element.children, ...element.slices]) {
    const found = elementAt(below, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function refuseTogether(given: Given, names: readonly string[], words: string): void {
  const extra = names.filter((name) => given.first(name) !== undefined);
  if (extra.length === 0) return;
  const issues = extra.map((name) => issue('invalid', `${words}: leave ${name} out`, given.placeOf(name)));
  throw new Failure('invalid', issues);
}

/** @throws Failure `invalid` for a resource that is not valid R4 */
function checked<T extends Resource>(resource: Resource, place: string, { validate }: TerminologyParts): T {
  const issues = validate(resource, place).filter(({ severity }) => severity === 'error' || severity === 'fatal');
  if (issues.length > 0) throw new Failure('invalid', issues);
  return resource as T;
}

async function validateCode(asking: Asking): Promise<Resource> {
  const { given, resources } = asking;
  const sets = new ValueSets(resources, systemVersions(given));
  const valueSet = await valueSetAsked(asking, sets);
  const hasContext = given.first('context') !== undefined;
  const codings = await Promise.all(
    codingsAsked(given, 'system', 'systemVersion').map(async (coding) =>
      coding.system === undefined && hasContext ? systemFound(sets, valueSet, coding) : coding,
    ),
  );
  if (given.first('code') !== undefined && given.first('system') === undefined && !hasContext) {
    const words = 'A code needs its system: give system as well, or context, or send a coding';
    throw new Failure('invalid', issue('required', words, 'http.system', 'MSG_PARAM_INVALID'));
  }
  const answer = await validateInValueSet(sets, valueSet, question(given, codings));
  refuseAsOf(sets, given.text('date'));
  return codeAnswer(answer);
}

/** The system that the value set has this code of, where the context says which element it is for. */
async function systemFound(sets: ValueSets, valueSet: ValueSet, coding: Coding): Promise<Coding> {
  const member = (await sets.members(valueSet)).find(({ code }) => code === coding.code);
  return member === undefined ? coding : { ...coding, system: member.system };
}

function question(given: Given, codings: readonly Coding[]): CodeQuestion {
  return { codings, abstract: given.boolean('abstract'), displayLanguage: given.text('displayLanguage') };
}

function codeAnswer({ result, message, display }: CodeAnswer): Resource {
  return parameters([
    { name: 'result', valueBoolean: result },
    ...(message === undefined ? [] : [{ name: 'message', valueString: message }]),
    ...(display === undefined ? [] : [{ name: 'display', valueString: display }]),
  ]);
}

/**
 * The codings of `code` with its system, `coding` or `codeableConcept`: exactly one of the three must be given.
 *
 * @throws Failure `invalid`
 */
function codingsAsked(given: Given, systemName: string, versionName: string): readonly Coding[] {
  const ways = ['code', 'coding', 'codeableConcept'].filter((name) => given.first(name) !== undefined);
  if (ways.length !== 1) {
    const words = 'Give exactly one of code, coding and codeableConcept';
    const place = ways.length === 0 ? 'http.code' : given.placeOf(ways[1] ?? '');
    throw new Failure('invalid', issue(ways.length === 0 ? 'required' : 'invalid', words, place, 'MSG_PARAM_INVALID'));
  }
  const concept = given.concept('codeableConcept');
  if (concept !== undefined) return codingsOf(concept);
  const coding = given.coding('coding');
  if (coding !== undefined) return [withDisplay(coding, given)];
  const [code, system, version] = [given.text('code'), given.text(systemName), given.text(versionName)];
  return [
    withDisplay(
      {
        ...(system === undefined ? {} : { system }),
        ...(version === undefined ? {} : { version }),
        ...(code === undefined ? {} : { code }),
      },
      given,
    ),
  ];
}

function withDisplay(coding: Coding, given: Given): Coding {
  const display = coding.display ?? given.text('display');
  return display === undefined ? coding : { ...coding, display };
}

// ---- CodeSystem

async function validateSystemCode(asking: Asking): Promise<Resource> {
  const { given, request, parts } = asking;
  const inline = given.resource('codeSystem');
  const own =
    request.target.id !== ''
      ? (await instanceOf<CodeSystem>(request)).resource
      : inline === undefined
        ? undefined
        : checked<CodeSystem>(inline, given.placeOf('codeSystem'), parts);
  if (own !== undefined) refuseTogether(given, ['url'], 'The code system is given already');
  const resources = own === undefined ? asking.resources : joined(terminologyIn([entryOf(own, 0)]), asking.resources);
  const codings = codingsAsked(given, 'url', 'version');
  const url = own?.url ?? given.text('url') ?? codings.find(({ system }) => system !== undefined)?.system;
  if (url === undefined) {
    throw new Failure('invalid', issue('required', 'Name the code system with url', 'http.url', 'MSG_PARAM_INVALID'));
  }
  const sets = new ValueSets(resources);
  const version = given.text('version');
  if (grammarOf(url) === undefined) await knownSystem(sets, url, version, given.placeOf('url'));
  const answer = await validateInSystem(sets, url, version, question(given, codings));
  refuseAsOf(sets, given.text('date'));
  return codeAnswer(answer);
}

async function knownSystem(sets: ValueSets, url: string, version: string | undefined, place: string) {
  const { url: bare, version: own } = splitCanonical(url);
  const system = await sets.system(bare, version ?? own);
  if (system !== undefined) return system;
  const words = `The code system ${bare} is not known here. Store it as a CodeSystem, or name another one`;
  throw new Failure('not-found', issue('not-found', words, place));
}

async function lookupCode({ given, resources }: Asking): Promise<Resource> {
  const coding = oneCoding(given);
  const sets = new ValueSets(resources);
  const place = given.placeOf(coding.given);
  const known = await knownSystem(sets, coding.system, coding.version, place);
  const system = (await sets.systemWith(coding.code, known.url, coding.version)) ?? known;
  refuseAsOf(sets, given.text('date'));
  const language = given.text('displayLanguage');
  return parameters(lookup(system, coding.code, given.texts('property'), language, place));
}

type OneCoding = { system: string; version: string | undefined; code: string; given: string };

/** @throws Failure `invalid` unless a code with its system, or a coding with both, is given */
function oneCoding(given: Given): OneCoding {
  const coding = given.coding('coding');
  const [system, code] =
    coding === undefined ? [given.text('system'), given.text('code')] : [coding.system, coding.code];
  if (coding !== undefined) refuseTogether(given, ['code', 'system'], 'coding says which code is meant');
  if (system !== undefined && code !== undefined) {
    return {
      system,
      code,
      version: coding?.version ?? given.text('version'),
      given: coding === undefined ? 'code' : 'coding',
    };
  }
  const missing = coding !== undefined ? 'coding' : code === undefined ? 'code' : 'system';
  const words = 'Give code and system, or a coding with both';
  throw new Failure('invalid', issue('required', words, given.placeOf(missing), 'MSG_PARAM_INVALID'));
}

async function subsumesCode(asking: Asking): Promise<Resource> {
  const { given, request } = asking;
  const own = request.target.id === '' ? undefined : (await instanceOf<CodeSystem>(request)).resource;
  const resources = own === undefined ? asking.resources : joined(terminologyIn([entryOf(own, 0)]), asking.resources);
  const [a, b] = [codeOrCoding(given, 'codeA', 'codingA'), codeOrCoding(given, 'codeB', 'codingB')];
  const systems = new Set([own?.url, given.text('system'), a.system, b.system].filter((one) => one !== undefined));
  const [system, other] = systems;
  if (system === undefined) {
    const words = 'Name the code system of the two codes with system';
    throw new Failure('invalid', issue('required', words, 'http.system', 'MSG_PARAM_INVALID'));
  }
  if (other !== undefined) {
    const words = 'Both codes must be of one code system: subsumption between systems is not known';
    throw new Failure('invalid', issue('invalid', words, given.placeOf('codingB'), 'MSG_PARAM_INVALID'));
  }
  const index = await knownSystem(
    new ValueSets(resources),
    system,
    given.text('version') ?? a.version,
    given.placeOf('system'),
  );
  return parameters([{ name: 'outcome', valueCode: subsumes(index, a, b) }]);
}

function codeOrCoding(given: Given, codeName: string, codingName: string) {
  const coding = given.coding(codingName);
  const code = given.text(codeName) ?? coding?.code;
  const place = given.placeOf(coding === undefined ? codeName : codingName);
  if (code === undefined) {
    throw new Failure('invalid', issue('required', `Give ${codeName} or ${codingName}`, place, 'MSG_PARAM_INVALID'));
  }
  return { code, system: coding?.system, version: coding?.version, place };
}

// ---- ConceptMap

async function translateCode(asking: Asking): Promise<Resource> {
  const { given, resources } = asking;
  const reverse = given.boolean('reverse') ?? false;
  const codings = codingsAsked(given, 'system', 'version');
  if (given.first('code') !== undefined && given.first('system') === undefined) {
    const words = 'A code needs its system: give system as well, or send a coding';
    throw new Failure('invalid', issue('required', words, 'http.system', 'MSG_PARAM_INVALID'));
  }
  const maps = await mapsAsked(asking, reverse);
  const translations = await translate(resources, maps, {
    codings,
    targetSystem: given.text('targetsystem'),
    reverse,
    dependencies: given.parts('dependency').map((part) => ({
      element: part.text('element') ?? '',
      concepts: codingsOf(part.concept('concept') ?? {}),
    })),
  });
  const result = translations.some(isTranslation);
  return parameters([
    { name: 'result', valueBoolean: result },
    ...(result ? [] : [{ name: 'message', valueString: noTranslation(maps) }]),
    ...translations.map(matchParameter),
  ]);
}

function noTranslation(maps: readonly ConceptMap[]): string {
  return maps.length === 0
    ? 'No concept map between these is known here'
    : 'The concept maps know no translation of it';
}

/** The map of the url, the instance or the body; else all between the value sets that are named. */
async function mapsAsked(
  { request, given, resources, parts }: Asking,
  reverse: boolean,
): Promise<readonly ConceptMap[]> {
  if (request.target.id !== '') {
    refuseTogether(given, ['url', 'conceptMap'], 'The instance of the url is the concept map');
    return [(await instanceOf<ConceptMap>(request)).resource];
  }
  const inline = given.resource('conceptMap');
  if (inline !== undefined) return [checked<ConceptMap>(inline, given.placeOf('conceptMap'), parts)];
  const url = given.text('url');
  if (url !== undefined) {
    const { url: bare, version } = splitCanonical(canonical(given, url, 'conceptMapVersion'));
    const map = await resources.find('ConceptMap', bare, version);
    if (map !== undefined) return [map];
    throw new Failure('not-found', issue('not-found', `No concept map ${bare} is known here`, given.placeOf('url')));
  }
  const [source, target] = [given.text('source'), given.text('target')];
  if (source === undefined && target === undefined && given.text('targetsystem') === undefined) {
    const words = 'Name a concept map with url, or what to translate between with source, target or targetsystem';
    throw new Failure('invalid', issue('required', words, 'http.url', 'MSG_PARAM_INVALID'));
  }
  return (await resources.conceptMaps()).filter((map) => isBetween(map, source, target, reverse));
}

function matchParameter({ equivalence, concept, products, source }: Translation): ParametersParameter {
  return {
    name: 'match',
    part: [
      { name: 'equivalence', valueCode: equivalence },
      ...(Object.keys(concept).length === 0 ? [] : [{ name: 'concept', valueCoding: concept }]),
      ...products.map((product) => ({
        name: 'product',
        part: [
          { name: 'element', valueUri: product.element },
          { name: 'concept', valueCoding: product.concept },
        ],
      })),
      ...(source === undefined ? [] : [{ name: 'source', valueUri: source }]),
    ],
  };
}
