package dsar

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(killedDSN); dsn != "" {
		eraseAndDie(dsn)
	}
	pgtest.Main(m)
}

// database connects to a database of the test's own and runs a script in it.
func database(t testing.TB, fixture, script string) *pgx.Conn {
	t.Helper()
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, fixture), pgserver.Superuser))
	if _, err := conn.Exec(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	return conn
}

// compile compiles a policy with what the database holds now.
func compile(t testing.TB, conn *pgx.Conn, doc *policy.Document, subject string) (*Graph, error) {
	t.Helper()
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return NewGraph(set, cat, subject)
}

// crm gives a copy of the fixture, or of its twin, with the graph of a customer.
func crm(t testing.TB, fixture string) (*pgx.Conn, *Graph) {
	t.Helper()
	doc, err := policy.Load(filepath.Join(pgtest.Fixture(t, "crm"), "policy"))
	if err != nil {
		t.Fatal(err)
	}
	conn := database(t, fixture, "")
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	return conn, g
}

// scene is a small schema in public, with all its columns open.
func scene(t testing.TB, script, subjects string) (*pgx.Conn, *Graph) {
	t.Helper()
	conn := database(t, "", script)
	g, err := compile(t, conn, scenePolicy(t, subjects), firstSubject(subjects))
	if err != nil {
		t.Fatal(err)
	}
	return conn, g
}

func scenePolicy(t testing.TB, subjects string) *policy.Document {
	t.Helper()
	text := "version: 1\nmode: enforce\nclasses: {open: [\"public.*.*\"]}\nsubjects:\n" + subjects
	doc, err := policy.Parse(policy.File{Name: "scene.yaml", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func firstSubject(subjects string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(subjects), ":")
	return name
}

// export gives the document's text.
func export(t testing.TB, conn *pgx.Conn, g *Graph, key privacy.Key, o ExportOptions) (string, error) {
	t.Helper()
	var lines [][]byte
	_, err := Export(t.Context(), conn, g, key, o, func(chunk []byte) error {
		lines = append(lines, bytes.Clone(chunk))
		return nil
	})
	return string(bytes.Join(lines, []byte("\n"))), err
}

// exported is a document, read.
type exported struct {
	Subject     string                      `json:"subject"`
	Key         map[string]any              `json:"key"`
	NotFollowed []Note                      `json:"not_followed"`
	References  []Note                      `json:"references"`
	Redacted    []redaction                 `json:"redacted"`
	Tables      map[string][]map[string]any `json:"tables"`
	Counts      map[string]int              `json:"counts"`
	SHA256      string                      `json:"sha256"`
}

func mustExport(t testing.TB, conn *pgx.Conn, g *Graph, values ...string) exported {
	t.Helper()
	text, err := export(t, conn, g, privacy.Key{Values: values}, ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return read(t, text)
}

func read(t testing.TB, text string) exported {
	t.Helper()
	var doc exported
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return doc
}

func byKey(values ...string) privacy.Key { return privacy.Key{Values: values} }
