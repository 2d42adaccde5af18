package reseal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/seal"
)

// Wall is a CHECK that keeps clear values out, whoever writes them.
type Wall struct {
	Name  string
	Valid bool // it holds for every row, not only for those that are written
}

// wallName is what a wall is called that is made here.
func wallName(c *Column) string {
	const most = 63 // NAMEDATALEN - 1
	name := c.Name
	for len(name)+len("_sealed") > most {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name + "_sealed"
}

// wallExpr is the condition of a wall.
func wallExpr(c *Column) string {
	switch column, prefix := ident(c.Name), string(seal.Prefix(c.Stored)); c.Stored {
	case "bytea":
		return fmt.Sprintf("pg_catalog.substr(%s, 1, %d) = %s", column, len(prefix), c.constant([]byte(prefix)))
	case "json", "jsonb":
		return fmt.Sprintf("%s::pg_catalog.text LIKE %s", column, literal(prefix+"%"))
	default:
		return fmt.Sprintf("%s LIKE %s", column, literal(prefix+"%"))
	}
}

// isWall tells whether a CHECK is a wall, one that somebody else made included.
func isWall(c *Column, name, expr string) bool {
	mark := string(seal.Prefix(c.Stored))
	if c.Stored == "bytea" {
		mark = fmt.Sprintf(`\x%x`, mark)
	}
	return name == wallName(c) || strings.Contains(expr, "'"+mark)
}

// findWall gives the wall of a column, or nil.
func findWall(ctx context.Context, conn *pgx.Conn, c *Column) (*Wall, error) {
	column, ok := c.Root.Column(c.Name)
	if !ok {
		return nil, fmt.Errorf("%s is gone", c.Column)
	}
	rows, err := conn.Query(ctx, "SELECT conname::text, convalidated, pg_catalog.pg_get_expr(conbin, conrelid) FROM pg_catalog.pg_constraint WHERE conrelid = $1 AND contype = 'c' AND conkey = ARRAY[$2::int2] ORDER BY 1", c.Root.OID, column.Num)
	if err != nil {
		return nil, err
	}
	var wall *Wall
	var w Wall
	var expr string
	_, err = pgx.ForEachRow(rows, []any{&w.Name, &w.Valid, &expr}, func() error {
		if isWall(c, w.Name, expr) && (wall == nil || w.Valid) {
			found := w
			wall = &found
		}
		return nil
	})
	return wall, err
}

// AddWall makes a CHECK that keeps clear values out from now on, and has it hold for all
// rows when none is clear. There may be one already.
func (j *Job) AddWall(ctx context.Context, c *Column) (*Wall, error) {
	if err := c.Unsupported(); err != nil {
		return nil, err
	}
	if err := j.settle(ctx, c); err != nil {
		return nil, err
	}
	w, err := findWall(ctx, j.Conn, c)
	if err != nil {
		return nil, err
	}
	if w == nil {
		w = &Wall{Name: wallName(c)}
		if err := j.alter(ctx, c, fmt.Sprintf("ADD CONSTRAINT %s CHECK (%s) NOT VALID", ident(w.Name), wallExpr(c))); err != nil {
			return nil, err
		}
	}
	if w.Valid {
		return w, nil
	}
	clear := int64(0)
	for _, part := range c.Parts {
		var n int64
		if err := j.Conn.QueryRow(ctx, fmt.Sprintf("SELECT pg_catalog.count(*) FROM ONLY %s AS t WHERE NOT %s", ident(part.Schema, part.Name), c.isSealed())).Scan(&n); err != nil {
			return w, err
		}
		clear += n
	}
	if clear > 0 {
		return w, nil
	}
	err = j.alter(ctx, c, "VALIDATE CONSTRAINT "+ident(w.Name))
	w.Valid = err == nil
	return w, err
}

// DropWall lets clear values in again. It gives the name of what was dropped; "" when
// there was none.
func (j *Job) DropWall(ctx context.Context, c *Column) (string, error) {
	w, err := findWall(ctx, j.Conn, c)
	if err != nil || w == nil {
		return "", err
	}
	return w.Name, j.alter(ctx, c, "DROP CONSTRAINT "+ident(w.Name))
}

// alter changes the table of a column, unless others keep it from that for seconds: those
// that come later would wait as well.
func (j *Job) alter(ctx context.Context, c *Column, what string) error {
	err := pgx.BeginFunc(ctx, j.Conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '5s'"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "ALTER TABLE "+ident(c.Schema, c.Table)+" "+what)
		return err
	})
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "55P03" {
		return fmt.Errorf("%s: others have used it for 5 seconds without a break, so no CHECK was changed: try again when less is done", ident(c.Schema, c.Table))
	}
	if errors.As(err, &e) && e.Code == "42501" {
		return fmt.Errorf("%w: only the owner changes CHECKs; name one by --admin-url", err)
	}
	if err != nil {
		return fmt.Errorf("ALTER TABLE %s: %w", ident(c.Schema, c.Table), err)
	}
	return nil
}
