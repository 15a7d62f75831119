/**
 * The short words of an OperationOutcome, for issue.details: what kind of case it is, without what is special about it.
 *
 * @see https://hl7.org/fhir/R4/codesystem-operation-outcome.html and https://hl7.org/fhir/R4/valueset-issue-type.html
 */
export const MESSAGE_SYSTEM = 'http://terminology.hl7.org/CodeSystem/operation-outcome';

/** Messages of the standard that this service gives. Words are ours: the published ones have holes to fill in. */
const messages = {
  DELETE_MULTIPLE_MATCHES: 'More than one resource matches the condition of a delete',
  MSG_AUTH_REQUIRED: 'Authentication required',
  MSG_BAD_FORMAT: 'Format not accepted',
  MSG_BAD_SYNTAX: 'Syntax error',
  MSG_CANT_PARSE_CONTENT: 'Content cannot be read',
  MSG_DATE_FORMAT: 'Not a date',
  MSG_DELETED_DONE: 'Resource deleted',
  MSG_DELETED_ID: 'Resource was deleted',
  MSG_DUPLICATE_ID: 'Id used twice',
  MSG_CREATED: 'Resource created',
  MSG_ID_INVALID: 'Not an id',
  MSG_ID_TOO_LONG: 'Id too long',
  MSG_JSON_OBJECT: 'Not a JSON object',
  MSG_LOCAL_FAIL: 'Reference leads to nothing here',
  MSG_NO_EXIST: 'No resource with this id',
  MSG_NO_MATCH: 'No resource matches the query',
  MSG_OP_NOT_ALLOWED: 'Operation not allowed on this type',
  MSG_PARAM_CHAINED: 'Unknown parameter in a chain',
  MSG_PARAM_INVALID: 'Parameter content invalid',
  MSG_PARAM_MODIFIER_INVALID: 'Parameter modifier invalid',
  MSG_PARAM_NO_REPEAT: 'Parameter may not repeat',
  MSG_PARAM_UNKNOWN: 'Unknown parameter',
  MSG_RESOURCE_ID_MISMATCH: 'Ids of url and resource differ',
  MSG_RESOURCE_ID_MISSING: 'Resource without id',
  MSG_RESOURCE_NOT_ALLOWED: 'Resource not allowed here',
  MSG_RESOURCE_REQUIRED: 'Resource required',
  MSG_RESOURCE_TYPE_MISMATCH: 'Types of url and resource differ',
  MSG_SORT_UNKNOWN: 'Unknown sort parameter',
  MSG_TRANSACTION_DUPLICATE_ID: 'Resource written twice in a transaction',
  MSG_UNKNOWN_CONTENT: 'Unknown element',
  MSG_UNKNOWN_OPERATION: 'Unknown operation',
  MSG_UNKNOWN_TYPE: 'Unknown resource type',
  MSG_UPDATED: 'Resource updated',
  MSG_VERSION_AWARE: 'Version of the resource required',
  MSG_VERSION_AWARE_CONFLICT: 'Version conflict',
  SEARCH_MULTIPLE: 'More than one resource matches',
  SEARCH_NONE: 'No search that can be processed',
  UPDATE_MULTIPLE_MATCHES: 'More than one resource matches the condition of an update',
} as const;

export type MessageCode = keyof typeof messages;
export const MESSAGE_CODES = Object.keys(messages) as readonly MessageCode[];

const kinds = {
  invalid: 'Invalid content',
  structure: 'Structural issue',
  required: 'Required element missing',
  value: 'Element value invalid',
  invariant: 'Validation rule failed',
  security: 'Security problem',
  login: 'Login required',
  unknown: 'Unknown user',
  expired: 'Session expired',
  forbidden: 'Forbidden',
  suppressed: 'Information suppressed',
  processing: 'Processing failure',
  'not-supported': 'Content not supported',
  duplicate: 'Duplicate',
  'multiple-matches': 'Multiple matches',
  'not-found': 'Not found',
  deleted: 'Deleted',
  'too-long': 'Content too long',
  'code-invalid': 'Invalid code',
  extension: 'Unacceptable extension',
  'too-costly': 'Operation too costly',
  'business-rule': 'Business rule violation',
  conflict: 'Edit version conflict',
  transient: 'Transient issue',
  'lock-error': 'Lock error',
  'no-store': 'No store available',
  exception: 'Exception',
  timeout: 'Timeout',
  incomplete: 'Incomplete results',
  throttled: 'Throttled',
  informational: 'Informational note',
} as const;

/** @see https://hl7.org/fhir/R4/valueset-issue-type.html */
export type IssueCode = keyof typeof kinds;
export const ISSUE_CODES = Object.keys(kinds) as readonly IssueCode[];

/** Codes of an issue that always mean the same message. */
const always: Partial<Readonly<Record<IssueCode, MessageCode>>> = {
  login: 'MSG_AUTH_REQUIRED',
  expired: 'MSG_AUTH_REQUIRED',
  deleted: 'MSG_DELETED_ID',
};

/** OperationOutcome.issue.details as JSON values. */
export type DetailsJson = {
  readonly coding?: readonly [{ readonly system: string; readonly code: MessageCode }];
  readonly text: string;
};

export function detailsOf(code: IssueCode, message: MessageCode | undefined = always[code]): DetailsJson {
  if (message === undefined) return { text: kinds[code] };
  return { coding: [{ system: MESSAGE_SYSTEM, code: message }], text: messages[message] };
}
