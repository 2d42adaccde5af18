package datamap_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/datamap"
	"github.com/pgveil/pgveil/policy"
)

// Schemas of applications that others classified, by names and types alone: of
// what they closed little is opened, and the proposals compile.
func TestPresets(t *testing.T) {
	schemas, err := filepath.Glob("../presets/*/schema.sql")
	if err != nil || len(schemas) < 5 {
		t.Fatalf("%d schemas, %v", len(schemas), err)
	}
	all, closed, found, opened := 0, 0, 0, 0
	for _, path := range schemas {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cat, err := ddl.Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := policy.Load(filepath.Join(filepath.Dir(path), "policy"))
		if err != nil {
			t.Fatal(err)
		}
		m := datamap.Read(cat)
		compiles(t, m, cat)
		classes := policy.Classify(doc, cat)
		for _, of := range m.Tables {
			for _, c := range of.Columns {
				all++
				theirs := classes.Class(of.Relation, c.Name)
				if theirs == "open" || theirs == "" {
					continue
				}
				closed++
				switch c.Class {
				case datamap.Undecided:
				default:
					found++
				case datamap.Open:
					opened++
					t.Logf("%s %s.%s (%s) is %s", filepath.Base(filepath.Dir(path)), of.Name, c.Name, c.Type, theirs)
				}
			}
		}
	}
	t.Logf("%d columns, %d closed by people, of which %d are in a class and %d open", all, closed, found, opened)
	if opened*100 > closed*7 || found*100 < closed*45 {
		t.Errorf("of %d columns that people closed, %d are in a class and %d open", closed, found, opened)
	}
}
