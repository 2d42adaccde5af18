package twins

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/rewrite"
)

// outcome is what a caller gets to see of a text.
type outcome struct {
	lines   []string // columns, rows and tags
	notices []string
	err     *pgconn.PgError
}

// send runs a text by the simple protocol.
func (o *outcome) send(ctx context.Context, c *pgconn.PgConn, sql string, copies bool) error {
	var err error
	if copies {
		var b strings.Builder
		var tag pgconn.CommandTag
		tag, err = c.CopyTo(ctx, &b, sql)
		o.lines = append(strings.Split(b.String(), "\n"), tag.String())
	} else {
		err = o.query(ctx, c, sql)
	}
	if err != nil && !errors.As(err, &o.err) {
		return fmt.Errorf("send %s: %w", sql, err)
	}
	return nil
}

func (o *outcome) query(ctx context.Context, c *pgconn.PgConn, sql string) error {
	results := c.Exec(ctx, sql)
	for results.NextResult() {
		r := results.ResultReader()
		var columns []string
		for _, f := range r.FieldDescriptions() {
			columns = append(columns, fmt.Sprintf("%s:%d", f.Name, f.DataTypeOID))
		}
		o.lines = append(o.lines, strings.Join(columns, " | "))
		for r.NextRow() {
			o.lines = append(o.lines, row(r.Values()))
		}
		tag, err := r.Close()
		if err != nil {
			break // the same as Close gives
		}
		o.lines = append(o.lines, tag.String())
	}
	return results.Close()
}

func row(values [][]byte) string {
	texts := make([]string, len(values))
	for i, v := range values {
		if texts[i] = "∅"; v != nil {
			texts[i] = fmt.Sprintf("%q", v)
		}
	}
	return strings.Join(texts, " | ")
}

// redact leaves out what the proxy does not let through either: see redact and
// notice in proxy/refuse.go and proxy/backend.go.
func (o *outcome) redact(p *rewrite.Plan) {
	if !p.Governed && !p.Has(rewrite.Executes|rewrite.Fetches|rewrite.Ends) {
		return
	}
	o.notices = nil
	if o.err == nil {
		return
	}
	e := *o.err
	raised := e.Where != "" && (!strings.HasPrefix(e.Where, "COPY ") || strings.Contains(e.Where, "\n"))
	o.err = &pgconn.PgError{Code: e.Code, Message: e.Message}
	quotes := !slices.Contains([]string{"23", "25", "40", "42", "53", "55", "57"}, e.Code[:2])
	if raised || quotes && p.Has(rewrite.Writes|rewrite.Executes|rewrite.Ends) {
		o.err.Message = "withheld"
	}
	if raised {
		return
	}
	o.err.SchemaName, o.err.TableName, o.err.ColumnName = e.SchemaName, e.TableName, e.ColumnName
	o.err.DataTypeName, o.err.ConstraintName = e.DataTypeName, e.ConstraintName
}

// rejected tells whether the server did not understand the text.
func (o *outcome) rejected() bool {
	return o.err != nil && (strings.HasPrefix(o.err.Code, "42") && o.err.Code != "42501" || strings.HasPrefix(o.err.Code, "0A"))
}

// timedOut tells whether the text was stopped: how long it took decides what
// there is to see of it.
func (o *outcome) timedOut() bool { return o.err != nil && o.err.Code == "57014" }

// all gives everything of an outcome as lines.
func (o *outcome) all() []string {
	lines := slices.Concat(o.lines, o.notices)
	if e := o.err; e != nil {
		lines = append(lines, strings.TrimSpace(strings.Join([]string{"error", e.Code, e.Message, e.Detail, e.Hint,
			e.SchemaName, e.TableName, e.ColumnName, e.DataTypeName, e.ConstraintName}, " ")))
	}
	return lines
}
