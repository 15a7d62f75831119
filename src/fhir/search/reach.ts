/**
 * Which other types the parameters of a condition look at, by their names alone: `_has:Observation:…` at Observations,
 * `subject:Patient.name` at Patients. '*' where the type is not said (`subject.name`, and `_filter`, whose paths may chain).
 */
export function typesLookedAt(criteria: string): ReadonlySet<string> {
  const types = new Set<string>();
  for (const name of new URLSearchParams(criteria).keys()) {
    let rest = name;
    // _has:Type:parameter:…, one within the other.
    for (let found = HAS.exec(rest); found !== null; found = HAS.exec(rest)) {
      types.add(found[1] as string);
      rest = found[2] as string;
    }
    const links = rest.split('.').slice(0, -1);
    for (const link of links) types.add(link.split(':')[1] ?? '*');
    const [base = ''] = rest.split(':');
    if (base === '_list') types.add('List');
    if (base === '_filter') types.add('*');
  }
  return types;
}

const HAS = /^_has:([^:]*):[^:]*:(.*)$/s;
