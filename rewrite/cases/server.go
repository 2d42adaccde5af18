package cases

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/mask"
)

// Server is a PostgreSQL for cases to run on without a proxy between: it is
// sent what the engine makes of a text, in a session like the proxy's. It makes
// a database for each fixture and drops it in Close.
type Server struct {
	dsn string
	key []byte

	mu        sync.Mutex
	databases map[string]string    // fixture's schema.sql, rows.sql or twin.sql → database
	idle      map[string]*pgx.Conn // database → a session that no case is using
}

// NewServer uses the server that dsn leads to, as a superuser.
func NewServer(dsn string) (*Server, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a mask key: %w", err)
	}
	return &Server{dsn: dsn, key: key, databases: map[string]string{}, idle: map[string]*pgx.Conn{}}, nil
}

// Execute is an Executor on the fixtures' rows.
func (s *Server) Execute(ctx context.Context, r Request) (Outcome, error) {
	return s.execute(ctx, r, "rows.sql")
}

// Twin is an Executor on the fixtures' twins.
func (s *Server) Twin(ctx context.Context, r Request) (Outcome, error) {
	return s.execute(ctx, r, "twin.sql")
}

// Close drops the databases that were made.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, conn := range s.idle {
		errs = append(errs, conn.Close(ctx))
	}
	clear(s.idle)
	for _, name := range s.databases {
		errs = append(errs, s.admin(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"))
	}
	clear(s.databases)
	return errors.Join(errs...)
}

func (s *Server) execute(ctx context.Context, r Request, rows string) (Outcome, error) {
	p, err := r.plan()
	var refusal *rewrite.Refusal
	if errors.As(err, &refusal) {
		return Outcome{Error: &Error{Code: refusal.Code, Message: refusal.Message, Hint: refusal.Hint}}, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	database, err := s.database(ctx, r.Fixture, rows)
	if err != nil {
		return Outcome{}, err
	}
	conn, err := s.session(ctx, database)
	if err != nil {
		return Outcome{}, err
	}
	if major(conn.PgConn().ParameterStatus("server_version")) < r.Since {
		return Outcome{}, errors.Join(ErrOlder, conn.Close(ctx))
	}
	o, err := s.send(ctx, conn, r, p)
	o.rename(database, filepath.Base(r.Fixture.Dir))
	return o, errors.Join(err, s.release(ctx, conn, database))
}

// major reads the major version out of how servers tell theirs: 17.4, 18beta1.
func major(version string) int {
	n := 0
	for _, c := range version {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// rename tells of a database by its fixture's name: its own is nothing that a
// case could expect.
func (o Outcome) rename(database, fixture string) {
	for _, r := range o.Results {
		for _, row := range r.Rows {
			for i, v := range row {
				if v != nil && *v == database {
					row[i] = &fixture
				}
			}
		}
	}
}

func (r Request) plan() (*rewrite.Plan, error) {
	s, err := r.Fixture.session(r.Claim, r.SearchPath)
	if err != nil {
		return nil, err
	}
	return r.Fixture.Engine.Plan(s, r.SQL)
}

// send runs a plan in a session like the proxy's and takes back what it
// changed, unless it manages transactions itself.
func (s *Server) send(ctx context.Context, conn *pgx.Conn, r Request, p *rewrite.Plan) (Outcome, error) {
	if err := s.prepare(ctx, conn, r); err != nil {
		return Outcome{}, err
	}
	var o Outcome
	run := func() error {
		if done, err := o.bind(ctx, conn.PgConn(), p); done || err != nil {
			return err
		}
		if p.Has(rewrite.Copies) || len(p.Steps) == 1 && p.Steps[0].Command == "COPY" {
			return o.copy(ctx, conn.PgConn(), p)
		}
		return o.query(ctx, conn.PgConn(), p.SQL)
	}
	if p.Has(rewrite.Begins | rewrite.Ends) {
		err := run()
		return o.quiet(p), err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return o, fmt.Errorf("run case: %w", err)
	}
	err = run()
	return o.quiet(p), errors.Join(err, tx.Rollback(ctx))
}

// quiet leaves out what the proxy does not let through either, of errors and of
// rows.
func (o Outcome) quiet(p *rewrite.Plan) Outcome {
	for i := range o.Results {
		o.Results[i].takeOff(p.Naming(i))
	}
	if o.Error != nil && p.Governed {
		o.Error.Detail, o.Error.Hint = "", ""
	}
	return o
}

// takeOff takes off the columns that name subjects.
func (r *Result) takeOff(n *rewrite.Naming) {
	switch {
	case n.Silent:
		r.Columns, r.Rows = nil, nil
	case n.Hidden() > 0:
		r.Columns = r.Columns[:len(r.Columns)-n.Hidden()]
		for i, row := range r.Rows {
			r.Rows[i] = row[:len(row)-n.Hidden()]
		}
	}
}

// prepare gives the session what the proxy gives it at login.
func (s *Server) prepare(ctx context.Context, conn *pgx.Conn, r Request) error {
	settings, err := mask.Settings(s.key)
	if err != nil {
		return err
	}
	if r.SearchPath != "" {
		settings["search_path"] = r.SearchPath
	}
	settings[rewrite.PurposeSetting] = r.Claim.Purpose
	if exists(filepath.Join(r.Fixture.Dir, "roles.sql")) {
		settings["session_authorization"] = r.Claim.Login
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, false)", name, settings[name]); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// query runs a text by the simple protocol, as psql would.
func (o *Outcome) query(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	results := conn.Exec(ctx, sql)
	for results.NextResult() {
		if o.read(results.ResultReader()) != nil {
			break // the same as Close gives
		}
	}
	return o.answer(results.Close())
}

// read adds what one statement gives, unless it fails.
func (o *Outcome) read(reader *pgconn.ResultReader) error {
	var r Result
	for _, f := range reader.FieldDescriptions() {
		r.Columns = append(r.Columns, f.Name)
	}
	if r.Columns == nil && reader.FieldDescriptions() != nil {
		r.Columns = []string{}
	}
	for reader.NextRow() {
		r.Rows = append(r.Rows, texts(reader.Values()))
	}
	tag, err := reader.Close()
	if err != nil {
		return err
	}
	r.Tag = tag.String()
	o.Results = append(o.Results, r)
	return nil
}

// bind runs a text that has parameters, with NULL for each: a case has no
// values for them. It tells whether there were any.
func (o *Outcome) bind(ctx context.Context, conn *pgconn.PgConn, p *rewrite.Plan) (bool, error) {
	if !strings.Contains(p.SQL, "$1") || len(p.Steps) != 1 {
		return false, nil
	}
	d, err := conn.Prepare(ctx, "", p.SQL, nil)
	if err != nil {
		return true, o.answer(err)
	}
	if len(d.ParamOIDs) == 0 {
		return false, nil
	}
	reader := conn.ExecPrepared(ctx, "", make([][]byte, len(d.ParamOIDs)), nil, nil)
	return true, o.answer(o.read(reader))
}

func texts(values [][]byte) []*string {
	row := make([]*string, len(values))
	for i, v := range values {
		if v != nil {
			text := string(v)
			row[i] = &text
		}
	}
	return row
}

// copy runs COPY, in from nothing or out to lines that count as rows.
func (o *Outcome) copy(ctx context.Context, conn *pgconn.PgConn, p *rewrite.Plan) error {
	var b strings.Builder
	var tag pgconn.CommandTag
	var err error
	r := Result{}
	if p.Has(rewrite.Copies) {
		tag, err = conn.CopyFrom(ctx, strings.NewReader(""), p.SQL)
	} else {
		tag, err = conn.CopyTo(ctx, &b, p.SQL)
		r.Columns = []string{"COPY"}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			r.Rows = append(r.Rows, []*string{&line})
		}
	}
	if err == nil {
		r.Tag = tag.String()
		o.Results = append(o.Results, r)
	}
	return o.answer(err)
}

// answer takes an error that the server answered; any other stays one.
func (o *Outcome) answer(err error) error {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		o.Error = &Error{Code: pgErr.Code, Message: pgErr.Message, Detail: pgErr.Detail, Hint: pgErr.Hint}
		return nil
	}
	if err != nil {
		return fmt.Errorf("run case: %w", err)
	}
	return nil
}
