-- The other patients of a row that stands for several events (src/audit/shared-event.ts); null where there are none.
alter table audit_event add column also_about text[] collate "C" check (cardinality(also_about) > 0);
create index audit_event_also_about on audit_event using gin (also_about) where also_about is not null;
