-- Histories of a type and of everything, newest first: a page costs the same however deep it is. Versions come in the
-- order of time, so an entry is added at the right edge of the index, on a page that is in memory (decision 0043).
create index resource_version_by_time on resource_version (last_updated, rid, version);
