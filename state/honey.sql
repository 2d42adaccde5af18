CREATE TABLE IF NOT EXISTS pgveil.honey (
    kind       text NOT NULL,
    digest     bytea NOT NULL CHECK (pg_catalog.octet_length(digest) = 32),
    sealed     bytea NOT NULL,
    adopted    boolean NOT NULL,
    planted_on date NOT NULL DEFAULT CURRENT_DATE,
    PRIMARY KEY (kind, digest)
);
COMMENT ON TABLE pgveil.honey IS 'Planted records. Which rows they are only pgveil''s key file tells.';
REVOKE ALL ON pgveil.honey FROM PUBLIC;
