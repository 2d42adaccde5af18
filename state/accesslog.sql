CREATE TABLE IF NOT EXISTS pgveil.access_log (
    log             text NOT NULL,
    seq             bigint NOT NULL,
    at              timestamptz NOT NULL,
    kind            text NOT NULL,
    id              text,
    session         text,
    login           text,
    username        text,
    roles           text[] NOT NULL,
    purpose         text,
    ticket          text,
    client          text,
    app             text,
    database        text,
    generation      text,
    command         text,
    shape           text,
    fingerprint     text,
    decision        text,
    reasons         text[] NOT NULL,
    classes         text[] NOT NULL,
    columns         text[] NOT NULL,
    column_classes  text[] NOT NULL,
    column_shows    text[] NOT NULL,
    column_uses     text[] NOT NULL,
    subject_kinds   text[] NOT NULL,
    message         text,
    about           bigint,
    signing_key     text,
    event           text,
    hash            bytea NOT NULL,
    outcome         bigint,
    ended_at        timestamptz,
    rows            bigint,
    bytes           bigint,
    tag             text,
    sqlstate        text,
    took            interval,
    outcome_message text,
    outcome_hash    bytea,
    PRIMARY KEY (log, seq, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE pgveil.access_log IS 'The access log: a row for each statement, with its outcome, and for each login, privacy command and change of the system. Loaded from the log''s files, which are what counts: pgveil audit verify --table compares.';
COMMENT ON COLUMN pgveil.access_log.log IS 'which log: its origin, or an id made of its first record';
COMMENT ON COLUMN pgveil.access_log.seq IS 'the record''s place in that log';
COMMENT ON COLUMN pgveil.access_log.classes IS 'of the columns, each once';
COMMENT ON COLUMN pgveil.access_log.columns IS 'classified columns used; column_classes, column_shows and column_uses say more of each, in the same order';
COMMENT ON COLUMN pgveil.access_log.subject_kinds IS 'kinds of data subjects whose rows the statement reaches';
COMMENT ON COLUMN pgveil.access_log.about IS 'of privacy records: the seq of their statement';
COMMENT ON COLUMN pgveil.access_log.hash IS 'leaf hash of the record in the log''s Merkle tree (RFC 6962)';
COMMENT ON COLUMN pgveil.access_log.outcome IS 'seq of the outcome''s record; NULL: none, or none yet';
CREATE INDEX IF NOT EXISTS access_log_at ON pgveil.access_log (at);
CREATE INDEX IF NOT EXISTS access_log_username ON pgveil.access_log (username, at);
CREATE INDEX IF NOT EXISTS access_log_decision ON pgveil.access_log (decision, at);
CREATE INDEX IF NOT EXISTS access_log_classes ON pgveil.access_log USING gin (classes);
CREATE INDEX IF NOT EXISTS access_log_id ON pgveil.access_log (id) WHERE id IS NOT NULL;
CREATE INDEX IF NOT EXISTS access_log_open ON pgveil.access_log (log, seq)
    WHERE kind = 'statement' AND outcome IS NULL AND decision IS DISTINCT FROM 'refuse';

CREATE TABLE IF NOT EXISTS pgveil.access_subjects (
    log     text NOT NULL,
    seq     bigint NOT NULL,
    at      timestamptz NOT NULL,
    record  bigint NOT NULL,
    n       integer NOT NULL,
    kind    text NOT NULL,
    token   text,
    at_most bigint,
    PRIMARY KEY (log, seq, record, n, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE pgveil.access_subjects IS 'Whose rows a statement returned or changed. Without a token: somebody''s of that kind who is not named.';
COMMENT ON COLUMN pgveil.access_subjects.seq IS 'of the statement, as in pgveil.access_log; at is the statement''s, too';
COMMENT ON COLUMN pgveil.access_subjects.record IS 'seq of the record that says so, and n the place in it';
COMMENT ON COLUMN pgveil.access_subjects.at_most IS 'how many are not named at most; -1: any number';
CREATE INDEX IF NOT EXISTS access_subjects_token ON pgveil.access_subjects (kind, token, at);

CREATE TABLE IF NOT EXISTS pgveil.access_loads (
    log       text PRIMARY KEY,
    first     bytea NOT NULL UNIQUE,
    records   bigint NOT NULL,
    last      bytea NOT NULL,
    newest    timestamptz,
    loaded_at timestamptz NOT NULL
);
COMMENT ON TABLE pgveil.access_loads IS 'How many records of each log are in pgveil.access_log. first and last are the leaf hashes of the first record, and of the last that was loaded.';

CREATE TABLE IF NOT EXISTS pgveil.access_kept (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    since timestamptz NOT NULL
);
COMMENT ON TABLE pgveil.access_kept IS 'From when on pgveil.access_log is kept: what is older was dropped, and is not loaded.';

CREATE TABLE IF NOT EXISTS pgveil.access_firsts (
    username text NOT NULL,
    what     text NOT NULL CHECK (what IN ('class', 'relation')),
    name     text NOT NULL,
    at       timestamptz NOT NULL,
    log      text NOT NULL,
    seq      bigint NOT NULL,
    PRIMARY KEY (username, what, name)
);
CREATE INDEX IF NOT EXISTS access_firsts_at ON pgveil.access_firsts (at);
CREATE TABLE IF NOT EXISTS pgveil.access_hours (
    username   text NOT NULL,
    hour       timestamptz NOT NULL,
    statements bigint NOT NULL,
    classified bigint NOT NULL,
    refused    bigint NOT NULL,
    PRIMARY KEY (username, hour)
);
CREATE INDEX IF NOT EXISTS access_hours_hour ON pgveil.access_hours (hour);

CREATE OR REPLACE FUNCTION pgveil.access_log_days(first date, last date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    day date;
    base text;
    part text;
    reader text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgveil.access_log_days'));
    FOR day IN SELECT d::date FROM generate_series(first, last, interval '1 day') AS d LOOP
        FOREACH base IN ARRAY ARRAY['access_log', 'access_subjects'] LOOP
            part := base || to_char(day, '_YYYYMMDD');
            CONTINUE WHEN to_regclass(format('pgveil.%I', part)) IS NOT NULL;
            -- Attached, not made as a part: that would wait for whoever reads the log.
            EXECUTE format('CREATE TABLE pgveil.%I (LIKE pgveil.%I INCLUDING ALL)', part, base);
            FOR reader IN
                SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = format('pgveil.%I', part)::regclass AND a.grantee <> c.relowner
            LOOP
                EXECUTE format('REVOKE ALL ON pgveil.%I FROM ', part) || reader;
            END LOOP;
            EXECUTE format('ALTER TABLE pgveil.%I ATTACH PARTITION pgveil.%I FOR VALUES FROM (%L) TO (%L)', base, part,
                day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
END
$body$;
COMMENT ON FUNCTION pgveil.access_log_days(date, date) IS 'Makes the parts of pgveil.access_log for some days, in UTC.';
REVOKE ALL ON FUNCTION pgveil.access_log_days(date, date) FROM PUBLIC;

-- Whoever asks for the lock to drop a part keeps new readers waiting meanwhile.
CREATE OR REPLACE FUNCTION pgveil.access_log_keep(first date) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $body$
DECLARE
    part regclass;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgveil.access_log_days'));
    INSERT INTO pgveil.access_kept (since) VALUES (first::timestamp AT TIME ZONE 'UTC')
        ON CONFLICT (one) DO UPDATE SET since = greatest(excluded.since, access_kept.since);
    FOR part IN
        SELECT c.oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('pgveil.access_log'::regclass, 'pgveil.access_subjects'::regclass)
          AND c.relname ~ '^access_(log|subjects)_[0-9]{8}$' AND right(c.relname, 8) < to_char(first, 'YYYYMMDD')
        ORDER BY right(c.relname, 8) LIMIT 64 -- each takes locks on all that is of it
    LOOP
        EXECUTE 'DROP TABLE ' || part;
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM pgveil.access_hours WHERE hour < first::timestamp AT TIME ZONE 'UTC';
    RETURN dropped;
END
$body$;
COMMENT ON FUNCTION pgveil.access_log_keep(date) IS 'Drops parts of pgveil.access_log from before a day, for good: the oldest, not too many at once. Gives how many.';
REVOKE ALL ON FUNCTION pgveil.access_log_keep(date) FROM PUBLIC;

CREATE OR REPLACE VIEW pgveil.access_columns AS
    SELECT a.at, a.log, a.seq, a.username, a.login, a.purpose, a.command, a.decision, c.name, c.class, c.shown, c.used, a.rows, a.sqlstate
    FROM pgveil.access_log AS a,
         unnest(a.columns, a.column_classes, a.column_shows, a.column_uses) AS c (name, class, shown, used)
    WHERE a.kind = 'statement';
COMMENT ON VIEW pgveil.access_columns IS 'A row for each classified column that a statement used, and how it was shown.';

CREATE OR REPLACE VIEW pgveil.refusals AS
    SELECT a.at, a.log, a.seq, a.id, a.username, a.login, a.roles, a.purpose, a.client, a.app, a.command, a.sqlstate, a.message, a.reasons, a.shape
    FROM pgveil.access_log AS a WHERE a.decision = 'refuse';
COMMENT ON VIEW pgveil.refusals IS 'Statements that were refused. id is what the error message showed.';

CREATE OR REPLACE VIEW pgveil.first_accesses AS
    SELECT f.at, f.username, f.what, f.name, f.log, f.seq FROM pgveil.access_firsts AS f;
COMMENT ON VIEW pgveil.first_accesses IS 'When a user first used a class or a relation with classified columns. Kept beyond the days of pgveil.access_log.';

CREATE OR REPLACE VIEW pgveil.unusual_hours AS
    SELECT h.hour, h.username, h.statements, h.classified, h.refused, p.days AS days_before
    FROM pgveil.access_hours AS h
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT (b.hour AT TIME ZONE 'UTC')::date) AS days,
               count(*) FILTER (WHERE mod(24 + extract(hour FROM b.hour AT TIME ZONE 'UTC')::integer
                                             - extract(hour FROM h.hour AT TIME ZONE 'UTC')::integer, 24) IN (0, 1, 23)) AS alike
        FROM pgveil.access_hours AS b
        WHERE b.username = h.username AND b.hour >= h.hour - interval '28 days' AND b.hour < h.hour - interval '12 hours'
    ) AS p
    WHERE p.days >= 5 AND p.alike = 0;
COMMENT ON VIEW pgveil.unusual_hours IS 'Hours in which a user worked who had not, in the 28 days before, worked within an hour of that time of day, on five days at least.';

CREATE OR REPLACE VIEW pgveil.elevation_history AS
    SELECT e.id, e.login, e.username, e.role, e.purpose, e.reason, e.approval, e.lasts, e.state, e.asked_at, e.ends_at,
           e.decided_by, e.decided_at, e.decision, e.reviewed_by, e.reviewed_at, e.review
    FROM pgveil.elevations AS e;
COMMENT ON VIEW pgveil.elevation_history IS 'Purposes that somebody was given for a time, who saw to it, and what was found.';

CREATE OR REPLACE VIEW pgveil.access_loaded AS
    SELECT l.log, l.records, l.newest, l.loaded_at, (SELECT k.since FROM pgveil.access_kept AS k) AS kept_since
    FROM pgveil.access_loads AS l;
COMMENT ON VIEW pgveil.access_loaded IS 'How far pgveil.access_log has come with each log.';

-- Sums are functions of a time: a condition on a day would not keep a view from
-- reading every part of the log.
CREATE OR REPLACE FUNCTION pgveil.user_days(since timestamptz DEFAULT now() - interval '30 days', until timestamptz DEFAULT NULL)
    RETURNS TABLE (day date, username text, purpose text, command text, decision text, statements bigint, rows numeric, failed bigint,
                   first timestamptz, last timestamptz)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT (a.at AT TIME ZONE 'UTC')::date, a.username, a.purpose, a.command, a.decision, count(*), sum(a.rows),
               count(*) FILTER (WHERE a.sqlstate IS NOT NULL), min(a.at), max(a.at)
        FROM pgveil.access_log AS a
        WHERE a.kind = 'statement' AND a.at >= coalesce($1, '-infinity') AND a.at < coalesce($2, 'infinity')
        GROUP BY 1, 2, 3, 4, 5;
    END;
COMMENT ON FUNCTION pgveil.user_days(timestamptz, timestamptz) IS 'What each user did, day by day in UTC: statements by purpose, command and decision.';

CREATE OR REPLACE FUNCTION pgveil.refusals_by_rule(since timestamptz DEFAULT now() - interval '30 days', until timestamptz DEFAULT NULL)
    RETURNS TABLE (day date, rule text, refused bigint, users bigint, first timestamptz, last timestamptz)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT (a.at AT TIME ZONE 'UTC')::date, coalesce(a.reasons[cardinality(a.reasons)], a.message),
               count(*), count(DISTINCT a.username), min(a.at), max(a.at)
        FROM pgveil.access_log AS a
        WHERE a.decision = 'refuse' AND a.at >= coalesce($1, '-infinity') AND a.at < coalesce($2, 'infinity')
        GROUP BY 1, 2;
    END;
COMMENT ON FUNCTION pgveil.refusals_by_rule(timestamptz, timestamptz) IS 'How often what refused statements, day by day in UTC: the policy''s rule, or where there is none the message.';

CREATE OR REPLACE FUNCTION pgveil.access_by_purpose(since timestamptz DEFAULT now() - interval '30 days', until timestamptz DEFAULT NULL)
    RETURNS TABLE (day date, purpose text, class text, shown text, used text, statements bigint, users bigint, rows numeric)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT (a.at AT TIME ZONE 'UTC')::date, a.purpose, c.class, c.shown, c.used, count(*), count(DISTINCT a.username), sum(a.rows)
        FROM pgveil.access_log AS a,
             LATERAL (SELECT DISTINCT u.class, u.shown, u.used
                      FROM unnest(a.column_classes, a.column_shows, a.column_uses) AS u (class, shown, used)) AS c
        WHERE a.kind = 'statement' AND a.decision IS DISTINCT FROM 'refuse'
          AND a.at >= coalesce($1, '-infinity') AND a.at < coalesce($2, 'infinity')
        GROUP BY 1, 2, 3, 4, 5;
    END;
COMMENT ON FUNCTION pgveil.access_by_purpose(timestamptz, timestamptz) IS 'Which classes were used for which purpose, and how they were shown, day by day in UTC.';

CREATE OR REPLACE FUNCTION pgveil.who_saw(kind text, key text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
    RETURNS TABLE (at timestamptz, certain boolean, at_most bigint, username text, login text, roles text[], purpose text, ticket text,
                   client text, app text, command text, decision text, columns text[], shows text[], rows bigint, tag text,
                   sqlstate text, ended_at timestamptz, log text, seq bigint, shape text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $body$
BEGIN
    -- Executed, so that it is planned for these times: parts of the log that they
    -- rule out are not even thought of.
    RETURN QUERY EXECUTE $query$
        SELECT a.at, w.certain, w.at_most, a.username, a.login, a.roles, a.purpose, a.ticket, a.client, a.app, a.command, a.decision,
               a.columns, a.column_shows, a.rows, a.tag, a.sqlstate, a.ended_at, a.log, a.seq, a.shape
        FROM (SELECT f.log, f.seq, f.at, bool_or(f.certain) AS certain,
                     CASE WHEN bool_or(f.certain) THEN NULL WHEN min(f.at_most) < 0 THEN -1 ELSE sum(f.at_most)::bigint END AS at_most
              FROM (SELECT s.log, s.seq, s.at, true AS certain, NULL::bigint AS at_most
                    FROM pgveil.subjects AS t JOIN pgveil.access_subjects AS s ON s.kind = t.kind AND s.token = t.token
                    WHERE t.kind = $1 AND t.key = $2
                      AND s.at >= coalesce($3, '-infinity') AND s.at < coalesce($4, 'infinity')
                    UNION ALL
                    SELECT s.log, s.seq, s.at, false, s.at_most
                    FROM pgveil.access_subjects AS s
                    WHERE s.kind IN ($1, '*') AND s.token IS NULL
                      AND s.at >= coalesce($3, '-infinity') AND s.at < coalesce($4, 'infinity')
                    UNION ALL
                    SELECT o.log, o.seq, o.at, false, -1
                    FROM pgveil.access_log AS o
                    WHERE o.kind = 'statement' AND o.outcome IS NULL AND o.decision IS DISTINCT FROM 'refuse' AND o.subject_kinds && ARRAY[$1, '*']
                      AND o.at >= coalesce($3, '-infinity') AND o.at < coalesce($4, 'infinity')) AS f
              GROUP BY f.log, f.seq, f.at) AS w
        JOIN pgveil.access_log AS a ON a.log = w.log AND a.seq = w.seq AND a.at = w.at
            AND a.at >= coalesce($3, '-infinity') AND a.at < coalesce($4, 'infinity')
        ORDER BY a.at, a.log, a.seq
    $query$ USING $1, $2, $3, $4;
END
$body$;
COMMENT ON FUNCTION pgveil.who_saw(text, text, timestamptz, timestamptz) IS 'Statements that returned or changed rows of a data subject (certain), and those that may have: they say that they reached subjects whom they do not name, or have no outcome.';
CREATE OR REPLACE FUNCTION pgveil.who_saw(kind text, key bigint, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
    RETURNS TABLE (at timestamptz, certain boolean, at_most bigint, username text, login text, roles text[], purpose text, ticket text,
                   client text, app text, command text, decision text, columns text[], shows text[], rows bigint, tag text,
                   sqlstate text, ended_at timestamptz, log text, seq bigint, shape text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT w.* FROM pgveil.who_saw($1, $2::text, $3, $4) AS w
$body$;
CREATE OR REPLACE FUNCTION pgveil.who_saw(kind text, key uuid, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
    RETURNS TABLE (at timestamptz, certain boolean, at_most bigint, username text, login text, roles text[], purpose text, ticket text,
                   client text, app text, command text, decision text, columns text[], shows text[], rows bigint, tag text,
                   sqlstate text, ended_at timestamptz, log text, seq bigint, shape text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT w.* FROM pgveil.who_saw($1, $2::text, $3, $4) AS w
$body$;
REVOKE ALL ON FUNCTION pgveil.who_saw(text, text, timestamptz, timestamptz), pgveil.who_saw(text, bigint, timestamptz, timestamptz),
    pgveil.who_saw(text, uuid, timestamptz, timestamptz), pgveil.user_days(timestamptz, timestamptz),
    pgveil.refusals_by_rule(timestamptz, timestamptz), pgveil.access_by_purpose(timestamptz, timestamptz) FROM PUBLIC;
