CREATE SCHEMA IF NOT EXISTS pgveil;
CREATE TABLE IF NOT EXISTS pgveil.data_keys (
    id      bigint PRIMARY KEY,
    made    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    key     bigint NOT NULL,
    wrapped bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE pgveil.data_keys IS 'Keys that seal one value each, wrapped under the key named by "key". Who deletes a row here has destroyed the value, wherever copies of it are.';
REVOKE ALL ON pgveil.data_keys FROM PUBLIC;
CREATE TABLE IF NOT EXISTS pgveil.reapings (
    at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    live bigint NOT NULL,
    keys bigint NOT NULL,
    gone bigint NOT NULL
);
COMMENT ON TABLE pgveil.reapings IS 'When keys without a value were destroyed: how many values had keys, of how many keys that were not new, and how many went.';
REVOKE ALL ON pgveil.reapings FROM PUBLIC;
