-- Histories are read by type: each type's newest versions from an index of its own order, however long ago its last
-- write was (decision 0070). It takes the place of the index by time alone, in which a type that is seldom written had
-- to be looked for through everything that came after it.
create index resource_version_of_type on resource_version (type, last_updated, rid, version);
drop index resource_version_by_time;
