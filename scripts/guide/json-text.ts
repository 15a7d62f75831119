/** JSON laid out as the formatter of this repository does, so that what a script writes passes its check. */

const WIDTH = 120;

export function jsonText(value: unknown): string {
  return `${written(value, '', 0)}\n`;
}

/** @param taken columns before the value and after it on its line */
function written(value: unknown, indent: string, taken: number): string {
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    if (value.every((item) => typeof item !== 'object' || item === null)) {
      const line = `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
      if (indent.length + taken + line.length <= WIDTH) return line;
    }
    const items = value.map((item) => `${deeper}${written(item, deeper, 1)}`);
    return `[\n${items.join(',\n')}\n${indent}]`;
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return '{}';
  const lines = entries.map(([key, item]) => {
    const name = `${JSON.stringify(key)}: `;
    return `${deeper}${name}${written(item, deeper, name.length + 1)}`;
  });
  return `{\n${lines.join(',\n')}\n${indent}}`;
}
