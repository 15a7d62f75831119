-- Deliveries to external EHRs. The promise: for every recorded clinical change and every target in force at that
-- moment one row, written in the same transaction, that ends accepted, superseded, withheld, cancelled or dead letter.

-- Holding the row to the commit makes the order of commits the order of sequence numbers.
create table patient_sequence (
  patient_id text collate "C" primary key,
  last       bigint not null
);

create table ehr_target (
  target_id       text collate "C" primary key,
  active_revision integer not null,
  resource_types  text[] not null,           -- types delivered, as of the active revision
  hold_reason     text,                      -- 'paused', 'authorization', 'misconfigured', …
  held_at         timestamptz,
  disabled_at     timestamptz,
  created_at      timestamptz not null default now()
);

-- Immutable: a delivery whose outcome is unknown is resolved under the revision it was sent with.
create table ehr_target_revision (
  target_id         text collate "C" not null references ehr_target deferrable initially deferred,
  revision          integer not null,
  base_url          text not null,
  dialect           jsonb not null,
  credentials       bytea,                   -- sealed (AES-256-GCM), never logged
  approved_by       text not null,
  created_at        timestamptz not null default now(),
  primary key (target_id, revision)
);

create table target_gate (
  target_id   text collate "C" primary key references ehr_target,
  breaker     text not null default 'closed' check (breaker in ('closed', 'open', 'half-open')),
  opened_at   timestamptz,
  probe_at    timestamptz,
  failures    integer not null default 0,
  tokens      numeric,
  refilled_at timestamptz,
  not_before  timestamptz,                   -- Retry-After of the whole target
  throttles   integer not null default 0     -- answers 429 in a row; 0 again with the next accepted delivery
);

-- A lane is one patient at one target. Its lease serialises deliveries; its fence outlives a frozen worker.
create table lane (
  lane_id     bigint generated always as identity primary key,
  target_id   text collate "C" not null references ehr_target,
  patient_id  text collate "C" not null,
  lease_token uuid,
  lease_until timestamptz,
  fence       bigint not null default 0,
  hold_reason text,
  unique (target_id, patient_id)
);

create table delivery (
  delivery_id         uuid primary key default gen_random_uuid(),
  target_id           text collate "C" not null references ehr_target,
  patient_id          text collate "C" not null,
  patient_seq         bigint not null,
  resource_type       text collate "C" not null,
  resource_id         text collate "C" not null,
  version_id          integer not null,
  intent              text not null check (intent in ('put', 'entered-in-error', 'merge', 'probe')),
  business_identifier text not null,         -- system|value, the same for the resource's whole life
  state               text not null default 'waiting' check (state in
    ('waiting', 'sending', 'unknown', 'accepted', 'verified', 'superseded', 'withheld', 'cancelled', 'dead-letter')),
  state_reason        text,
  attempts            integer not null default 0,
  due_at              timestamptz not null default now(),
  revision            integer,               -- the revision it was last sent with
  payload_sha256      bytea,
  disclosure_id       uuid,                  -- the AuditEvent of the disclosure
  superseded_by       uuid references delivery,
  waits_for           uuid references delivery, -- what it refers to goes first; set aside while that is open or dead
  blocks              boolean not null default false, -- a dead letter that stops its lane until a person acts
  created_at          timestamptz not null default now(),
  ended_at            timestamptz,
  unique (target_id, resource_type, resource_id, version_id, intent)
);
create index delivery_open on delivery (target_id, patient_id, patient_seq) where ended_at is null;
create index delivery_due on delivery (due_at) where ended_at is null;
create index delivery_dead on delivery (target_id, patient_id, patient_seq) where state = 'dead-letter';
create index delivery_of_resource on delivery (resource_type, resource_id, target_id);

create table delivery_attempt (
  delivery_id        uuid not null references delivery,
  attempt_no         integer not null,
  kind               text not null default 'send' check (kind in ('send', 'resolve', 'identify', 'create-patient')),
  fence              bigint not null,
  started_at         timestamptz not null default now(),
  sent_first_byte_at timestamptz,
  ended_at           timestamptz,            -- null: no answer is known
  request_sha256     bytea,
  http_status        integer,
  class              text,
  remote_request_id  text,
  retry_after        timestamptz,
  outcome_excerpt    text,                   -- issue codes and expressions only, never PHI
  worker             text,
  primary key (delivery_id, attempt_no)
);

-- What a person did to a delivery: each replay names who and why.
create table delivery_intervention (
  intervention_id bigint generated always as identity primary key,
  delivery_id     uuid not null references delivery,
  action          text not null check (action in ('replay', 'cancel')),
  from_state      text not null,
  from_reason     text,
  actor           text not null,
  reason          text not null check (reason <> ''),
  at              timestamptz not null default now()
);
create index delivery_intervention_of on delivery_intervention (delivery_id);

create table resource_link (
  target_id            text collate "C" not null references ehr_target,
  resource_type        text collate "C" not null,
  resource_id          text collate "C" not null,
  remote_type          text collate "C" not null,
  remote_id            text collate "C" not null,   -- no 64-character limit: real EHRs exceed it
  remote_version       text,
  remote_sha256        bytea,
  delivered_version_id integer not null,
  verified_at          timestamptz,
  primary key (target_id, resource_type, resource_id),
  unique (target_id, remote_type, remote_id)
);

create table patient_link (
  target_id         text collate "C" not null references ehr_target,
  patient_id        text collate "C" not null,
  remote_patient_id text collate "C",
  status            text not null check (status in ('confirmed', 'hold')),
  hold_reason       text,                    -- 'identity-missing', 'identity-ambiguous', 'identity-conflict'
  evidence          jsonb not null default '{}',
  linked_by         text not null,
  linked_at         timestamptz not null default now(),
  verified_at       timestamptz,
  primary key (target_id, patient_id)
);

-- Which master key sealed the credentials: a process with another key file must say so, not fail to decrypt.
create table sealing_key (
  singleton   boolean primary key default true check (singleton),
  fingerprint bytea not null,
  created_at  timestamptz not null default now()
);
