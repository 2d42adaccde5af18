package harden

// Privileges. What everybody had, the logins that pgveil comes by keep.
var grantChecks = []check{
	{id: "connect-public", severity: Open, sql: `
SELECT d.datname, 'every login of the server may connect to the database', (
	SELECT pg_catalog.array_agg(pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', d.datname, l.rolname) ORDER BY l.rolname)
	FROM logins l WHERE l.rolname = ANY (site.keep) OR l.rolname = site.me)
	|| pg_catalog.format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', d.datname), NULL::text[]
FROM pg_catalog.pg_database d, site WHERE d.datname = pg_catalog.current_database()
	AND EXISTS (SELECT FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT')`},
	{id: "connect-others", severity: Open, sql: `
SELECT o.rolname, 'a login that pgveil does not come by may connect to the database',
	ARRAY[pg_catalog.format('REVOKE CONNECT ON DATABASE %I FROM %I', d.datname, o.rolname)], NULL::text[]
FROM pg_catalog.pg_database d CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) a JOIN outsiders o ON o.oid = a.grantee
WHERE d.datname = pg_catalog.current_database() AND a.privilege_type = 'CONNECT' AND d.datdba <> o.oid ORDER BY 1`},
	{id: "tables-public", severity: Open, sql: `
SELECT g.name, 'everybody may ' || pg_catalog.string_agg(DISTINCT a.privilege_type, ', '), (
		SELECT pg_catalog.array_agg(pg_catalog.format('GRANT %s ON %s TO %I', p.privileges, g.quoted, l.rolname) ORDER BY l.rolname)
		FROM logins l WHERE l.rolname = ANY (site.ours) AND NOT l.rolsuper)
	|| pg_catalog.format('REVOKE ALL ON %s FROM PUBLIC', g.quoted), NULL::text[]
FROM governed g CROSS JOIN LATERAL pg_catalog.aclexplode(g.relacl) a
	CROSS JOIN LATERAL (SELECT pg_catalog.string_agg(DISTINCT x.privilege_type, ', ') AS privileges FROM pg_catalog.aclexplode(g.relacl) x WHERE x.grantee = 0) p, site
WHERE a.grantee = 0 GROUP BY g.name, g.quoted, p.privileges, site.ours ORDER BY 1`},
	{id: "tables-others", severity: Open, sql: `
SELECT o.rolname, 'a login that pgveil does not come by has privileges on ' || pg_catalog.string_agg(DISTINCT g.name, ', '),
	pg_catalog.array_agg(DISTINCT pg_catalog.format('REVOKE ALL ON %s FROM %I', g.quoted, o.rolname)), NULL::text[]
FROM governed g CROSS JOIN LATERAL pg_catalog.aclexplode(g.relacl) a JOIN outsiders o ON o.oid = a.grantee
WHERE g.relowner <> o.oid GROUP BY o.rolname ORDER BY 1`},
	{id: "columns-others", severity: Open, sql: `
SELECT coalesce(o.rolname, 'PUBLIC') || ' on ' || g.name, 'privileges on columns of those that pgveil does not come by',
	CASE WHEN o.rolname IS NOT NULL THEN ARRAY[pg_catalog.format('REVOKE ALL ON %s FROM %I', g.quoted, o.rolname)] END,
	CASE WHEN o.rolname IS NULL THEN ARRAY[pg_catalog.format('grant them to who needs them, then REVOKE ALL ON %s FROM PUBLIC', g.quoted)] END
FROM governed g JOIN pg_catalog.pg_attribute c ON c.attrelid = g.oid CROSS JOIN LATERAL pg_catalog.aclexplode(c.attacl) a LEFT JOIN outsiders o ON o.oid = a.grantee
WHERE a.grantee = 0 OR o.oid IS NOT NULL GROUP BY o.rolname, g.name, g.quoted ORDER BY 1`},
	{id: "groups-others", severity: Open, sql: `
SELECT o.rolname || ' in ' || r.rolname, 'by this role, a login that pgveil does not come by has privileges on ' || pg_catalog.string_agg(DISTINCT g.name, ', '),
	CASE WHEN d.grantor IS NOT NULL THEN ARRAY[pg_catalog.format('REVOKE %I FROM %I', r.rolname, o.rolname)
		|| CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN pg_catalog.format(' GRANTED BY %s', d.grantor::regrole) ELSE '' END] END,
	CASE WHEN d.grantor IS NULL THEN ARRAY['it is a member by way of another role: take it out there'] END
FROM governed g CROSS JOIN LATERAL pg_catalog.aclexplode(g.relacl) a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
	JOIN outsiders o ON o.oid <> r.oid AND pg_catalog.pg_has_role(o.oid, r.oid, 'MEMBER')
	LEFT JOIN pg_catalog.pg_auth_members d ON d.roleid = r.oid AND d.member = o.oid
GROUP BY o.rolname, r.rolname, d.grantor ORDER BY 1`},
	{id: "owner-logs-in", severity: Note, sql: `
SELECT l.rolname, 'this login owns ' || pg_catalog.count(*) || ' governed relations: it may grant them to anybody', NULL::text[],
	ARRAY['let a role without LOGIN own them']
FROM governed g JOIN logins l ON l.oid = g.relowner WHERE NOT l.rolsuper GROUP BY l.rolname ORDER BY 1`},
	{id: "schema-create", severity: Weak, sql: `
SELECT n.nspname, 'everybody may create objects in this schema, which others may take for the real ones', (
		SELECT pg_catalog.array_agg(pg_catalog.format('GRANT CREATE ON SCHEMA %I TO %I', n.nspname, l.rolname) ORDER BY l.rolname)
		FROM logins l WHERE l.rolname = ANY (site.ours) AND NOT l.rolsuper)
	|| pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', n.nspname), NULL::text[]
FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a, site WHERE a.grantee = 0 AND a.privilege_type = 'CREATE' ORDER BY 1`},
	{id: "default-privileges", severity: Open, sql: `
SELECT p.owner || coalesce(' in ' || n.nspname, ''), 'relations that this role will make are granted to ' || p.grantee,
	ARRAY[pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON TABLES FROM %s', p.owner,
		coalesce(' IN SCHEMA ' || pg_catalog.quote_ident(n.nspname), ''), CASE p.grantee WHEN 'everybody' THEN 'PUBLIC' ELSE pg_catalog.quote_ident(p.grantee) END)], NULL::text[]
FROM (SELECT DISTINCT pg_catalog.pg_get_userbyid(d.defaclrole)::text AS owner, d.defaclnamespace AS schema, coalesce(o.rolname, 'everybody') AS grantee
	FROM pg_catalog.pg_default_acl d CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) a LEFT JOIN outsiders o ON o.oid = a.grantee
	WHERE d.defaclobjtype = 'r' AND (a.grantee = 0 OR o.oid IS NOT NULL)) AS p LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.schema ORDER BY 1`},
	{id: "functions-files", severity: Open, sql: `
SELECT p.oid::regprocedure::text, 'who is no superuser may execute it: it reads or writes files, or connects to servers', pg_catalog.array_agg(DISTINCT
	pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM %s', pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
		CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)), NULL::text[]
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
	CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a, site
WHERE a.grantee <> p.proowner AND a.grantee <> coalesce((SELECT oid FROM pg_catalog.pg_roles WHERE rolname = 'pg_read_server_files'), 0)
	AND coalesce(pg_catalog.pg_get_userbyid(NULLIF(a.grantee, 0))::text, '') !~ '^pg_' AND coalesce(pg_catalog.pg_get_userbyid(NULLIF(a.grantee, 0))::text, '') <> site.own
	AND (n.nspname = 'pg_catalog' AND p.proname IN ('pg_read_file', 'pg_read_binary_file', 'pg_ls_dir', 'pg_stat_file', 'lo_import', 'lo_export',
			'pg_ls_logdir', 'pg_ls_waldir', 'pg_ls_tmpdir', 'pg_file_write', 'pg_file_read', 'pg_hba_file_rules', 'pg_show_all_file_settings')
		OR EXISTS (SELECT FROM pg_catalog.pg_depend x JOIN pg_catalog.pg_extension e ON e.oid = x.refobjid AND x.refclassid = 'pg_catalog.pg_extension'::regclass
			WHERE x.classid = 'pg_catalog.pg_proc'::regclass AND x.objid = p.oid AND x.deptype = 'e' AND e.extname IN ('dblink', 'adminpack', 'pageinspect', 'pg_walinspect')))
GROUP BY p.oid, n.nspname, p.proname ORDER BY 1`},
	{id: "foreign-servers", severity: Open, sql: `
SELECT s.srvname, 'others than superusers may read other servers by this one', pg_catalog.array_agg(DISTINCT
	pg_catalog.format('REVOKE USAGE ON FOREIGN SERVER %I FROM %s', s.srvname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)), NULL::text[]
FROM pg_catalog.pg_foreign_server s CROSS JOIN LATERAL pg_catalog.aclexplode(s.srvacl) a WHERE a.grantee <> s.srvowner GROUP BY s.srvname ORDER BY 1`},
}
