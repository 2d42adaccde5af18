package requests_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// TestOthersGoOn stops the worker at each thing that it writes down about requests
// that erase nobody, and lets another one go on.
func TestOthersGoOn(t *testing.T) {
	for _, sql := range []string{
		"PRIVACY OPEN RESTRICTION person 7 VERIFIED BY 'contact' BECAUSE 'x'",
		"PRIVACY OPEN OBJECTION person 7 TO marketing VERIFIED BY 'contact' BECAUSE 'x'",
		"PRIVACY OPEN RECTIFICATION person 7 SET email = 'new@example.com' VERIFIED BY 'contact' BECAUSE 'x'",
	} {
		for stop := 1; ; stop++ {
			s := newScene(t, shopPolicy)
			id := s.must(t, "petra", sql)[0]
			s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
			stopped := s.workUntil(t, stop)
			s.work(t)
			if got := s.state(t, id); got != "completed" {
				t.Errorf("%s, stopped at %d: %s", sql, stop, got)
			}
			if n := s.one(t, "SELECT count(*)::text FROM pgveil.person_restrictions"); n > "1" {
				t.Errorf("%s, stopped at %d: %s are in force", sql, stop, n)
			}
			if !stopped {
				break
			}
		}
	}
}

// TestKillingRequests: a request that ends its worker each time is not gone on with
// for ever, and can be told to run again.
func TestKillingRequests(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.access(t)
	for n := range 10 {
		w := s.newWorker("killed")
		w.Package = func(context.Context, *pgx.Conn, state.Request) (requests.Packed, error) { panic("killed") }
		conn, err := pgx.Connect(t.Context(), s.dsn)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			_, err = w.Step(t.Context(), conn)
			t.Errorf("attempt %d: nothing was tried, %v", n+1, err)
		}()
		conn.Close(t.Context())
		s.gone(t)
	}
	tried := 0
	s.worker.Package = func(context.Context, *pgx.Conn, state.Request) (requests.Packed, error) {
		tried++
		return requests.Packed{Rows: 1}, nil
	}
	s.work(t)
	if got := s.state(t, id); got != "failed: 10 attempts failed: pgveil's log says why" || tried != 0 {
		t.Errorf("after ten that were killed: %s, tried %d times more", got, tried)
	}
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
	s.work(t)
	if got := s.state(t, id); got != "completed" || tried != 1 {
		t.Errorf("told to run again: %s, tried %d times", got, tried)
	}
}
