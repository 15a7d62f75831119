-- The record: every version of every resource as text, and the search index beside it.
-- Runs in the clinic's own schema; nothing here names a clinic.

create sequence resource_rid increment by 256;   -- a process takes a block of 256 row ids at a time

-- One row per resource: which version is current. Never holds content, so an update is small.
create table resource (
  rid          bigint primary key,
  type         text collate "C" not null,
  id           text collate "C" not null,
  version      integer not null check (version > 0),
  deleted      boolean not null default false,
  last_updated timestamptz(3) not null,
  patient_id   text collate "C",             -- logical id of the one Patient it is about, if there is one
  unique (type, id)
);
create index resource_of_patient on resource (patient_id, type, rid) where patient_id is not null;
create index resource_by_time on resource (type, last_updated, rid);

-- Append only: what was acknowledged stays readable for ever, byte for byte.
create table resource_version (
  rid          bigint not null,
  version      integer not null,
  deleted      boolean not null default false,
  method       text collate "C" not null check (method in ('POST', 'PUT', 'PATCH', 'DELETE')),
  last_updated timestamptz(3) not null,
  content      text not null,                -- not json: served as stored; '' for a deletion
  primary key (rid, version)
);

-- Patients in a KAP course: their writes go through the clinic's rules.
create table course_patient (
  patient_id    text collate "C" primary key,
  next_check_at timestamptz                  -- when a finding may become due without a write (overdue therapy)
);
create index course_patient_due on course_patient (next_check_at) where next_check_at is not null;

-- Search rows. `param` is searchParameterKey(type, code); `patient_key` is key64(patient id), 0 when there is none:
-- it narrows an index scan, and the join to resource.patient_id decides. Long codes and values are stored as a
-- prefix and a digest (indexable()), since a btree key must stay under 2,704 bytes. Each table has one index to find
-- resources by value and one to ask for the values of a resource (sorting, further conditions, :missing, includes);
-- row ids grow, so the second is written at its right edge.
create table idx_token (
  param       integer not null,
  patient_key bigint not null,
  system_key  bigint not null,               -- key64(system), 0 for no system
  rid         bigint not null,
  code        text collate "C" not null
);
create index idx_token_search on idx_token (param, code, patient_key, system_key, rid);
create index idx_token_of_resource on idx_token (rid, param);

create table idx_reference (
  param       integer not null,
  rid         bigint not null,
  target      text collate "C" not null      -- 'Type/id', or an absolute or canonical url
);
create index idx_reference_search on idx_reference (param, target, rid);
create index idx_reference_of_resource on idx_reference (rid, param);

create table idx_date (
  param       integer not null,
  wide        boolean not null,              -- longer than a day: kept apart, so that ranges can be bounded below
  patient_key bigint not null,
  rid         bigint not null,
  low         bigint not null,               -- ms since 1970, inclusive; +-9007199254740991 for an open end
  high        bigint not null                -- ms since 1970, inclusive
);
create index idx_date_of_patient on idx_date (param, patient_key, low, rid) include (high);
create index idx_date_search on idx_date (param, wide, low, rid) include (high);
create index idx_date_of_resource on idx_date (rid, param);

create table idx_string (
  param       integer not null,
  rid         bigint not null,
  folded      text collate "C" not null,     -- lower case, without accents
  exact       text collate "C" not null
);
create index idx_string_search on idx_string (param, folded, rid);
create index idx_string_of_resource on idx_string (rid, param);

create table idx_quantity (                  -- quantity and number parameters
  param       integer not null,
  patient_key bigint not null,
  rid         bigint not null,
  low         double precision not null,
  high        double precision not null,
  system_key  bigint not null,
  code        text collate "C" not null,     -- Quantity.code, else '' (numbers)
  unit        text collate "C" not null
);
create index idx_quantity_search on idx_quantity (param, code, low, rid) include (high);
create index idx_quantity_of_resource on idx_quantity (rid, param);

create table idx_uri (
  param       integer not null,
  rid         bigint not null,
  value       text collate "C" not null
);
create index idx_uri_search on idx_uri (param, value, rid);
create index idx_uri_of_resource on idx_uri (rid, param);
