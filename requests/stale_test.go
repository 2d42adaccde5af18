package requests_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/privacy"
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

// despite ends an erasure though something is left, as one says and another agrees.
func (s *scene) despite(t *testing.T, id, why string) {
	t.Helper()
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id+" DESPITE '"+why+"'")
	s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id)
}

// TestDespiteIsOfWhatWasSeen: a reason is for the places that somebody gave it for.
func TestDespiteIsOfWhatWasSeen(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.exec(t, "INSERT INTO shop.notes VALUES (7, 'called person7@example.com back')")
	id := s.erased(t, "7")
	s.work(t)
	s.exec(t, "UPDATE shop.orders SET note = 'for person7@example.com' WHERE id = 1")
	s.despite(t, id, "a court wants the note")
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "review") || !strings.Contains(got, "shop.orders.note") {
		t.Errorf("what nobody had seen was let pass: %s", got)
	}
	s.exec(t, "INSERT INTO shop.notes VALUES (8, 'person7@example.com again')")
	s.despite(t, id, "a court wants both")
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "review") || !strings.Contains(got, "shop.notes.body (2 rows)") {
		t.Errorf("more rows than were seen were let pass: %s", got)
	}
	s.despite(t, id, "a court wants all")
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

// restricted tells what keeps a person's data from being used.
func (s *scene) restricted(t *testing.T, key string) string {
	t.Helper()
	return s.one(t, "SELECT count(*)::text FROM pgveil.person_restrictions WHERE subject = "+key)
}

// TestDeniedErasureLetsGo: the restriction that an erasure begins with goes with it,
// where nothing was erased, and stays where somebody else wants it.
func TestDeniedErasureLetsGo(t *testing.T) {
	for name, tt := range map[string]struct{ before, meanwhile, want string }{
		"alone":        {"", "", "0"},
		"asked before": {"PRIVACY RESTRICT person 7 BECAUSE 'contested'", "", "1"},
		"asked since":  {"", "PRIVACY RESTRICT person 7 BECAUSE 'contested'", "1"},
		"words of one": {"", "PRIVACY RESTRICT person 7 BECAUSE 'request 1 erases it, and more'", "1"},
	} {
		s := newScene(t, shopPolicy)
		if tt.before != "" {
			s.must(t, "petra", tt.before)
		}
		first, second := s.erased(t, "7"), s.erased(t, "7")
		s.must(t, "petra", "PRIVACY HOLD person 7 BECAUSE 'case 7'")
		s.work(t)
		if got := s.restricted(t, "7"); got != "1" {
			t.Fatalf("%s: while it may go on, %s restrictions", name, got)
		}
		if tt.meanwhile != "" {
			s.must(t, "petra", tt.meanwhile)
		}
		s.must(t, "petra", "PRIVACY DENY REQUEST "+first+" CODE legal_obligation BECAUSE 'case 7'")
		if got := s.restricted(t, "7"); got != "1" {
			t.Errorf("%s: another erasure needs it, and there are %s", name, got)
		}
		s.must(t, "petra", "PRIVACY CANCEL REQUEST "+second+" BECAUSE 'taken back'")
		if got := s.restricted(t, "7"); got != tt.want {
			t.Errorf("%s: after both, %s restrictions, want %s", name, got, tt.want)
		}
	}
}

// TestBegunErasureKeepsAway: what has begun is not ended, stays restricted, and
// says so.
func TestBegunErasureKeepsAway(t *testing.T) {
	for stop := 4; ; stop++ {
		s := newScene(t, shopPolicy)
		id := s.erased(t, "7")
		if !s.workUntil(t, stop) {
			t.Fatal("it cannot be stopped once it has begun")
		}
		if s.one(t, "SELECT (SELECT count(*) > 0 FROM pgveil.erasure_steps) || state FROM pgveil.requests") != "truerunning" {
			continue
		}
		s.exec(t, "UPDATE pgveil.requests SET attempts = 10, done = 0")
		s.work(t)
		if got := s.state(t, id); !strings.HasPrefix(got, "failed") || !strings.Contains(got, "a part is erased") {
			t.Errorf("it does not say so: %s", got)
		}
		s.refused(t, s.as(t, "petra"), "PRIVACY CANCEL REQUEST "+id+" BECAUSE 'taken back'", privacy.SchemaChanged, "has begun")
		if got := s.restricted(t, "7"); got != "1" {
			t.Errorf("half of a person is there for all to see: %s restrictions", got)
		}
		return
	}
}

// TestEndWhilePutOff: what the ledger of erasures has is not ended behind its back.
func TestEndWhilePutOff(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.erased(t, "7")
	s.workUntil(t, 4)
	s.exec(t, "UPDATE pgveil.requests SET state = 'queued'")
	s.refused(t, s.as(t, "petra"), "PRIVACY CANCEL REQUEST "+id+" BECAUSE 'taken back'", privacy.SchemaChanged, "is tried again")
}
