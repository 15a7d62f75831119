/**
 * Which search parameters make a resource a member of a compartment: the five CompartmentDefinitions of R4. The package
 * of definitions has the one of Patient alone; the others stand here.
 *
 * @see https://hl7.org/fhir/R4/compartmentdefinition.html
 */
import type { Definitions } from '../definitions.ts';

export const COMPARTMENT_TYPES = ['Patient', 'Encounter', 'Practitioner', 'RelatedPerson', 'Device'] as const;
export type CompartmentType = (typeof COMPARTMENT_TYPES)[number];

export function isCompartmentType(type: string): type is CompartmentType {
  return (COMPARTMENT_TYPES as readonly string[]).includes(type);
}

/**
 * Codes of the reference parameters of `type` that may name the resource a compartment is of; none: never a member.
 * `SELF` stands for that resource itself, which is in its own compartment.
 */
export function compartmentParameters(
  compartment: CompartmentType,
  type: string,
  definitions: Definitions,
): readonly string[] {
  const codes =
    compartment === 'Patient' ? definitions.patientCompartment(type) : (OTHERS[compartment].get(type) ?? []);
  return compartment === type ? [SELF, ...codes] : codes;
}

export const SELF = '{def}';

/** Types that may be members, in the order of the definitions. */
export function compartmentMembers(compartment: CompartmentType, definitions: Definitions): readonly string[] {
  return definitions.resourceTypes.filter((type) => compartmentParameters(compartment, type, definitions).length > 0);
}

// `Type: codes`, as the definitions have them.
const ENCOUNTER = `
CarePlan: encounter
CareTeam: encounter
ChargeItem: context
Claim: encounter
ClinicalImpression: encounter
Communication: encounter
CommunicationRequest: encounter
Composition: encounter
Condition: encounter
DeviceRequest: encounter
DiagnosticReport: encounter
DocumentManifest: related-ref
DocumentReference: encounter
ExplanationOfBenefit: encounter
Media: encounter
MedicationAdministration: context
MedicationRequest: encounter
NutritionOrder: encounter
Observation: encounter
Procedure: encounter
QuestionnaireResponse: encounter
RequestGroup: encounter
ServiceRequest: encounter
VisionPrescription: encounter`;

const PRACTITIONER = `
Account: subject
AdverseEvent: recorder
AllergyIntolerance: recorder asserter
Appointment: actor
AppointmentResponse: actor
AuditEvent: agent
Basic: author
CarePlan: performer
CareTeam: participant
ChargeItem: enterer performer-actor
Claim: enterer provider payee care-team
ClaimResponse: requestor
ClinicalImpression: assessor
Communication: sender recipient
CommunicationRequest: sender recipient requester
Composition: subject author attester
Condition: asserter
CoverageEligibilityRequest: enterer provider
CoverageEligibilityResponse: requestor
DetectedIssue: author
DeviceRequest: requester performer
DiagnosticReport: performer
DocumentManifest: subject author recipient
DocumentReference: subject author authenticator
Encounter: practitioner participant
EpisodeOfCare: care-manager
ExplanationOfBenefit: enterer provider payee care-team
Flag: author
Group: member
Immunization: performer
Invoice: participant
Linkage: author
List: source
Media: subject operator
MedicationAdministration: performer
MedicationDispense: performer receiver
MedicationRequest: requester
MedicationStatement: source
MessageHeader: receiver author responsible enterer
NutritionOrder: provider
Observation: performer
Patient: general-practitioner
PaymentNotice: provider
PaymentReconciliation: requestor
Person: practitioner
PractitionerRole: practitioner
Procedure: performer
Provenance: agent
QuestionnaireResponse: author source
RequestGroup: participant author
ResearchStudy: principalinvestigator
RiskAssessment: performer
Schedule: actor
ServiceRequest: performer requester
Specimen: collector
SupplyDelivery: supplier receiver
SupplyRequest: requester
VisionPrescription: prescriber`;

const RELATED_PERSON = `
AdverseEvent: recorder
AllergyIntolerance: asserter
Appointment: actor
AppointmentResponse: actor
Basic: author
CarePlan: performer
CareTeam: participant
ChargeItem: enterer performer-actor
Claim: payee
Communication: sender recipient
CommunicationRequest: sender recipient requester
Composition: author
Condition: asserter
Coverage: policy-holder subscriber payor
DocumentManifest: author recipient
DocumentReference: author
Encounter: participant
ExplanationOfBenefit: payee
Invoice: recipient
MedicationAdministration: performer
MedicationStatement: source
Observation: performer
Patient: link
Person: link
Procedure: performer
Provenance: agent
QuestionnaireResponse: author source
RequestGroup: participant
Schedule: actor
ServiceRequest: performer
SupplyRequest: requester`;

const DEVICE = `
Account: subject
Appointment: actor
AppointmentResponse: actor
AuditEvent: agent
ChargeItem: enterer performer-actor
Claim: procedure-udi item-udi detail-udi subdetail-udi
Communication: sender recipient
CommunicationRequest: sender recipient
Composition: author
DetectedIssue: author
DeviceRequest: device subject requester performer
DeviceUseStatement: device
DiagnosticReport: subject
DocumentManifest: subject author
DocumentReference: subject author
ExplanationOfBenefit: procedure-udi item-udi detail-udi subdetail-udi
Flag: author
Group: member
Invoice: participant
List: subject source
Media: subject
MedicationAdministration: device
MessageHeader: target
Observation: subject device
Provenance: agent
QuestionnaireResponse: author
RequestGroup: author
RiskAssessment: performer
Schedule: actor
ServiceRequest: performer requester
Specimen: subject
SupplyRequest: requester`;

const OTHERS: Readonly<Record<Exclude<CompartmentType, 'Patient'>, ReadonlyMap<string, readonly string[]>>> = {
  Encounter: table(ENCOUNTER),
  Practitioner: table(PRACTITIONER),
  RelatedPerson: table(RELATED_PERSON),
  Device: table(DEVICE),
};

function table(text: string): ReadonlyMap<string, readonly string[]> {
  return new Map(
    text
      .trim()
      .split('\n')
      .map((line) => {
        const [type = '', codes = ''] = line.split(': ');
        return [type, codes.split(' ')];
      }),
  );
}
