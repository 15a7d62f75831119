/** The first page: what the guide is for, how a course flows, and a table of everything in it. */
import type { ActivityDefinition, PlanDefinition, StructureDefinition } from '@medplum/fhirtypes';
import type { ExampleResult } from '../examples.ts';
import type { Expansion } from '../expansions.ts';
import { flowInWords, flowPicture } from '../flow-picture.ts';
import { type Html, html, joined, type Piece, table } from '../html.ts';
import { external, type Links, pageOf, typeAddress } from '../links.ts';
import { GUIDE_TITLE, type Page, SECTIONS, type Section } from '../page.ts';
import {
  type Definition,
  type DefinitionFile,
  extensionsIn,
  type GuideSource,
  ofType,
  profilesIn,
  titleOf,
} from '../source.ts';
import { searchName } from './service.ts';

export type IndexParts = {
  readonly source: GuideSource;
  readonly links: Links;
  readonly results: ReadonlyMap<string, readonly ExampleResult[]>;
  readonly expansions: ReadonlyMap<string, Expansion>;
};

export function indexPage(parts: IndexParts): Page {
  const sections = listsOf(parts);
  const body = html`<h1>${GUIDE_TITLE}</h1>
<p class="lede">What comes over the wire when a clinic records ketamine-assisted psychotherapy (KAP) with kap-bridge: for those who build the other end of the interface, and for those who check it.</p>
<p>A course of treatment is a handful of FHIR R4 resources: a patient in a course with a care plan, infusion visits with their vital signs, integration sessions of psychotherapy in a window after each infusion, and scores along the way. Each has a profile here, on a US Core parent where one exists. Every resource that claims a profile in <code>meta.profile</code> is held to it when it is written; what breaks it is refused with the issue, its place and the rule.</p>
<section aria-labelledby="course">
<h2 id="course">How a course flows</h2>
${flowPicture(parts.source)}${flowInWords(parts.source)}</section>
${HOW_TO_USE}${sections.map(
  ({ section, intro, content }) => html`<section aria-labelledby="${section.id}">
<h2 id="${section.id}">${section.title}</h2>
${intro && html`<p>${intro}</p>\n`}${content}</section>
`,
)}`;
  return { file: 'index.html', title: GUIDE_TITLE, section: SECTIONS.course, body };
}

const HOW_TO_USE = html`<section aria-labelledby="use">
<h2 id="use">How to use it</h2>
<ul class="reading">
<li><b>Read.</b> The page of a profile says for each element what is asked and why, and shows what is accepted and what is refused. The JSON beside it is the definition itself, with its snapshot, for software.</li>
<li><b>Claim.</b> A resource names its profiles in <code>meta.profile</code>. What the service writes by itself does so, too.</li>
<li><b>Ask before you send.</b> <code>POST /fhir/Observation/$validate?profile={canonical url}</code> answers with every issue, its severity and its place in FHIRPath, and stores nothing.</li>
<li><b>Send.</b> A resource that breaks a profile it claims is refused, and with it the transaction it stands in: an OperationOutcome lists all issues, as the examples here show them. Only history that a clinic imports may be stored with warnings, where the clinic says so for that profile.</li>
<li><b>Receive.</b> What is marked <abbr class="flag must" title="must support">S</abbr> is there where the fact is known: keep it and show it. No extension of this guide changes the meaning of what it stands at.</li>
</ul></section>
`;

/** The sections that have something in them, as the head of every page lists them. */
export function sectionsOf(parts: IndexParts): readonly Section[] {
  return [SECTIONS.course, ...listsOf(parts).map(({ section }) => section)];
}

type List = { readonly section: Section; readonly intro?: Piece; readonly content: Html };

function listsOf(parts: IndexParts): readonly List[] {
  const { source, links, expansions } = parts;
  const lists: (List | undefined)[] = [
    listOf(
      SECTIONS.profiles,
      profilesIn(source),
      ['Of', 'Parent', 'Examples'],
      (one) => profileCells(one, parts),
      ORDER,
    ),
    listOf(SECTIONS.extensions, extensionsIn(source), ['May stand at'], ({ resource }) => [
      joined((resource.context ?? []).map(({ expression = '' }) => html`<code>${expression}</code>`)),
    ]),
    listOf(SECTIONS.valueSets, ofType(source, 'ValueSet'), ['Codes'], ({ resource }) => [
      countOf(expansions.get(resource.url ?? '')),
    ]),
    listOf(SECTIONS.codeSystems, ofType(source, 'CodeSystem'), ['Codes'], ({ resource }) => [resource.count]),
    listOf(SECTIONS.conceptMaps, ofType(source, 'ConceptMap'), [], () => []),
    listOf(SECTIONS.questionnaires, ofType(source, 'Questionnaire'), ['Items'], ({ resource }) => [
      (resource.item ?? []).length,
    ]),
    listOf<PlanDefinition | ActivityDefinition>(
      SECTIONS.protocols,
      [...ofType(source, 'PlanDefinition'), ...ofType(source, 'ActivityDefinition')],
      ['Kind'],
      ({ resource }) => [resource.resourceType === 'PlanDefinition' ? 'protocol' : 'activity'],
    ),
    listOf(SECTIONS.searchParameters, ofType(source, 'SearchParameter'), ['Of', 'Type'], ({ resource }) => [
      joined((resource.base ?? []).map((name) => external(typeAddress(name), name))),
      resource.type,
    ]),
    listOf(SECTIONS.operations, ofType(source, 'OperationDefinition'), ['Of'], ({ resource }) => [
      joined((resource.resource ?? []).map((name) => external(typeAddress(name), name))),
    ]),
    listOf(SECTIONS.service, restOf(source), ['Kind'], ({ resource }) => [
      links.to(`http://hl7.org/fhir/StructureDefinition/${resource.resourceType}`),
    ]),
  ];
  return lists.filter((list) => list !== undefined);
}

const LISTED: ReadonlySet<string> = new Set([
  'StructureDefinition',
  'ValueSet',
  'CodeSystem',
  'ConceptMap',
  'Questionnaire',
  'PlanDefinition',
  'ActivityDefinition',
  'SearchParameter',
  'OperationDefinition',
]);

function restOf({ definitions }: GuideSource): readonly DefinitionFile[] {
  return definitions.filter(({ resource }) => !LISTED.has(resource.resourceType));
}

function listOf<T extends Definition>(
  section: Section,
  files: readonly DefinitionFile<T>[],
  heads: readonly string[],
  cells: (file: DefinitionFile<T>) => readonly Piece[],
  order: (a: DefinitionFile<T>, b: DefinitionFile<T>) => number = () => 0,
): List | undefined {
  if (files.length === 0) return undefined;
  const columns = [{ head: 'Name' }, { head: 'What it is for', name: 'asked' }, ...heads.map((head) => ({ head }))];
  const rows = files.toSorted(order).map((file) => ({
    cells: [
      html`<a href="${pageOf(file.file)}">${nameOf(file.resource)}</a>`,
      descriptionOf(file.resource),
      ...cells(file),
    ],
  }));
  return { section, content: table(section.title, columns, rows) };
}

function nameOf(resource: Definition): string {
  return resource.resourceType === 'SearchParameter' ? searchName(resource) : titleOf(resource);
}

/** Its first sentence: the page has the rest. */
function descriptionOf(resource: Definition): string | undefined {
  const text = 'description' in resource && typeof resource.description === 'string' ? resource.description : undefined;
  return text?.split(/(?<=[.!?])\s/, 1)[0];
}

function profileCells({ resource }: DefinitionFile<StructureDefinition>, { links, results }: IndexParts): Piece[] {
  const { type = '', id = '', baseDefinition, abstract } = resource;
  const all = results.get(id) ?? [];
  const valid = all.filter(({ example }) => example.isValid).length;
  return [
    external(typeAddress(type), type),
    [baseDefinition && links.to(baseDefinition), abstract === true && html` <span class="soft">(abstract)</span>`],
    all.length > 0 &&
      html`<a href="StructureDefinition-${id}.html#examples">${valid} accepted, ${all.length - valid} refused</a>`,
  ];
}

/** The order of a course, as far as the ids tell it; the rest by title. */
const COURSE = [
  'patient',
  'course',
  'care-plan',
  'infusion',
  'ketamine',
  'dissociation',
  'sedation',
  'integration',
  'score',
  'rule',
  'adverse',
];

function ORDER(a: DefinitionFile, b: DefinitionFile): number {
  return rank(a) - rank(b);
}

function rank({ resource }: DefinitionFile): number {
  const at = COURSE.findIndex((word) => resource.id?.startsWith(`kap-${word}`));
  return at < 0 ? COURSE.length : at;
}

function countOf(expansion: Expansion | undefined): Piece {
  return expansion !== undefined && 'members' in expansion ? expansion.members.length : 'not listed';
}
