package state

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed ledger.sql
var eventsSchema string

// Ledger is where what the subjects of one kind said is kept: two tables of what
// is in force, by a key of the subjects' own type, and the events.
type Ledger struct {
	Kind         string           // of subject
	Table        pgx.Identifier   // the subjects' own
	Key          string           // its column
	Type         pgx.Identifier   // of the key
	Operators    string           // the schema of that type's =
	Consents     pgx.Identifier   // in force
	Restrictions pgx.Identifier   // and objections
	Filtered     []pgx.Identifier // tables and views whose rows go by the ledger
}

// schema gives the statements that make what is missing of the ledger's tables.
// The key is copied with its collation. Rows are filtered by the roles that read
// them, so exactly those get to read what is in force.
func (l Ledger) schema() string {
	key := "k." + ident(l.Key) + " AS subject"
	return fmt.Sprintf(`
CREATE TABLE IF NOT EXISTS %[1]s AS
    SELECT %[3]s, ''::text AS consent, 'infinity'::timestamptz AS until, pg_catalog.now() AS given, NULL::uuid AS record
    FROM %[4]s AS k WITH NO DATA;
CREATE UNIQUE INDEX IF NOT EXISTS %[5]s ON %[1]s (consent, subject) INCLUDE (until);
CREATE TABLE IF NOT EXISTS %[2]s AS
    SELECT %[3]s, ''::text AS purpose, ''::text AS kind, pg_catalog.now() AS since, NULL::uuid AS record
    FROM %[4]s AS k WITH NO DATA;
CREATE UNIQUE INDEX IF NOT EXISTS %[6]s ON %[2]s (subject, purpose, kind);
`, l.Consents.Sanitize(), l.Restrictions.Sanitize(), key, l.Table.Sanitize(),
		ident(l.Consents[1]+"_key"), ident(l.Restrictions[1]+"_key")) +
		l.required(l.Consents, "subject", "consent", "until", "given", "record") +
		l.required(l.Restrictions, "subject", "purpose", "kind", "since", "record") +
		l.grants(l.Consents) + l.grants(l.Restrictions)
}

func (l Ledger) required(table pgx.Identifier, columns ...string) string {
	var set []string
	for _, c := range columns {
		set = append(set, "ALTER COLUMN "+c+" SET NOT NULL")
	}
	return fmt.Sprintf("ALTER TABLE %s %s;\n", table.Sanitize(), strings.Join(set, ", "))
}

// grants lets those read a table who read something that is filtered by it, and
// nobody else. A role that is granted such a thing later cannot: its statements
// fail until this runs again.
func (l Ledger) grants(table pgx.Identifier) string {
	var filtered []string
	for _, f := range l.Filtered {
		filtered = append(filtered, literal(f.Sanitize())+"::pg_catalog.regclass")
	}
	return do(fmt.Sprintf(`
DECLARE
    filtered CONSTANT pg_catalog.oid[] := ARRAY[%[1]s]::pg_catalog.oid[];
    reader pg_catalog.text;
BEGIN
    FOR reader IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END
        FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
        WHERE c.oid = %[2]s::pg_catalog.regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE ALL' || %[3]s || 'FROM ' || reader;
    END LOOP;
    FOR reader IN
        SELECT CASE g.role WHEN 0 THEN 'PUBLIC' ELSE g.role::pg_catalog.regrole::pg_catalog.text END
        FROM (SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = ANY (filtered)
              UNION SELECT a.grantee FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
              WHERE c.oid = ANY (filtered) AND a.privilege_type = 'SELECT'
              UNION SELECT a.grantee FROM pg_catalog.pg_attribute t, pg_catalog.aclexplode(t.attacl) a
              WHERE t.attrelid = ANY (filtered) AND NOT t.attisdropped AND a.privilege_type = 'SELECT') AS g (role)
    LOOP
        EXECUTE 'GRANT USAGE ON SCHEMA pgveil TO ' || reader;
        EXECUTE 'GRANT SELECT' || %[3]s || 'TO ' || reader;
    END LOOP;
END
`, strings.Join(filtered, ", "), literal(table.Sanitize()), literal(" ON "+table.Sanitize()+" ")))
}

// do makes a statement of a block, whatever names are in it.
func do(block string) string {
	tag := "$do$"
	for strings.Contains(block, tag) {
		tag = "$" + tag[1:len(tag)-1] + "o$"
	}
	return "DO " + tag + block + tag + ";\n"
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a string so that it means itself whatever the settings.
func literal(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return " E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}
