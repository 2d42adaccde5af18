package requests_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// access opens a request for access that runs.
func (s *scene) access(t *testing.T) (id string) {
	t.Helper()
	id = s.must(t, "petra", "PRIVACY OPEN ACCESS person 7 VERIFIED BY 'contact'")[0]
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
	return id
}

// TestExtendedWhileItRuns: what an officer does about a request that runs is not
// undone by the worker that has it.
func TestExtendedWhileItRuns(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.access(t)
	s.worker.Package = func(context.Context, *pgx.Conn, state.Request) (requests.Packed, error) {
		s.must(t, "petra", "PRIVACY EXTEND REQUEST "+id+" BECAUSE 'many tables'")
		return requests.Packed{Rows: 1}, nil
	}
	s.work(t)
	if got := s.one(t, "SELECT state || extended || (due_on = extend_to) FROM pgveil.requests WHERE id = "+id); got != "completedtruetrue" {
		t.Errorf("extended while it ran: %s", got)
	}
}

// TestExtendedWhileItIsSearchedFor is the same of the search at an erasure's end.
func TestExtendedWhileItIsSearchedFor(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.erased(t, "7")
	certify := s.worker.Notary.Certify
	s.worker.Notary.Certify = func(ctx context.Context, c erasures.Certificate, records []uint64, secrets []string) ([]byte, error) {
		s.must(t, "petra", "PRIVACY EXTEND REQUEST "+id+" BECAUSE 'many tables'")
		return certify(ctx, c, records, secrets)
	}
	s.work(t)
	if got := s.one(t, "SELECT state || extended || (due_on = extend_to) FROM pgveil.requests WHERE id = "+id); got != "completedtruetrue" {
		t.Errorf("extended while it was searched for: %s", got)
	}
}

// TestWorkerThatLostItsRequest: one whose session the server has ended does not
// write over what the next one did.
func TestWorkerThatLostItsRequest(t *testing.T) {
	for name, ends := range map[string]error{"failed": errors.New("the connection is gone"), "well": nil} {
		s := newScene(t, shopPolicy)
		id := s.access(t)
		s.worker.Package = func(context.Context, *pgx.Conn, state.Request) (requests.Packed, error) {
			return requests.Packed{File: "second", Rows: 2}, nil
		}
		first := s.newWorker("first")
		first.Package = func(_ context.Context, conn *pgx.Conn, _ state.Request) (requests.Packed, error) {
			s.exec(t, "SELECT pg_terminate_backend($1)", int32(conn.PgConn().PID()))
			s.gone(t)
			s.work(t)
			return requests.Packed{File: "first", Rows: 1}, ends
		}
		first.Step(t.Context(), pgtest.Connect(t, s.dsn)) // its connection is gone
		if got := s.one(t, "SELECT state || (outcome ->> 'file') FROM pgveil.requests WHERE id = "+id); got != "completedsecond" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestDespiteIsOfWhatWasSeen: a reason is for the places that somebody gave it for.
func TestDespiteIsOfWhatWasSeen(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.exec(t, "INSERT INTO shop.notes VALUES (7, 'called person7@example.com back')")
	id := s.erased(t, "7")
	s.work(t)
	s.exec(t, "UPDATE shop.orders SET note = 'for person7@example.com' WHERE id = 1")
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id+" DESPITE 'a court wants the note'")
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "review") || !strings.Contains(got, "shop.orders.note") {
		t.Errorf("what nobody had seen was let pass: %s", got)
	}
	s.exec(t, "INSERT INTO shop.notes VALUES (8, 'person7@example.com again')")
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id+" DESPITE 'a court wants both'")
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "review") || !strings.Contains(got, "shop.notes.body (2 rows)") {
		t.Errorf("more rows than were seen were let pass: %s", got)
	}
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id+" DESPITE 'a court wants all'")
	s.work(t)
	if got := s.state(t, id); got != "completed" {
		t.Errorf("all was seen: %s", got)
	}
}

// TestKeptRowsExplainThemselves: that a table keeps rows of somebody is no reason
// for what is in more of its rows.
func TestKeptRowsExplainThemselves(t *testing.T) {
	s := newScene(t, strings.Replace(shopPolicy, "ledger: true}",
		"ledger: true, erase: [{on: [shop.orders], do: keep, because: audit}, {on: [shop.persons], do: anonymise}]}", 1))
	s.exec(t, "UPDATE shop.orders SET note = 'for person7@example.com' WHERE person_id = 7; UPDATE shop.orders SET note = 'ask person7@example.com' WHERE person_id = 9")
	id := s.erased(t, "7")
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "review") || !strings.Contains(got, "shop.orders.note (20 rows)") {
		t.Errorf("rows of another were let pass: %s", got)
	}
}

// TestDeniedErasureIsNotReplayed: a request that failed before anything was erased,
// and was denied, is not carried out after a restore.
func TestDeniedErasureIsNotReplayed(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.erased(t, "7")
	s.must(t, "petra", "PRIVACY HOLD person 7 BECAUSE 'case 7'")
	s.work(t)
	s.must(t, "petra", "PRIVACY DENY REQUEST "+id+" CODE legal_obligation BECAUSE 'case 7'")
	set, _ := s.service.Data.Current()
	said, err := s.ledger.Replay(t.Context(), s.conn, erasures.Replaying{Subjects: set.Subjects()})
	if err != nil || said.Found["person"] != 0 {
		t.Errorf("a replay would erase %v, %v", said.Found, err)
	}
}

// TestSearchWithoutATable: what the policy or the database has no more of one
// erasure does not keep the others from their end.
func TestSearchWithoutATable(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.erased(t, "7")
	conn := pgtest.Connect(t, s.dsn)
	if busy, err := s.worker.Step(t.Context(), conn); !busy || err != nil {
		t.Fatal(busy, err)
	}
	s.exec(t, "DROP TABLE shop.orders")
	if _, err := s.worker.Step(t.Context(), conn); err != nil {
		t.Error(err)
	}
	if got := s.state(t, id); got != "completed" && !strings.HasPrefix(got, "review") {
		t.Errorf("it waits for ever: %s", got)
	}
}

// TestKeysAreForgotten: who was erased is in no other request that is over.
func TestKeysAreForgotten(t *testing.T) {
	s := newScene(t, shopPolicy)
	before := s.must(t, "petra", "PRIVACY OPEN ACCESS person 7")[0]
	s.must(t, "petra", "PRIVACY DENY REQUEST "+before+" CODE no_match BECAUSE 'somebody else'")
	s.erased(t, "7")
	s.work(t)
	if n := s.one(t, "SELECT count(*)::text FROM pgveil.requests WHERE key IS NOT NULL"); n != "0" {
		t.Errorf("%s requests that are over hold a key", n)
	}
}

// TestPackagesAreNamed: a certificate names the copies that pgveil itself has made.
func TestPackagesAreNamed(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.worker.Package = func(context.Context, *pgx.Conn, state.Request) (requests.Packed, error) {
		return requests.Packed{File: "request-1.zip", Rows: 1}, nil
	}
	s.access(t)
	s.work(t)
	id := s.erased(t, "7")
	s.work(t)
	if proof := s.must(t, "petra", "PRIVACY SHOW CERTIFICATE "+id)[0]; !strings.Contains(proof, "request-1.zip") {
		t.Errorf("all of them is there still: %s", proof)
	}
}
