/** What every page has: head, way back, title, and where to go from here. */

import { facts, Html, html, type Piece, paragraphs } from './html.ts';
import type { Definition } from './source.ts';
import { STYLE } from './style.ts';

export type Page = {
  /** Name of the file, such as `StructureDefinition-kap-patient.html`. */
  readonly file: string;
  readonly title: string;
  /** Section of the index that it belongs to. */
  readonly section?: Section;
  readonly body: Html;
  /** What the definition says of the rights to its content. */
  readonly copyright?: string;
};

export type Section = { readonly id: string; readonly title: string };

export const SECTIONS = {
  course: { id: 'course', title: 'The course' },
  profiles: { id: 'profiles', title: 'Profiles' },
  extensions: { id: 'extensions', title: 'Extensions' },
  valueSets: { id: 'value-sets', title: 'Value sets' },
  codeSystems: { id: 'code-systems', title: 'Code systems' },
  conceptMaps: { id: 'concept-maps', title: 'Concept maps' },
  questionnaires: { id: 'questionnaires', title: 'Questionnaires' },
  protocols: { id: 'protocols', title: 'Protocols and activities' },
  searchParameters: { id: 'search-parameters', title: 'Search parameters' },
  operations: { id: 'operations', title: 'Operations' },
  service: { id: 'service', title: 'The service' },
} as const satisfies Record<string, Section>;

export const GUIDE_TITLE = 'KAP implementation guide';

/** The whole document. It loads nothing: no script, no font, no picture from elsewhere. */
export function documentOf({ file, title, section, body, copyright }: Page, sections: readonly Section[]): string {
  const isIndex = file === 'index.html';
  const links = sections.map(({ id, title: name }) => {
    const isHere = id === section?.id && html` aria-current="true"`;
    return html`<li><a href="${isIndex ? '' : 'index.html'}#${id}"${isHere}>${name}</a></li>\n`;
  });
  const shown = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${isIndex ? title : `${title} · ${GUIDE_TITLE}`}</title>
<link rel="icon" href="data:,">
<style>${new Html(STYLE)}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header class="site">
<a class="home" href="index.html">${GUIDE_TITLE}</a>
<nav aria-label="Guide"><ul>
${links}</ul></nav>
</header>
<main id="content">
${body}${copyright && html`<section class="copyright"><h2>Copyright</h2>\n${paragraphs(copyright)}</section>\n`}</main>
<footer><p>Part of kap-bridge. FHIR R4 (4.0.1). Made from the definitions in <code>fhir-profiles</code>; where a page and a definition disagree, the definition holds.</p></footer>
</body>
</html>
`;
  return shown.text;
}

/** Title, kind and purpose of a definition, then what identifies it. */
export function heading(
  kind: string,
  title: string,
  resource: Definition,
  more: readonly (readonly [string, Piece])[],
): Html {
  const { url, version, status, date } = resource as { url?: string; version?: string; status?: string; date?: string };
  const description =
    'description' in resource && typeof resource.description === 'string' ? resource.description : undefined;
  const purpose = 'purpose' in resource && typeof resource.purpose === 'string' ? resource.purpose : undefined;
  return html`<p class="kind">${kind}</p>
<h1>${title}</h1>
${description && html`<p class="lede">${description}</p>\n`}${purpose && html`<p>${purpose}</p>\n`}${facts([
  ['Canonical url', url && html`<code class="url">${url}</code>`],
  ['Version', version && `${version}, ${status ?? ''}${date === undefined ? '' : `, ${date}`}`],
  ...more,
  [
    'Definition',
    html`<a href="${resource.resourceType}-${resource.id}.json">${resource.resourceType}-${resource.id}.json</a>`,
  ],
])}`;
}

/** The sections of a page, as a list of links to them. */
export function contents(list: readonly (readonly [id: string, title: string])[]): Html {
  return html`<nav class="contents" aria-label="On this page"><ul>${list.map(
    ([id, title]) => html`<li><a href="#${id}">${title}</a></li>`,
  )}</ul></nav>
`;
}
