package presets

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// people are those of the presets' rows.sql whose markers are ada-N.
var people = map[string][]struct{ kind, key string }{
	"chatwoot": {{"contact", "10"}},
	"corteza":  {{"user", "10"}, {"record", "100"}},
	"espocrm":  {{"contact", "a1"}, {"lead", "a2"}},
	"odoo":     {{"contact", "10"}},
	"suitecrm": {{"contact", "a1"}, {"lead", "a2"}, {"prospect", "a3"}},
	"twenty":   {{"person", "00000000-0000-4000-8000-000000000010"}},
}

// What is held on a person is found wherever the application keeps it, and
// nothing of the other one: rows.sql has a marker in whatever is somebody's.
func TestFindsAllOfOnePerson(t *testing.T) {
	each(t, func(t *testing.T, p *Preset) {
		if len(people[p.Name]) == 0 {
			t.Fatal("no people")
		}
		conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))
		rows := ""
		for _, name := range []string{"schema.sql", "rows.sql"} {
			text, err := os.ReadFile(filepath.Join(p.Name, name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), string(text)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			rows = string(text)
		}
		cat, err := pgload.Load(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		fitted, err := p.Fit(cat, p.Schema)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := policy.Parse(fitted.Files...)
		if err != nil {
			t.Fatal(err)
		}
		set, err := policy.Compile(doc, cat)
		if err != nil {
			t.Fatal(err)
		}
		var documents strings.Builder
		for _, who := range people[p.Name] {
			g, err := dsar.NewGraph(set, cat, who.kind)
			if err != nil {
				t.Fatal(err)
			}
			key := privacy.Key{Values: []string{who.key}}
			_, err = dsar.Export(t.Context(), conn, g, key, dsar.ExportOptions{}, func(chunk []byte) error {
				_, err := documents.Write(chunk)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			report, err := dsar.DryRun(t.Context(), conn, g, key)
			if err != nil {
				t.Fatal(err)
			}
			if report.Refused() {
				t.Errorf("%s %s cannot be erased: %+v", who.kind, who.key, report)
			}
		}
		found := markers(documents.String(), "ada")
		for _, m := range markers(rows, "ada") {
			if !slices.Contains(found, m) {
				t.Errorf("%s is not found", m)
			}
		}
		if others := markers(documents.String(), "bob"); len(others) > 0 {
			t.Errorf("found of somebody else: %v", others)
		}
	})
}

func markers(text, name string) []string {
	found := regexp.MustCompile(name+`-\d+`).FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}
