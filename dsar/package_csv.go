package dsar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
)

// table writes a table's rows as CSV, and keeps the first for the page.
func (p *packer) table(ctx context.Context, tx pgx.Tx, t shown) error {
	name := t.Relation.QualifiedName()
	view := preview{Name: name}
	err := p.file(File{Name: p.tableFile(t.Relation), Table: name}, func(w io.Writer, f *File) error {
		c := &csvWriter{w: w}
		if err := c.row(t.header()); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, p.graph.csvSQL(t), p.subject.table, p.subject.tuple)
		if err != nil {
			return err
		}
		defer rows.Close()
		var n int64
		for ; rows.Next(); n++ {
			values, err := t.openFields(ctx, p.graph.Values, rows.RawValues()) // text in either format, until the next row
			if err != nil {
				return errors.Join(err, tx.Conn().PgConn().CancelRequest(ctx))
			}
			if n < mostShown {
				view.add(values)
			}
			if err := c.row(values); err != nil {
				// Closing rows reads what is left of them: let it be little.
				return errors.Join(err, tx.Conn().PgConn().CancelRequest(ctx))
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if n != p.manifest.Counts[name] {
			return fmt.Errorf("internal error: %s has %d rows in JSON and %d in CSV", name, p.manifest.Counts[name], n)
		}
		f.Rows, f.Formulas = &n, c.formulas
		view.Columns, view.File, view.Rows, view.Formulas = t.names(), f.Name, n, c.formulas
		return nil
	})
	p.previews = append(p.previews, view)
	return err
}

func (t shown) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.Name
	}
	return names
}

func (t shown) header() [][]byte {
	var head [][]byte
	for _, name := range t.names() {
		head = append(head, []byte(name))
	}
	return head
}

// csvSQL is the statement that gives a subject's rows of one table, every value
// as text.
func (g *Graph) csvSQL(t shown) string {
	values := make([]string, len(t.columns))
	for i, c := range t.columns {
		values[i] = t.text(c.Name)
	}
	return fmt.Sprintf("%s\nSELECT %s FROM %s AS s JOIN %s ON %s ORDER BY %s",
		g.closure(), strings.Join(values, ", "), g.found(t.index), as(t.Relation, "c"), samePlace("c"), t.sortKey())
}

// text is the expression for a column of the row c, replaced where it tells of a
// counterpart.
func (t shown) text(column string) string {
	value := readText(t.sealed[column], "c", column)
	for _, c := range t.counterparts {
		if c.hides(column) {
			value = fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END", namesOther(c, "c"), literal(redacted(c)), value)
		}
	}
	return value
}

// redacted stands in CSV for what is replaced.
func redacted(c counterpart) string { return "[redacted: " + c.other() + "]" }

// csvWriter writes RFC 4180. NULL is written as nothing, and an empty text as
// "", as PostgreSQL does, so that both can be told apart. Values are exact:
// those that a spreadsheet may take for formulas are counted, not changed.
type csvWriter struct {
	w        io.Writer
	line     []byte
	formulas int64
}

func (c *csvWriter) row(fields [][]byte) error {
	c.line = c.line[:0]
	for i, f := range fields {
		if i > 0 {
			c.line = append(c.line, ',')
		}
		c.field(f, len(fields) == 1)
	}
	c.line = append(c.line, '\r', '\n')
	_, err := c.w.Write(c.line)
	return err
}

// field adds a field to the line. One that stands alone is never written as
// nothing: readers skip empty lines.
func (c *csvWriter) field(f []byte, alone bool) {
	if f == nil && !alone {
		return
	}
	if formula(f) {
		c.formulas++
	}
	if len(f) > 0 && !bytes.ContainsAny(f, "\",\r\n") {
		c.line = append(c.line, f...)
		return
	}
	c.line = append(c.line, '"')
	for len(f) > 0 {
		at := bytes.IndexByte(f, '"')
		if at < 0 {
			break
		}
		c.line = append(append(c.line, f[:at+1]...), '"')
		f = f[at+1:]
	}
	c.line = append(append(c.line, f...), '"')
}

// formula tells whether a spreadsheet may run a value: it begins as a formula
// does, and is not just a number.
func formula(f []byte) bool {
	if len(f) == 0 || !strings.ContainsRune("=+-@\t\r", rune(f[0])) {
		return false
	}
	return len(f) == 1 || len(bytes.Trim(f[1:], "0123456789.")) > 0
}
