
CREATE TABLE IF NOT EXISTS pgveil.consent_events (
    seq               bigint PRIMARY KEY,
    record_id         uuid NOT NULL,
    schema_version    text NOT NULL,
    subject_kind      text NOT NULL,
    subject_key       text NOT NULL,
    event_time        timestamptz NOT NULL,
    event_type        text NOT NULL CHECK (event_type IN
        ('given', 'withdrawn', 'restricted', 'objected', 'restriction lifted', 'objection lifted')),
    event_state       text NOT NULL,
    consent           text,
    purposes          text[] NOT NULL,
    lawful_basis      text,
    privacy_notice    text,
    language          text,
    collection_method text,
    jurisdiction      text,
    valid_until       timestamptz,
    entity_id         text NOT NULL,
    withdrawal_method text,
    reason            text,
    previous          bytea NOT NULL UNIQUE,
    digest            bytea NOT NULL UNIQUE CHECK (pg_catalog.length(digest) = 32)
);
COMMENT ON TABLE pgveil.consent_events IS 'What data subjects said, event by event (fields of ISO/IEC TS 27560). Only added to.';
CREATE INDEX IF NOT EXISTS consent_events_subject ON pgveil.consent_events (subject_key, subject_kind, seq);

CREATE OR REPLACE FUNCTION pgveil.only_added_to() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'pgveil.consent_events is only added to' USING ERRCODE = 'insufficient_privilege';
END
$body$;
REVOKE ALL ON FUNCTION pgveil.only_added_to() FROM PUBLIC;
DROP TRIGGER IF EXISTS only_added_to ON pgveil.consent_events;
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON pgveil.consent_events
    FOR EACH STATEMENT EXECUTE FUNCTION pgveil.only_added_to();
ALTER TABLE pgveil.consent_events ENABLE ALWAYS TRIGGER only_added_to;
