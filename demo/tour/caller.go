package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// caller is a session of one login.
type caller struct {
	name string
	conn *pgconn.PgConn
}

// answer is what came back for a statement: rows as text, or an error of the
// server's or of pgveil's.
type answer struct {
	titles []string
	rows   [][]string
	tag    string
	err    *pgconn.PgError // nil if there was none
}

// nothing is what a null is shown as.
const nothing = "null"

// connection gives the string by which a login connects through pgveil.
func (t *tour) connection(name, purpose string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(name, name+"-password"), Host: t.stand.proxy.address, Path: "/" + database}
	if purpose != "" {
		u.RawQuery = "options=" + strings.ReplaceAll(url.QueryEscape("-c pgveil.purpose="+purpose), "+", "%20")
	}
	return u.String()
}

// as gives the session of a login, which is opened when first asked for.
func (t *tour) as(ctx context.Context, name, purpose string) (*caller, error) {
	if c, ok := t.callers[name]; ok {
		return c, nil
	}
	conn, err := pgconn.Connect(ctx, t.connection(name, purpose))
	if err != nil {
		return nil, fmt.Errorf("connecting as %s: %w", name, err)
	}
	c := &caller{name, conn}
	t.callers[name] = c
	return c, nil
}

// around gives the session that goes to the server itself.
func (t *tour) around() *caller { return &caller{"server", t.stand.admin.PgConn()} }

// hangUp ends all sessions through pgveil.
func (t *tour) hangUp() {
	for _, c := range t.callers {
		_ = c.conn.Close(context.Background()) // pgveil and the server end next
	}
}

// ask sends a statement, as text alone or with parameters. An error is one of
// the connection; what was said to the statement is in the answer.
func (c *caller) ask(ctx context.Context, sql string, args ...string) (answer, error) {
	results, err := c.send(ctx, sql, args)
	var a answer
	if errors.As(err, &a.err) && !c.conn.IsClosed() {
		return a, nil
	}
	if err != nil {
		return a, fmt.Errorf("%s asks %q: %w", c.name, sql, err)
	}
	last := results[len(results)-1]
	a.tag = last.CommandTag.String()
	for _, f := range last.FieldDescriptions {
		a.titles = append(a.titles, f.Name)
	}
	for _, values := range last.Rows {
		a.rows = append(a.rows, texts(values))
	}
	return a, nil
}

func (c *caller) send(ctx context.Context, sql string, args []string) ([]*pgconn.Result, error) {
	if len(args) == 0 {
		results, err := c.conn.Exec(ctx, sql).ReadAll()
		if err == nil && len(results) == 0 {
			err = errors.New("no answer")
		}
		return results, err
	}
	params := make([][]byte, len(args))
	for i, arg := range args {
		params[i] = []byte(arg)
	}
	result := c.conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	return []*pgconn.Result{result}, result.Err
}

func texts(values [][]byte) []string {
	row := make([]string, len(values))
	for i, v := range values {
		if row[i] = string(v); v == nil {
			row[i] = nothing
		}
	}
	return row
}

// String gives the answer in a line: what a check compares and shows.
func (a answer) String() string {
	if a.err != nil {
		return "ERROR " + a.err.Code + ": " + a.err.Message
	}
	var lines []string
	for _, r := range a.rows {
		lines = append(lines, strings.Join(r, " | "))
	}
	if len(lines) == 0 {
		return a.tag
	}
	return strings.Join(lines, " ; ")
}

// cells gives the rows for the screen.
func (a answer) cells() [][]cell {
	var cells [][]cell
	for _, r := range a.rows {
		cells = append(cells, row(r...))
	}
	return cells
}
