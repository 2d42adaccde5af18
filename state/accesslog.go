package state

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

//go:embed accesslog.sql
var accessLogSchema string

// whoSaw are the forms of pgveil.who_saw, by the type of the key. It alone tells
// whom a token means.
var whoSaw = []string{"text", "bigint", "uuid"}

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
	for _, t := range whoSaw {
		objects = append(objects, literal(fmt.Sprintf("FUNCTION pgveil.who_saw(text, %s, timestamptz, timestamptz)", t)))
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
              WHERE p.pronamespace = 'pgveil'::pg_catalog.regnamespace AND p.proname ~ '^(access_|who_saw$)') AS g (object, grantee, owner)
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
