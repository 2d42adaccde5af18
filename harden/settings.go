package harden

// Settings. A statement's text and its parameters are personal data: what the
// server writes into its own log, pgveil's log keeps out. ALTER DATABASE takes
// effect for sessions that begin then, and can be taken back.
var settingChecks = []check{
	{id: "server-log", severity: Weak, sql: `
SELECT s.name, 'the server''s log holds ' || w.what, ARRAY[pg_catalog.format('ALTER DATABASE %I SET %s = %L', pg_catalog.current_database(), s.name, w.better)], NULL::text[]
FROM pg_catalog.pg_settings s JOIN (VALUES
	('log_statement', '^(mod|all)$', 'statements with their literals', 'ddl'),
	('log_min_duration_statement', '^[0-9]', 'slow statements with their literals', '-1'),
	('log_min_duration_sample', '^[0-9]', 'some slow statements with their literals', '-1'),
	('log_min_error_statement', '^(debug|info|notice|warning|error)', 'statements that failed with their literals', 'fatal'),
	('log_parameter_max_length', '^(-1|[1-9])', 'parameters of statements that it logs', '0'),
	('log_parameter_max_length_on_error', '^(-1|[1-9])', 'parameters of statements that failed', '0'),
	('auto_explain.log_min_duration', '^[0-9]', 'plans with their literals', '-1')) AS w (name, pattern, what, better) ON s.name = w.name
WHERE s.setting ~ w.pattern ORDER BY 1`},
	{id: "password-encryption", severity: Weak, sql: `
SELECT s.name, 'new passwords are kept as MD5', ARRAY[pg_catalog.format('ALTER DATABASE %I SET password_encryption = ''scram-sha-256''', pg_catalog.current_database())],
	ARRAY['set it in postgresql.conf: passwords are set from other databases, too']
FROM pg_catalog.pg_settings s WHERE s.name = 'password_encryption' AND s.setting <> 'scram-sha-256'`},
	{id: "row-security", severity: Weak, sql: `
SELECT s.name, 'row security is off: statements that it concerns fail, or show all rows', ARRAY[pg_catalog.format('ALTER DATABASE %I SET row_security = on', pg_catalog.current_database())], NULL::text[]
FROM pg_catalog.pg_settings s WHERE s.name = 'row_security' AND s.setting = 'off'`},
	{id: "ssl", severity: Weak, sql: `
SELECT s.name, 'the server listens on ' || l.setting || ' and offers no TLS', NULL::text[], ARRAY['ssl = on, with a certificate, in postgresql.conf']
FROM pg_catalog.pg_settings s, pg_catalog.pg_settings l WHERE s.name = 'ssl' AND s.setting = 'off' AND l.name = 'listen_addresses'
	AND l.setting !~ '^\s*((localhost|127(\.\d+){3}|::1)\s*(,\s*|$))*$'`},
	{id: "listens-everywhere", severity: Note, sql: `
SELECT s.name, 'the server listens on every address of its machine', NULL::text[], ARRAY['listen_addresses = the address on which pgveil reaches it']
FROM pg_catalog.pg_settings s WHERE s.name = 'listen_addresses' AND s.setting ~ '(\*|0\.0\.0\.0|::(\s|,|$))'`},
}

// What data leaves by, and what runs by somebody else's rights.
var objectChecks = []check{
	{id: "extension", severity: Note, sql: `
SELECT e.extname, 'this extension reads files, other servers or pages, or runs programs', NULL::text[], ARRAY['drop it where nobody needs it']
FROM pg_catalog.pg_extension e WHERE e.extname IN ('dblink', 'postgres_fdw', 'file_fdw', 'adminpack', 'pageinspect', 'pg_walinspect', 'pg_cron', 'pg_background', 'plpython3u', 'plperlu', 'pltclu') ORDER BY 1`},
	{id: "untrusted-function", severity: Weak, sql: `
SELECT p.oid::regprocedure::text, 'everybody may execute it, and it is written in ' || l.lanname || ', which does what the server''s account may', NULL::text[],
	ARRAY['REVOKE EXECUTE from PUBLIC, and grant it to who needs it']
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
WHERE NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c', 'sql') AND a.grantee = 0 ORDER BY 1`},
	{id: "definer-function", severity: Weak, sql: `
SELECT p.oid::regprocedure::text, 'everybody may execute it, and it has the rights of ' || pg_catalog.pg_get_userbyid(p.proowner) || ', not of who calls it', NULL::text[],
	ARRAY['REVOKE EXECUTE from PUBLIC, and grant it to who needs it']
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
WHERE p.prosecdef AND a.grantee = 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgveil') ORDER BY 1`},
	{id: "publication", severity: Note, sql: `
SELECT p.pubname, CASE WHEN p.puballtables THEN 'publishes every table' ELSE 'publishes ' || (SELECT pg_catalog.count(*) FROM pg_catalog.pg_publication_tables t WHERE t.pubname = p.pubname) || ' tables' END
	|| ': rows leave by it as they are', NULL::text[], ARRAY['drop it where nobody subscribes to it']
FROM pg_catalog.pg_publication p ORDER BY 1`},
	{id: "replication-slot", severity: Note, sql: `
SELECT s.slot_name, 'changes of rows leave by this slot as they are', NULL::text[], ARRAY['drop it where nobody reads it']
FROM pg_catalog.pg_replication_slots s WHERE s.database = pg_catalog.current_database() OR s.database IS NULL ORDER BY 1`},
	{id: "subscription", severity: Note, sql: `
SELECT s.subname, 'this database takes in rows from another server', NULL::text[], NULL::text[]
FROM pg_catalog.pg_stat_subscription s WHERE EXISTS (SELECT FROM governed) ORDER BY 1`},
	{id: "foreign-table", severity: Note, sql: `
SELECT g.name, 'its rows are in another server: what that lets see is not decided here', NULL::text[], NULL::text[]
FROM governed g WHERE g.relkind = 'f' ORDER BY 1`},
	{id: "user-mapping", severity: Note, sql: `
SELECT m.srvname || ' for ' || m.usename, 'logs in to another server', NULL::text[], NULL::text[] FROM pg_catalog.pg_user_mappings m ORDER BY 1`},
	{id: "event-trigger", severity: Note, sql: `
SELECT e.evtname, 'runs with every ' || e.evtevent, NULL::text[], NULL::text[] FROM pg_catalog.pg_event_trigger e WHERE e.evtenabled <> 'D' ORDER BY 1`},
}
