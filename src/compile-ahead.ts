/**
 * A process of its own that compiles the checks of R4 and of our guide and keeps them on disk, while the database
 * starts: the memory that takes goes with it.
 */
import { loadDefinitions } from './fhir/definitions.ts';
import { shippedProfiles } from './fhir/profiles/shipped.ts';
import { validatorCache } from './fhir/validation/code-cache.ts';
import { createValidator } from './fhir/validation/validator.ts';

await createValidator(loadDefinitions(), shippedProfiles(), validatorCache()).prepare();
