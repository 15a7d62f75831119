-- What a clinic holds its resources to beside R4 and our own guide: packages of profiles, and how strictly each profile
-- is meant. Every change of either raises the generation of the set. A write says with which generation it was checked,
-- and is not written under another one: no process needs to be told that the set has changed.
create table profile_set (
  singleton  boolean primary key default true check (singleton),
  generation bigint not null
);
insert into profile_set (generation) values (1);

create table profile_package (
  name      text collate "C" not null,
  version   text collate "C" not null,
  sha256    text not null,                   -- of the .tgz, in hex: the same name and version is the same package
  title     text,
  guide     text,                            -- canonical|version of its ImplementationGuide
  digest    text not null,                   -- what is validated with, as JSON; made once, when it was added
  resources text[] not null,                 -- 'Type/id' of its definitions in the record
  needs     text[] not null,                 -- 'name#version' of the packages that its definitions build upon
  added_at  timestamptz(3) not null default now(),
  added_by  text not null,
  primary key (name, version)
);

-- Where nothing is said: 'reject' for profiles of our own guide, 'warn' for those of packages.
create table profile_policy (
  profile    text collate "C" primary key,   -- canonical, without version
  strictness text not null check (strictness in ('reject', 'warn', 'tag')),
  set_at     timestamptz(3) not null default now(),
  set_by     text not null
);

create function next_profile_set() returns trigger language plpgsql as $$
begin
  update profile_set set generation = generation + 1;
  return null;
end $$;
create trigger profile_package_changed after insert or update or delete or truncate on profile_package
  for each statement execute function next_profile_set();
create trigger profile_policy_changed after insert or update or delete or truncate on profile_policy
  for each statement execute function next_profile_set();

-- A version that came as history from elsewhere (kap-bridge import). Nobody is told of it, and a later import may
-- follow it; what was written live is not overwritten by one.
alter table resource_version add column imported boolean not null default false;
