/** JSON laid out for a person. The text is not parsed, so numbers keep their digits and keys their order. */
const INDENT = '  ';

/** @param text valid JSON without white space between its tokens, or with any */
export function prettyJson(text: string): string {
  const parts: string[] = [];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    switch (char) {
      case '"': {
        const end = endOfString(text, at);
        parts.push(text.slice(at, end));
        at = end - 1;
        break;
      }
      case '{':
      case '[': {
        const next = nextToken(text, at + 1);
        if (text.charAt(next) === (char === '{' ? '}' : ']')) {
          parts.push(char, text.charAt(next));
          at = next;
        } else {
          depth++;
          parts.push(char, lineBreak(depth));
        }
        break;
      }
      case '}':
      case ']':
        depth--;
        parts.push(lineBreak(depth), char);
        break;
      case ',':
        parts.push(char, lineBreak(depth));
        break;
      case ':':
        parts.push(': ');
        break;
      case ' ':
      case '\t':
      case '\n':
      case '\r':
        break;
      default:
        parts.push(char);
    }
  }
  return `${parts.join('')}\n`;
}

function lineBreak(depth: number): string {
  return `\n${INDENT.repeat(depth)}`;
}

function nextToken(text: string, from: number): number {
  let at = from;
  while (' \t\n\r'.includes(text.charAt(at)) && at < text.length) at++;
  return at;
}

/** Behind the quote that closes the string that opens at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at > 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charAt(at - 1 - escapes) === '\\') escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
  return text.length;
}
