package pgtest_test

import (
	"path/filepath"
	"testing"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
)

// The fixtures' policies name every table and column of theirs, and only those.
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
			if _, err := policy.Compile(doc, cat); err != nil {
				t.Error(err)
			}
		})
	}
}
