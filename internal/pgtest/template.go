package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// server is the binary's server with the databases on it.
type server struct {
	*pgserver.Server
	clones atomic.Int64

	mu        sync.Mutex        // held while a template is made: roles are the whole server's
	templates map[string]string // fixture → database
}

// Fixture gives the folder of a fixture, wherever in the module the test is.
func Fixture(t testing.TB, name string) string {
	t.Helper()
	dir, err := fixtureDir(name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// fixtureDir looks for testdata/fixtures beside the go.mod above the test.
func fixtureDir(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding fixture %s: %w", name, err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("finding fixture %s: no go.mod above the test", name)
		}
		dir = parent
	}
	fixture := filepath.Join(dir, "testdata", "fixtures", name)
	if _, err := os.Stat(fixture); err != nil {
		return "", fmt.Errorf("finding fixture %s: %w", name, err)
	}
	return fixture, nil
}

// fixtureFiles gives the SQL files of a fixture in the order in which they
// must run: rows come last, so that loading them tests the constraints.
func fixtureFiles(fixture string) ([]string, error) {
	if fixture == "" {
		return nil, nil
	}
	name, variant, _ := strings.Cut(fixture, "/")
	rows, ok := map[string]string{"": "rows.sql", "twin": "twin.sql"}[variant]
	if !ok {
		return nil, fmt.Errorf("fixture %s has no %q", name, variant)
	}
	dir, err := fixtureDir(name)
	if err != nil {
		return nil, err
	}
	return []string{
		filepath.Join(dir, "schema.sql"),
		filepath.Join(dir, "roles.sql"),
		filepath.Join(dir, rows),
	}, nil
}

// clone makes a database that is a copy of the fixture's template.
func (s *server) clone(ctx context.Context, fixture string) (string, error) {
	template, err := s.template(ctx, fixture)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("test_%d", s.clones.Add(1))
	return name, s.admin(ctx, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s`, name, template))
}

func (s *server) drop(ctx context.Context, name string) error {
	return s.admin(ctx, fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, name))
}

// template gives the fixture's database, which the first call makes. Nobody
// connects to it afterwards: a database in use cannot be copied.
func (s *server) template(ctx context.Context, fixture string) (string, error) {
	files, err := fixtureFiles(fixture)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, ok := s.templates[fixture]; ok {
		return name, nil
	}
	name := "template_" + strings.ReplaceAll(fixture, "/", "_")
	if err := s.admin(ctx, `CREATE DATABASE `+name); err != nil {
		return "", err
	}
	if err := s.load(ctx, name, files); err != nil {
		return "", errors.Join(err, s.drop(ctx, name))
	}
	s.templates[fixture] = name
	return name, nil
}

func (s *server) load(ctx context.Context, database string, files []string) error {
	conn, err := pgx.Connect(ctx, s.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return errors.Join(err, conn.Close(ctx))
		}
		if _, err := conn.PgConn().Exec(ctx, string(text)).ReadAll(); err != nil {
			return errors.Join(fmt.Errorf("running %s: %w", file, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

// admin runs one statement outside any test's database.
func (s *server) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres", pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}
