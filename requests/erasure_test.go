package requests_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
)

// erased opens a request for erasure that runs.
func (s *scene) erased(t testing.TB, key string) (id string) {
	t.Helper()
	id = s.must(t, "petra", "PRIVACY ERASE person "+key+" VERIFIED BY 'account' BECAUSE 'letter'")[0]
	if row := s.must(t, "paul", "PRIVACY APPROVE REQUEST "+id); row[3] != "queued" {
		t.Fatalf("approved: %q", row)
	}
	return id
}

// others is what the database holds beside one person.
func (s *scene) others(t *testing.T, key string) string {
	t.Helper()
	return s.one(t, `SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
		SELECT p::text FROM shop.persons AS p WHERE id <> `+key+` UNION ALL
		SELECT o::text FROM shop.orders AS o WHERE person_id <> `+key+` UNION ALL
		SELECT n::text FROM shop.notes AS n) AS all_lines (line)`)
}

// TestErasure erases somebody, from a letter to a certificate that is checked
// with nothing but the public key.
func TestErasure(t *testing.T) {
	s := newScene(t, shopPolicy)
	before := s.others(t, "7")
	id := s.erased(t, "7")
	s.work(t)
	if got := s.state(t, id); got != "completed" {
		t.Fatal(got, s.log.String())
	}
	if got := s.one(t, "SELECT count(*) || ' ' || (SELECT count(*) FROM shop.orders WHERE person_id = 7) FROM shop.persons WHERE id = 7"); got != "0 0" {
		t.Errorf("left of the person: %s", got)
	}
	if s.others(t, "7") != before {
		t.Error("something of others has changed")
	}
	proof := s.must(t, "petra", "PRIVACY SHOW CERTIFICATE "+id)[0]
	c, err := erasures.VerifyCertificate([]byte(proof), []audit.PublicKey{s.key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sweep.Left) != 0 || c.Sweep.Tables == 0 || c.Kind != "person" || len(c.Records) < 2 {
		t.Errorf("certificate: %+v", c)
	}
	deleted := map[string]int64{}
	for _, table := range c.Tables {
		deleted[table.Table] += table.Deleted
	}
	if deleted["shop.persons"] != 1 || deleted["shop.orders"] != 10 {
		t.Errorf("certificate: deleted %v", deleted)
	}
	if again, err := s.ledger.Erased("person", "Person7@example.com"); err != nil || !again {
		t.Errorf("the ledger does not know them: %v, %v", again, err)
	}
	left := s.one(t, "SELECT coalesce(key::text, '-') || coalesce(needles::text, '-') || (SELECT count(*) FROM pgveil.requests AS r WHERE r::text ~ 'person7@') FROM pgveil.requests WHERE id = "+id)
	if left != "--0" {
		t.Errorf("the request still knows the person: %s", left)
	}
}

// TestErasuresEndTogether: what the certificates of one search prove is in the log
// before the first of them waits for a checkpoint, which then serves them all.
func TestErasuresEndTogether(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.erased(t, "7")
	s.erased(t, "8")
	s.erased(t, "9")
	notary := s.worker.Notary
	certify := notary.Certify
	var ends []uint64
	notary.Certify = func(ctx context.Context, c erasures.Certificate, records []uint64, secrets []string) ([]byte, error) {
		ends = append(ends, records[len(records)-1])
		return certify(ctx, c, records, secrets)
	}
	s.work(t)
	if len(ends) != 3 || ends[1] != ends[0]+1 || ends[2] != ends[1]+1 {
		t.Errorf("the ends of three erasures are records %v of the log", ends)
	}
}

// TestErasureIsReviewed: what is left elsewhere is found, and people decide.
func TestErasureIsReviewed(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.exec(t, "INSERT INTO shop.notes VALUES (7, 'called PERSON7@example.com back'), (8, 'and +49 (30) 555-0008')")
	seven, eight, nine := s.erased(t, "7"), s.erased(t, "8"), s.erased(t, "9")
	s.work(t)
	for id, want := range map[string]string{
		seven: "review: what the subject was known by is still in shop.notes.body (1 rows)", nine: "completed",
	} {
		if got := s.state(t, id); got != want {
			t.Errorf("request %s: %s, want %s", id, got, want)
		}
	}
	if got := s.state(t, eight); got != "completed" && !strings.HasPrefix(got, "review") {
		t.Errorf("request %s: %s", eight, got)
	}
	s.refused(t, s.as(t, "petra"), "PRIVACY SHOW CERTIFICATE "+seven, privacy.NotFound, "it is review")
	s.must(t, "petra", "PRIVACY RUN REQUEST "+seven)
	s.work(t)
	if got := s.state(t, seven); !strings.HasPrefix(got, "review") {
		t.Errorf("nothing was done about it: %s", got)
	}
	s.despite(t, seven, "a court wants the note")
	s.work(t)
	if got := s.state(t, seven); got != "completed" {
		t.Errorf("despite it: %s", got)
	}
	c, err := erasures.VerifyCertificate([]byte(s.must(t, "petra", "PRIVACY SHOW CERTIFICATE "+seven)[0]), []audit.PublicKey{s.key.Public()})
	if err != nil || len(c.Sweep.Left) != 1 || c.Sweep.Left[0].Because != "a court wants the note" {
		t.Errorf("certificate: %+v, %v", c, err)
	}
}

// TestErasureGoesOn stops the worker at each thing that it writes down, as a
// killed process would stop, and lets another one go on.
func TestErasureGoesOn(t *testing.T) {
	for stop := 1; ; stop++ {
		s := newScene(t, shopPolicy)
		before := s.others(t, "7")
		id := s.erased(t, "7")
		stopped := s.workUntil(t, stop)
		s.work(t)
		if got := s.state(t, id); got != "completed" {
			t.Fatalf("stopped at %d: %s", stop, got)
		}
		if s.others(t, "7") != before {
			t.Fatalf("stopped at %d: something of others has changed", stop)
		}
		if got := s.one(t, "SELECT count(*)::text FROM shop.persons WHERE id = 7"); got != "0" {
			t.Fatalf("stopped at %d: the person is there", stop)
		}
		if sum, err := s.ledger.Summary(); err != nil || sum.Done != 1 || sum.Open != 0 {
			t.Fatalf("stopped at %d: the ledger has %+v, %v", stop, sum, err)
		}
		if !stopped {
			if stop < 8 {
				t.Errorf("there were but %d places to stop at", stop-1)
			}
			return
		}
	}
}

// errKilled stands for the end of a process.
var errKilled = errors.New("killed")

// workUntil lets a worker work until it is about to write the n-th thing down.
// From there on nothing of it comes through, and its connection is gone.
func (s *scene) workUntil(t *testing.T, n int) (stopped bool) {
	t.Helper()
	w := s.newWorker("first")
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	seen := 0
	count := func() error {
		if seen++; seen >= n {
			kill()
			return errKilled
		}
		return nil
	}
	record, entry, certify := w.Record, w.Notary.Record, w.Notary.Certify
	w.Record = func(ctx context.Context, d requests.Deed) (uint64, error) {
		if err := count(); err != nil {
			return 0, err
		}
		return record(ctx, d)
	}
	w.Notary = &requests.Notary{Ledger: s.ledger,
		Record: func(ctx context.Context, e erasures.Entry) (uint64, error) {
			if err := count(); err != nil {
				return 0, err
			}
			return entry(ctx, e)
		},
		Certify: func(ctx context.Context, c erasures.Certificate, records []uint64, secrets []string) ([]byte, error) {
			if err := count(); err != nil {
				return nil, err
			}
			return certify(ctx, c, records, secrets)
		}}
	conn, err := pgx.Connect(t.Context(), s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.gone(t)
	defer conn.Close(context.Background())
	for range 20 {
		if busy, err := w.Step(ctx, conn); err != nil || !busy {
			return err != nil
		}
	}
	t.Fatal("the worker does not come to an end")
	return false
}

// gone waits until the server knows that a worker is: its locks go with its
// session.
func (s *scene) gone(t *testing.T) {
	t.Helper()
	for s.one(t, "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") != "0" {
		time.Sleep(time.Millisecond)
	}
}

// TestManyWorkers has workers of several processes at many erasures, of which
// two are of the same person.
func TestManyWorkers(t *testing.T) {
	s := newScene(t, shopPolicy)
	var ids []string
	for key := 2; key <= 21; key++ {
		ids = append(ids, s.erased(t, fmt.Sprint(key)))
	}
	twice := s.erased(t, "2")
	var all sync.WaitGroup
	for i := range 4 {
		conn := pgtest.Connect(t, s.dsn)
		w := s.newWorker(fmt.Sprint("worker ", i))
		w.Log, w.Alerts = s.quiet(), nil
		all.Go(func() {
			for range 200 {
				if busy, err := w.Step(t.Context(), conn); err != nil {
					t.Error(err)
					return
				} else if !busy {
					return
				}
			}
		})
	}
	all.Wait()
	s.work(t)
	for _, id := range ids {
		if got := s.state(t, id); got != "completed" {
			t.Errorf("request %s: %s", id, got)
		}
	}
	if got := s.state(t, twice); !strings.HasPrefix(got, "failed: no such person") && got != "completed" {
		t.Errorf("the same person once more: %s", got)
	}
	if n := s.one(t, "SELECT count(*)::text FROM shop.persons"); n != "30" {
		t.Errorf("%s persons are left, not 30", n)
	}
}

// TestErasureOfWhatIsHeld waits for the hold's end.
func TestErasureOfWhatIsHeld(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.erased(t, "7")
	hold := s.must(t, "petra", "PRIVACY HOLD person 7 BECAUSE 'case 7'")[0]
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "failed") || strings.Contains(got, "pgveil's log") {
		t.Errorf("a hold came after the plan: %s", got)
	}
	if n := s.one(t, "SELECT count(*)::text FROM shop.orders WHERE person_id = 7"); n != "10" {
		t.Errorf("%s orders are left, not 10", n)
	}
	s.must(t, "petra", "PRIVACY LIFT HOLD "+hold+" BECAUSE 'settled'")
	s.must(t, "petra", "PRIVACY RUN REQUEST "+id)
	s.work(t)
	if got := s.state(t, id); got != "completed" {
		t.Errorf("after the hold: %s", got)
	}
}

// TestKeysThatDoNotOpen: under another key nothing is erased on a guess.
func TestKeysThatDoNotOpen(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.erased(t, "7")
	s.workUntil(t, 4)
	s.service.Store.Key = bytes.Repeat([]byte{9}, 32)
	s.work(t)
	if got := s.state(t, id); !strings.HasPrefix(got, "queued: it is tried again") {
		t.Errorf("under another key: %s", got)
	}
}

// TestOfficersMeanwhile: what officers do while a worker is at a request stays.
func TestOfficersMeanwhile(t *testing.T) {
	s := newScene(t, shopPolicy)
	id := s.erased(t, "7")
	w := s.newWorker("slow")
	record, extended := w.Record, false
	w.Record = func(ctx context.Context, d requests.Deed) (uint64, error) {
		if d.Table != "" && !extended { // a step, which is recorded outside of the tables of requests
			extended = true
			s.must(t, "petra", "PRIVACY EXTEND REQUEST "+id+" BECAUSE 'many letters'")
			s.refused(t, s.as(t, "petra"), "PRIVACY CANCEL REQUEST "+id+" BECAUSE 'taken back'", privacy.SchemaChanged, "has begun")
		}
		return record(ctx, d)
	}
	s.worker = w
	s.work(t)
	if got := s.one(t, "SELECT state || ' ' || (extended AND due_on = extend_to) FROM pgveil.requests WHERE id = "+id); got != "completed true" {
		t.Errorf("extended while it ran: %s", got)
	}
}

// TestCertificateNamesPlaces: a certificate has every place that nobody could look
// at, whatever it is called, and no needle of another person.
func TestCertificateNamesPlaces(t *testing.T) {
	s := newScene(t, shopPolicy)
	s.exec(t, `CREATE SCHEMA "#1 odd"; CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
		CREATE FOREIGN TABLE "#1 odd".there (t text) SERVER nowhere`)
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: shopPolicy})
	if err != nil {
		t.Fatal(err)
	}
	set, cat := s.compiled(t, doc, false)
	s.service.Data.Current = func() (*policy.Set, *catalog.Snapshot) { return set, cat }
	ids := []string{s.erased(t, "7"), s.erased(t, "8")}
	s.work(t)
	for _, id := range ids {
		c, err := erasures.VerifyCertificate([]byte(s.must(t, "petra", "PRIVACY SHOW CERTIFICATE "+id)[0]), []audit.PublicKey{s.key.Public()})
		if err != nil {
			t.Fatal(err)
		}
		var rest []string
		for _, r := range c.Remains {
			rest = append(rest, r.What)
		}
		all := strings.Join(rest, "\n")
		if !strings.Contains(all, "#1 odd.there: its rows are on another server") || strings.Count(all, "shop.persons.id: too short") != 1 {
			t.Errorf("request %s leaves out of %q", id, rest)
		}
	}
}
