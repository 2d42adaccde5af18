package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// wires uses what the protocol has beside texts.
func wires() []evasion {
	return []evasion{
		{name: "prepared by the protocol", take: prepared(0)},
		{name: "prepared by the protocol, in binary", take: prepared(1)},
		texts("PREPARE and EXECUTE", times(workers, "PREPARE p AS SELECT email FROM customers WHERE number = $1; "+ones(900, "EXECUTE p(%d * 7); ")+"DEALLOCATE p")...),
		{name: "PREPARE, EXECUTE apart", take: func(ctx context.Context, t *thief) error {
			if err := t.begin(ctx, "PREPARE p AS SELECT email, phone FROM customers WHERE number = $1"); err != nil {
				return err
			}
			return t.share(ctx, some(2000, steps(1, "EXECUTE p($a)")))
		}},
		{name: "CREATE TABLE AS EXECUTE", take: func(ctx context.Context, t *thief) error {
			if err := t.begin(ctx, "PREPARE p AS SELECT email, phone FROM customers WHERE number BETWEEN $1 AND $2"); err != nil {
				return err
			}
			return t.share(ctx, steps(500, "BEGIN; CREATE TEMPORARY TABLE x ON COMMIT DROP AS EXECUTE p($a, $b); SELECT * FROM x; COMMIT"))
		}},
		texts("many statements in a text", times(workers, ones(1500, "SELECT email FROM customers WHERE number = %d; "))...),
		texts("many statements in a text, from the other end", times(workers, ones(1500, "SELECT email FROM customers WHERE number = 10001 - %d; "))...),
		{name: "pipelining", take: pipelined},
		{name: "portals, a few rows at a time", take: portals},
		{name: "portals, many open at once", take: manyPortals},
		{name: "half an answer, then gone", take: leaving},
		{name: "cancelled amid the rows", take: cancelling},
		texts("another encoding", append(times(8, "SET client_encoding = 'LATIN1'"), steps(50, "SELECT * FROM customers WHERE number BETWEEN $a AND $b")...)...),
		texts("no encoding", append(times(8, "SET client_encoding = 'SQL_ASCII'"), steps(50, "SELECT email FROM customers WHERE number BETWEEN $a AND $b")...)...),
	}
}

// prepared reads pages by a prepared statement, in text or binary form.
func prepared(format int16) func(ctx context.Context, t *thief) error {
	return func(ctx context.Context, t *thief) error {
		return t.each(func(s *session) error {
			conn, err := s.open(ctx)
			if err != nil {
				return err
			}
			if _, err := conn.Prepare(ctx, "p", "SELECT id, email FROM customers WHERE number = ANY ($1::int[])", nil); err != nil {
				return err
			}
			for n := s.n * 25; n < population; n += 100 {
				list := []byte("{")
				for i := range 25 {
					list = append(strconv.AppendInt(list, int64(n+i), 10), ',')
				}
				list[len(list)-1] = '}'
				_, err := conn.ExecPrepared(ctx, "p", [][]byte{list}, nil, []int16{format}).Close()
				if err := t.ended(ctx, err); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// pipelined sends two hundred statements before it reads the first answer.
func pipelined(ctx context.Context, t *thief) error {
	return t.each(func(s *session) error {
		for from := s.n * 200; from < population; from += 800 {
			conn, err := s.open(ctx)
			if err != nil {
				return err
			}
			p := conn.StartPipeline(ctx)
			for n := range 200 {
				p.SendQueryParams("SELECT email, phone FROM customers WHERE number = $1", [][]byte{[]byte(strconv.Itoa(from + n))}, nil, nil, nil)
				if err := p.Sync(); err != nil {
					return err
				}
			}
			for {
				r, err := p.GetResults()
				if rows, ok := r.(*pgconn.ResultReader); ok {
					_, err = rows.Close()
				}
				if err := t.ended(ctx, err); err != nil {
					return err
				}
				if r == nil && !isAnswer(err) {
					break
				}
			}
			if err := p.Close(); err != nil && !isAnswer(err) {
				return err
			}
		}
		return nil
	})
}

func isAnswer(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said)
}

// portals executes a portal again and again, for 30 rows each time.
func portals(ctx context.Context, t *thief) error {
	return t.each(func(s *session) error {
		conn, err := s.open(ctx)
		if err != nil {
			return err
		}
		f := conn.Frontend()
		f.Send(&pgproto3.Parse{Query: fmt.Sprintf("SELECT id, email FROM customers WHERE number %% 4 = %d", s.n)})
		f.Send(&pgproto3.Bind{})
		for range 100 {
			f.Send(&pgproto3.Execute{MaxRows: 30})
		}
		f.Send(&pgproto3.Sync{})
		return s.drain(ctx, f)
	})
}

// manyPortals opens portals under names of their own, and takes turns.
func manyPortals(ctx context.Context, t *thief) error {
	return t.each(func(s *session) error {
		conn, err := s.open(ctx)
		if err != nil {
			return err
		}
		f := conn.Frontend()
		for i := range 20 {
			f.Send(&pgproto3.Parse{Query: fmt.Sprintf("SELECT email FROM customers WHERE number %% 80 = %d", s.n*20+i)})
			f.Send(&pgproto3.Bind{DestinationPortal: fmt.Sprint("p", i)})
		}
		for n := range 300 {
			f.Send(&pgproto3.Execute{Portal: fmt.Sprint("p", n%20), MaxRows: 10})
		}
		f.Send(&pgproto3.Sync{})
		return s.drain(ctx, f)
	})
}

// drain reads up to ReadyForQuery.
func (s *session) drain(ctx context.Context, f *pgproto3.Frontend) error {
	if err := f.Flush(); err != nil {
		return s.t.ended(ctx, err)
	}
	for {
		m, err := f.Receive()
		if err != nil {
			_ = s.conn.Close(ctx) // it is gone
			return s.t.ended(ctx, err)
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			err = s.t.ended(ctx, pgconn.ErrorResponseToPgError(m))
		case *pgproto3.CommandComplete, *pgproto3.PortalSuspended:
			err = s.t.ended(ctx, nil)
		case *pgproto3.ReadyForQuery:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// leaving reads a part of an answer and hangs up, again and again.
func leaving(ctx context.Context, t *thief) error {
	return t.each(func(s *session) error {
		for n := range 40 {
			conn, err := t.connect(ctx, s.n)
			if err != nil {
				return err
			}
			f := conn.Frontend()
			f.Send(&pgproto3.Query{String: fmt.Sprintf("SELECT * FROM customers WHERE number > %d ORDER BY number", (n*workers+s.n)*60)})
			if err := f.Flush(); err != nil {
				return err
			}
			for rows := 0; rows < 30; {
				m, err := f.Receive()
				if err != nil {
					break
				}
				if _, ok := m.(*pgproto3.DataRow); ok {
					rows++
				}
				if e, ok := m.(*pgproto3.ErrorResponse); ok {
					if err := t.ended(ctx, pgconn.ErrorResponseToPgError(e)); err != nil {
						return err
					}
					break
				}
			}
			_ = conn.Conn().Close() // and not a word
		}
		return nil
	})
}

// cancelling cancels statements amid their rows.
func cancelling(ctx context.Context, t *thief) error {
	return t.each(func(s *session) error {
		for n := range 40 {
			conn, err := s.open(ctx)
			if err != nil {
				return err
			}
			rows := conn.Exec(ctx, fmt.Sprintf("SELECT c.*, pg_sleep(0.0005) FROM customers c WHERE number > %d ORDER BY number", (n*workers+s.n)*60))
			for n := 0; n < 30 && rows.NextResult(); {
				for r := rows.ResultReader(); n < 30 && r.NextRow(); {
					n++
				}
			}
			_ = conn.CancelRequest(ctx) // it may be over already
			if err := t.ended(ctx, rows.Close()); err != nil {
				return err
			}
		}
		return nil
	})
}
