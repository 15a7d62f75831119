-- What a version is of, beside its text: a search finds the current version of a candidate with one look into the
-- primary key (the last one of its row id), and needs no second table to know type, id and patient (decision 0042).
alter table resource_version
  add column type       text collate "C",
  add column id         text collate "C",
  add column patient_id text collate "C";    -- of this version: a later one may be about somebody else

-- Versions from before know the patient of today only, as histories have shown them so far.
alter table resource_version disable trigger user;
update resource_version v
   set type = r.type, id = r.id, patient_id = r.patient_id
  from resource r
 where r.rid = v.rid;
alter table resource_version enable trigger user;
alter table resource_version alter column type set not null, alter column id set not null;

create trigger resource_version_of_one_resource before update on resource_version
  for each row when ((new.type, new.id, new.patient_id) is distinct from (old.type, old.id, old.patient_id))
  execute function refuse_change();
