package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pgveil": main})
}

// The command line does what testdata/cli says. Scripts find the fixtures in
// $FIXTURES, the cases in $CASES and a server for tests in $SERVER.
func TestScripts(t *testing.T) {
	testdata, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	server, err := pgserver.Start(t.Context(), pgserver.Options{BinDir: os.Getenv(pgtest.EnvBin), FastUnsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join(testdata, "cli"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIXTURES", filepath.Join(testdata, "fixtures"))
			e.Setenv("CASES", filepath.Join(testdata, "cases"))
			e.Setenv("SERVER", server.DSN("postgres", pgserver.Superuser))
			return nil
		},
	})
}

// An interrupted run ends, and says so.
func TestInterrupt(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if code := run(ctx, []string{"test", "../../testdata/cases/allow/columns.case", "--fixtures", "../../testdata/fixtures"}, t.Output(), t.Output()); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
}
