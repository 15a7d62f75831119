import fc from 'fast-check';
import { Failure } from '../../../src/fhir/failure.ts';
import { openPlace, type Place, sealPlace } from '../../../src/http/operations/graphql/cursor.ts';

const place: fc.Arbitrary<Place> = fc.record(
  {
    type: fc.constant('Patient'),
    params: fc.array(fc.tuple(fc.string(), fc.string())),
    fhirpath: fc.string(),
    pagesize: fc.nat(1000),
    offset: fc.nat(),
    at: fc.string(),
  },
  { requiredKeys: ['type', 'params', 'pagesize', 'offset'] },
);

test('the cursor of a page opens as the place of that page', () => {
  fc.assert(fc.property(place, (each) => expect(openPlace(sealPlace(each), 'Patient')).toEqual(each)));
});

test('what is no cursor of the type is refused, whatever it is', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.json().map((text) => Buffer.from(text).toString('base64url')),
    place.map((each) => sealPlace({ ...each, type: 'Observation' })),
    place.map((each) => sealPlace({ ...each, offset: -1 })),
  );
  fc.assert(fc.property(texts, (text) => expect(() => openPlace(text, 'Patient')).toThrow(Failure)));
});
