import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StructureDefinition } from '@medplum/fhirtypes';
import { baseStructures } from '../../src/fhir/profiles/base-structures.ts';
import { withSnapshot } from '../../src/fhir/profiles/snapshot.ts';

/** Words that would run, or leave their place, on a page that shows them unescaped. */
export const HOSTILE = `</code></pre></style></title><script>window.ran = true</script><img src=x onerror="window.ran = true">"' onclick='window.ran = true' &lt;b&gt;`;

const URL = 'https://kap.example.org/fhir/StructureDefinition/hostile';

/** A folder with one profile, its examples, a value set and a questionnaire, all full of HOSTILE. */
export function hostileGuide(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kap-hostile-guide-'));
  const examples = join(folder, 'examples', 'hostile');
  mkdirSync(examples, { recursive: true });
  const write = (path: string, content: object) => writeFileSync(join(folder, path), JSON.stringify(content, null, 2));
  write('StructureDefinition-hostile.json', profile());
  write('ValueSet-hostile.json', {
    resourceType: 'ValueSet',
    id: 'hostile',
    url: 'javascript:window.ran=true',
    name: 'Hostile',
    title: HOSTILE,
    status: 'active',
    description: HOSTILE,
    compose: { include: [{ system: 'javascript:window.ran=true', concept: [{ code: 'a', display: HOSTILE }] }] },
  });
  write('Questionnaire-hostile.json', {
    resourceType: 'Questionnaire',
    id: 'hostile',
    url: `https://kap.example.org/fhir/Questionnaire/${HOSTILE}`,
    title: HOSTILE,
    status: 'active',
    item: [{ linkId: HOSTILE, text: HOSTILE, type: 'string', answerValueSet: 'javascript:window.ran=true' }],
  });
  const patient = { resourceType: 'Patient', name: [{ text: HOSTILE }] };
  write('examples/hostile/valid-hostile.json', { ...patient, birthDate: '1980-01-01' });
  write('examples/hostile/invalid-hostile.json', patient);
  write('examples/hostile/examples.json', {
    'valid-hostile.json': { about: HOSTILE },
    'invalid-hostile.json': { breaks: HOSTILE, code: 'required', expression: 'Patient.birthDate' },
  });
  return folder;
}

function profile(): StructureDefinition {
  const definition = {
    resourceType: 'StructureDefinition',
    id: 'hostile',
    url: URL,
    name: 'Hostile',
    title: HOSTILE,
    status: 'active',
    description: HOSTILE,
    fhirVersion: '4.0.1',
    kind: 'resource',
    abstract: false,
    type: 'Patient',
    baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Patient',
    derivation: 'constraint',
    differential: {
      element: [
        {
          id: 'Patient',
          path: 'Patient',
          short: HOSTILE,
          definition: HOSTILE,
          constraint: [
            { key: 'kap-hos-1', severity: 'warning', human: HOSTILE, expression: `name.text != '${'<script>'}'` },
          ],
        },
        { id: 'Patient.birthDate', path: 'Patient.birthDate', min: 1, short: HOSTILE, definition: HOSTILE },
        { id: 'Patient.language', path: 'Patient.language', patternCode: HOSTILE.slice(0, 40) },
      ],
    },
  } as StructureDefinition;
  return withSnapshot(definition, baseStructures());
}
