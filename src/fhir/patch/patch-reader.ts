/** The documents in which a PATCH says what it changes, as functions of the resource. */
import type { Definitions } from '../definitions.ts';
import { Failure, type Issue } from '../failure.ts';
import { parseFhirPathPatch } from './fhirpath-patch.ts';
import { parseJsonPatch } from './json-patch.ts';
import type { ResourcePatch } from './resource-patch.ts';

export type PatchReader = {
  /** @throws Failure `invalid` with everything that is wrong with the document */
  jsonPatch(document: string | Uint8Array, place?: string): ResourcePatch;
  /**
   * @param parameters any JSON object; `place` stands for it in expressions
   * @throws Failure `invalid` unless it is a Parameters resource with operations of FHIRPath Patch
   */
  fhirPathPatch(parameters: object, place: string): ResourcePatch;
};

export function createPatchReader(
  definitions: Definitions,
  validate: (resource: unknown, place: string) => readonly Issue[],
): PatchReader {
  return {
    jsonPatch: parseJsonPatch,
    fhirPathPatch: (parameters, place) => {
      const issues = validate(parameters, place).filter(({ severity }) => severity !== 'warning');
      if (issues.length > 0) throw new Failure('invalid', issues);
      return parseFhirPathPatch(parameters, place, definitions);
    },
  };
}
