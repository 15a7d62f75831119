-- The clinic's own signing keys. Tokens of one clinic do not open another: each schema has keys of its own.
create table signing_key (
  key_id      text collate "C" primary key,
  public_jwk  jsonb not null,
  sealed      bytea not null,               -- the private key, encrypted; only the service's own secret opens it
  created_at  timestamptz not null default now(),
  replaced_at timestamptz                   -- set on rotation; listed until its last token has expired
);
-- Two processes that start together both make a key: one of them becomes the current one.
create unique index signing_key_current on signing_key ((true)) where replaced_at is null;

-- AuditEvents are about 2 KB, just over the size at which PostgreSQL starts to compress: kept as they are, an insertion
-- costs a third less.
alter table audit_event set (toast_tuple_target = 8160);
