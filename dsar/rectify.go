package dsar

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/privacy"
)

// Change is a value of one of a subject's own rows that is wrong, and what is
// right.
type Change struct {
	Table  string      // schema.table
	Row    privacy.Key // which of the subject's rows there; the zero Key: the only one
	Column string
	Value  string // as text, fit for the column's type
	Null   bool   // in place of Value
}

// RectifyOptions says how rectifying is done.
type RectifyOptions struct {
	// Record is given what the rows were and became, when all is changed and
	// nothing is committed: with its error nothing is. It is called once; a trail
	// that is kept may be of a change that then failed to be committed.
	Record func(ctx context.Context, rows []RectifiedRow) error
}

// Rectified is what rectifying did.
type Rectified struct {
	Rows   []RectifiedRow `json:"rows"`
	Copies []Copy         `json:"copies,omitempty"` // that may be as wrong
}

// RectifiedRow is a row that was changed. It can be shown and logged: what the row
// holds is in Images alone.
type RectifiedRow struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	Altered []string `json:"altered,omitempty"` // of Columns: a trigger made something else of what was asked for

	key           []string // columns of the primary key
	before, after []byte   // as row_to_json gives them
}

// Images gives the row before and after in the form of the access log, to be
// sealed.
func (r RectifiedRow) Images() *audit.Images {
	images := &audit.Images{}
	images.Add(r.key, audit.Change{Before: &audit.Row{JSON: r.before}, After: &audit.Row{JSON: r.after}})
	return images
}

// Copy tells of values that are as those were that were wrong: of the same class,
// in other rows of the subject.
type Copy struct {
	Of     string `json:"of"` // schema.table.column that was changed
	Table  string `json:"table"`
	Column string `json:"column"`
	Rows   int64  `json:"rows"`
}

// attempts is how often rectifying is begun again when somebody else changed a
// row meanwhile.
const attempts = 3

// Rectify changes values in the subject's own rows, all or none. Keys, columns
// that the server computes, and what tells of others are refused. Nothing of a
// value is in its errors. Once ctx has ended, conn is of no use any more.
func Rectify(ctx context.Context, conn *pgx.Conn, g *Graph, key privacy.Key, changes []Change, o RectifyOptions) (Rectified, error) {
	if o.Record == nil {
		return Rectified{}, fmt.Errorf("rectifying a %s: nobody would record it", g.Subject.Name)
	}
	rows, err := g.sortChanges(changes)
	if err != nil {
		return Rectified{}, fmt.Errorf("rectifying a %s: %w", g.Subject.Name, err)
	}
	recorded := false
	for n := 1; ; n++ {
		r := &rectifier{graph: g, rows: rows, record: func(ctx context.Context, rows []RectifiedRow) error {
			recorded = true
			return o.Record(ctx, rows)
		}}
		err = inChange(ctx, conn, func(tx pgx.Tx) error { return r.run(ctx, tx, key) })
		var e *pgconn.PgError
		if errors.As(err, &e) && e.Code == serializationFailure && n < attempts && !recorded {
			continue
		}
		if err != nil {
			return Rectified{}, fmt.Errorf("rectifying a %s: %w", g.Subject.Name, withoutText(err))
		}
		return r.done, nil
	}
}

// serializationFailure is the SQLSTATE for a row that somebody else changed since
// the snapshot.
const serializationFailure = "40001"

// inChange runs f in a transaction that sees one state of the database and may
// change it.
func inChange(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	stop := cancelling(ctx, conn)
	defer stop()
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		return f(tx)
	})
	if ended := ctx.Err(); err != nil && ended != nil {
		return ended
	}
	return err
}

// withoutText takes the server's words off an error: those of triggers, and of
// constraints, may hold values. Names stay.
func withoutText(err error) error {
	var said *privacy.Error
	var e *pgconn.PgError
	switch {
	case errors.As(err, &said) || !errors.As(err, &e):
		return err
	case e.Code == serializationFailure:
		return privacy.Fail(privacy.SchemaChanged, "try again", "somebody else changes these rows")
	case e.ConstraintName != "":
		return privacy.Fail(privacy.NotAllowed, "", "the constraint %s of %s.%s does not allow it (SQLSTATE %s)", e.ConstraintName, e.SchemaName, e.TableName, e.Code)
	case e.Code == "23502" && e.ColumnName != "":
		return privacy.Fail(privacy.NotAllowed, "", "%s.%s.%s cannot be null", e.SchemaName, e.TableName, e.ColumnName)
	default:
		return fmt.Errorf("the server answered SQLSTATE %s", e.Code)
	}
}

// usualPath is for triggers, which look for what is theirs by it.
const usualPath = `SET LOCAL search_path = "$user", public`

// rectifier is one attempt.
type rectifier struct {
	graph  *Graph
	rows   []*rowChange
	record func(context.Context, []RectifiedRow) error
	done   Rectified
}

func (r *rectifier) run(ctx context.Context, tx pgx.Tx, key privacy.Key) error {
	s, err := r.graph.find(ctx, tx, key)
	if err != nil {
		return err
	}
	for _, row := range r.rows {
		if err := row.prepare(ctx, tx, r.graph, s); err != nil {
			return err
		}
	}
	if err := r.copies(ctx, tx, s); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, usualPath); err != nil {
		return err
	}
	for _, row := range r.rows {
		if err := row.update(ctx, tx); err != nil {
			return err
		}
	}
	// What is deferred may change rows as well, or refuse them.
	if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL search_path = pg_catalog"); err != nil {
		return err
	}
	for _, row := range r.rows {
		is, err := row.became(ctx, tx)
		if err != nil {
			return err
		}
		r.done.Rows = append(r.done.Rows, is)
	}
	return r.record(ctx, r.done.Rows)
}

// copies looks for what is as wrong in the subject's other rows, before it is
// changed.
func (r *rectifier) copies(ctx context.Context, tx pgx.Tx, s subject) error {
	for _, row := range r.rows {
		for _, name := range row.columns {
			if err := r.copiesOf(ctx, tx, s, row, row.changes[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *rectifier) copiesOf(ctx context.Context, tx pgx.Tx, s subject, row *rowChange, c *columnChange) error {
	g := r.graph
	class, _ := g.set.Class(row.table.Relation, c.column.Name)
	if class.Open() || c.was == nil || *c.was == "" {
		return nil
	}
	for _, t := range g.Tables {
		for _, other := range t.Relation.Columns {
			if same, _ := g.set.Class(t.Relation, other.Name); same.Name != class.Name {
				continue
			}
			if c.sealed != nil {
				n, err := r.sealedCopies(ctx, tx, s, t, other.Name, c)
				if err != nil {
					return err
				}
				r.copied(row, c, t, other.Name, n)
				continue
			}
			n := int64(0)
			err := tx.QueryRow(ctx, fmt.Sprintf("%s SELECT count(*) FROM %s AS s JOIN %s ON %s WHERE CAST(c.%s AS text) = $3::text%s",
				g.closure(), g.found(t.index), as(t.Relation, "c"), samePlace("c"), quote(other.Name), r.changedToo(t, other.Name)), s.table, s.tuple, *c.was).Scan(&n)
			if err != nil {
				return err
			}
			r.copied(row, c, t, other.Name, n)
		}
	}
	return nil
}

func (r *rectifier) copied(row *rowChange, c *columnChange, t *Table, column string, n int64) {
	if n > 0 {
		r.done.Copies = append(r.done.Copies, Copy{row.table.Relation.QualifiedName() + "." + c.column.Name, t.Relation.QualifiedName(), column, n})
	}
}

// sealedCopies counts the subject's rows in which a sealed column has the value that was
// wrong. What cannot be opened is like nothing.
func (r *rectifier) sealedCopies(ctx context.Context, tx pgx.Tx, s subject, t *Table, column string, c *columnChange) (n int64, err error) {
	g := r.graph
	rows, err := tx.Query(ctx, fmt.Sprintf("%s SELECT %s FROM %s AS s JOIN %s ON %s WHERE c.%s IS NOT NULL%s",
		g.closure(), readText(g.set.Sealed(t.Relation, column), "c", column), g.found(t.index), as(t.Relation, "c"), samePlace("c"), quote(column), r.changedToo(t, column)), s.table, s.tuple)
	if err != nil {
		return 0, err
	}
	others, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	if err != nil {
		return 0, err
	}
	was, err := g.Values.openText(ctx, c.sealed, c.was)
	var u *unreadable
	for _, other := range others {
		if err != nil {
			break
		}
		var is *string
		is, err = g.Values.openText(ctx, g.set.Sealed(t.Relation, column), other)
		switch {
		case errors.As(err, &u):
			err = nil
		case err == nil && equalText(is, was):
			n++
		}
	}
	if errors.As(err, &u) {
		return 0, nil
	}
	return n, err
}

// changedToo is the condition that leaves out the rows of a table whose column is
// changed as well.
func (r *rectifier) changedToo(t *Table, column string) string {
	left := ""
	for _, row := range r.rows {
		if row.table == t && row.changes[column] != nil {
			left += " AND NOT (" + row.place() + ")"
		}
	}
	return left
}
