package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

//go:embed schema.sql
var schema string

//go:embed policy.yaml
var policyText string

// stage is a server with the customers on it, as a template that each
// arrangement gets a database from.
type stage struct {
	server *pgserver.Server
	crowd  *crowd
	pgveil string // the binary
	work   string // what pgveils read and write
	policy string
}

const password = "red-team" // of all logins, on a server that lives as long as the run

// endUsers is how many people there are behind the login desk.
const endUsers = 200

// newStage starts a server and loads it. logins are those of the evasions.
func newStage(ctx context.Context, pgveil string, logins []string) (s *stage, err error) {
	s = &stage{crowd: newCrowd()}
	if s.pgveil, err = filepath.Abs(pgveil); err != nil {
		return nil, err
	}
	if s.work, err = os.MkdirTemp("", "pgveil-redteam-"); err != nil {
		return nil, err
	}
	s.server, err = pgserver.Start(ctx, pgserver.Options{FastUnsafe: true, Settings: map[string]string{"max_connections": "300"}})
	if err == nil {
		err = s.load(ctx, logins)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) load(ctx context.Context, logins []string) error {
	if err := s.exec(ctx, "postgres", "CREATE DATABASE template_crowd"); err != nil {
		return err
	}
	s.policy = policyText
	for _, login := range append([]string{"desk", "shared_a", "shared_b"}, logins...) {
		if err := s.exec(ctx, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", login, password)); err != nil {
			return err
		}
	}
	for _, login := range logins {
		s.policy += fmt.Sprintf("  %s: {roles: [agent, seller]}\n", login)
	}
	for n := range endUsers {
		s.policy += fmt.Sprintf("  guest%d: {roles: [desk]}\n", n)
	}
	conn, err := pgx.Connect(ctx, s.server.DSN("template_crowd", pgserver.Superuser))
	if err != nil {
		return err
	}
	return errors.Join(s.crowd.load(ctx, conn), conn.Close(ctx))
}

// exec runs statements as the superuser, past all pgveils.
func (s *stage) exec(ctx context.Context, database, sql string) error {
	conn, err := pgx.Connect(ctx, s.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

func (s *stage) close() error {
	var err error
	if s.server != nil {
		err = s.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.work))
}

// writeFiles writes the files of one pgveil.
func writeFiles(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// key is what keyed masks and digests of subjects are made with, at every proxy.
var key = strings.Repeat("5e", 32)

// version gives the server's version, as a number.
func (s *stage) version(ctx context.Context) (number int, err error) {
	conn, err := pgx.Connect(ctx, s.server.DSN("postgres", pgserver.Superuser))
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&number)
	return number, errors.Join(err, conn.Close(ctx))
}
