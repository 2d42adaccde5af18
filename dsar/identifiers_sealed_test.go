package dsar

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/sweep"
)

// TestIdentifiersSealed finds after an erasure what stands somewhere in clear, and
// envelopes that were copied.
func TestIdentifiersSealed(t *testing.T) {
	conn, g := sealed(t, "    erase: [{on: [public.letters], do: anonymise}]")
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE log (line text); INSERT INTO log SELECT 'moved ' || phone FROM customers WHERE id = 1; INSERT INTO log VALUES ('mail to Ada@a.example'), ('mail to bob@a.example')")
	exec("CREATE TABLE copies (email text); INSERT INTO copies SELECT email FROM customers")
	var needles []sweep.Needle
	identify := func() (err error) {
		return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			needles, err = g.Identifiers(t.Context(), tx, byKey("1"))
			return err
		})
	}
	if err := identify(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range needles {
		if strings.Contains(n.Name, "(sealed)") != strings.HasPrefix(n.Value, "pgv1.") {
			t.Errorf("%s is %s", n.Name, n.Value)
		}
		names = append(names, strings.TrimPrefix(n.Name, "public."))
	}
	slices.Sort(names)
	want := []string{"customers.email", "customers.email (sealed)", "customers.id", "customers.phone", "customers.phone (sealed)", "customers.referred_by_email", "customers.referred_by_email (sealed)", "visits.customer_email", "visits.customer_email (sealed)"}
	if diff := cmp.Diff(want, slices.Compact(names)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	erase(t, conn, g, EraseOptions{Request: 1, Shred: &shredded{}}, "1")
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	report, err := sweep.Database(t.Context(), conn, cat, needles, sweep.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var hits []string
	for _, h := range report.Hits {
		if h.Needle != "public.customers.referred_by_email (sealed)" { // which the other has as well
			hits = append(hits, strings.ReplaceAll(fmt.Sprintf("%s in %s.%s %d", h.Needle, h.Relation, h.Column, h.Rows), "public.", ""))
		}
	}
	slices.Sort(hits)
	want = []string{
		"customers.email (sealed) in copies.email 1", "customers.email in log.line 1", "customers.phone (sealed) in log.line 1",
		"visits.customer_email (sealed) in copies.email 1", "visits.customer_email in log.line 1",
	}
	if diff := cmp.Diff(want, hits); diff != "" {
		t.Errorf("left: -want +got:\n%s", diff)
	}
	person, err := erasures.Find(t.Context(), conn, g.Subject, g.OpenOwn, "2")
	if diff := cmp.Diff(erasures.Person{Kind: "customer", Key: "2", Identifiers: []string{"bob@a.example", "+49 30 2"}}, person); err != nil || diff != "" {
		t.Errorf("%v; -want +got:\n%s", err, diff)
	}
	exec("UPDATE customers SET email = left(email, -3) || 'xyz' WHERE id = 2")
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		_, err := g.Identifiers(t.Context(), tx, byKey("2"))
		return err
	})
	wantCode(t, err, privacy.NotAvailable, "a value of public.customers.email cannot be opened")
}

// TestUnreadableIdentifiers are those of a person whose values nobody can open any more.
func TestUnreadableIdentifiers(t *testing.T) {
	conn, g := sealed(t, "")
	g.Values = sealingValues(t, "email", "phone") // others
	person, err := erasures.Find(t.Context(), conn, g.Subject, g.OpenOwn, "2")
	if err != nil || person.Identifiers != nil {
		t.Errorf("%+v, %v", person, err)
	}
	g.Values = Values{}
	if _, err := erasures.Find(t.Context(), conn, g.Subject, g.OpenOwn, "2"); err == nil || !strings.Contains(err.Error(), "there are no keys here") {
		t.Errorf("without keys: %v", err)
	}
}
