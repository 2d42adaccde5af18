package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// stage is a PostgreSQL server with the fixtures on it, as templates that
// databases are copied from.
type stage struct {
	server *pgserver.Server
	pgveil string // the binary
	work   string // configuration, key and access logs
	root   string
}

func newStage(ctx context.Context, pgveil string) (*stage, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if pgveil, err = filepath.Abs(pgveil); err != nil {
		return nil, err
	}
	s := &stage{pgveil: pgveil, root: root}
	if s.work, err = os.MkdirTemp("", "pgveil-clients-"); err != nil {
		return nil, err
	}
	if s.server, err = pgserver.Start(ctx, pgserver.Options{FastUnsafe: true, TLS: true, Settings: map[string]string{"max_prepared_transactions": "4"}}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.work))
	}
	if out, err := exec.CommandContext(ctx, pgveil, "token", "key", s.tokenKey()).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a key to sign tokens with: %w\n%s", err, out), s.close())
	}
	for _, fixture := range []string{"shop", "crm"} {
		if err := s.template(ctx, fixture); err != nil {
			return nil, errors.Join(fmt.Errorf("fixture %s: %w", fixture, err), s.close())
		}
	}
	return s, nil
}

func (s *stage) close() error { return errors.Join(s.server.Stop(), os.RemoveAll(s.work)) }

// tokenKey is the file with the secret that applications sign tokens with.
func (s *stage) tokenKey() string { return filepath.Join(s.work, "crm.key") }

func (s *stage) fixture(name string) string {
	return filepath.Join(s.root, "testdata", "fixtures", name)
}

func (s *stage) template(ctx context.Context, fixture string) error {
	if err := s.exec(ctx, "postgres", "CREATE DATABASE template_"+fixture); err != nil {
		return err
	}
	for _, file := range []string{"schema.sql", "roles.sql", "rows.sql"} {
		text, err := os.ReadFile(filepath.Join(s.fixture(fixture), file))
		if err != nil {
			return err
		}
		if err := s.exec(ctx, "template_"+fixture, string(text)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// fresh makes the fixture's database anew, with the tables of pgveil's own.
func (s *stage) fresh(ctx context.Context, fixture string) error {
	if err := s.exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+fixture+" WITH (FORCE)"); err != nil {
		return err
	}
	if err := s.exec(ctx, "postgres", "CREATE DATABASE "+fixture+" TEMPLATE template_"+fixture); err != nil {
		return err
	}
	dir, err := s.configure(fixture, "")
	if err != nil {
		return err
	}
	return s.command(ctx, dir, "schema", "--apply")
}

// command runs a command of pgveil's under the configuration in a folder.
func (s *stage) command(ctx context.Context, dir string, args ...string) error {
	args = append(args, "--config", filepath.Join(dir, "pgveil.yaml"))
	if out, err := exec.CommandContext(ctx, s.pgveil, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("pgveil %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// exec runs statements as the superuser, past pgveil.
func (s *stage) exec(ctx context.Context, database, sql string) error {
	conn, err := pgx.Connect(ctx, s.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// protected gives, of each customer of the fixture, the key and what the login
// must not see or change.
func (s *stage) protected(ctx context.Context, l login) ([][]string, error) {
	conn, err := pgx.Connect(ctx, s.server.DSN(l.database, pgserver.Superuser))
	if err != nil {
		return nil, err
	}
	columns := []string{"id::text"}
	for _, c := range slices.Concat(l.hidden, l.kept) {
		columns = append(columns, "coalesce(("+c+")::text, '')")
	}
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT ARRAY[%s] FROM %s ORDER BY id", strings.Join(columns, ", "), l.table))
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	return values, errors.Join(err, conn.Close(ctx))
}

// env is what a client gets: this process's environment without what would
// make it another server's client.
func (s *stage) env(port int, login, database string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") })
	return append(env,
		"PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(port), "PGDATABASE="+database,
		"PGUSER="+login, "PGPASSWORD="+login+"-password", "PGPASSFILE=/dev/null",
		"PGSSLMODE=verify-full", "PGSSLROOTCERT="+s.server.CAFile(),
		"CRM_KEY_FILE="+s.tokenKey(), "PSQLRC=/dev/null", "PSQL_HISTORY=/dev/null", "LC_ALL=C.UTF-8", "TZ=UTC")
}
