package pgtest_test

import (
	"path/filepath"
	"testing"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
)

// The fixtures' policies classify every column of theirs, and name no others.
func TestPoliciesCompile(t *testing.T) {
	for fixture, path := range map[string]string{"shop": "policy.yaml", "crm": "policy"} {
		t.Run(fixture, func(t *testing.T) {
			doc, err := policy.Load(filepath.Join(pgtest.Fixture(t, fixture), path))
			if err != nil {
				t.Fatal(err)
			}
			conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, fixture), pgserver.Superuser))
			cat, err := pgload.Load(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			set, err := policy.Compile(doc, cat)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range cat.Relations() {
				if r.Governed() && r.Kind == catalog.Table {
					unclassified(t, set, r)
				}
			}
		})
	}
}

func unclassified(t *testing.T, set *policy.Set, r *catalog.Relation) {
	t.Helper()
	for _, c := range r.Columns {
		if _, ok := set.Class(r, c.Name); !ok {
			t.Errorf("%s.%s has no class", r.QualifiedName(), c.Name)
		}
	}
}
