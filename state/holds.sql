CREATE TABLE IF NOT EXISTS pgveil.holds (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    key         text NOT NULL,
    relation    text NOT NULL,
    matter      text NOT NULL CHECK (matter <> ''),
    made_by     text NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ends_at     timestamptz NOT NULL,
    released_at timestamptz,
    released_by text,
    release     text,
    CHECK ((kind = '') = (key = '') AND (kind <> '' OR relation <> ''))
);
COMMENT ON TABLE pgveil.holds IS 'What must not be erased meanwhile, whoever asks and however long ago it should have gone, and for which matter.';
CREATE INDEX IF NOT EXISTS holds_in_force ON pgveil.holds (kind, key) WHERE released_at IS NULL;
