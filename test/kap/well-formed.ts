/** A check of XML that is stricter than a browser and knows nothing of what it means. */
const TOKEN =
  /<(\/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[A-Za-z][A-Za-z0-9:-]*="[^"<&]*(?:&(?:amp|lt|gt|quot|#39);[^"<&]*)*")*)\s*(\/?)>|([^<]+)/gy;
const TEXT = /^(?:[^<>&]|&(?:amp|lt|gt|quot|#39);)*$/;

/** The names of all elements. @throws Error where the text is not well-formed */
export function elementsOf(xml: string): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 refuses exactly these
  if (!xml.isWellFormed() || /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(xml)) {
    throw new Error('a character that XML cannot hold');
  }
  const names: string[] = [];
  const open: string[] = [];
  TOKEN.lastIndex = 0;
  let at = 0;
  while (at < xml.length) {
    const match = TOKEN.exec(xml);
    if (match === null) throw new Error(`not well-formed at ${at}: ${xml.slice(at, at + 60)}`);
    const [, closing, name = '', attributes = '', empty, text] = match;
    at = TOKEN.lastIndex;
    if (text !== undefined) {
      if (!TEXT.test(text)) throw new Error(`text is not escaped: ${text.slice(0, 60)}`);
      continue;
    }
    const given = [...attributes.matchAll(/\s([A-Za-z][A-Za-z0-9:-]*)="/g)].map(([, attribute]) => attribute);
    if (new Set(given).size < given.length) throw new Error(`an attribute is repeated in ${match[0]}`);
    if (closing === '/') {
      if (open.pop() !== name) throw new Error(`${name} closes another element`);
      continue;
    }
    names.push(name);
    if (empty !== '/') open.push(name);
  }
  if (open.length > 0) throw new Error(`${open.join(', ')} is not closed`);
  return names;
}
