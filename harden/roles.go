package harden

// Attributes and memberships of roles. What is taken away are rights that no
// statement through pgveil has a use for; what one may need is left to hands.
var roleChecks = []check{
	{id: "login-superuser", severity: Open, sql: `
SELECT l.rolname, 'clients come by this login, and it is a superuser: no right that is taken from it counts', NULL::text[],
	ARRAY[pg_catalog.format('ALTER ROLE %I NOSUPERUSER, once it has the rights that it needs', l.rolname)]
FROM logins l, site WHERE l.rolsuper AND l.rolname = ANY (site.ours) AND l.rolname <> site.own ORDER BY 1`},
	{id: "own-superuser", severity: Weak, sql: `
SELECT l.rolname, 'pgveil''s own login is a superuser: it needs to read the catalog, its own schema and, for scram, pg_authid', NULL::text[],
	ARRAY[pg_catalog.format('ALTER ROLE %I NOSUPERUSER; GRANT SELECT ON pg_authid TO %1$I; GRANT pg_read_all_stats TO %1$I', l.rolname)]
FROM logins l, site WHERE l.rolsuper AND l.rolname = site.own`},
	{id: "login-bypassrls", severity: Weak, sql: `
SELECT l.rolname, 'row security does not hold for this login', NULL::text[], ARRAY[pg_catalog.format('ALTER ROLE %I NOBYPASSRLS, unless it is meant to see all rows', l.rolname)]
FROM logins l, site WHERE l.rolbypassrls AND NOT l.rolsuper AND l.rolname = ANY (site.ours) AND l.rolname <> site.own ORDER BY 1`},
	{id: "login-attributes", severity: Open, sql: `
SELECT l.rolname, 'this login may ' || pg_catalog.concat_ws(', ', CASE WHEN l.rolreplication THEN 'read the whole cluster as a replica' END,
		CASE WHEN l.rolcreaterole THEN 'create roles' END, CASE WHEN l.rolcreatedb THEN 'create databases' END),
	ARRAY[pg_catalog.format('ALTER ROLE %I NOREPLICATION NOCREATEROLE NOCREATEDB', l.rolname)], NULL::text[]
FROM logins l, site WHERE (l.rolreplication OR l.rolcreaterole OR l.rolcreatedb) AND NOT l.rolsuper AND l.rolname = ANY (site.ours) AND l.rolname <> site.own ORDER BY 1`},
	{id: "assumed-login", severity: Open, sql: `
SELECT r.rolname, 'pgveil puts sessions into this role, and it may still log in by itself', ARRAY[pg_catalog.format('ALTER ROLE %I NOLOGIN', r.rolname)], NULL::text[]
FROM pg_catalog.pg_roles r, site WHERE r.rolcanlogin AND r.rolname = ANY (site.assumed) AND r.rolname <> ALL (site.keep) AND r.rolname <> site.me ORDER BY 1`},
	{id: "other-superuser", severity: Note, sql: `
SELECT l.rolname, 'a superuser that pgveil does not come by: who has its password goes around everything', NULL::text[], NULL::text[]
FROM logins l, site WHERE l.rolsuper AND l.rolname <> ALL (site.keep) ORDER BY 1`},
	{id: "member-of-files", severity: Open, sql: `
SELECT m.rolname || ' in ' || g.rolname, 'it reads or writes the server''s files, runs programs there, or reaches others'' sessions',
	ARRAY[pg_catalog.format('REVOKE %I FROM %I', g.rolname, m.rolname) || CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000
		THEN pg_catalog.format(' GRANTED BY %s', a.grantor::regrole) ELSE '' END], NULL::text[]
FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member, site
WHERE g.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_signal_backend', 'pg_create_subscription')
	AND NOT m.rolsuper AND m.rolname !~ '^pg_' AND m.rolname <> site.me AND (m.rolname = ANY (site.ours) OR m.rolname <> ALL (site.keep)) ORDER BY 1`},
	{id: "member-of-all-data", severity: Open, sql: `
SELECT m.rolname || ' in ' || g.rolname, 'it reads or writes every table, also of those to come',
	CASE WHEN m.rolname <> ALL (site.ours) THEN ARRAY[pg_catalog.format('REVOKE %I FROM %I', g.rolname, m.rolname)
		|| CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN pg_catalog.format(' GRANTED BY %s', a.grantor::regrole) ELSE '' END] END,
	CASE WHEN m.rolname = ANY (site.ours) THEN ARRAY[pg_catalog.format('grant it the tables that it needs, then REVOKE %I FROM %I', g.rolname, m.rolname)] END
FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member, site
WHERE g.rolname IN ('pg_read_all_data', 'pg_write_all_data') AND NOT m.rolsuper AND m.rolname !~ '^pg_' AND m.rolname NOT IN (site.me, site.own)
	AND (m.rolname = ANY (site.ours) OR m.rolname <> ALL (site.keep)) ORDER BY 1`},
	{id: "own-blind", severity: Weak, sql: `
SELECT l.rolname, 'pgveil''s own login does not see where other connections come from', ARRAY[pg_catalog.format('GRANT pg_read_all_stats TO %I', l.rolname)], NULL::text[]
FROM logins l, site WHERE l.rolname = site.own AND NOT pg_catalog.pg_has_role(l.oid, 'pg_read_all_stats', 'USAGE')`},
	{id: "stale-password", severity: Weak, sql: `
SELECT l.rolname, 'its password is kept as MD5, which is as good as the password to who reads it', NULL::text[], ARRAY['give it a new password under password_encryption = scram-sha-256']
FROM logins l JOIN pg_catalog.pg_authid a ON a.oid = l.oid, site WHERE a.rolpassword LIKE 'md5%' AND l.rolname = ANY (site.ours) ORDER BY 1`},
}
