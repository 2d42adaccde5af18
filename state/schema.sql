CREATE SCHEMA IF NOT EXISTS pgveil;
COMMENT ON SCHEMA pgveil IS 'What pgveil remembers. Changed by pgveil alone.';

CREATE TABLE IF NOT EXISTS pgveil.elevations (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login      text NOT NULL,
    username   text NOT NULL,
    role       text NOT NULL,
    purpose    text NOT NULL,
    reason     text NOT NULL,
    approval   text NOT NULL CHECK (approval IN ('none', 'before', 'after')),
    lasts      interval NOT NULL CHECK (lasts > interval '0'),
    state      text NOT NULL CHECK (state IN ('asked', 'granted', 'denied', 'revoked')),
    asked_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
    ends_at    timestamptz CHECK ((state IN ('asked', 'denied')) = (ends_at IS NULL)),
    decided_by text,
    decided_at timestamptz,
    decision   text,
    reviewed_by text,
    reviewed_at timestamptz,
    review     text
);
COMMENT ON TABLE pgveil.elevations IS 'Purposes that somebody was given for a time, and who saw to it.';
CREATE INDEX IF NOT EXISTS elevations_by_end ON pgveil.elevations (ends_at) WHERE state = 'granted';
CREATE INDEX IF NOT EXISTS elevations_asked ON pgveil.elevations (asked_at) WHERE state = 'asked';

CREATE TABLE IF NOT EXISTS pgveil.factors (
    username      text PRIMARY KEY,
    secret        bytea NOT NULL,
    algorithm     text NOT NULL CHECK (algorithm IN ('SHA1', 'SHA256')),
    digits        smallint NOT NULL CHECK (digits IN (6, 8)),
    period        interval NOT NULL CHECK (period >= interval '15 seconds'),
    last_step     bigint NOT NULL DEFAULT -1,
    failures      integer NOT NULL DEFAULT 0,
    blocked_until timestamptz,
    recovery      bytea[] NOT NULL,
    confirmed_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE pgveil.factors IS 'Second factors. Secrets and recovery codes are nothing without pgveil''s key file.';

CREATE TABLE IF NOT EXISTS pgveil.quarantines (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who         text NOT NULL CHECK (who IN ('user', 'login', 'address')),
    name        text NOT NULL CHECK (name <> ''),
    reason      text NOT NULL CHECK (reason <> ''),
    made_by     text NOT NULL,
    automatic   boolean NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ends_at     timestamptz NOT NULL,
    released_at timestamptz,
    released_by text,
    release     text
);
COMMENT ON TABLE pgveil.quarantines IS 'Who is kept out by every pgveil in front of this database, until when, and who wanted it.';
CREATE INDEX IF NOT EXISTS quarantines_in_force ON pgveil.quarantines (ends_at) WHERE released_at IS NULL;

CREATE TABLE IF NOT EXISTS pgveil.proxies (
    proxy    text PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    seen_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE pgveil.proxies IS 'The pgveils in front of this database.';

CREATE TABLE IF NOT EXISTS pgveil.orders (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what     text NOT NULL CHECK (what IN ('list', 'kill session', 'kill user')),
    name     text NOT NULL,
    asked_by text NOT NULL,
    reason   text NOT NULL,
    proxy    text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE pgveil.orders IS 'What one pgveil asks of the others about their sessions.';
CREATE INDEX IF NOT EXISTS orders_asked ON pgveil.orders (asked_at);

CREATE TABLE IF NOT EXISTS pgveil.answers (
    order_id bigint NOT NULL REFERENCES pgveil.orders ON DELETE CASCADE,
    proxy    text NOT NULL,
    ended    integer NOT NULL,
    sessions jsonb NOT NULL,
    PRIMARY KEY (order_id, proxy)
);
COMMENT ON TABLE pgveil.answers IS 'What the others say to an order.';
