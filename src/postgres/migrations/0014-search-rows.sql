-- Which extraction (src/fhir/search-values.ts) made the search rows. An update writes the difference between the rows
-- of two versions as the extraction of today makes them: rows of another one would stay behind.
create table search_rows (
  singleton  boolean primary key default true check (singleton),
  extraction integer not null
);
