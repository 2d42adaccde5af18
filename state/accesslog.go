package state

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

//go:embed accesslog.sql
var accessLogSchema string

// auditFunctions are the functions that the policy opens to auditors, with their
// arguments.
// who_saw, in a form for each type of key, alone tells whom a token means.
var auditFunctions = []string{
	"who_saw(text, text, timestamptz, timestamptz)", "who_saw(text, bigint, timestamptz, timestamptz)", "who_saw(text, uuid, timestamptz, timestamptz)",
	"user_days(timestamptz, timestamptz)", "refusals_by_rule(timestamptz, timestamptz)", "access_by_purpose(timestamptz, timestamptz)",
}

// AccessLogSchema gives the statements that make the access log's tables, or
// what is missing of them, for the roles of the database that may read them, and
// no others. Those of Schema come before.
func AccessLogSchema(auditors []string) string {
	names := make([]string, len(auditors))
	for i, a := range auditors {
		names[i] = literal(a)
	}
	var objects []string
	for _, r := range policy.AuditRelations() {
		objects = append(objects, literal("TABLE pgveil."+r))
	}
	for _, f := range auditFunctions {
		objects = append(objects, literal("FUNCTION pgveil."+f))
	}
	return "SET search_path = pg_catalog;\n" + accessLogSchema + do(fmt.Sprintf(`
DECLARE
    auditors CONSTANT pg_catalog.text[] := ARRAY[%s]::pg_catalog.text[];
    objects CONSTANT pg_catalog.text[] := ARRAY[%s];
    object pg_catalog.text;
    reader pg_catalog.text;
BEGIN
    FOR object, reader IN
        SELECT DISTINCT g.object, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::pg_catalog.regrole::pg_catalog.text END
        FROM (SELECT 'TABLE ' || c.oid::pg_catalog.regclass, a.grantee, c.relowner
              FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
              WHERE c.relnamespace = 'pgveil'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p', 'v')
                AND (c.relname ~ '^access_' OR 'TABLE pgveil.' || c.relname = ANY (objects))
              UNION ALL
              SELECT 'FUNCTION ' || p.oid::pg_catalog.regprocedure, a.grantee, p.proowner
              FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) a
              WHERE p.pronamespace = 'pgveil'::pg_catalog.regnamespace AND p.proname = ANY ('{who_saw,user_days,refusals_by_rule,access_by_purpose,access_log_days,access_log_keep}')) AS g (object, grantee, owner)
        WHERE g.grantee <> g.owner
    LOOP
        EXECUTE 'REVOKE ALL ON ' || object || ' FROM ' || reader;
    END LOOP;
    FOREACH reader IN ARRAY auditors LOOP
        EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA pgveil TO %%I', reader);
        FOREACH object IN ARRAY objects LOOP
            EXECUTE CASE WHEN object LIKE 'TABLE %%' THEN 'GRANT SELECT ON ' ELSE 'GRANT EXECUTE ON ' END
                || object || pg_catalog.format(' TO %%I', reader);
        END LOOP;
    END LOOP;
END
`, strings.Join(names, ", "), strings.Join(objects, ", "))) + "RESET search_path;\n"
}
