package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/veil"
)

// The databases: the one behind pgveil, and its twin, which is worked on by hand.
const (
	governed = "governed"
	plain    = "plain"
)

// stage is a PostgreSQL of its own with the rows, and a pgveil before it.
type stage struct {
	dir, binary string
	server      *pgserver.Server
	veil        *veil.Veil
}

// build makes the databases, and starts pgveil.
func build(ctx context.Context, o options) (s *stage, err error) {
	s = &stage{binary: o.binary}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "pgveil-gdpr-"); err != nil {
		return s, err
	}
	if s.binary != "" { // it is run from the folder
		if s.binary, err = filepath.Abs(s.binary); err != nil {
			return s, err
		}
	} else {
		s.binary = filepath.Join(s.dir, "pgveil")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "github.com/pgveil/pgveil/cmd/pgveil").CombinedOutput(); err != nil {
			return s, fmt.Errorf("building pgveil: %w\n%s", err, out)
		}
	}
	// fsync is on: what an access log costs that is on the disk is compared with commits that are.
	if s.server, err = pgserver.Start(ctx, pgserver.Options{Settings: map[string]string{"shared_buffers": "256MB", "max_wal_size": "8GB", "jit": "off"}}); err != nil {
		return s, err
	}
	if err := s.load(ctx, o); err != nil {
		return s, err
	}
	s.veil, err = veil.Start(ctx, s.binary, s.dir)
	return s, err
}

// load makes both databases. The second one is a copy of the first.
func (s *stage) load(ctx context.Context, o options) error {
	for _, step := range []struct {
		database string
		texts    []string
	}{
		{"postgres", []string{"CREATE DATABASE " + governed}},
		{governed, []string{schema, fmt.Sprintf(fill, o.customers, o.rows/10), logins}},
		{"postgres", []string{"CREATE DATABASE " + plain + " TEMPLATE " + governed}},
		{plain, []string{byHand, consented, "VACUUM ANALYZE"}},
	} {
		if err := s.in(ctx, step.database, func(c *pgx.Conn) error { return execute(ctx, c, step.texts...) }); err != nil {
			return fmt.Errorf("loading %s: %w", step.database, err)
		}
	}
	if err := s.configure(ctx, o.serving); err != nil {
		return err
	}
	return s.in(ctx, governed, func(c *pgx.Conn) error { return execute(ctx, c, consentedThere, "VACUUM ANALYZE") })
}

const configuration = `listen: ["127.0.0.1:0"]
database: governed
policy: policy.yaml
server: {host: "%[1]s", port: %[2]d, tls: disable, login: postgres}
auth: {method: trust}
audit: {dir: %[3]s, key: %[3]s.key, origin: bench.example/%[3]s, checkpoint: 1s%[4]s}
dsar: {workers: %[5]d, ledger: erasures.ledger}
key: key
log: {format: json}
`

// configure writes pgveil's folder: serve's configuration, and that of a worker
// beside it.
func (s *stage) configure(ctx context.Context, workers int) error {
	host, port := s.server.SocketDir(), s.server.Port()
	for name, text := range map[string]string{
		"policy.yaml": policyText,
		"pgveil.yaml": fmt.Sprintf(configuration, host, port, "audit", ", table: {auditors: [regulator]}", workers),
		"worker.yaml": fmt.Sprintf(configuration, host, port, "work", "", 0),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"keygen", "key"},
		{"audit", "key", "audit.key", "--origin", "bench.example/audit"}, {"audit", "key", "work.key", "--origin", "bench.example/work"},
		{"schema", "--apply", "--config", "pgveil.yaml"},
	} {
		if _, err := s.pgveil(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// pgveil runs a command of the program in its folder, and gives what it says.
func (s *stage) pgveil(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pgveil %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// in calls f with a connection of the superuser's to a database.
func (s *stage) in(ctx context.Context, database string, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	return errors.Join(f(conn), conn.Close(context.WithoutCancel(ctx)))
}

// through connects a login by pgveil.
func (s *stage) through(ctx context.Context, login string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable", s.veil.Port(), login, governed))
}

// close ends everything, and tells whether pgveil complained.
func (s *stage) close() error {
	var errs []error
	if s.veil != nil {
		errs = append(errs, s.veil.Stop())
	}
	if s.server != nil {
		errs = append(errs, s.server.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
