/** Words as XML and XHTML write them, in texts and in attributes. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 refuses exactly these
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** What XML cannot hold is left out. */
export function escaped(content: string): string {
  return content
    .toWellFormed()
    .replace(FORBIDDEN, '')
    .replace(/[&<>"']/g, (character) => ENTITIES[character] as string);
}
