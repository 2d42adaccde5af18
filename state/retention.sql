CREATE TABLE IF NOT EXISTS pgveil.retention_runs (
    run        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state      text NOT NULL CHECK (state IN ('running', 'done', 'failed', 'stopped', 'broken off')),
    asked_by   text NOT NULL,
    scheduled  boolean NOT NULL,
    generation text NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at   timestamptz CHECK ((state = 'running') = (ended_at IS NULL)),
    note       text
);
COMMENT ON TABLE pgveil.retention_runs IS 'When rows whose time was over were removed, and at whose wish.';

CREATE TABLE IF NOT EXISTS pgveil.retention_batches (
    run      bigint NOT NULL REFERENCES pgveil.retention_runs,
    batch    bigint NOT NULL,
    part     integer NOT NULL,
    rule     text NOT NULL,
    relation text NOT NULL,
    action   text NOT NULL CHECK (action IN ('delete', 'anonymise', 'erase')),
    rows     bigint NOT NULL CHECK (rows >= 0),
    digest   bytea NOT NULL,
    xact     xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    done_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (run, batch, part)
);
ALTER TABLE pgveil.retention_batches ADD COLUMN IF NOT EXISTS xact xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id();
COMMENT ON TABLE pgveil.retention_batches IS 'What each batch of a run took, in the transaction that took it. The digest is over the rows'' keys, by a secret key.';
REVOKE ALL ON pgveil.retention_runs, pgveil.retention_batches FROM PUBLIC;
