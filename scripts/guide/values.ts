/** Values that stand in choices, and how a person says quantities, ranges, periods and timings. */
import type { Period, Quantity, Range, Timing } from '@medplum/fhirtypes';
import { html, type Piece } from './html.ts';

/** The value of a choice: `timing` of an action with timingDuration. */
export function choiceIn(holder: object, name: string): unknown {
  return Object.entries(holder).find(([key]) => key.startsWith(name) && /^[A-Z]/.test(key.slice(name.length)))?.[1];
}

export function measureOf(value: unknown): Piece {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null) return String(value);
  if ('low' in value || 'high' in value) return rangeView(value as Range);
  if ('start' in value || 'end' in value) return periodView(value as Period);
  if ('value' in value) return quantityView(value as Quantity);
  if ('repeat' in value) return timingView(value as Timing);
  return html`<code>${JSON.stringify(value)}</code>`;
}

function quantityView({ value, comparator, unit, code }: Quantity): string {
  return `${comparator ?? ''}${value ?? ''} ${unit ?? code ?? ''}`.trim();
}

function rangeView({ low, high }: Range): string {
  if (low === undefined) return `at most ${quantityView(high ?? {})}`;
  if (high === undefined) return `at least ${quantityView(low)}`;
  return low.unit === high.unit
    ? `${low.value} to ${quantityView(high)}`
    : `${quantityView(low)} to ${quantityView(high)}`;
}

function periodView({ start, end }: Period): string {
  return `${start === undefined ? '' : `from ${start} `}${end === undefined ? '' : `until ${end}`}`.trim();
}

function timingView({ repeat = {}, code }: Timing): Piece {
  const { frequency, period, periodUnit, count, countMax } = repeat;
  const often = frequency === undefined ? undefined : `${frequency} in ${period ?? 1} ${periodUnit ?? ''}`;
  const total = count === undefined ? undefined : `${count}${countMax === undefined ? '' : ` to ${countMax}`} times`;
  const said = [total, often, code?.text].filter((one) => one !== undefined);
  return said.length > 0 ? said.join(', ') : html`<code>${JSON.stringify({ repeat })}</code>`;
}
