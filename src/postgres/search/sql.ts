/** Text and values of a statement that is put together from fixed fragments: every value is a parameter. */
import { booleanArray, numberArray, textArray } from '../arrays.ts';

export type SqlType = 'text' | 'bigint' | 'integer' | 'double precision' | 'timestamptz' | 'boolean';

/** One column of the alternatives of a condition. */
export type Column = { readonly type: SqlType; readonly values: readonly (string | number | boolean)[] };

export class Statement {
  readonly values: (string | number | boolean)[] = [];
  #rows = 0;

  /** A name for a row of the text, unlike all others. */
  row(): string {
    this.#rows++;
    return `x${this.#rows}`;
  }

  /** A single value; the placeholder is what stands in the text. */
  value(type: SqlType, value: string | number | boolean): string {
    return `$${this.values.push(value)}::${type}`;
  }

  array({ type, values }: Column): string {
    return `$${this.values.push(arrayText(type, values))}::${type}[]`;
  }

  /**
   * One condition for each alternative, the columns being the values of all: stated once where there is one, else over
   * a list of rows. So the text does not depend on how many there are.
   */
  anyOf<Name extends string>(
    columns: Readonly<Partial<Record<Name, Column>>>,
    condition: (references: (name: Name) => string) => string,
  ): string {
    const entries = Object.entries<Column | undefined>(columns).filter(
      (entry): entry is [string, Column] => !!entry[1],
    );
    if (entries.every(([, { values }]) => values.length === 1)) {
      // Only what the condition names becomes a parameter: the server refuses one that the text does not use.
      const made = new Map<string, string>();
      const reference = (name: Name): string => {
        const column = columns[name] as Column;
        const known = made.get(name) ?? this.value(column.type, column.values[0] as string | number | boolean);
        made.set(name, known);
        return known;
      };
      return `(${condition(reference)})`;
    }
    const arrays = entries.map(([, column]) => this.array(column)).join(', ');
    const names = entries.map(([name]) => name).join(', ');
    return `exists (select from unnest(${arrays}) q (${names}) where ${condition((name) => `q.${name}`)})`;
  }

  /** `column` is one of the values, in a form that an index on the column serves. */
  isOneOf(column: string, values: Column): string {
    const [only] = values.values;
    return values.values.length === 1 && only !== undefined
      ? `${column} = ${this.value(values.type, only)}`
      : `${column} = any (${this.array(values)})`;
  }
}

function arrayText(type: SqlType, values: Column['values']): string {
  if (type === 'text' || type === 'timestamptz') return textArray(values as readonly string[]);
  if (type === 'boolean') return booleanArray(values as readonly boolean[]);
  return numberArray(values as readonly (number | string)[]);
}
