-- What happened, in the words of FHIR: one row per AuditEvent, written before its answer leaves.
create table audit_event (
  event_id   uuid primary key,
  recorded   timestamptz(3) not null,
  patient_id text collate "C",
  agent      text collate "C" not null,      -- client id of the token, or 'system'
  type       text collate "C" not null,      -- 'rest', '110106', …
  subtype    text collate "C" not null,      -- 'create', 'search-type', 'disclose', …
  action     "char" not null,
  outcome    smallint not null,
  request_id text collate "C" not null,
  body       text not null                   -- not json: a later proof covers these very bytes
);
create index audit_event_of_patient on audit_event (patient_id, recorded desc, event_id) where patient_id is not null;
create index audit_event_by_time on audit_event (recorded desc, event_id);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'table % is append only', tg_table_name;
end $$;
create trigger audit_event_append_only before update or delete or truncate on audit_event
  for each statement execute function refuse_change();
create trigger resource_version_append_only before update or delete or truncate on resource_version
  for each statement execute function refuse_change();
