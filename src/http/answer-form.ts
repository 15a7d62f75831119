/** An answer in the form that the caller asked for. Everything inside the service is JSON as it is stored. */
import { Failure, issue } from '../fhir/failure.ts';
import { prettyJson } from '../fhir/json-layout.ts';
import type { FhirXml } from '../fhir/xml/xml.ts';
import type { FhirAnswer } from './exchange.ts';
import { outcomeText } from './failures.ts';
import { type AnswerForm, AS_STORED, FHIR_JSON, FHIR_XML } from './media-types.ts';

/**
 * Answers with a content type of their own stay as they are.
 *
 * @param method of the request: what was written stays written, whether or not XML can say it
 * @throws Failure `not-acceptable` when what was read cannot be said in XML
 */
export function inForm(answer: FhirAnswer, form: AnswerForm, xml: FhirXml, method: string): FhirAnswer {
  if (form === AS_STORED || answer.body === undefined) return answer;
  const contentType = answer.headers?.['content-type'];
  if (contentType !== undefined && contentType !== FHIR_JSON) return answer;
  const text = String(answer.body);
  if (form.format === 'json') return { ...answer, body: prettyJson(text) };
  const headers = { ...answer.headers, 'content-type': FHIR_XML };
  return { ...answer, headers, body: xmlText(text, form.pretty, xml, method) };
}

function xmlText(text: string, pretty: boolean, xml: FhirXml, method: string): string {
  try {
    return xml.fromJson(text, pretty);
  } catch (error) {
    if (method === 'GET' || !(error instanceof Failure)) throw error;
    const diagnostics = `The request was carried out. Its answer cannot be shown as XML (${error.message}); read it as JSON`;
    return xml.fromJson(outcomeText([{ ...issue('incomplete', diagnostics), severity: 'warning' }]), pretty);
  }
}
