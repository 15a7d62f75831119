import type { Command } from 'commander';
import { Failure, issue } from '../fhir/failure.ts';
import type { ImportedItem } from '../record/import.ts';
import { clinicOf, openRecord, operatorOf } from './clinic-record.ts';
import { addCommand, print, withPostgres } from './context.ts';
import { startProgress } from './progress.ts';
import { table } from './table.ts';

type Options = { readonly clinic: string; readonly by: string; readonly dryRun?: boolean; readonly json?: boolean };

type Counts = {
  stored: number;
  changed: number;
  unchanged: number;
  /** Of a dry run: nothing refuses them. */
  accepted: number;
  withWarnings: number;
  tagged: number;
  refused: number;
};

type Finding = {
  readonly where: string;
  readonly severity: string;
  readonly code: string;
  readonly diagnostics: string;
  readonly expression?: string;
  readonly profile?: string;
};

type Report = {
  readonly dryRun: boolean;
  readonly files: number;
  readonly resources: number;
  readonly types: Readonly<Record<string, Counts>>;
  readonly total: Counts;
  readonly findings: readonly Finding[];
  /** More than are kept. */
  readonly findingsLeftOut: number;
};

export function register(program: Command): void {
  const command = addCommand(program, {
    name: 'import',
    description:
      'take history that was recorded elsewhere into the record: Bundles, or NDJSON with a resource in each line, plain or .gz. ' +
      'Profiles are held to as "profiles policy" says; EHRs are not told. To repeat it changes nothing',
    examples: [
      'import history.ndjson.gz --dry-run',
      'import Patient.ndjson Observation.ndjson --clinic default',
      'import course.json --json',
    ],
  });
  operatorOf(clinicOf(command.argument('<file...>', 'read in this order')))
    .option('--dry-run', 'say what would be refused or warned of, and store nothing')
    .action(async (files: string[], options: Options) => {
      const report = await importFiles(files, options);
      print(command, report, reportText);
      const { refused } = report.total;
      if (refused > 0) {
        const words = `${refused} of ${report.resources} resources ${report.dryRun ? 'would be' : 'were'} refused; see the report`;
        throw new Failure('business-rule', issue('business-rule', words));
      }
    });
}

async function importFiles(files: readonly string[], options: Options): Promise<Report> {
  const [{ requireFiles, unitsOfFile }, { importUnit }, { ImportRepeats }, { createRecord }, { createPatchReader }] =
    await Promise.all([
      import('./import-files.ts'),
      import('../record/import.ts'),
      import('../record/import-repeats.ts'),
      import('../record/create-record.ts'),
      import('../fhir/patch/patch-reader.ts'),
    ]);
  requireFiles(files);
  return withPostgres(async (postgres) => {
    const { parts, fhir, context } = await openRecord(postgres, options.clinic);
    const record = createRecord(parts);
    const { definitions, validator } = fhir;
    const rules = {
      isResourceType: (type: string) => definitions.isResourceType(type),
      patches: createPatchReader(definitions, (resource, place) => validator.validate(resource, place)),
      baseUrls: parts.baseUrls,
    };
    const tally = new Tally(options.dryRun === true);
    const repeats = new ImportRepeats();
    const progress = startProgress(options.json === true);
    const importFile = async (file: string) => {
      for await (const read of unitsOfFile(file, rules)) {
        if ('refused' in read) tally.add(read.refused);
        else {
          const interaction = read.unit.isTransaction ? 'transaction' : 'batch';
          const told = context(options.by, interaction);
          const imported = await importUnit(record, read.unit, told, { dryRun: tally.dryRun, repeats });
          for (const item of imported) tally.add(item);
        }
        progress.at(() => `${file}: ${tally.resources} resources, ${tally.total.refused} refused`);
      }
    };
    for (const file of files) {
      try {
        await importFile(file);
        tally.files += 1;
      } catch (error) {
        // Once something is stored, the report says so: a damaged file is one line of it.
        if (!(error instanceof Failure) || error.code === 'transient' || tally.resources === 0) throw error;
        tally.add({ where: file, type: '-', effect: 'refused', tagged: false, issues: error.issues });
      }
    }
    progress.done();
    return tally;
  });
}

/** More would not be read. */
const MAX_FINDINGS = 10_000;

class Tally implements Report {
  readonly dryRun: boolean;
  files = 0;
  resources = 0;
  readonly types: Record<string, Counts> = {};
  readonly total = noCounts();
  readonly findings: Finding[] = [];
  findingsLeftOut = 0;

  constructor(dryRun: boolean) {
    this.dryRun = dryRun;
  }

  add({ where, type, effect, tagged, issues }: ImportedItem): void {
    this.resources += 1;
    this.types[type] ??= noCounts();
    for (const counts of [this.total, this.types[type]]) {
      counts[COUNTED[effect]] += 1;
      if (tagged) counts.tagged += 1;
      if (effect !== 'refused' && issues.length > 0) counts.withWarnings += 1;
    }
    for (const { severity, code, diagnostics, expression, profile } of issues) {
      if (this.findings.length >= MAX_FINDINGS) this.findingsLeftOut += 1;
      else {
        this.findings.push({
          where,
          severity,
          code,
          diagnostics,
          ...(expression === undefined ? {} : { expression }),
          ...(profile === undefined ? {} : { profile }),
        });
      }
    }
  }
}

const COUNTED = {
  created: 'stored',
  updated: 'changed',
  deleted: 'changed',
  unchanged: 'unchanged',
  accepted: 'accepted',
  refused: 'refused',
} as const;

function noCounts(): Counts {
  return { stored: 0, changed: 0, unchanged: 0, accepted: 0, withWarnings: 0, tagged: 0, refused: 0 };
}

/** Findings that a person reads. */
const SHOWN = 200;

function reportText({ dryRun, types, total, findings, findingsLeftOut }: Report): string {
  const headings = dryRun
    ? ['type', 'would be taken', 'with warnings', 'tagged', 'refused']
    : ['type', 'stored', 'changed', 'unchanged', 'with warnings', 'tagged', 'refused'];
  const row = (name: string, counts: Counts) => {
    const { stored, changed, unchanged, accepted, withWarnings, tagged, refused } = counts;
    return dryRun
      ? [name, accepted, withWarnings, tagged, refused]
      : [name, stored, changed, unchanged, withWarnings, tagged, refused];
  };
  const rows = Object.entries(types)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([type, counts]) => row(type, counts));
  const lines = [table(headings, [...rows, row('all', total)])];
  if (findings.length > 0) {
    // What was refused with something else is read after what it was refused for.
    const told = findings.toSorted(
      (a, b) => Number(a.severity === 'information') - Number(b.severity === 'information'),
    );
    const shown = told.slice(0, SHOWN).map(({ where, severity, expression, diagnostics, profile }) => {
      const words = profile === undefined ? diagnostics : `${diagnostics} (profile ${profile})`;
      return [where, severity, expression, words];
    });
    lines.push('', table(['where', 'severity', 'place', 'what'], shown));
    const more = findings.length - shown.length + findingsLeftOut;
    if (more > 0) lines.push(`and ${more} more: --json shows up to ${MAX_FINDINGS}`);
  }
  if (dryRun) lines.push('', 'nothing was stored');
  return lines.join('\n');
}
