/** A resource as FHIR XML. */
import { SaxesParser } from 'saxes';
import { Failure, issue } from '../failure.ts';
import { FHIR_NAMESPACE, XHTML_NAMESPACE, type XmlChild, type XmlLayouts } from './layout.ts';

/** @see FhirXml.fromJson */
export function writeXml(json: string, layouts: XmlLayouts, pretty: boolean): string {
  const writer = new Writer(layouts, pretty);
  writer.resource(parsed(json), ` xmlns="${FHIR_NAMESPACE}"`, 0);
  return writer.text();
}

/** A number with the digits that it was written with. */
class Digits {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Json = Record<string, unknown>;
type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown;

function parsed(json: string): Json {
  // The third argument is in Node 22 and later, not yet in TypeScript's library.
  const keepDigits: Reviver = (_key, value, { source }) =>
    typeof value === 'number' ? new Digits(source ?? String(value)) : value;
  return JSON.parse(json, keepDigits as Parameters<typeof JSON.parse>[1]) as Json;
}

class Writer {
  readonly #layouts: XmlLayouts;
  readonly #pretty: boolean;
  readonly #parts: string[] = ['<?xml version="1.0" encoding="UTF-8"?>'];

  constructor(layouts: XmlLayouts, pretty: boolean) {
    this.#layouts = layouts;
    this.#pretty = pretty;
  }

  text(): string {
    return this.#parts.join('') + (this.#pretty ? '\n' : '');
  }

  resource(value: Json, attributes: string, depth: number): void {
    const { resourceType, ...content } = value;
    const type = String(resourceType);
    this.#element(type, attributes, content, type, depth);
  }

  #element(name: string, attributes: string, content: Json, path: string, depth: number): void {
    const { children, byName } = this.#layouts(path);
    for (const key of Object.keys(content)) {
      // Nothing may get lost on the way: what was stored before a definition was corrected is read as JSON.
      if (!byName.has(key.startsWith('_') ? key.slice(1) : key)) throw unsayable('an element that FHIR R4 has not');
    }
    const own = children.filter(({ kind }) => kind === 'attribute');
    const given = own
      .filter((child) => content[child.name] !== undefined)
      .map((child) => ` ${child.name}="${attributeText(content[child.name])}"`)
      .join('');
    this.#break(depth);
    this.#parts.push('<', name, given, attributes);
    const inner = children.slice(own.length).filter((child) => isThere(child, content));
    if (inner.length === 0) {
      this.#parts.push('/>');
      return;
    }
    this.#parts.push('>');
    for (const child of inner) this.#child(child, content, depth + 1);
    this.#break(depth);
    this.#parts.push('</', name, '>');
  }

  #child(child: XmlChild, content: Json, depth: number): void {
    const values = listOf(content[child.name]);
    const siblings = child.sibling === undefined ? [] : listOf(content[child.sibling]);
    for (let i = 0; i < Math.max(values.length, siblings.length); i++) {
      this.#value(child, values[i], (siblings[i] ?? {}) as Json, depth);
    }
  }

  #value(child: XmlChild, value: unknown, sibling: Json, depth: number): void {
    switch (child.kind) {
      case 'primitive': {
        const attribute = value === undefined || value === null ? '' : ` value="${attributeText(value)}"`;
        this.#element(child.name, attribute, sibling, child.path, depth);
        return;
      }
      case 'xhtml':
        this.#break(depth);
        this.#parts.push(divText(String(value)));
        return;
      case 'resource':
        this.#break(depth);
        this.#parts.push('<', child.name, '>');
        this.resource(value as Json, '', depth + 1);
        this.#break(depth);
        this.#parts.push('</', child.name, '>');
        return;
      default:
        this.#element(child.name, '', value as Json, child.path, depth);
    }
  }

  #break(depth: number): void {
    if (this.#pretty) this.#parts.push('\n', '  '.repeat(depth));
  }
}

function isThere({ name, sibling }: XmlChild, content: Json): boolean {
  return content[name] !== undefined || (sibling !== undefined && content[sibling] !== undefined);
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  // A reader turns these into spaces unless they are written as references.
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/** Code points that XML 1.0 cannot hold in any form. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNSAYABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

function attributeText(value: unknown): string {
  const text = value instanceof Digits ? value.text : String(value);
  if (UNSAYABLE.test(text)) throw unsayable('a character that XML does not have');
  return text.replace(/[&<>"\t\n\r]/g, (char) => ESCAPES[char] as string);
}

/** The narrative as it is, where it is XML: HTML that a browser would mend does not fit into a document. */
function divText(stored: string): string {
  const text = stored.trim();
  const div = /^<div\b[^>]*\sxmlns\s*=/.test(text) ? text : text.replace(/^<div\b/, `<div xmlns="${XHTML_NAMESPACE}"`);
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', () => {
    throw unsayable('a narrative that is not well-formed XHTML');
  });
  parser.write(div).close();
  return div;
}

function unsayable(what: string): Failure {
  return new Failure(
    'not-acceptable',
    issue('not-supported', `The answer has ${what}, so it cannot be written as XML. Ask for application/fhir+json`),
  );
}
