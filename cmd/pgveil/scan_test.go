package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// Nothing found, something found, and something not looked at end differently.
func TestScanStatus(t *testing.T) {
	server := newServerOf(t, "")
	admin := pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), `CREATE ROLE looker LOGIN PASSWORD 'looker-password'; CREATE TABLE public.people (id int PRIMARY KEY, email text); GRANT SELECT ON public.people TO looker;
		INSERT INTO public.people SELECT i, 'a' || i || '@example.com' FROM generate_series(1, 50) i`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "version: 1\nclasses: {open: [public.people.id], email: [public.people.email]}")
	open := file("open.yaml", "version: 1\nclasses: {open: [public.people.*]}")
	bad := file("bad.yaml", "version: 2")
	dsn := server.HostDSN("postgres", "looker", "looker-password")
	for _, tt := range []struct {
		name, before string
		args         []string
		want         int
		says         string
	}{
		{"no difference", "", []string{"--diff", "--policy", good}, 0, ""},
		{"an open column of addresses", "", []string{"--diff", "--policy", open}, 1, "public.people.email is open in the policy, but seems to hold email (1.00: "},
		{"a policy that cannot be read", "", []string{"--diff", "--policy", bad}, 2, ""},
		{"a new column", "ALTER TABLE public.people ADD COLUMN born date", []string{"--diff", "--policy", good}, 1, "unclassified: public.people.born is in no class"},
		{"that is accepted", "", []string{"--diff", "--policy", good, "--accept", "public.people.born"}, 0, ""},
		{"a table that may not be read", "CREATE TABLE public.other (id int)", nil, 2, ""},
		{"a directory that cannot be made", "DROP TABLE public.other", []string{"--out", filepath.Join(good, "x")}, 2, ""},
		{"nobody's login", "", []string{"--dsn", server.DSN("postgres", "nobody")}, 2, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := admin.Exec(t.Context(), tt.before); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			if got := run(t.Context(), append([]string{"scan", "--dsn", dsn}, tt.args...), &stdout, &stderr); got != tt.want {
				t.Errorf("status %d, want %d\n%s%s", got, tt.want, &stdout, &stderr)
			}
			if !strings.Contains(stdout.String(), tt.says) {
				t.Errorf("%q does not say %q", stdout.String(), tt.says)
			}
		})
	}
}

// References that values bear out are in the proposed policy; those that names
// alone suggest are in its comments.
func TestScanReferences(t *testing.T) {
	server := newServerOf(t, "")
	admin := pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), `CREATE TABLE customers (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), first_name text, email text); CREATE TABLE "Odd: 'Visits'" (no int, "customer #" uuid); CREATE TABLE empty (customer_id uuid);
		INSERT INTO customers (first_name, email) SELECT 'Anna', 'a' || i || '@example.com' FROM generate_series(1, 50) i; INSERT INTO "Odd: 'Visits'" SELECT 1, id FROM customers`); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "policy")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"scan", "--dsn", server.DSN("postgres", pgserver.Superuser), "--out", out}, &stdout, &stderr); code != 0 {
		t.Fatalf("status %d: %s", code, &stderr)
	}
	text, err := os.ReadFile(filepath.Join(out, "subjects.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sure, unsure, _ := strings.Cut(string(text), "# To be decided")
	if !strings.Contains(sure, `customer #`) || !strings.Contains(sure, "\n    references:") {
		t.Errorf("the reference with values is not there:\n%s", text)
	}
	if !strings.Contains(unsure, "public.empty.customer_id") {
		t.Errorf("the reference without values is not in the comments:\n%s", text)
	}
}

// A scan by the configuration reads as pgveil's own login, and compares with the
// policy that is served.
func TestScanOwn(t *testing.T) {
	_, s, shop := newLeaky(t)
	s.verb(t, scanError, "scan", "--diff")
	if _, err := shop.Exec(t.Context(), "GRANT pg_read_all_data TO pgveil"); err != nil {
		t.Fatal(err)
	}
	s.verb(t, scanNothing, "scan", "--diff", "--accept", "public.people.name")
	if _, err := shop.Exec(t.Context(), "ALTER TABLE public.people ADD COLUMN email text; UPDATE public.people SET email = 'ada@example.com'"); err != nil {
		t.Fatal(err)
	}
	if says := s.verb(t, scanDifferent, "scan", "--diff"); !strings.Contains(says, "public.people.email is open in the policy, but seems to hold email") {
		t.Errorf("the scan says %q", says)
	}
	s.verb(t, scanNothing, "scan", "--out", filepath.Join(s.dir, "proposed"))
}
