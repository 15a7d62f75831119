-- key64 of src/fhir/search-values.ts: `patient_key` of a patient's id, where a statement and not the service knows it.
create function key64(value text) returns bigint
language sql immutable strict parallel safe
return case value when '' then 0::bigint
  else ('x' || encode(substr(sha256(convert_to(value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint end;
