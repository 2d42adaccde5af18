// Package demo holds a CRM to show pgveil on: the schema, a policy that people
// who are not programmers can read, and rows enough to look real.
//
// Nobody in it exists. Cards are of the ranges that payment providers publish
// for tests, addresses and domains of those kept for documentation.
//
// The rows are made by Generate from a seed: the same seed and size give the
// same bytes, so a benchmark or a screenshot can be made again.
package demo

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Schema makes the tables. It is that of the test fixture crm, so what the
// cases show of the one holds for the other.
//
//go:embed schema.sql
var Schema string

// Roles makes the logins, each with a password of its name and "-password",
// and gives them all rights on the tables.
//
//go:embed roles.sql
var Roles string

// Policy is the sample policy: the files of the folder policy.
//
//go:embed policy/*.yaml
var Policy embed.FS

// Table is a table's rows in the text format of COPY.
type Table struct {
	Name    string // with its schema
	Columns []string
	Rows    []byte
}

// Load makes the schema and the logins in an empty database and fills it with
// the tables, in their order.
func Load(ctx context.Context, conn *pgconn.PgConn, tables []Table) error {
	for _, sql := range []string{Schema, Roles} {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("making the demo's schema: %w", err)
		}
	}
	// One transaction: the server need not write a commit for each table, and
	// nobody sees half a demo.
	if _, err := conn.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		return fmt.Errorf("loading the demo: %w", err)
	}
	for _, t := range tables {
		if err := load(ctx, conn, t); err != nil {
			_, rollback := conn.Exec(ctx, "ROLLBACK").ReadAll()
			return errors.Join(err, rollback)
		}
	}
	if _, err := conn.Exec(ctx, "COMMIT; ANALYZE").ReadAll(); err != nil {
		return fmt.Errorf("loading the demo: %w", err)
	}
	return nil
}

// load copies one table in and has the keys that the server will generate
// follow those that are there.
func load(ctx context.Context, conn *pgconn.PgConn, t Table) error {
	sql := fmt.Sprintf("COPY %s (%s) FROM STDIN", t.Name, strings.Join(t.Columns, ", "))
	if _, err := conn.CopyFrom(ctx, bytes.NewReader(t.Rows), sql); err != nil {
		return fmt.Errorf("loading %s: %w", t.Name, err)
	}
	if t.Columns[0] != "id" {
		return nil
	}
	sql = fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%s', 'id'), (SELECT max(id) FROM %[1]s))", t.Name)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("loading %s: %w", t.Name, err)
	}
	return nil
}
