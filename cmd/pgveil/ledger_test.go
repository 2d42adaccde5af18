package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/rewrite"
)

const keysPolicy = `
version: 1
purposes: {desk: {basis: contract}, letters: {basis: consent, consent: letters}}
subjects: {"Odd-one": {table: "odd.people", key: k, ledger: true, references: [{from: odd.mentions.who}]}}
classes: {open: ["odd.*.*"]}
roles: {clerk: {purposes: [desk, letters], tables: [{on: ["odd.*"]}]}}
users: {ann: {roles: [clerk]}}
`

// TestLedgerKeys keeps ledgers by keys of many types, and looks whom statements
// then show: a restriction hides one row of two, a consent shows one.
func TestLedgerKeys(t *testing.T) {
	const collated = `text COLLATE odd."nobody's case"`
	for _, tt := range []struct{ typ, one, other string }{
		{"smallint", "1", "2"},
		{"bigint", "-9223372036854775808", "2"},
		{"numeric(20,4)", "1.5", "2"},
		{"uuid", "1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", "1c1e3dd0-9531-4f30-b24a-c021ca3b95b9"},
		{"text", `it's \'a" $do$ ; DROP`, "2"},
		{"varchar(5)", "five5", "2"},
		{"char(5)", "ab", "2"},
		{"odd.mood", "so so", "fine"},
		{"odd.short", "ab", "2"},
		{"timestamptz", "2026-01-02 03:04:05.678901+02", "2026-01-02 03:04:05.678902+02"},
		{"date", "0044-03-15 BC", "2026-01-01"},
		{"inet", "2001:db8::1/64", "10.0.0.1"},
		{"bytea", `\x00ff`, `\x00`},
		{"text[]", `{"a,b","c\"d"}`, "{}"},
		{collated, "ADA", "Bob"},
	} {
		t.Run(tt.typ, func(t *testing.T) {
			dsn := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
			conn := pgtest.Connect(t, dsn)
			must := func(sql string) {
				t.Helper()
				if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			must(`CREATE SCHEMA odd; CREATE TYPE odd.mood AS ENUM ('so so', 'fine'); CREATE DOMAIN odd.short AS varchar(4) CHECK (value <> '');
				CREATE COLLATION odd."nobody's case" (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
			must(fmt.Sprintf("CREATE TABLE odd.people (k %s PRIMARY KEY); CREATE TABLE odd.mentions (id int PRIMARY KEY, who %[1]s)", tt.typ))
			for i, key := range []string{tt.one, tt.other} {
				key = "'" + strings.ReplaceAll(key, "'", "''") + "'"
				must(fmt.Sprintf("INSERT INTO odd.people VALUES (%s); INSERT INTO odd.mentions VALUES (%d, %[1]s)", key, i))
			}
			service, count := ledgerOf(t, dsn, conn)
			if n := count("desk", "odd.people"); n != 2 {
				t.Errorf("%d people at first", n)
			}
			key := "'" + strings.ReplaceAll(tt.one, "'", "''") + "'"
			for _, sql := range []string{`PRIVACY CONSENT "Odd-one" ` + key + " GIVE letters", `PRIVACY CONSENT "Odd-one" ` + key + " GIVE letters"} {
				changeLedger(t, service, sql)
			}
			if people, mentions := count("letters", "odd.people"), count("letters", "odd.mentions"); people != 1 || mentions != 1 {
				t.Errorf("with one consent: %d people, %d mentions", people, mentions)
			}
			changeLedger(t, service, `PRIVACY RESTRICT "Odd-one" `+key+" BECAUSE 'x'")
			if people, mentions, letters := count("desk", "odd.people"), count("desk", "odd.mentions"), count("letters", "odd.people"); people != 1 || mentions != 1 || letters != 0 {
				t.Errorf("restricted: %d people, %d mentions, %d letters", people, mentions, letters)
			}
			if row := changeLedger(t, service, `PRIVACY LIFT RESTRICTION "Odd-one" `+key+" BECAUSE 'x'"); row[3] != "" || count("desk", "odd.people") != 2 {
				t.Errorf("lifted: %q, %d people", row, count("desk", "odd.people"))
			}
		})
	}
}

// ledgerOf makes the ledger's tables, and gives a service for it and what counts
// the rows that a purpose is shown.
func ledgerOf(t *testing.T, dsn string, conn *pgx.Conn) (*dsar.Service, func(purpose, table string) int) {
	t.Helper()
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: keysPolicy})
	if err != nil {
		t.Fatal(err)
	}
	load := func() *catalog.Snapshot {
		cat, err := pgload.Load(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return cat
	}
	text, err := schemaFor(doc, load())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.PgConn().Exec(t.Context(), text).ReadAll(); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	cat := load()
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	engine := rewrite.New(cat, set, 1<<20)
	service := &dsar.Service{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
		Current: func() (*policy.Set, *catalog.Snapshot) { return set, cat },
	}
	return service, func(purpose, table string) (n int) {
		t.Helper()
		access, err := set.Access("ann", purpose)
		if err != nil {
			t.Fatal(err)
		}
		session, err := engine.Session(access, "public")
		if err != nil {
			t.Fatal(err)
		}
		plan, err := engine.Plan(session, "SELECT count(*) FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), plan.SQL).Scan(&n); err != nil {
			t.Fatalf("%s: %v", plan.SQL, err)
		}
		return n
	}
}

func changeLedger(t *testing.T, s *dsar.Service, sql string) []string {
	t.Helper()
	cmd, _, err := privacy.ParseCommand(sql)
	if err != nil {
		t.Fatal(err)
	}
	row, err := s.Change(t.Context(), cmd, "petra", func(context.Context, string) error { return nil })
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return row
}
