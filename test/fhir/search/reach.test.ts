import { typesLookedAt } from '../../../src/fhir/search/reach.ts';

test.each([
  ['identifier=a|b&birthdate=2000', []],
  ['name:exact=x&_id:not=1', []],
  ['subject:Patient.name=x', ['Patient']],
  ['subject.name=x', ['*']],
  ['encounter:Encounter.subject:Patient.name=x', ['Encounter', 'Patient']],
  ['_has:Observation:patient:code=x', ['Observation']],
  ['_has:Observation:patient:_has:Provenance:target:agent=x', ['Observation', 'Provenance']],
  ['_has:Observation:patient:encounter:Encounter.class=x', ['Observation', 'Encounter']],
  ['_list=x', ['List']],
  ['_filter=a eq b', ['*']],
  ['identifier=http://a.b/c:d.e', []],
])('%s looks at %j', (criteria, types) => {
  expect([...typesLookedAt(criteria)]).toEqual(types);
});
