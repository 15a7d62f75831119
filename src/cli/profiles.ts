import type { Command } from 'commander';
import { Failure, issue } from '../fhir/failure.ts';
import type { Profile } from '../fhir/profiles/profile.ts';
import { type ProfileOptions, type ProfileSet, withoutVersion } from '../record/clinic-profiles.ts';
import type { PackageChange } from '../record/package-changes.ts';
import { packageKey, STRICTNESSES, type Strictness } from '../record/packages.ts';
import { clinicOf, type OpenRecord, openRecord, operatorOf } from './clinic-record.ts';
import { addCommand, print, withPostgres } from './context.ts';
import type { Added } from './profiles-add.ts';
import { table } from './table.ts';

type Common = { readonly clinic: string; readonly by: string; readonly json?: boolean };

export function register(program: Command): void {
  const profiles = program
    .command('profiles')
    .description('implementation guides whose profiles this clinic holds its resources to');

  const add = addCommand(profiles, {
    name: 'add',
    description:
      'load FHIR packages (.tgz): all of them, or none. A service that runs uses them at once; what claims their profiles is checked from then on',
    examples: [
      'profiles add hl7.fhir.us.core-6.1.0.tgz',
      'profiles add de.basisprofil.r4.tgz de.clinic.kap.tgz --clinic north --json',
    ],
  });
  operatorOf(
    clinicOf(add.argument('<package.tgz...>', 'files of packages; what they build upon may be among them')),
  ).action(async (files: string[], { clinic, by, json }: Common) => {
    const { addFiles } = await import('./profiles-add.ts');
    const added = await withPostgres(async (postgres) =>
      addFiles(files, await openRecord(postgres, clinic), { by, quiet: json === true }),
    );
    print(add, added, addedText);
  });

  const list = addCommand(profiles, {
    name: 'list',
    description: 'the packages that are loaded, and how strictly imported history is held to their profiles',
    examples: ['profiles list', 'profiles list --json'],
  });
  clinicOf(list).action(async ({ clinic }: Common) =>
    print(list, await onRecord(clinic, listed, EVEN_UNREADABLE), listText),
  );

  const remove = addCommand(profiles, {
    name: 'remove',
    description: 'remove a package with its definitions; resources that claim its profiles stay as they are',
    examples: ['profiles remove hl7.fhir.us.core#6.1.0'],
  });
  operatorOf(clinicOf(remove.argument('<name#version>', 'as profiles list shows it'))).action(
    async (key: string, { clinic, by }: Common) => {
      const { removePackage } = await import('../record/package-changes.ts');
      const removed = await onRecord(
        clinic,
        ({ parts, context }) => removePackage(parts, key, context(by, 'transaction')),
        EVEN_UNREADABLE,
      );
      print(remove, removed, changeText);
    },
  );

  const policy = addCommand(profiles, {
    name: 'policy',
    description:
      'what becomes of imported history that does not meet a profile: reject, warn (stored and reported) or tag ' +
      '(stored with the tag profile-not-met). What is written live is refused always. Without arguments: all profiles',
    examples: [
      'profiles policy',
      'profiles policy us-core-patient',
      'profiles policy http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient tag',
      'profiles policy us-core-patient default',
    ],
  });
  const withProfile = policy
    .argument('[profile]', 'canonical url, or its last part')
    .argument('[strictness]', `${STRICTNESSES.join(', ')}, or default`);
  operatorOf(clinicOf(withProfile)).action(
    async (profile: string | undefined, word: string | undefined, { clinic, by }: Common) => {
      if (profile === undefined) return print(policy, await onRecord(clinic, policies), policiesText);
      const strictness = word === undefined ? undefined : strictnessIn(word);
      const one = await onRecord(clinic, (open) => policyOf(open, profile, strictness, by));
      print(policy, one, (each) => policiesText([each]));
    },
  );
}

function onRecord<T>(
  clinic: string,
  work: (open: OpenRecord) => T | Promise<T>,
  options: ProfileOptions = {},
): Promise<T> {
  return withPostgres(async (postgres) => work(await openRecord(postgres, clinic, options)));
}

/** What another version of the service has stored can be seen and removed; it shows no profiles. */
const EVEN_UNREADABLE: ProfileOptions = { unreadable: () => undefined };

// ---- add and remove

function addedText({ packages, notes }: Added): string {
  return [...packages.map(changeText), ...notes.map((note) => `note: ${note}`)].join('\n');
}

function changeText({ package: key, effect, definitions }: PackageChange): string {
  if (effect === 'unchanged') return `${key} is loaded already: nothing was changed`;
  return `${key} was ${effect}, with ${definitions} definitions`;
}

// ---- list

type ListedPackage = {
  readonly package: string;
  readonly title: string | null;
  readonly sha256: string | null;
  readonly addedAt: Date | null;
  readonly addedBy: string | null;
  readonly definitions: number;
  readonly profiles: readonly ListedProfile[];
};

type ListedProfile = {
  readonly profile: string;
  readonly version: string | null;
  readonly type: string;
  readonly strictness: Strictness;
};

function listed({ profiles }: OpenRecord): readonly ListedPackage[] {
  const set = profiles.current();
  const ofPackages = set.packages.map((one): ListedPackage => {
    const content = set.contents.find((each) => packageKey(each) === packageKey(one));
    const { title, sha256, addedAt, addedBy, resources } = one;
    return {
      package: packageKey(one),
      title,
      sha256,
      addedAt,
      addedBy,
      definitions: resources.length,
      profiles: (content?.profiles ?? []).map((profile) => listedProfile(profile, set)),
    };
  });
  const inPackages = new Set(set.contents.flatMap((content) => content.profiles));
  const own = set.profiles.all().filter((profile) => !inPackages.has(profile));
  return [
    {
      package: OWN,
      title: 'our own guide',
      sha256: null,
      addedAt: null,
      addedBy: null,
      definitions: own.length,
      profiles: own.map((profile) => listedProfile(profile, set)),
    },
    ...ofPackages,
  ];
}

const OWN = 'kap-bridge';

function listedProfile({ url, version, type }: Profile, set: ProfileSet): ListedProfile {
  return { profile: url, version: version ?? null, type, strictness: set.strictnessOf(url) };
}

function listText(packages: readonly ListedPackage[]): string {
  const headings = ['package', 'profiles', 'definitions', 'imported history', 'added', 'by', 'title'];
  const rows = packages.map((one) => [
    one.package,
    one.profiles.length,
    one.definitions,
    strictnessesOf(one.profiles),
    one.addedAt,
    one.addedBy,
    one.title,
  ]);
  return table(headings, rows);
}

/** 'warn', or 'warn, 2 reject': the most frequent first. */
function strictnessesOf(profiles: readonly ListedProfile[]): string {
  const counts = [...Map.groupBy(profiles, ({ strictness }) => strictness)]
    .map(([strictness, those]) => ({ strictness, count: those.length }))
    .sort((a, b) => b.count - a.count);
  return counts.map(({ strictness, count }, at) => (at === 0 ? strictness : `${count} ${strictness}`)).join(', ');
}

// ---- policy

type PolicyRow = {
  readonly profile: string;
  readonly strictness: Strictness;
  /** Null: nobody has said so, it is the default. */
  readonly setBy: string | null;
  readonly setAt: Date | null;
};

function policies({ profiles }: OpenRecord): readonly PolicyRow[] {
  const set = profiles.current();
  return urlsOf(set).map((url) => policyRow(url, set));
}

function policyRow(profile: string, set: ProfileSet): PolicyRow {
  const said = set.policies.find((each) => each.profile === profile);
  return {
    profile,
    strictness: set.strictnessOf(profile),
    setBy: said?.setBy ?? null,
    setAt: said?.setAt ?? null,
  };
}

function urlsOf({ profiles }: ProfileSet): readonly string[] {
  return [...new Set(profiles.all().map(({ url }) => url))].sort();
}

/** Null is the word 'default'. */
function strictnessIn(word: string): Strictness | null {
  if (word === 'default') return null;
  const strictness = STRICTNESSES.find((each) => each === word);
  if (strictness !== undefined) return strictness;
  const words = `${word.slice(0, 40)} is no policy: say ${STRICTNESSES.join(', ')} or default`;
  throw new Failure('invalid', issue('value', words));
}

async function policyOf(
  { parts, profiles, context }: OpenRecord,
  name: string,
  strictness: Strictness | null | undefined,
  by: string,
): Promise<PolicyRow> {
  const url = profileNamed(name, profiles.current());
  if (strictness === undefined) return policyRow(url, profiles.current());
  const { setPolicy } = await import('../record/package-changes.ts');
  await setPolicy(parts, url, strictness, context(by, 'update'));
  return policyRow(url, await profiles.latest());
}

/** @throws Failure `not-found`; `invalid` where several profiles end so */
function profileNamed(name: string, set: ProfileSet): string {
  const wanted = withoutVersion(name);
  // R4's own profiles are known by their whole url.
  if (set.profiles.profile(wanted) !== undefined) return wanted;
  const found = urlsOf(set).filter((url) => url.endsWith(`/${wanted}`));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  if (found.length > 1) {
    const words = `Several profiles are named so, say the whole url: ${found.join(', ')}`;
    throw new Failure('invalid', issue('multiple-matches', words));
  }
  const words = `No profile ${wanted.slice(0, 200)} is known here: kap-bridge profiles policy shows those there are`;
  throw new Failure('not-found', issue('not-found', words));
}

function policiesText(rows: readonly PolicyRow[]): string {
  const shown = rows.map(({ profile, strictness, setBy, setAt }) => [profile, strictness, setBy ?? 'default', setAt]);
  return table(['profile', 'imported history', 'set by', 'at'], shown);
}
