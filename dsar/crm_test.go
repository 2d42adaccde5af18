package dsar

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

var variable = regexp.MustCompile(`"(generated_at|policy)":"[^"]*"`)

// The whole document of one customer. When it is meant to change, put what the
// test prints into the file.
func TestGolden(t *testing.T) {
	conn, g := crm(t, "crm")
	text, err := export(t, conn, g, byKey("1"), ExportOptions{PreparedBy: "petra"})
	if err != nil {
		t.Fatal(err)
	}
	got := variable.ReplaceAllString(text, `"$1":"…"`) + "\n"
	want, err := os.ReadFile("testdata/customer_1.json")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("-want +got:\n%s\ngot:\n%s", cmp.Diff(string(want), got), got)
	}
}

// The hash is of the tables without line feeds, however the chunks are joined
// and the rows are indented.
func TestHash(t *testing.T) {
	conn, g := crm(t, "crm")
	for _, pretty := range []bool{false, true} {
		text, err := export(t, conn, g, byKey("6"), ExportOptions{Pretty: pretty})
		if err != nil {
			t.Fatal(err)
		}
		for _, joined := range []string{text, strings.ReplaceAll(text, "\n", "")} {
			doc := read(t, joined)
			flat := strings.ReplaceAll(joined, "\n", "")
			from := strings.Index(flat, `"tables":`) + len(`"tables":`)
			to := strings.LastIndex(flat, `,"counts":`)
			sum := sha256.Sum256([]byte(flat[from:to]))
			if got := hex.EncodeToString(sum[:]); got != doc.SHA256 {
				t.Errorf("pretty=%v: the tables hash to %s, the document says %s", pretty, got, doc.SHA256)
			}
		}
	}
}

// referredTo is what the columns of the fixture refer to, by their names alone:
// the catalog's foreign keys have no part in it. Contacts live on without
// their customer, so what refers to them is not the customer's.
var referredTo = map[string]string{"customer_id": "crm.customers.id", "order_id": "crm.orders.id", "opportunity_id": "", "contact_id": ""}

// Every row whose columns name the customer, directly or through others, is in
// the document, and no other.
func TestEveryRowIsFound(t *testing.T) {
	for _, fixture := range []string{"crm", "crm/twin"} {
		conn, g := crm(t, fixture)
		all := allRows(t, conn)
		for _, customer := range all["crm.customers"] {
			key := fmt.Sprint(customer["id"])
			t.Run(fixture+"/"+key, func(t *testing.T) {
				doc := mustExport(t, conn, g, key)
				want := reachable(all, customer)
				for table, rows := range doc.Tables {
					if diff := cmp.Diff(texts(want[table]), texts(rows)); diff != "" {
						t.Errorf("%s: -want +got:\n%s", table, diff)
					}
					if doc.Counts[table] != len(rows) {
						t.Errorf("%s: %d rows, the count says %d", table, len(rows), doc.Counts[table])
					}
					delete(want, table)
				}
				for table, rows := range want {
					t.Errorf("%d rows of %s are missing", len(rows), table)
				}
			})
		}
	}
}

type tableRows = map[string][]map[string]any

// allRows reads the whole database as JSON.
func allRows(t *testing.T, conn *pgx.Conn) tableRows {
	t.Helper()
	if _, err := conn.Exec(t.Context(), "SET TimeZone = 'UTC'"); err != nil {
		t.Fatal(err)
	}
	names := query[string](t, conn, "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
	all := tableRows{}
	for _, name := range names {
		all[name] = query[map[string]any](t, conn, "SELECT to_jsonb(t.*) FROM "+name+" AS t")
	}
	return all
}

func query[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) []T {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return values
}

// reachable walks the rows until nothing new turns up.
func reachable(all tableRows, customer map[string]any) tableRows {
	found := tableRows{"crm.customers": {customer}}
	for grown := true; grown; {
		grown = false
		for table, rows := range all {
			for _, row := range rows {
				if names(row, found) && !slices.ContainsFunc(found[table], func(r map[string]any) bool { return cmp.Equal(r, row) }) {
					found[table] = append(found[table], row)
					grown = true
				}
			}
		}
	}
	return found
}

func names(row map[string]any, found tableRows) bool {
	for column, to := range referredTo {
		at := strings.LastIndex(to, ".")
		if row[column] == nil || at < 0 {
			continue
		}
		for _, r := range found[to[:at]] {
			if r[to[at+1:]] == row[column] {
				return true
			}
		}
	}
	return false
}

func texts(rows []map[string]any) []string {
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = fmt.Sprint(r)
	}
	slices.Sort(lines)
	return lines
}

// No document tells who another customer is.
func TestNobodyElse(t *testing.T) {
	conn, g := crm(t, "crm")
	customers := allRows(t, conn)["crm.customers"]
	for _, customer := range customers {
		text, err := export(t, conn, g, byKey(fmt.Sprint(customer["id"])), ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range customers {
			for _, column := range []string{"email", "phone", "ssn", "card", "public_id"} {
				value, ok := other[column].(string)
				if ok && other["id"] != customer["id"] && strings.Contains(text, value) {
					t.Errorf("the document of %v has the %s of %v", customer["id"], column, other["id"])
				}
			}
		}
	}
}

// Twins differ in values only: the same rows are found and would be erased, but
// for the tickets, some of which the policy hides.
func TestTwins(t *testing.T) {
	conn, g := crm(t, "crm")
	twin, twinGraph := crm(t, "crm/twin")
	for _, id := range query[string](t, conn, "SELECT id::text FROM crm.customers") {
		doc, other := mustExport(t, conn, g, id), mustExport(t, twin, twinGraph, id)
		delete(doc.Counts, "crm.tickets")
		delete(other.Counts, "crm.tickets")
		if diff := cmp.Diff(doc.Counts, other.Counts); diff != "" {
			t.Errorf("customer %s: %s", id, diff)
		}
		ours, theirs := dryRun(t, conn, g, id), dryRun(t, twin, twinGraph, id)
		for _, r := range []*Report{&ours, &theirs} {
			r.Steps = slices.DeleteFunc(r.Steps, func(s Step) bool { return s.Table == "crm.tickets" })
		}
		if diff := cmp.Diff(ours, theirs); diff != "" {
			t.Errorf("customer %s: %s", id, diff)
		}
		if doc.SHA256 == other.SHA256 {
			t.Errorf("customer %s has the same data in both", id)
		}
	}
}

func dryRun(t testing.TB, conn *pgx.Conn, g *Graph, values ...string) Report {
	t.Helper()
	r, err := DryRun(t.Context(), conn, g, privacy.Key{Values: values})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// cascade makes every foreign key delete what refers, unless it sets null.
const cascade = `DO $$ DECLARE k record; BEGIN
	FOR k IN SELECT *, pg_get_constraintdef(oid) AS def FROM pg_constraint WHERE contype = 'f' AND confdeltype IN ('a', 'r') LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I %s ON DELETE CASCADE', k.conrelid::regclass, k.conname, k.def);
	END LOOP;
END $$`

// The counts are those of a DELETE that PostgreSQL itself carries to all that
// refers to the customer.
func TestDryRunCounts(t *testing.T) {
	conn, g := crm(t, "crm")
	for _, id := range query[string](t, conn, "SELECT id::text FROM crm.customers") {
		report := dryRun(t, conn, g, id)
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := sizes(t, conn)
		if _, err := conn.Exec(t.Context(), cascade+"; DELETE FROM crm.customers WHERE id = "+id); err != nil {
			t.Fatal(err)
		}
		gone := map[string]int64{}
		for name, n := range sizes(t, conn) {
			gone[name] = before[name] - n
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, s := range report.Steps {
			name := s.Table
			if s.Action == SetNull {
				name += " without a customer"
				s.Rows = -s.Rows
			}
			if gone[name] != s.Rows {
				t.Errorf("customer %s: %d of %s would go, a DELETE takes %d", id, s.Rows, name, gone[name])
			}
			delete(gone, name)
		}
		maps.DeleteFunc(gone, func(_ string, n int64) bool { return n == 0 })
		if len(gone) > 0 {
			t.Errorf("customer %s: a DELETE also takes %v", id, gone)
		}
	}
}

func sizes(t *testing.T, conn *pgx.Conn) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	for _, name := range query[string](t, conn, "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'crm'") {
		sizes[name] = query[int64](t, conn, "SELECT count(*) FROM "+name)[0]
	}
	sizes["crm.contacts without a customer"] = query[int64](t, conn, "SELECT count(*) FROM crm.contacts WHERE customer_id IS NULL")[0]
	return sizes
}

func TestFindBy(t *testing.T) {
	conn, g := crm(t, "crm")
	for column, value := range map[string]string{
		"email": "lena.hartmann@example.de", "phone": "+49 40 5550 1822", "public_id": "1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", "id": "1",
	} {
		text, err := export(t, conn, g, privacy.Key{Column: column, Values: []string{value}}, ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if doc := read(t, text); doc.Key["id"] != 1.0 {
			t.Errorf("by %s: found %v", column, doc.Key)
		}
	}
	if _, err := conn.Exec(t.Context(), "UPDATE crm.customers SET phone = '+49 40 5550 1822' WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	_, err := export(t, conn, g, privacy.Key{Column: "phone", Values: []string{"+49 40 5550 1822"}}, ExportOptions{})
	wantCode(t, err, privacy.Ambiguous, "2 of kind")
	_, err = export(t, conn, g, privacy.Key{Column: "notes", Values: []string{"x"}}, ExportOptions{})
	wantCode(t, err, privacy.NoColumn, "cannot be looked up")
	_, err = export(t, conn, g, privacy.Key{Column: "emial", Values: []string{"x"}}, ExportOptions{})
	wantCode(t, err, privacy.NoColumn, "did you mean email?")
}
