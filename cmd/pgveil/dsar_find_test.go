package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

func called(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), args, &out, &errs); code != want {
		t.Fatalf("%s: status %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func TestDsarExplain(t *testing.T) {
	crm := pgtest.Fixture(t, "crm")
	explain := func(want int, more ...string) (string, string) {
		t.Helper()
		return called(t, want, append([]string{"dsar", "explain", "--policy", filepath.Join(crm, "policy"), "--schema", filepath.Join(crm, "schema.sql")}, more...)...)
	}
	if text, _ := explain(0, "customer"); !strings.Contains(text, "│  ├─ crm.invoices     owned     delete    by order_id\n") {
		t.Errorf("the text is\n%s", text)
	}
	svg, _ := explain(0, "customer", "--format", "svg")
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	text, _ := explain(0, "customer", "--format", "json")
	var e dsar.Explanation
	if err := json.Unmarshal([]byte(text), &e); err != nil || len(e.Tables) != 8 || !e.Complete || e.Tables[7].Standing != dsar.Mentions {
		t.Errorf("the JSON is %v:\n%s", err, text)
	}
	if _, said := explain(1, "custmer"); !strings.Contains(said, "did you mean customer?") {
		t.Errorf("of an unknown kind it says %s", said)
	}
	for _, args := range [][]string{{}, {"customer", "other"}, {"customer", "--format", "png"}, {"customer", "--dsn", "x"}} {
		explain(2, args...)
	}
	// What nobody classified is named, and the exit status says that it matters.
	dir := t.TempDir()
	schema, policy := filepath.Join(dir, "schema.sql"), filepath.Join(dir, "policy.yaml")
	for file, text := range map[string]string{
		schema: "CREATE TABLE public.people (id int PRIMARY KEY, shoe_size int);",
		policy: "version: 1\nmode: enforce\nclasses: {open: [public.people.id]}\nsubjects: {person: {table: public.people, key: id}}\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := called(t, 1, "dsar", "explain", "person", "--policy", policy, "--schema", schema); !strings.Contains(text, "  public.people: shoe_size\n") {
		t.Errorf("the text is\n%s", text)
	}
}

func TestDsarSuggest(t *testing.T) {
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
	if _, err := pgtest.Connect(t, dsn).Exec(t.Context(), `
		CREATE TABLE people (id int PRIMARY KEY);
		CREATE TABLE calls (person_id int);
		INSERT INTO people SELECT generate_series(1, 20);
		INSERT INTO calls SELECT generate_series(11, 20)`); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(references string) {
		t.Helper()
		text := "version: 1\nmode: enforce\nclasses: {open: [\"public.*.*\"]}\nsubjects:\n  person:\n    table: public.people\n    key: id\n" + references
		if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	text, _ := called(t, 0, "dsar", "suggest", "--policy", policy, "--dsn", dsn)
	want := "# references of subject person:\n      # 0.99: person_id is named after person or people; both are integer; 10 of 10 different values of a sample are found in public.people.id\n      - {from: public.calls.person_id}\n"
	if text != want {
		t.Errorf("it suggests\n%s\nwant\n%s", text, want)
	}
	// What is suggested is pasted as it stands.
	write("    references:\n" + text)
	if text, _ := called(t, 0, "dsar", "suggest", "--policy", policy, "--dsn", dsn); !strings.HasPrefix(text, "# Nothing") {
		t.Errorf("when it is in the policy, it suggests\n%s", text)
	}
	if text, _ := called(t, 0, "dsar", "suggest", "--policy", policy, "--dsn", dsn, "--json"); strings.TrimSpace(text) != "[]" {
		t.Errorf("as JSON it suggests %s", text)
	}
	called(t, 2, "dsar", "suggest", "--policy", policy, "--schema", "x")
	called(t, 2, "dsar", "suggest", "customer", "--policy", policy, "--dsn", dsn)
}
