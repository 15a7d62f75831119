import type { Profile, ProfileElement } from './model.ts';

/** Canonicals of the value sets that the profiles can refuse codes or warn of codes by, each once. */
export function boundValueSets(profiles: readonly Profile[]): readonly string[] {
  const found = new Set<string>();
  for (const { root } of profiles) collect(root, found);
  return [...found];
}

function collect({ binding, children, slices }: ProfileElement, found: Set<string>): void {
  if (binding?.maxValueSet !== undefined) found.add(binding.maxValueSet);
  const isStrong = binding?.strength === 'required' || binding?.strength === 'extensible';
  if (isStrong && binding.valueSet !== undefined) found.add(binding.valueSet);
  for (const below of children) collect(below, found);
  for (const slice of slices) collect(slice, found);
}
