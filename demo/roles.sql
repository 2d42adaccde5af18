-- The logins of the policy. Each has every right on the CRM, as the shared
-- login of an application would: it is pgveil that restricts them. Only dora
-- is a superuser. Roles are server-wide, so they may be there already.
DO $$
DECLARE
    login text;
BEGIN
    FOREACH login IN ARRAY ARRAY['alice', 'bob', 'sam', 'ana', 'max', 'bea', 'otto', 'petra', 'dora', 'crm_app'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
            EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', login, login || '-password');
        END IF;
        EXECUTE format('GRANT ALL ON SCHEMA crm TO %I', login);
        EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA crm TO %I', login);
        EXECUTE format('GRANT ALL ON ALL SEQUENCES IN SCHEMA crm TO %I', login);
    END LOOP;
    ALTER ROLE dora SUPERUSER;
END
$$;
