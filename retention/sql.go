package retention

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog"
)

// settings make statements depend on nothing but their text. With row_security
// off the server refuses what a row policy would silently leave out.
const settings = `
	SET LOCAL search_path = pg_catalog;
	SET LOCAL row_security = off;
	SET LOCAL client_encoding = 'UTF8';
	SET LOCAL standard_conforming_strings = on;
	SET LOCAL TimeZone = 'UTC';
	SET LOCAL DateStyle = 'ISO, YMD';
	SET LOCAL IntervalStyle = 'iso_8601';
	SET LOCAL bytea_output = 'hex';
	SET LOCAL extra_float_digits = 1;
	SET LOCAL jit = off;
	SET LOCAL max_parallel_workers_per_gather = 0`

func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// from names a table in FROM. One that others inherit from stands for its own
// rows only.
func from(r *catalog.Relation, alias string) string {
	name := ident(r.Schema, r.Name) + " AS " + alias
	if r.Kind == catalog.PartitionedTable {
		return name
	}
	return "ONLY " + name
}

func exists(from string, conditions ...string) string {
	return "EXISTS (SELECT FROM " + from + " WHERE " + and(conditions) + ")"
}

func and(conditions []string) string { return joined(conditions, " AND ", "true") }
func or(conditions []string) string  { return joined(conditions, " OR ", "false") }

func joined(conditions []string, by, none string) string {
	conditions = slices.DeleteFunc(slices.Clone(conditions), func(c string) bool { return c == "" || c == none })
	switch len(conditions) {
	case 0:
		return none
	case 1:
		return conditions[0]
	default:
		return "(" + strings.Join(conditions, by) + ")"
	}
}

// equal compares a column with a value, by the operator of the column's type: one
// from an extension lies beside the type, all others are the system's.
func equal(r *catalog.Relation, column, alias, value string) string {
	schema := "pg_catalog"
	if c, ok := r.Column(column); ok && c.Type.Kind == 'b' && c.Type.Elem == 0 && c.Type.Schema != "" {
		schema = c.Type.Schema
	}
	return fmt.Sprintf("%s.%s OPERATOR(%s.=) %s", alias, ident(column), ident(schema), value)
}

// keyOf is what a row is known by in digests: its primary key, or all of it where
// there is none.
func keyOf(r *catalog.Relation, alias string) string {
	if len(r.PrimaryKey) == 0 {
		return fmt.Sprintf("pg_catalog.to_jsonb(%s.*)::pg_catalog.text", alias)
	}
	columns := make([]string, len(r.PrimaryKey))
	for i, at := range r.PrimaryKey {
		columns[i] = alias + "." + ident(r.Columns[at].Name)
	}
	return fmt.Sprintf("pg_catalog.jsonb_build_array(%s)::pg_catalog.text", strings.Join(columns, ", "))
}

// withoutValues takes out of an error what may hold values of rows: all but the
// SQLSTATE and the names of what it is about. What a trigger says may be anything.
func withoutValues(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	if e.Code == "P0001" || strings.HasPrefix(e.Where, "PL/") {
		return fmt.Errorf("the server answered SQLSTATE %s, by a trigger or function", e.Code)
	}
	about := ""
	for _, name := range []string{e.SchemaName, e.TableName, e.ConstraintName} {
		if name != "" {
			about += " " + name
		}
	}
	switch {
	case e.Code[:2] != "22" && e.Code[:2] != "23" && e.Code[:2] != "P0":
		return err
	case about == "":
		return fmt.Errorf("the server answered SQLSTATE %s", e.Code)
	default:
		return fmt.Errorf("the server answered SQLSTATE %s, about%s", e.Code, about)
	}
}

// coded tells whether an error is the server's, with one of some SQLSTATEs.
func coded(err error, codes ...string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}
