CREATE TABLE IF NOT EXISTS pgveil.subjects (
    kind    text NOT NULL,
    key     text NOT NULL,
    token   text NOT NULL UNIQUE CHECK (token ~ '^[A-Za-z0-9_-]{22}$'),
    made_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (kind, key)
);
COMMENT ON TABLE pgveil.subjects IS 'What the access log calls data subjects: kind:token. Without a row here nobody knows whom a token means.';
REVOKE ALL ON pgveil.subjects FROM PUBLIC;
