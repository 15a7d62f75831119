/** All pages of the guide, and the definitions they were made from. */
import { checkExamples, type ExampleResult, validatorOfGuide } from './examples.ts';
import { expansionsOf } from './expansions.ts';
import { linksOf } from './links.ts';
import { documentOf, type Page } from './page.ts';
import { type IndexParts, indexPage, sectionsOf } from './pages/index.ts';
import { profilePage, type Uses } from './pages/profile.ts';
import { activityPage, planPage } from './pages/protocol.ts';
import { questionnairePage } from './pages/questionnaire.ts';
import { capabilityPage, operationPage, plainPage, searchParameterPage } from './pages/service.ts';
import { codeSystemPage, conceptMapPage, valueSetPage } from './pages/terminology.ts';
import type { DefinitionFile, GuideSource } from './source.ts';
import { usesOf } from './uses.ts';

export type Site = {
  /** Name of the file to its content. */
  readonly files: ReadonlyMap<string, string>;
  readonly results: ReadonlyMap<string, readonly ExampleResult[]>;
};

/** @param progress hears what is being done */
export async function siteOf(source: GuideSource, progress: (words: string) => void = () => {}): Promise<Site> {
  progress('value sets');
  const expansions = await expansionsOf(source);
  const results = checkExamples(source, validatorOfGuide(source), progress);
  const parts: IndexParts = { source, links: linksOf(source), results, expansions };
  const uses = usesOf(source);
  const sections = sectionsOf(parts);
  const files = new Map<string, string>();
  const add = (page: Page) => files.set(page.file, documentOf(page, sections));
  add(indexPage(parts));
  for (const definition of source.definitions) {
    progress(`page of ${definition.file}`);
    add({ ...pageOfDefinition(definition, parts, uses), ...copyrightOf(definition) });
    files.set(definition.file, definition.text);
  }
  return { files, results };
}

function copyrightOf({ resource }: DefinitionFile): { copyright?: string } {
  return 'copyright' in resource && typeof resource.copyright === 'string' ? { copyright: resource.copyright } : {};
}

function pageOfDefinition(
  definition: DefinitionFile,
  { source, links, results, expansions }: IndexParts,
  uses: Uses,
): Page {
  const { file, text, resource } = definition;
  const of = <T>(one: T) => ({ file, text, resource: one });
  switch (resource.resourceType) {
    case 'StructureDefinition':
      return profilePage(of(resource), source, links, results.get(resource.id ?? '') ?? [], uses);
    case 'ValueSet':
      return valueSetPage(
        of(resource),
        links,
        expansions.get(resource.url ?? '') ?? { reason: 'it has no url.' },
        uses,
      );
    case 'CodeSystem':
      return codeSystemPage(of(resource), uses);
    case 'ConceptMap':
      return conceptMapPage(of(resource), links);
    case 'Questionnaire':
      return questionnairePage(of(resource), links, uses);
    case 'PlanDefinition':
      return planPage(of(resource), links, uses);
    case 'ActivityDefinition':
      return activityPage(of(resource), links, uses);
    case 'SearchParameter':
      return searchParameterPage(of(resource), links);
    case 'OperationDefinition':
      return operationPage(of(resource), links);
    case 'CapabilityStatement':
      return capabilityPage(of(resource), links);
    default:
      return plainPage(definition, links);
  }
}

/** Every link of a page that leads nowhere: to a page, or a place in one, that is not there. */
export function deadLinks(files: ReadonlyMap<string, string>): string[] {
  const pages = [...files].filter(([name]) => name.endsWith('.html'));
  const anchors = new Map(
    pages.map(([name, text]) => [name, new Set([...text.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id))]),
  );
  return pages.flatMap(([name, text]) =>
    [...text.matchAll(/\shref="([^"]*)"/g)].flatMap(([, href = '']) => {
      if (/^(https?:|data:)/.test(href)) return [];
      const [target = '', id] = href.split('#');
      const page = target === '' ? name : target;
      const leads = files.has(page) && (id === undefined || id === '' || anchors.get(page)?.has(id) === true);
      return leads ? [] : [`${name}: ${href}`];
    }),
  );
}
