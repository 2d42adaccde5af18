CREATE TABLE IF NOT EXISTS pgveil.requests (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what        text NOT NULL CHECK (what IN ('access', 'portability', 'rectification', 'erasure', 'restriction', 'objection')),
    kind        text NOT NULL,
    key         text[],
    token       text NOT NULL,
    purpose     text NOT NULL,
    reason      text NOT NULL,
    asked       bytea,
    needles     bytea,
    regime      text NOT NULL,
    channel     text NOT NULL,
    received_at timestamptz NOT NULL,
    opened_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    opened_by   text NOT NULL,
    opener_proven boolean NOT NULL DEFAULT false,
    due_on      date NOT NULL,
    extend_to   date,
    confirm_by  date,
    extended    boolean NOT NULL DEFAULT false,
    identity    text NOT NULL CHECK (identity IN ('none', 'contact', 'account', 'document')),
    verified_by text NOT NULL DEFAULT '',
    verified_at timestamptz,
    at_once     boolean NOT NULL,
    state       text NOT NULL CHECK (state IN ('open', 'ready', 'queued', 'running', 'erased', 'review', 'failed',
                    'completed', 'denied', 'cancelled')),
    plan        jsonb,
    plan_hash   text NOT NULL DEFAULT '',
    done        bigint NOT NULL DEFAULT 0,
    todo        bigint NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    run_after   timestamptz NOT NULL DEFAULT '-infinity',
    failure     text NOT NULL DEFAULT '',
    despite     text NOT NULL DEFAULT '',
    despite_by  text NOT NULL DEFAULT '',
    despite_proven boolean NOT NULL DEFAULT false,
    warned      smallint NOT NULL DEFAULT 0,
    code        text NOT NULL DEFAULT '',
    ended_at    timestamptz,
    outcome     jsonb,
    certificate bytea
);
COMMENT ON TABLE pgveil.requests IS 'What data subjects asked for, and how it was answered. The keys of those who were erased are not kept.';
-- Of tables that an earlier pgveil made: nobody knows any more who was proven.
ALTER TABLE pgveil.requests ADD COLUMN IF NOT EXISTS opener_proven boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS despite_by text NOT NULL DEFAULT '', ADD COLUMN IF NOT EXISTS despite_proven boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS requests_by_state ON pgveil.requests (due_on, id) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS requests_to_run ON pgveil.requests (due_on, id) WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS requests_erased ON pgveil.requests (id) WHERE state = 'erased';
CREATE INDEX IF NOT EXISTS requests_by_subject ON pgveil.requests (kind, token);
CREATE INDEX IF NOT EXISTS requests_by_channel ON pgveil.requests (channel) WHERE channel <> '';

CREATE TABLE IF NOT EXISTS pgveil.request_events (
    request bigint NOT NULL REFERENCES pgveil.requests ON DELETE CASCADE,
    seq     integer NOT NULL,
    at      timestamptz NOT NULL,
    who     text NOT NULL,
    what    text NOT NULL,
    note    text NOT NULL,
    plan    text NOT NULL,
    digest  bytea NOT NULL,
    PRIMARY KEY (request, seq)
);
COMMENT ON TABLE pgveil.request_events IS 'Who did what about a request. The access log has the digest of each.';
