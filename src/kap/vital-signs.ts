/** One reading of a monitor. What was not measured is absent. Pressures in mm[Hg], rates per minute, SpO2 in %. */
export type VitalSigns = {
  /** A point in time with offset. */
  readonly at: string;
  readonly systolic?: number;
  readonly diastolic?: number;
  readonly heartRate?: number;
  readonly spo2?: number;
  readonly respiratoryRate?: number;
  /** Degrees Celsius. */
  readonly temperature?: number;
  /** Modified Observer's Assessment of Alertness/Sedation, 0 (no response) to 5 (awake). */
  readonly moaas?: number;
};

export type VitalSign = Exclude<keyof VitalSigns, 'at'>;

/**
 * What a living patient on a monitor can show. Outside of it the value is a typing error, a lost sensor or a wrong
 * unit (a temperature in Fahrenheit), and is refused. Wide on purpose: a dangerous value must be recordable.
 */
export const PLAUSIBLE: Readonly<Record<VitalSign, { low: number; high: number; unit: string; whole?: true }>> = {
  systolic: { low: 40, high: 300, unit: 'mm[Hg]' },
  diastolic: { low: 20, high: 200, unit: 'mm[Hg]' },
  heartRate: { low: 20, high: 300, unit: '/min' },
  spo2: { low: 40, high: 100, unit: '%' },
  respiratoryRate: { low: 1, high: 80, unit: '/min' },
  temperature: { low: 28, high: 44, unit: 'Cel' },
  moaas: { low: 0, high: 5, unit: '{score}', whole: true },
};

export const VITAL_SIGNS = Object.keys(PLAUSIBLE) as readonly VitalSign[];

/** Why a value cannot stand, in words for a person, or undefined. Never repeats the value. */
export function implausible(sign: VitalSign, value: number): string | undefined {
  const { low, high, unit, whole } = PLAUSIBLE[sign];
  if (value < low || value > high) return `must lie between ${low} and ${high} ${unit}`;
  if (whole && !Number.isInteger(value)) return 'must be a whole number';
  return undefined;
}

/** What is wrong with a reading as a whole: the sign at fault and why. US Core asks for both pressures or none. */
export function pressureProblem(reading: Omit<VitalSigns, 'at'>): { sign: VitalSign; text: string } | undefined {
  const { systolic, diastolic } = reading;
  if (systolic !== undefined && diastolic === undefined) {
    return { sign: 'diastolic', text: 'is missing beside a systolic pressure: give both or neither' };
  }
  if (diastolic !== undefined && systolic === undefined) {
    return { sign: 'systolic', text: 'is missing beside a diastolic pressure: give both or neither' };
  }
  if (systolic !== undefined && diastolic !== undefined && systolic <= diastolic) {
    return { sign: 'systolic', text: 'must be higher than the diastolic pressure' };
  }
  return undefined;
}
