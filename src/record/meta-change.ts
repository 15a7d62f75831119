/** What `$meta-add` and `$meta-delete` ask the record for. */
import type { Meta } from '@medplum/fhirtypes';

export type MetaChange = {
  readonly type: string;
  readonly id: string;
  /** The current one when absent. */
  readonly version?: number;
  readonly change: 'add' | 'delete';
  readonly meta: Meta;
  /** Where `meta` stands in the request. */
  readonly place: string;
};
