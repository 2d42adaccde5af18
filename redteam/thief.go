package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// workers is how many connections an evasion has at once, unless it has its own
// idea of that.
const workers = 4

// thief tries one evasion as somebody of its own.
type thief struct {
	at    *arrangement
	login string
	first string // what each connection says first; may be ""
	view  func([]byte) []byte
	haul  *haul

	mu       sync.Mutex
	answers  map[string]int    // statements, by how they ended: SQLSTATE, "" or "gone"
	said     map[string]string // of those, what the last one was told
	sessions [workers]*session
}

// session is a connection that is made again when it is gone.
type session struct {
	t    *thief
	n    int
	conn *pgconn.PgConn
}

// connect logs in, at the proxy that comes at n. One that is being started again
// is waited for.
func (t *thief) connect(ctx context.Context, n int) (*pgconn.PgConn, error) {
	return t.connectAs(ctx, t.login, n)
}

func (t *thief) connectAs(ctx context.Context, login string, n int) (*pgconn.PgConn, error) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := t.dial(ctx, login, n)
		var said *pgconn.PgError
		refused := errors.As(err, &said) && said.Code != "57P03" && said.Code != "57P01"
		if err == nil || refused || ctx.Err() != nil || time.Now().After(deadline) {
			return conn, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (t *thief) dial(ctx context.Context, login string, n int) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", login, password, t.at.port(n), t.at.database))
	if err != nil {
		return nil, err
	}
	if login == t.login { // who acts for others has no purpose of its own
		config.RuntimeParams["options"] = "-c pgveil.purpose=support"
	}
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &tap{Conn: conn, haul: t.haul, view: t.view}, nil
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil || t.first == "" {
		return conn, err
	}
	_, err = conn.Exec(ctx, t.first).ReadAll()
	return conn, err
}

// session gives a worker's connection.
func (t *thief) session(n int) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions[n] == nil {
		t.sessions[n] = &session{t: t, n: n}
	}
	return t.sessions[n]
}

// open gives the session's connection, a new one if need be.
func (s *session) open(ctx context.Context) (conn *pgconn.PgConn, err error) {
	if s.conn == nil || s.conn.IsClosed() {
		s.conn, err = s.t.connect(ctx, s.n)
	}
	return s.conn, err
}

// run sends a text and reads the answers. However those end is no error: the thief
// goes on.
func (s *session) run(ctx context.Context, sql string) error {
	conn, err := s.open(ctx)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, strings.ReplaceAll(sql, "$own", s.t.own())).ReadAll()
	if !conn.IsClosed() && conn.TxStatus() == 'E' {
		_, _ = conn.Exec(ctx, "ROLLBACK").ReadAll() // it is err that counts
	}
	return s.t.ended(ctx, err)
}

// begin has each connection, those to come as well, say something first.
func (t *thief) begin(ctx context.Context, sql string) error {
	t.first = sql
	return t.each(func(s *session) error {
		if s.conn == nil {
			return nil
		}
		return s.run(ctx, sql)
	})
}

// ended notes how a statement ended.
func (t *thief) ended(ctx context.Context, err error) error {
	how := ""
	var said *pgconn.PgError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &said):
		how = said.Code
	case err != nil:
		how = "gone"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers[how]++
	if err != nil {
		t.said[how] = err.Error()
	}
	return nil
}

// each has every worker do something at the same time.
func (t *thief) each(do func(s *session) error) error {
	errs := make([]error, workers)
	var all sync.WaitGroup
	for n := range workers {
		all.Go(func() { errs[n] = do(t.session(n)) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// share has the workers do jobs, each whichever is next.
func (t *thief) share(ctx context.Context, jobs []string) error {
	var next atomic.Int64
	return t.each(func(s *session) error {
		for i := next.Add(1) - 1; i < int64(len(jobs)); i = next.Add(1) - 1 {
			if err := s.run(ctx, jobs[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *thief) hangUp(ctx context.Context) {
	for _, s := range t.sessions {
		if s != nil && s.conn != nil {
			_ = s.conn.Close(ctx) // it may be gone
		}
	}
}

// known is the number of a customer whom the thief sees before it does anything
// else, and may see again whatever happens.
const known = 77

// own is the key of that customer.
func (t *thief) own() string { return strconv.FormatInt(t.haul.crowd.ids[known-1], 10) }

const ownSQL = "SELECT number, name, email, phone FROM customers WHERE number = 77"

// greet sees the customer who may be seen again.
func (t *thief) greet(ctx context.Context) error {
	if err := t.session(0).run(ctx, ownSQL); err != nil {
		return err
	}
	if n := t.haul.size(); n != 1 {
		return fmt.Errorf("a first read gives %d customers: %v", n, t.answers)
	}
	return nil
}

// ordinary does what must work for somebody who has had enough.
func (t *thief) ordinary(ctx context.Context) error {
	if err := t.session(0).run(ctx, "ROLLBACK"); err != nil { // it may be gone with a proxy
		return err
	}
	conn, err := t.session(0).open(ctx)
	if err != nil {
		return err
	}
	for _, sql := range []string{
		"SELECT 1", ownSQL,
		"BEGIN", "UPDATE orders SET status = 'paid' WHERE customer_id = (SELECT id FROM customers WHERE number = 77)", ownSQL, "COMMIT",
	} {
		results, err := conn.Exec(ctx, sql).ReadAll()
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		if sql == ownSQL && (len(results) != 1 || len(results[0].Rows) != 1) {
			return errors.New("a customer who was seen before is not there any more")
		}
	}
	return nil
}
