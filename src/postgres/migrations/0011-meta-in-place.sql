-- $meta-add and $meta-delete change the tags, labels and profiles of a version without making a new one (R4). Everything
-- else of a version stays for ever, and what stood there before is kept, so that what was acknowledged can still be shown.
create table resource_meta_before (
  rid         bigint not null,
  version     integer not null,
  replaced_at timestamptz(3) not null,
  content     text not null                  -- of the version until then, byte for byte
);
create index resource_meta_before_of_version on resource_meta_before (rid, version, replaced_at);
create trigger resource_meta_before_append_only before update or delete or truncate on resource_meta_before
  for each statement execute function refuse_change();

create function keep_replaced_meta() returns trigger language plpgsql as $$
declare
  before jsonb := nullif(old.content, '')::jsonb;
  after jsonb := nullif(new.content, '')::jsonb;
begin
  if to_jsonb(new) - 'content' <> to_jsonb(old) - 'content'
     or before is null or after is null
     or before - 'meta' <> after - 'meta'
     or (before -> 'meta') - '{profile,tag,security}'::text[] <> (after -> 'meta') - '{profile,tag,security}'::text[]
  then
    raise exception 'a version is append only, but for its tags, labels and profiles';
  end if;
  insert into resource_meta_before (rid, version, replaced_at, content)
  values (old.rid, old.version, clock_timestamp(), old.content);
  return new;
end $$;

drop trigger resource_version_append_only on resource_version;
create trigger resource_version_append_only before delete or truncate on resource_version
  for each statement execute function refuse_change();
create trigger resource_version_meta_only before update on resource_version
  for each row execute function keep_replaced_meta();
