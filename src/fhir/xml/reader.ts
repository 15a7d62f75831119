/**
 * FHIR XML as JSON text. Strict: what R4 does not define is refused with its place, and so is everything of XML that can
 * reach outside the document or grow beyond it (document types, and with them entities).
 *
 * Comments and processing instructions are left out, as the standard allows.
 */
import { type SaxesAttributeNS, SaxesParser, type SaxesTagNS } from 'saxes';
import { Failure, issue } from '../failure.ts';
import { MAX_JSON_DEPTH, numberAsWritten } from '../json.ts';
import { FHIR_NAMESPACE, XHTML_NAMESPACE, type XmlChild, type XmlLayout, type XmlLayouts } from './layout.ts';

/** More than a Bundle of 10 MB has whose elements say something. */
const MAX_ELEMENTS = 500_000;

const XSI_NAMESPACE = 'http://www.w3.org/2001/XMLSchema-instance';
const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/';

/** @see FhirXml.toJson */
export function readXml(source: Uint8Array, layouts: XmlLayouts, isResourceType: (name: string) => boolean): string {
  const text = decoded(source);
  const reader = new Reader(text, layouts, isResourceType);
  return JSON.stringify(reader.document());
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decoded(source: Uint8Array): string {
  try {
    return utf8.decode(source);
  } catch (cause) {
    throw new Failure('invalid', issue('structure', 'The body is not UTF-8'), { cause });
  }
}

type Json = Record<string, unknown>;

/** An element that is open. */
type Frame =
  | { readonly kind: 'content'; readonly place: string; readonly layout: XmlLayout; readonly value: Json }
  | {
      readonly kind: 'primitive';
      readonly place: string;
      readonly layout: XmlLayout;
      readonly child: XmlChild;
      readonly parent: Json;
      /** Id and extensions. */
      readonly value: Json;
      readonly text: string | undefined;
    }
  /** The element around a resource: `contained`, `Bundle.entry.resource`. */
  | {
      readonly kind: 'wrapper';
      readonly place: string;
      readonly parent: Json;
      readonly child: XmlChild;
      filled: boolean;
    }
  /** The narrative; what is inside is not ours to read. `written` where its tags have prefixes and are written anew. */
  | {
      readonly kind: 'xhtml';
      readonly place: string;
      readonly parent: Json;
      readonly start: number;
      depth: number;
      readonly written: string[] | undefined;
    };

class Reader {
  readonly #text: string;
  readonly #layouts: XmlLayouts;
  readonly #isResourceType: (name: string) => boolean;
  readonly #parser = new SaxesParser({ xmlns: true, position: true });
  readonly #frames: Frame[] = [];
  #root: Json | undefined;
  #tagStart = 0;
  #depth = 0;
  #elements = 0;

  constructor(text: string, layouts: XmlLayouts, isResourceType: (name: string) => boolean) {
    this.#text = text;
    this.#layouts = layouts;
    this.#isResourceType = isResourceType;
  }

  document(): Json {
    const parser = this.#parser;
    parser.on('error', (error) => this.#malformed(error));
    parser.on('xmldecl', ({ encoding, version }) => {
      if (encoding !== undefined && !/^utf-?8$/i.test(encoding)) this.#refuse('The encoding of the XML must be UTF-8');
      if (version !== undefined && version !== '1.0') this.#refuse('The version of XML must be 1.0');
    });
    parser.on('doctype', () => this.#refuse('A document type (<!DOCTYPE>) is not allowed'));
    parser.on('opentagstart', () => {
      this.#tagStart = this.#text.lastIndexOf('<', parser.position - 1);
    });
    parser.on('opentag', (tag) => this.#open(tag));
    parser.on('closetag', (tag) => this.#close(tag));
    parser.on('text', (text) => this.#textIn(text));
    parser.on('cdata', (text) => this.#textIn(text));
    parser.write(this.#text).close();
    if (this.#root === undefined) this.#refuse('There is no resource in the XML');
    return this.#root;
  }

  #open(tag: SaxesTagNS): void {
    if (++this.#elements > MAX_ELEMENTS) this.#refuse(`The XML has more than ${MAX_ELEMENTS} elements`, 'too-costly');
    if (++this.#depth > MAX_JSON_DEPTH)
      this.#refuse(`The XML is nested deeper than ${MAX_JSON_DEPTH} levels`, 'too-costly');
    const frame = this.#frames.at(-1);
    if (frame === undefined) this.#frames.push(this.#resource(tag, '', true));
    else if (frame.kind === 'xhtml') this.#openInNarrative(tag, frame);
    else if (frame.kind === 'wrapper') {
      if (frame.filled) this.#refuse('There may be one resource here', 'structure', frame.place);
      frame.filled = true;
      const resource = this.#resource(tag, frame.place, false);
      put(frame.parent, frame.child, resource.value);
      this.#frames.push(resource);
    } else this.#openChild(tag, frame);
  }

  #resource(tag: SaxesTagNS, place: string, isRoot: boolean): Extract<Frame, { kind: 'content' }> {
    const type = tag.local;
    if (tag.uri !== FHIR_NAMESPACE) this.#wrongNamespace(FHIR_NAMESPACE, place);
    if (!this.#isResourceType(type)) {
      this.#refuse('This is no resource type of FHIR R4', 'structure', place === '' ? undefined : place);
    }
    for (const attribute of Object.values(tag.attributes)) {
      if (isDeclaration(attribute) || (isRoot && attribute.uri === XSI_NAMESPACE)) continue;
      this.#unknownAttribute(place === '' ? type : place);
    }
    const value: Json = { resourceType: type };
    if (isRoot) this.#root = value;
    return { kind: 'content', place: place === '' ? type : place, layout: this.#layouts(type), value };
  }

  #openChild(tag: SaxesTagNS, frame: Extract<Frame, { kind: 'content' | 'primitive' }>): void {
    const child = frame.layout.byName.get(tag.local);
    if (child === undefined || child.kind === 'attribute') {
      this.#refuse(`There is no element '${tag.local.slice(0, 64)}' here`, 'structure', frame.place);
    }
    const parent = frame.value;
    const place = `${frame.place}${child.step}${indexOf(child, parent)}`;
    const namespace = child.kind === 'xhtml' ? XHTML_NAMESPACE : FHIR_NAMESPACE;
    if (tag.uri !== namespace) this.#wrongNamespace(namespace, place);
    if (!child.isList && isFilled(child, parent)) this.#refuse('This element may be given once', 'structure', place);
    switch (child.kind) {
      case 'xhtml': {
        const written = tag.prefix === '' ? undefined : [];
        const narrative: Frame = { kind: 'xhtml', place, parent, start: this.#tagStart, depth: 0, written };
        this.#frames.push(narrative);
        this.#openInNarrative(tag, narrative);
        return;
      }
      case 'resource':
        for (const attribute of Object.values(tag.attributes)) {
          if (!isDeclaration(attribute)) this.#unknownAttribute(place);
        }
        this.#frames.push({ kind: 'wrapper', place, parent, child, filled: false });
        return;
      default:
        this.#openElement(tag, child, parent, place);
    }
  }

  #openElement(tag: SaxesTagNS, child: XmlChild, parent: Json, place: string): void {
    const layout = this.#layouts(child.path);
    const value: Json = {};
    let text: string | undefined;
    for (const attribute of Object.values(tag.attributes)) {
      if (isDeclaration(attribute)) continue;
      if (attribute.uri === '' && attribute.local === 'value' && child.kind === 'primitive') text = attribute.value;
      else if (attribute.uri === '' && layout.byName.get(attribute.local)?.kind === 'attribute') {
        value[attribute.local] = attribute.value;
      } else this.#unknownAttribute(place);
    }
    if (child.kind === 'primitive') {
      this.#frames.push({ kind: 'primitive', place, layout, child, parent, value, text });
      return;
    }
    put(parent, child, value);
    this.#frames.push({ kind: 'content', place, layout, value });
  }

  #openInNarrative(tag: SaxesTagNS, frame: Extract<Frame, { kind: 'xhtml' }>): void {
    if (tag.uri !== XHTML_NAMESPACE) this.#wrongNamespace(XHTML_NAMESPACE, frame.place);
    if (frame.written !== undefined) {
      const attributes = Object.values(tag.attributes)
        .filter((attribute) => !isDeclaration(attribute))
        .map(({ name, value }) => ` ${name}="${escaped(value)}"`);
      const namespace = frame.depth === 0 ? ` xmlns="${XHTML_NAMESPACE}"` : '';
      frame.written.push(`<${tag.local}${namespace}${attributes.join('')}${tag.isSelfClosing ? '/' : ''}>`);
    } else if (tag.prefix !== '') {
      this.#refuse('Prefixes inside a narrative are possible only where its div has one', 'structure', frame.place);
    }
    frame.depth++;
  }

  #close(tag: SaxesTagNS): void {
    this.#depth--;
    const frame = this.#frames.at(-1) as Frame;
    if (frame.kind === 'xhtml') {
      if (frame.written !== undefined && !tag.isSelfClosing) frame.written.push(`</${tag.local}>`);
      if (--frame.depth > 0) return;
      frame.parent.div = frame.written?.join('') ?? this.#narrative(frame.start, 'xmlns' in tag.attributes);
    } else if (frame.kind === 'primitive') this.#closePrimitive(frame);
    else if (frame.kind === 'wrapper') {
      if (!frame.filled) this.#refuse('There must be a resource here', 'structure', frame.place);
    } else closeLists(frame);
    this.#frames.pop();
  }

  /** Verbatim, with the namespace that it inherited. */
  #narrative(start: number, isDeclared: boolean): string {
    const text = this.#text.slice(start, this.#parser.position);
    return isDeclared ? text : text.replace(/^<div/, `<div xmlns="${XHTML_NAMESPACE}"`);
  }

  #closePrimitive({ child, parent, value, text, place }: Extract<Frame, { kind: 'primitive' }>): void {
    const hasSibling = Object.keys(value).length > 0;
    if (text === undefined && !hasSibling) {
      this.#refuse('An element must have a value or an extension', 'structure', place);
    }
    const read = text === undefined ? null : primitiveOf(child.type, text);
    const sibling = child.sibling as string;
    if (!child.isList) {
      if (read !== null) parent[child.name] = read;
      if (hasSibling) parent[sibling] = value;
      return;
    }
    const values = listAt(parent, child.name);
    values.push(read);
    if (!hasSibling && !(sibling in parent)) return;
    const siblings = listAt(parent, sibling);
    while (siblings.length < values.length - 1) siblings.push(null);
    siblings.push(hasSibling ? value : null);
  }

  #textIn(text: string): void {
    const frame = this.#frames.at(-1);
    if (frame?.kind === 'xhtml') frame.written?.push(escaped(text));
    else if (/[^ \t\r\n]/.test(text)) {
      this.#refuse('Text may not stand here: values stand in the attribute "value"', 'structure', frame?.place);
    }
  }

  #unknownAttribute(place: string): never {
    return this.#refuse('There is an attribute that this element has not', 'structure', place);
  }

  #wrongNamespace(wanted: string, place: string): never {
    return this.#refuse(
      `The namespace of this element must be ${wanted}`,
      'structure',
      place === '' ? undefined : place,
    );
  }

  /** The parser's own words, up to where they begin to quote. */
  #malformed({ message }: Error): never {
    const words = /^(?:\d+:\d+: )?([^:"'<&(]*)/.exec(message)?.[1]?.trim().replace(/\.$/, '') ?? '';
    return this.#refuse(`The XML is not well-formed: ${words}`);
  }

  #refuse(what: string, code: 'structure' | 'too-costly' = 'structure', place = this.#frames.at(-1)?.place): never {
    const { line, column } = this.#parser;
    throw new Failure('invalid', issue(code, `${what} (line ${line}, column ${column})`, place));
  }
}

function isDeclaration({ uri, name }: SaxesAttributeNS): boolean {
  return uri === XMLNS_NAMESPACE || name === 'xmlns';
}

function isFilled({ name, sibling }: XmlChild, parent: Json): boolean {
  return name in parent || (sibling !== undefined && sibling in parent);
}

function indexOf({ isList, name, sibling }: XmlChild, parent: Json): string {
  if (!isList) return '';
  const list = parent[name] ?? (sibling === undefined ? undefined : parent[sibling]);
  return `[${Array.isArray(list) ? list.length : 0}]`;
}

function put(parent: Json, { name, isList }: XmlChild, value: Json): void {
  if (isList) listAt(parent, name).push(value);
  else parent[name] = value;
}

function listAt(parent: Json, key: string): unknown[] {
  const list = (parent[key] ?? []) as unknown[];
  parent[key] = list;
  return list;
}

/** A list of which no item has a value is written as the list of its extensions alone. */
function closeLists({ value, layout }: Extract<Frame, { kind: 'content' }>): void {
  for (const [key, list] of Object.entries(value)) {
    const isPrimitive = layout.byName.get(key)?.kind === 'primitive';
    if (isPrimitive && Array.isArray(list) && list.every((item) => item === null)) Reflect.deleteProperty(value, key);
  }
}

const NUMBERS: ReadonlySet<string> = new Set(['integer', 'positiveInt', 'unsignedInt']);

/** As JSON has it, digit by digit; a text that is no such value stays one, for the validator to refuse. */
function primitiveOf(type: string, text: string): unknown {
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (type === 'decimal') return DECIMAL.test(text) ? numberAsWritten(text) : text;
  if (!NUMBERS.has(type)) return text;
  const digits = text.startsWith('+') ? text.slice(1) : text;
  return /^-?(?:0|[1-9]\d*)$/.test(digits) ? numberAsWritten(digits) : text;
}

const DECIMAL = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
