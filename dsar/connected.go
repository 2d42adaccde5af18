package dsar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

// closeWait is how long a connection is given to say goodbye.
const closeWait = 2 * time.Second

// idleConn is a connection that no command has. What was prepared on it may not
// fit another catalog.
type idleConn struct {
	conn *pgx.Conn
	cat  *catalog.Snapshot
}

// connected calls f with a connection that nobody else has meanwhile.
func (s *Service) connected(ctx context.Context, f func(*pgx.Conn) error) (err error) {
	_, cat := s.Current()
	conn, err := s.take(ctx, cat)
	if err != nil {
		return fmt.Errorf("connecting for a privacy command: %w", err)
	}
	defer func() { err = errors.Join(err, s.put(ctx, idleConn{conn, cat})) }()
	return f(conn)
}

// take gives a connection that waits, or a new one.
func (s *Service) take(ctx context.Context, cat *catalog.Snapshot) (*pgx.Conn, error) {
	for {
		s.mu.Lock()
		last := len(s.idle) - 1
		if last < 0 {
			s.mu.Unlock()
			return s.Connect(ctx)
		}
		c := s.idle[last]
		s.idle = s.idle[:last]
		s.mu.Unlock()
		if c.cat == cat && c.conn.Ping(ctx) == nil {
			return c.conn, nil
		}
		_ = goodbye(ctx, c.conn) // nothing depends on it, and the server may be gone
	}
}

// put has a connection wait for the next command. It does not amid a transaction,
// nor when ctx has ended: what is cancelled then may be the next statement.
func (s *Service) put(ctx context.Context, c idleConn) error {
	if ctx.Err() == nil && !c.conn.IsClosed() && c.conn.PgConn().TxStatus() == 'I' && s.keep(c) {
		return nil
	}
	return goodbye(ctx, c.conn)
}

// keep has a connection wait, unless enough do.
func (s *Service) keep(c idleConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) >= s.Keep {
		return false
	}
	s.idle = append(s.idle, c)
	return true
}

// Close ends the connections that wait.
func (s *Service) Close(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.idle {
		err = errors.Join(err, goodbye(ctx, c.conn))
	}
	s.idle = nil
	return err
}

func goodbye(ctx context.Context, conn *pgx.Conn) error {
	wait, done := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer done()
	return conn.Close(wait)
}
