/** Values of a resource as a person reads them: plain text, not escaped. Undefined for what is not there. */
import type {
  Annotation,
  CodeableConcept,
  Coding,
  ObservationComponent,
  Period,
  Quantity,
  Range,
  Reference,
} from '@medplum/fhirtypes';

export function wordsOf(concept: CodeableConcept | undefined): string | undefined {
  return concept?.text ?? firstOf(concept?.coding?.map(codingWords));
}

export function codingWords({ display, code }: Coding): string | undefined {
  return display ?? code;
}

export function listOf(concepts: readonly CodeableConcept[] | undefined): string | undefined {
  return joined(concepts?.map(wordsOf));
}

/** What is named for people, or else of which kind it is: an id tells a reader nothing. */
export function nameOf({ display, reference, type }: Reference): string | undefined {
  return display ?? type ?? /^(?:https?:\/\/.+\/)?([A-Z][A-Za-z]+)\//.exec(reference ?? '')?.[1];
}

export function quantityWords(quantity: Quantity | undefined): string | undefined {
  if (quantity?.value === undefined) return undefined;
  const unit = quantity.unit ?? quantity.code;
  const plain = unit === '{score}' ? undefined : unit;
  return `${quantity.comparator ?? ''}${quantity.value}${plain === undefined ? '' : ` ${plain}`}`;
}

export function rangeWords({ low, high }: Range): string | undefined {
  return joined([quantityWords(low), quantityWords(high)], ' to ');
}

/** As its author wrote it, without the T. */
export function timeWords(dateTime: string | undefined): string | undefined {
  return dateTime?.replace('T', ' ');
}

export function periodWords(period: Period | undefined): string | undefined {
  if (period === undefined) return undefined;
  const [start, end] = [timeWords(period.start), timeWords(period.end)];
  if (end === undefined) return start === undefined ? undefined : `from ${start}`;
  return start === undefined ? `until ${end}` : `${start} to ${end}`;
}

/** The value of an Observation or of a component of it. */
export function observedWords(observed: Partial<ObservationComponent>): string | undefined {
  const { valueQuantity, valueCodeableConcept, valueString, valueBoolean, valueInteger, valueRange, valueDateTime } =
    observed;
  return (
    quantityWords(valueQuantity) ??
    wordsOf(valueCodeableConcept) ??
    valueString ??
    (valueBoolean === undefined ? undefined : valueBoolean ? 'yes' : 'no') ??
    (valueInteger === undefined ? undefined : String(valueInteger)) ??
    (valueRange === undefined ? undefined : rangeWords(valueRange)) ??
    timeWords(valueDateTime) ??
    (observed.dataAbsentReason === undefined ? undefined : `not known: ${wordsOf(observed.dataAbsentReason) ?? ''}`)
  );
}

export function notesWords(notes: readonly Annotation[] | undefined): string | undefined {
  return joined(notes?.map(({ text }) => text));
}

export function joined(words: readonly (string | undefined)[] | undefined, between = ', '): string | undefined {
  const found = words?.filter((each) => each !== undefined && each !== '') ?? [];
  return found.length === 0 ? undefined : found.join(between);
}

function firstOf(words: readonly (string | undefined)[] | undefined): string | undefined {
  return words?.find((each) => each !== undefined);
}
