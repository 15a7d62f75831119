/** Where a canonical url leads: to a page of this guide, or to the specification that defines it. */
import { splitCanonical } from '../../src/fhir/terminology/resources.ts';
import { type Html, html } from './html.ts';
import { type GuideSource, titleOf } from './source.ts';

export type Links = {
  /** Name of the page, where the definition is one of this guide. */
  page(canonical: string): string | undefined;
  /** Title of a definition of this guide. */
  title(canonical: string): string | undefined;
  /** A link with the words given, else with the best name there is; plain words where no page is known. */
  to(canonical: string, words?: string): Html;
};

export function linksOf({ definitions }: GuideSource): Links {
  const pages = new Map<string, { page: string; title: string }>();
  for (const { file, resource } of definitions) {
    if (resource.url === undefined) continue;
    pages.set(resource.url, { page: pageOf(file), title: titleOf(resource) });
  }
  const own = (canonical: string) => pages.get(splitCanonical(canonical).url);
  return {
    page: (canonical) => own(canonical)?.page,
    title: (canonical) => own(canonical)?.title,
    to(canonical, words) {
      const known = own(canonical);
      if (known !== undefined) return html`<a href="${known.page}">${words ?? known.title}</a>`;
      return external(addressOf(canonical), words ?? shortName(canonical));
    },
  };
}

export function pageOf(file: string): string {
  return file.replace(/\.json$/, '.html');
}

/** Words that lead out of the guide; without an address on the web they stay words. */
export function external(address: string | undefined, words: string): Html {
  if (address === undefined || !/^https?:\/\//.test(address)) return html`<code>${words}</code>`;
  return html`<a href="${address}" rel="external">${words}</a>`;
}

const R4 = 'https://hl7.org/fhir/R4/';
const BASE = 'http://hl7.org/fhir/';
const US_CORE = 'http://hl7.org/fhir/us/core/';
const THO = 'http://terminology.hl7.org/';

/** Pages of R4 that hold several types. */
const TYPE_PAGES: Readonly<Record<string, string>> = {
  Reference: 'references.html#Reference',
  Extension: 'extensibility.html#Extension',
  Meta: 'resource.html#Meta',
  Narrative: 'narrative.html#Narrative',
  Element: 'element.html',
  BackboneElement: 'backboneelement.html',
  Dosage: 'dosage.html',
  ElementDefinition: 'elementdefinition.html',
  vitalsigns: 'observation-vitalsigns.html',
  bp: 'bp.html',
  heartrate: 'heartrate.html',
  resprate: 'resprate.html',
  oxygensat: 'oxygensat.html',
};
const METADATA_TYPES =
  /^(ContactDetail|Contributor|DataRequirement|ParameterDefinition|RelatedArtifact|TriggerDefinition|UsageContext|Expression)$/;
const DATA_TYPES =
  /^([a-z][A-Za-z0-9]*|Address|Age|Annotation|Attachment|CodeableConcept|Coding|ContactPoint|Count|Distance|Duration|HumanName|Identifier|Money|MoneyQuantity|Period|Quantity|Range|Ratio|SampledData|Signature|SimpleQuantity|Timing)$/;

/** The page of R4 for a type, by its name. */
export function typeAddress(name: string): string {
  const page = TYPE_PAGES[name];
  if (page !== undefined) return `${R4}${page}`;
  if (METADATA_TYPES.test(name)) return `${R4}metadatatypes.html#${name}`;
  if (DATA_TYPES.test(name)) return `${R4}datatypes.html#${name}`;
  return `${R4}${name.toLowerCase()}.html`;
}

/** Where a canonical of HL7 can be read; undefined where that is not known. */
export function addressOf(canonical: string): string | undefined {
  const { url, version } = splitCanonical(canonical);
  if (url.startsWith(US_CORE)) return usCoreAddress(url.slice(US_CORE.length), version);
  if (url.startsWith(`${BASE}StructureDefinition/`))
    return structureAddress(url.slice(`${BASE}StructureDefinition/`.length));
  if (url.startsWith(`${BASE}ValueSet/`)) return `${R4}valueset-${url.slice(`${BASE}ValueSet/`.length)}.html`;
  if (url.startsWith(`${BASE}SearchParameter/`)) return `${R4}searchparameter-registry.html`;
  if (/^http:\/\/hl7\.org\/fhir\/[a-z-]+$/.test(url)) return `${R4}codesystem-${url.slice(BASE.length)}.html`;
  if (url.startsWith(THO)) return `https://terminology.hl7.org/${url.slice(THO.length).replace('/', '-')}.html`;
  if (url.startsWith('http://cts.nlm.nih.gov/fhir/ValueSet/')) {
    return `https://vsac.nlm.nih.gov/valueset/${url.slice('http://cts.nlm.nih.gov/fhir/ValueSet/'.length)}/expansion`;
  }
  return SYSTEM_PAGES[url];
}

const SYSTEM_PAGES: Readonly<Record<string, string>> = {
  'http://loinc.org': 'https://loinc.org/',
  'http://snomed.info/sct': 'https://www.snomed.org/',
  'http://unitsofmeasure.org': 'https://ucum.org/',
  'http://www.nlm.nih.gov/research/umls/rxnorm': 'https://www.nlm.nih.gov/research/umls/rxnorm/',
  'http://www.ama-assn.org/go/cpt': 'https://www.ama-assn.org/practice-management/cpt',
  'http://hl7.org/fhir/sid/icd-10-cm': 'https://www.cdc.gov/nchs/icd/icd-10-cm/',
};

function usCoreAddress(rest: string, version = '6.1.0'): string {
  const release = version.startsWith('7') ? 'STU7' : 'STU6.1';
  if (rest.startsWith('ImplementationGuide/')) return `https://hl7.org/fhir/us/core/${release}/`;
  return `https://hl7.org/fhir/us/core/${release}/${rest.replace('/', '-')}.html`;
}

function structureAddress(name: string): string {
  return /^[a-z]+-/.test(name) ? `${R4}extension-${name.toLowerCase()}.html` : typeAddress(name);
}

/** Systems that everybody knows by a name. */
const SYSTEM_NAMES: Readonly<Record<string, string>> = {
  'http://loinc.org': 'LOINC',
  'http://snomed.info/sct': 'SNOMED CT',
  'http://unitsofmeasure.org': 'UCUM',
  'http://www.nlm.nih.gov/research/umls/rxnorm': 'RxNorm',
  'http://www.ama-assn.org/go/cpt': 'CPT',
  'http://hl7.org/fhir/sid/icd-10-cm': 'ICD-10-CM',
  'http://hl7.org/fhir/sid/ndc': 'NDC',
  'http://nucc.org/provider-taxonomy': 'NUCC',
};

/** The last part of a url, with the version where one is asked for. */
export function shortName(canonical: string): string {
  const { url, version } = splitCanonical(canonical);
  const name = SYSTEM_NAMES[url] ?? (url.slice(url.lastIndexOf('/') + 1) || url);
  return version === undefined ? name : `${name} ${version}`;
}

/** A code with a page of its own in a public terminology. */
export function codeAddress(system: string | undefined, code: string): string | undefined {
  if (!/^[A-Za-z0-9-]+$/.test(code)) return undefined;
  if (system === 'http://loinc.org') return `https://loinc.org/${code}`;
  if (system === 'http://snomed.info/sct') return `https://snomed.info/id/${code}`;
  return undefined;
}
