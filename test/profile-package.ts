/** A small FHIR package, made by hand: the bytes of its .tgz. */
import { gzipSync } from 'node:zlib';

export type PackageParts = {
  readonly name?: string;
  readonly version?: string;
  readonly fhirVersions?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  /** By file name below `package/`; text is taken as it is. */
  readonly files: Readonly<Record<string, object | string>>;
};

export function packageOf({ name = 'test.clinic', version = '1.0.0', files, ...rest }: PackageParts): Buffer {
  const manifest = { name, version, fhirVersions: ['4.0.1'], canonical: 'http://example.org/fhir', ...rest };
  return gzipSync(tarOf({ 'package.json': manifest, ...files }));
}

function tarOf(files: Readonly<Record<string, object | string>>): Buffer {
  const blocks = Object.entries(files).flatMap(([name, content]) => {
    const bytes = Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
    return [header(`package/${name}`, bytes.length), bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write('0', 156);
  block.write('ustar\0', 257);
  block.write('00', 263);
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

export const BASE_URL = 'http://example.org/fhir';
export const WARD_PATIENT = `${BASE_URL}/StructureDefinition/ward-patient`;
export const WARD_EXTENSION = `${BASE_URL}/StructureDefinition/ward`;
export const WARDS = `${BASE_URL}/CodeSystem/wards`;
export const WARD_SET = `${BASE_URL}/ValueSet/wards`;

/** A Patient of a ward: it has a ward from our code system, and one identifier at least. */
export const wardFiles = (version = '1.0.0', more: readonly object[] = []): Record<string, object> => ({
  'StructureDefinition-ward-patient.json': {
    resourceType: 'StructureDefinition',
    id: 'ward-patient',
    url: WARD_PATIENT,
    version,
    name: 'WardPatient',
    status: 'active',
    fhirVersion: '4.0.1',
    kind: 'resource',
    abstract: false,
    type: 'Patient',
    baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Patient',
    derivation: 'constraint',
    differential: {
      element: [
        { id: 'Patient', path: 'Patient' },
        { id: 'Patient.extension', path: 'Patient.extension', min: 1 },
        {
          id: 'Patient.extension:ward',
          path: 'Patient.extension',
          sliceName: 'ward',
          min: 1,
          max: '1',
          type: [{ code: 'Extension', profile: [WARD_EXTENSION] }],
        },
        { id: 'Patient.identifier', path: 'Patient.identifier', min: 1 },
        ...more,
      ],
    },
  },
  'StructureDefinition-ward.json': {
    resourceType: 'StructureDefinition',
    id: 'ward',
    url: WARD_EXTENSION,
    version,
    name: 'Ward',
    status: 'active',
    fhirVersion: '4.0.1',
    kind: 'complex-type',
    abstract: false,
    context: [{ type: 'element', expression: 'Patient' }],
    type: 'Extension',
    baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Extension',
    derivation: 'constraint',
    differential: {
      element: [
        { id: 'Extension', path: 'Extension' },
        { id: 'Extension.extension', path: 'Extension.extension', max: '0' },
        { id: 'Extension.url', path: 'Extension.url', fixedUri: WARD_EXTENSION },
        {
          id: 'Extension.value[x]',
          path: 'Extension.value[x]',
          min: 1,
          type: [{ code: 'code' }],
          binding: { strength: 'required', valueSet: WARD_SET },
        },
      ],
    },
  },
  'CodeSystem-wards.json': {
    resourceType: 'CodeSystem',
    id: 'wards',
    url: WARDS,
    version,
    name: 'Wards',
    status: 'active',
    content: 'complete',
    concept: [
      { code: 'north', display: 'North' },
      { code: 'south', display: 'South' },
    ],
  },
  'ValueSet-wards.json': {
    resourceType: 'ValueSet',
    id: 'wards',
    url: WARD_SET,
    version,
    name: 'WardSet',
    status: 'active',
    compose: { include: [{ system: WARDS }] },
  },
  'ImplementationGuide-test.json': {
    resourceType: 'ImplementationGuide',
    id: 'test',
    url: `${BASE_URL}/ImplementationGuide/test.clinic`,
    version,
    name: 'TestClinic',
    status: 'active',
    packageId: 'test.clinic',
    fhirVersion: ['4.0.1'],
    definition: { resource: [{ reference: { reference: 'StructureDefinition/ward-patient' } }] },
  },
});

/** A Patient that claims the profile; by itself it meets it. */
export function wardPatient(changes: object = {}): { readonly resourceType: 'Patient' } {
  return {
    resourceType: 'Patient',
    meta: { profile: [WARD_PATIENT] },
    extension: [{ url: WARD_EXTENSION, valueCode: 'north' }],
    identifier: [{ system: 'http://example.org/mrn', value: '1' }],
    ...changes,
  } as { readonly resourceType: 'Patient' };
}
