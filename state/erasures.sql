CREATE TABLE IF NOT EXISTS pgveil.erasures_seen (
    seq     bigint NOT NULL,
    digest  bytea PRIMARY KEY CHECK (pg_catalog.octet_length(digest) = 32),
    seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE pgveil.erasures_seen IS 'Which entries of the ledger of erasures this database has carried out. One that the ledger calls done and that is missing here was undone by a restore.';
