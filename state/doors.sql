CREATE TABLE IF NOT EXISTS pgveil.backends (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    seen_at    timestamptz NOT NULL,
    every      interval NOT NULL,
    logins     bigint NOT NULL,
    backends   jsonb NOT NULL
);
COMMENT ON TABLE pgveil.backends IS 'Processes of pgveil in front of this database, and which of its connections they say are theirs: process number, and between which moments it began.';
REVOKE ALL ON pgveil.backends FROM PUBLIC;

CREATE TABLE IF NOT EXISTS pgveil.side_doors (
    host        text NOT NULL,
    pid         integer NOT NULL,
    began       timestamptz NOT NULL,
    kind        text NOT NULL,
    database    text NOT NULL,
    login       text NOT NULL,
    application text NOT NULL,
    address     text NOT NULL,
    first_seen  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    last_seen   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (host, pid, began)
);
COMMENT ON TABLE pgveil.side_doors IS 'Connections to the database that went around pgveil.';
REVOKE ALL ON pgveil.side_doors FROM PUBLIC;
