CREATE TABLE IF NOT EXISTS pgveil.erasure_steps (
    request  bigint NOT NULL,
    step     bigint NOT NULL CHECK (step > 0),
    batch    bigint NOT NULL CHECK (batch > 0),
    action   text NOT NULL CHECK (action IN ('set null', 'anonymise', 'delete', 'keep', 'done')),
    relation text NOT NULL,
    rows     bigint NOT NULL CHECK (rows >= 0),
    plan     text NOT NULL,
    digest   bytea NOT NULL,
    mark     xid,
    done_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (request, step)
);
ALTER TABLE pgveil.erasure_steps ADD COLUMN IF NOT EXISTS mark xid;
COMMENT ON TABLE pgveil.erasure_steps IS 'What erasures have done, each step written in the transaction that did it. A row of another table with the xmin of an anonymising step is what that step left. Its mark is that xmin: in a copy that was loaded from a dump the two differ, and it left nothing.';
REVOKE ALL ON pgveil.erasure_steps FROM PUBLIC;
CREATE TABLE IF NOT EXISTS pgveil.erasure_keys (
    request      bigint NOT NULL,
    data_key     bigint NOT NULL,
    noted_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    destroyed_at timestamptz,
    PRIMARY KEY (request, data_key)
);
COMMENT ON TABLE pgveil.erasure_keys IS 'Data keys of values that erasures have removed, noted in the transaction that removed them, and when they were destroyed in their store.';
REVOKE ALL ON pgveil.erasure_keys FROM PUBLIC;
