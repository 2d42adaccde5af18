package main

import (
	"archive/zip"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestDsarSealed writes through a pgveil that serves, and packs what was sealed by then,
// of somebody who is found by it.
func TestDsarSealed(t *testing.T) {
	const sealing = "sealing: {keys: keys.json, wrapped_by: {env: PGVEIL_KEK}}\n"
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "vault"), "127.0.0.1:0", sealing)
	s.exec(t, "CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text, phone text, phone_blind bytea); GRANT ALL ON customers TO carla")
	classes := strings.Replace(sealedCustomers, "public.customers.phone_blind]", "public.customers.phone_blind, public.people.*, public.leads.*, public.visits.*, public.directory.*, public.initials.*, public.patients.*]", 1)
	s.put(t, "policy.yaml", strings.ReplaceAll(classes, ", clear: accept", "")+"subjects: {customer: {table: public.customers, key: id, find_by: [ssn, phone]}}\n")
	s.edit(t, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy.yaml")
	t.Setenv("PGVEIL_KEK", strings.Repeat("a5", 32))
	s.verb(t, 0, "keys", "create", "ssn", "phone")
	s.verb(t, 0, "schema", "--apply")
	r := s.serve(t, "")
	conn, err := s.connect(t.Context(), r.address(t, listens), "carla")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"INSERT INTO customers VALUES (1, 'Ada', 'geheim 1', '+49 1')", "INSERT INTO customers VALUES (2, 'Bob', 'geheim 2', '+49 2')"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	if n := s.count(t, "SELECT count(*) FROM customers WHERE ssn LIKE 'pgv1.%' AND phone LIKE 'pgv1.%' AND phone_blind IS NOT NULL"); n != 2 {
		t.Fatalf("%d rows are sealed", n)
	}
	s.verb(t, 0, "keys", "rotate", "ssn", "phone") // what was sealed before is found all the same
	for by, value := range map[string]string{"ssn": "geheim 1", "phone": "+49 1"} {
		s.verb(t, 0, "dsar", "export", "customer", value, "--by", by, "--out", by+".zip", "--quiet")
		z, err := zip.OpenReader(filepath.Join(s.dir, by+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			in, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "pgv1.") || strings.Contains(string(text), "geheim 2") {
				t.Errorf("%s of %s has what it must not:\n%s", f.Name, by, text)
			}
			if f.Name == "data.json" && (!strings.Contains(string(text), `"ssn": "geheim 1"`) || !strings.Contains(string(text), `"phone": "+49 1"`)) {
				t.Errorf("by %s: %s", by, text)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if said := s.verb(t, 1, "dsar", "export", "customer", "geheim 3", "--by", "ssn", "--out", "none.zip", "--quiet"); !strings.Contains(said, "no such customer") {
		t.Errorf("of nobody: %s", said)
	}
	s.edit(t, sealing, "")
	if said := s.verb(t, 1, "dsar", "export", "customer", "1", "--out", "closed.zip", "--quiet"); !strings.Contains(said, "there are no keys here") {
		t.Errorf("without keys: %s", said)
	}
}
