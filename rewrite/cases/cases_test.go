package cases

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Every case of testdata holds, on a server and on its fixture's twin.
func TestCases(t *testing.T) {
	server, err := NewServer(pgtest.Server(t).DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r := &Runner{Fixtures: "../../testdata/fixtures", Execute: server.Execute, Twin: server.Twin}
	files, err := filepath.Glob("../../testdata/cases/*/*.case")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var all Tally
	for _, path := range files {
		t.Run(strings.TrimPrefix(path, "../../testdata/cases/"), func(t *testing.T) {
			f, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			var report strings.Builder
			tally, err := r.Run(t.Context(), f, &report)
			if err != nil {
				t.Fatal(err)
			}
			all = all.Add(tally)
			if tally.Failed > 0 || tally.Skipped > 0 {
				t.Errorf("%d failed, %d skipped\n%s", tally.Failed, tally.Skipped, report.String())
			}
		})
	}
	t.Logf("%d cases passed, %d compared with the twin, %d not run on a server this old", all.Passed, all.Compared, all.Older)
}
