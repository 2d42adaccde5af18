package presets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/ddl"
)

// schemaOf gives the catalog of a preset's own tables, with changes.
func schemaOf(t *testing.T, p *Preset, changes ...string) *catalog.Snapshot {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Name, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := ddl.Parse(string(text) + strings.Join(changes, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func each(t *testing.T, test func(t *testing.T, p *Preset)) {
	t.Helper()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) { test(t, p) })
	}
}

// Of its own tables a preset names every column, and nothing else.
func TestFitsItsOwnSchema(t *testing.T) {
	each(t, func(t *testing.T, p *Preset) {
		f, err := p.Fit(schemaOf(t, p), p.Schema)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Fitted{Files: f.Files}, *f); diff != "" {
			t.Errorf("the preset and its schema differ:\n%s", diff)
		}
	})
}
