package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/veil"
)

// vaults are the table that clients of sealed columns work on: what it is where
// nothing is sealed, and where all but the key is.
var vaults = map[bool]string{
	false: `CREATE TABLE people (id int PRIMARY KEY, ssn text UNIQUE, born date, income numeric, ref uuid, seen timestamptz, note text)`,
	true:  `CREATE TABLE people (id int PRIMARY KEY, ssn text UNIQUE, born text, income text, ref text, seen text, note text)`,
}

const vaultPolicy = "clients/sealed.yaml"

// seals tells whether a client is one of sealed columns.
func (c client) seals() bool { return strings.HasPrefix(c.name(), "sealed-") }

// trySealed runs a client on columns as they are, and then on sealed ones, as somebody
// without restrictions and as somebody with: it must print the same.
func (c client) trySealed(ctx context.Context, s *stage) (all [3]result) {
	want := ""
	all[0].err = s.freshVault(ctx, false)
	if all[0].err == nil {
		want, all[0].err = c.run(ctx, s.env(s.server.Port(), unrestricted, "vault"), unrestricted)
	}
	for i, login := range []string{unrestricted, "alice"} {
		switch {
		case errors.Is(all[0].err, errNotInstalled):
			all[i+1].err = errNotInstalled
		case all[0].err != nil:
			all[i+1].err = errNotTried
		default:
			all[i+1].err = c.sealed(ctx, s, login, want)
		}
	}
	return all
}

func (s *stage) freshVault(ctx context.Context, sealed bool) error {
	for _, sql := range []string{"DROP DATABASE IF EXISTS vault WITH (FORCE)", "CREATE DATABASE vault"} {
		if err := s.exec(ctx, "postgres", sql); err != nil {
			return err
		}
	}
	return s.exec(ctx, "vault", vaults[sealed]+"; GRANT ALL ON people TO PUBLIC")
}

// sealed runs a client on sealed columns.
func (c client) sealed(ctx context.Context, s *stage, login, want string) error {
	if err := s.freshVault(ctx, true); err != nil {
		return err
	}
	dir, err := s.configure("vault", vaultPolicy)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "pgveil.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(file, append(text, "sealing: {keys: keys.json, wrapped_by: {file: kek}}\n"...), 0o600),
		os.WriteFile(filepath.Join(dir, "kek"), []byte(strings.Repeat("6b", 32)), 0o600))
	if err != nil {
		return err
	}
	if err := errors.Join(s.command(ctx, dir, "schema", "--apply"), s.command(ctx, dir, "keys", "create", "ssn", "born", "income", "ref", "seen", "note")); err != nil {
		return err
	}
	v, err := veil.Start(ctx, s.pgveil, dir)
	if err != nil {
		return err
	}
	got, err := c.run(ctx, s.env(v.Port(), login, "vault"), login)
	if err := errors.Join(err, v.Stop()); err != nil {
		return err
	}
	if err := differ("PostgreSQL", want, "pgveil", got); err != nil {
		return err
	}
	return s.allSealed(ctx)
}

// allSealed tells whether a client left rows, and no value in them as it is.
func (s *stage) allSealed(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.server.DSN("vault", pgserver.Superuser))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var rows, sealed int
	err = conn.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE (ssn || born || income || ref || seen || note) IS NULL OR
		ssn LIKE 'pgv1.%' AND born LIKE 'pgv1.%' AND income LIKE 'pgv1.%' AND ref LIKE 'pgv1.%' AND seen LIKE 'pgv1.%' AND note LIKE 'pgv1.%') FROM people`).Scan(&rows, &sealed)
	if err == nil && (rows == 0 || sealed < rows) {
		err = fmt.Errorf("LEAK: of %d rows %d are sealed", rows, sealed)
	}
	return err
}
