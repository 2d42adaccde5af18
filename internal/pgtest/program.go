package pgtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// Program gives the path of one of PostgreSQL's programs of the server's version.
// ok is false where they come without it: not all packages have more than a server
// needs.
func Program(t testing.TB, name string) (path string, ok bool) {
	t.Helper()
	bin := os.Getenv(EnvBin)
	if bin == "" {
		var err error
		if bin, err = pgserver.Find(); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(bin, name)
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return path, err == nil
}
