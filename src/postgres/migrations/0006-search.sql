-- Search of the whole language: elements for composites, texts of codes, canonical units, words.
-- The tables are made anew, since a column that is added stands last and would pad every row.

-- `element`: n + 1 within the n-th repetition of an element over which there are composite parameters, else 0.
-- `text_key`: key64 of the texts of a code (token_text), null where it has none; a null costs no byte in these tables.
alter table idx_token rename to old_token;
create table idx_token (
  param       integer not null,
  element     smallint not null,
  patient_key bigint not null,
  system_key  bigint not null,               -- key64(system), 0 for no system
  text_key    bigint,
  rid         bigint not null,
  code        text collate "C" not null
);
insert into idx_token select param, 0, patient_key, system_key, null, rid, code from old_token;
drop table old_token;
create index idx_token_search on idx_token (param, code, patient_key, system_key, rid);
create index idx_token_of_resource on idx_token (rid, param);
-- A concept that is a text alone has no code to be found by.
create index idx_token_of_text on idx_token (param, text_key, rid) where code = '' and text_key is not null;

-- Each text that a code of a parameter has had, once or a few times; `:text` looks here first. Not unique: a unique
-- key would make writes of the same text wait for each other.
create table token_text (
  param       integer not null,
  system_key  bigint not null,
  text_key    bigint not null,
  code        text collate "C" not null,
  folded      text collate "C" not null      -- a line break before each line
);
create index token_text_search on token_text (param, text_key, code, system_key);

alter table idx_reference rename to old_reference;
create table idx_reference (
  param       integer not null,
  element     smallint not null,
  rid         bigint not null,
  target      text collate "C" not null      -- 'Type/id', or an absolute or canonical url
);
insert into idx_reference select param, 0, rid, target from old_reference;
drop table old_reference;
create index idx_reference_search on idx_reference (param, target, rid);
create index idx_reference_of_resource on idx_reference (rid, param);

alter table idx_date rename to old_date;
create table idx_date (
  param       integer not null,
  wide        boolean not null,              -- longer than a day: kept apart, so that ranges can be bounded below
  element     smallint not null,
  patient_key bigint not null,
  rid         bigint not null,
  low         bigint not null,               -- ms since 1970, inclusive; +-9007199254740991 for an open end
  high        bigint not null                -- ms since 1970, inclusive
);
insert into idx_date select param, wide, 0, patient_key, rid, low, high from old_date;
drop table old_date;
create index idx_date_of_patient on idx_date (param, patient_key, low, rid) include (high);
create index idx_date_search on idx_date (param, wide, low, rid) include (high);
create index idx_date_of_resource on idx_date (rid, param);

alter table idx_string rename to old_string;
create table idx_string (
  param       integer not null,
  element     smallint not null,
  rid         bigint not null,
  folded      text collate "C" not null,     -- lower case, without accents
  exact       text collate "C" not null
);
insert into idx_string select param, 0, rid, folded, exact from old_string;
drop table old_string;
create index idx_string_search on idx_string (param, folded, rid);
create index idx_string_of_resource on idx_string (rid, param);

-- Quantities are asked for as written (`5.4`, `5.4||mg`) and, with a UCUM unit, in the canonical one (0.0054 g):
-- two orders of the same rows.
alter table idx_quantity rename to old_quantity;
create table idx_quantity (                  -- quantity and number parameters
  param       integer not null,
  element     smallint not null,
  rid         bigint not null,
  low         double precision not null,
  high        double precision not null,
  system_key  bigint not null,
  canon_low   double precision,              -- null where the unit is not one of UCUM
  canon_high  double precision,
  code        text collate "C" not null,     -- Quantity.code, else '' (numbers)
  unit        text collate "C" not null,
  canon_code  text collate "C"
);
insert into idx_quantity select param, 0, rid, low, high, system_key, null, null, code, unit, null from old_quantity;
drop table old_quantity;
create index idx_quantity_search on idx_quantity (param, low, rid) include (high);
create index idx_quantity_canonical on idx_quantity (param, canon_code, canon_low, rid) include (canon_high)
 where canon_code is not null;
create index idx_quantity_of_resource on idx_quantity (rid, param);

alter table idx_uri rename to old_uri;
create table idx_uri (
  param       integer not null,
  element     smallint not null,
  rid         bigint not null,
  value       text collate "C" not null
);
insert into idx_uri select param, 0, rid, value from old_uri;
drop table old_uri;
create index idx_uri_search on idx_uri (param, value, rid);
create index idx_uri_of_resource on idx_uri (rid, param);

-- ---- words (_text, _content)

-- Words as they are, lower case and without accents: a record holds names, codes and more than one language, and
-- 'no' and 'not' are no stop words in it. XHTML tags are none. What cannot be read as JSON or is too large has none.
create function words_of(content text) returns tsvector
language plpgsql immutable parallel safe as $$
begin
  return jsonb_to_tsvector('simple', regexp_replace(normalize(content, nfd), '[\u0300-\u036f]', '', 'g')::jsonb,
                           '["string", "numeric"]');
exception when data_exception or program_limit_exceeded then
  return '';
end $$;

create function narrative_words_of(content text) returns tsvector
language plpgsql immutable parallel safe as $$
begin
  return to_tsvector('simple', regexp_replace(normalize(content, nfd), '[\u0300-\u036f]', '', 'g')::jsonb #>> '{text,div}');
exception when data_exception or program_limit_exceeded then
  return '';
end $$;

-- Filled behind the commits. A row counts where its version is the current one; else the resource stands in
-- idx_text_pending, and a query reads its text itself.
create table idx_text (
  rid       bigint primary key,
  version   integer not null,
  narrative tsvector,                        -- null without a narrative
  content   tsvector not null
);
create index idx_text_narrative on idx_text using gin (narrative) where narrative is not null;
create index idx_text_content on idx_text using gin (content);

create table idx_text_pending (
  rid bigint not null
);
insert into idx_text_pending select rid from resource where not deleted;
