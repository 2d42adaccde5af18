package load_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/load"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// A row is a statement with its outcome, whenever that comes.
func TestOutcomesComeLater(t *testing.T) {
	s := newScene(t)
	l := s.loader(t)
	s.add(t, audit.Record{Kind: audit.KindSystem, Message: "start"})
	a, b := s.statement(t, "alice"), s.statement(t, "bob")
	s.outcome(t, b, audit.Record{Rows: 1, Subjects: []string{"customer:bbbbbbbbbbbbbbbbbbbbbb"}})
	s.load(t, l)
	const rows = "SELECT seq, username, outcome, rows, tag FROM pgveil.access_log ORDER BY seq"
	if diff := cmp.Diff([]string{"(0,,,,)", "(1,alice,,,)", `(2,bob,3,1,"SELECT 1")`}, s.ask(t, rows)); diff != "" {
		t.Errorf("before the outcome (-want +got):\n%s", diff)
	}
	s.add(t, audit.Record{Kind: audit.KindSubjects, Ref: a, Subjects: []string{"customer:aaaaaaaaaaaaaaaaaaaaaa"}})
	s.add(t, audit.Record{Kind: audit.KindImages, Ref: a, Relation: "crm.customers", Images: []audit.Image{{After: "a"}}})
	s.outcome(t, a, audit.Record{Rows: 2, Unnamed: []audit.Unnamed{{Kind: "customer", AtMost: 1}}})
	s.load(t, s.loader(t)) // another process
	if diff := cmp.Diff([]string{"(0,,,,)", `(1,alice,6,2,"SELECT 1")`, `(2,bob,3,1,"SELECT 1")`}, s.ask(t, rows)); diff != "" {
		t.Errorf("after the outcome (-want +got):\n%s", diff)
	}
	want := []string{"(1,4,0,customer,aaaaaaaaaaaaaaaaaaaaaa,)", "(1,6,0,customer,,1)", "(2,3,0,customer,bbbbbbbbbbbbbbbbbbbbbb,)"}
	if diff := cmp.Diff(want, s.ask(t, "SELECT seq, record, n, kind, token, at_most FROM pgveil.access_subjects ORDER BY seq, record, n")); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	s.good(t)
}

// hostile are texts that something on the way could take for something else.
var hostile = []string{
	"", "plain", `back\slash`, `\N`, `\.`, "tab\there", "line\nfeed", "carriage\rreturn", "\x01\x02\b\f\v\x7f", "nul\x00nul", "\xff\xfe", "é", "日本", "\u2028",
	`"quoted"`, "o'clock", "{a,b}", "NULL", "null", " ", "a,b", "{", "}", `\"`, `\\`, "$$", "'; DROP TABLE pgveil.access_log; --", "\U0001f600", strings.Repeat("é", 3000),
}

func pick(r *rand.Rand) string { return hostile[r.IntN(len(hostile))] }

func picks(r *rand.Rand) []string {
	list := make([]string, r.IntN(4))
	for i := range list {
		list[i] = pick(r)
	}
	return list
}

// anything adds a record of whatever there may be. open are statements without an
// outcome.
func (s *scene) anything(t testing.TB, r *rand.Rand, open *[]uint64) {
	s.now = s.now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
	if r.IntN(100) == 0 { // the clock is set
		s.now = s.now.Add(time.Duration(r.IntN(96)-48) * time.Hour)
	}
	rec := audit.Record{
		Kind: []audit.Kind{audit.KindSession, audit.KindPrivacy, audit.KindSystem}[r.IntN(3)], ID: pick(r), Session: pick(r), Login: pick(r), User: pick(r),
		Roles: picks(r), Purpose: pick(r), Ticket: pick(r), Client: pick(r), App: pick(r), Message: pick(r), Key: pick(r), Event: pick(r),
		Rows: int64(r.IntN(3)), SQLState: pick(r), Tag: pick(r), Duration: time.Duration(r.Int64N(int64(200 * time.Hour))),
	}
	switch n := r.IntN(10); {
	case n < 5:
		rec.Kind, rec.Shape, rec.Command, rec.Decision, rec.Reasons, rec.Kinds = audit.KindStatement, pick(r), pick(r), pick(r), picks(r), picks(r)
		if r.IntN(4) == 0 {
			rec.Decision = "refuse"
		}
		for range r.IntN(3) {
			rec.Columns = append(rec.Columns, audit.Column{Name: pick(r), Class: pick(r), Show: pick(r), Use: pick(r)})
		}
	case n < 9 && len(*open) > 0:
		i := r.IntN(len(*open))
		rec.Kind, rec.Ref = audit.KindSubjects, (*open)[i]
		for range r.IntN(3) {
			rec.Subjects = append(rec.Subjects, "customer:"+pick(r))
		}
		if r.IntN(3) > 0 {
			rec.Kind = audit.KindOutcome
			rec.Unnamed = []audit.Unnamed{{Kind: "customer", AtMost: int64(r.IntN(5) - 1)}}
			if r.IntN(10) > 0 { // once in a while there are two outcomes
				*open = append((*open)[:i], (*open)[i+1:]...)
			}
		}
	}
	seq := s.add(t, rec)
	if rec.Kind == audit.KindStatement && r.IntN(20) > 0 {
		*open = append(*open, seq)
	}
}

// good holds the table against the log.
func (s *scene) good(t testing.TB) load.Report {
	t.Helper()
	rep := s.check(t)
	for _, p := range rep.Problems {
		t.Error(p)
	}
	return rep
}

func (s *scene) check(t testing.TB) load.Report {
	t.Helper()
	rep, err := load.Check(t.Context(), pgtest.Connect(t, s.dsn), s.dir, s.name)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// What is in the table is what is in the log, whatever that is, wherever batches
// end and processes begin anew.
func TestAnything(t *testing.T) {
	s := newScene(t)
	r := rand.New(rand.NewPCG(1, 2))
	var open []uint64
	l := s.loader(t)
	for range 60 {
		for range r.IntN(120) {
			s.anything(t, r, &open)
		}
		l.Batch = 1 + r.IntN(60)
		if r.IntN(4) == 0 {
			l = s.loader(t)
		}
		s.load(t, l)
	}
	rep := s.good(t)
	if n := s.log.Stats().Appended; rep.Records != n || rep.Rows < int(n)/2 {
		t.Errorf("%d of %d records are in the table, %d rows", rep.Records, n, rep.Rows)
	}
	if parts := s.ask(t, "SELECT count(*) > 4 FROM pg_inherits WHERE inhparent = 'pgveil.access_log'::regclass"); parts[0] != "(t)" {
		t.Error("the clock was not set, or all is in one part")
	}
	if kinds := s.ask(t, "SELECT DISTINCT kind FROM pgveil.access_log ORDER BY 1"); len(kinds) != 4 {
		t.Errorf("kinds of rows: %v", kinds)
	}
}

// A database that does not know all of Unicode holds what it can.
func TestOtherEncodings(t *testing.T) {
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			admin := pgtest.Connect(t, pgtest.Server(t).DSN("postgres", pgserver.Superuser))
			name := "enc_" + strings.ToLower(encoding)
			if _, err := admin.Exec(t.Context(), fmt.Sprintf("CREATE DATABASE %s ENCODING %s LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", name, encoding)); err != nil {
				t.Fatal(err)
			}
			s := newSceneIn(t, name)
			r := rand.New(rand.NewPCG(3, 4))
			var open []uint64
			for range 500 {
				s.anything(t, r, &open)
			}
			s.load(t, s.loader(t))
			s.good(t)
		})
	}
}

// Two processes load one log at once, and a third another one, while their
// connections break: nothing is lost and nothing doubled.
func TestAtOnce(t *testing.T) {
	s := newScene(t)
	other := &scene{dir: t.TempDir(), dsn: s.dsn, now: s.now.Add(time.Second)}
	other.open(t)
	r := rand.New(rand.NewPCG(5, 6))
	for _, x := range []*scene{s, other} {
		var open []uint64
		for range 2000 {
			x.anything(t, r, &open)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	var breaks int
	for _, x := range []*scene{s, s, other} {
		l := x.loader(t)
		l.Log = slog.New(slog.DiscardHandler)
		l.Batch = 100
		l.Use = func(ctx context.Context, f func(*pgx.Conn) error) error {
			conn, err := pgx.Connect(ctx, x.dsn+"&application_name=loads")
			if err != nil {
				return err
			}
			return errors.Join(load.Setup(ctx, conn), f(conn), conn.Close(ctx))
		}
		loading.Go(func() {
			for ctx.Err() == nil {
				if more, err := l.Step(ctx); err != nil {
					l.Forget()
				} else if n, _ := l.Loaded(); !more && n == x.log.Stats().Appended {
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { loading.Wait(); close(done) }()
	late := time.After(2 * time.Minute)
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-late:
			t.Error("the loading does not come to an end")
			running = false
		case <-time.After(60 * time.Millisecond):
			tag, err := s.conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'loads' AND random() < 0.15")
			if err != nil {
				t.Error(err)
			}
			breaks += int(tag.RowsAffected())
		}
	}
	stop()
	<-done
	if breaks == 0 {
		t.Error("no connection broke")
	}
	s.good(t)
	other.good(t)
	if logs := s.ask(t, "SELECT count(DISTINCT log) FROM pgveil.access_log"); logs[0] != "(2)" {
		t.Errorf("logs in the table: %v", logs)
	}
	sums := "SELECT sum(statements), sum(refused) FROM pgveil.access_hours"
	counted := "SELECT count(*), count(*) FILTER (WHERE decision = 'refuse') FROM pgveil.access_log WHERE kind = 'statement' AND username IS NOT NULL"
	if diff := cmp.Diff(s.ask(t, counted), s.ask(t, sums)); diff != "" {
		t.Errorf("hours (-counted +added up):\n%s", diff)
	}
}

// Somebody sets back how far the log is loaded: rows that are there stay, and are
// not there twice.
func TestSetBack(t *testing.T) {
	s := newScene(t)
	r := rand.New(rand.NewPCG(9, 10))
	var open []uint64
	for range 300 {
		s.anything(t, r, &open)
	}
	s.load(t, s.loader(t))
	first, err := audit.LeafHash(s.dir, 99)
	if err != nil {
		t.Fatal(err)
	}
	s.exec(t, "UPDATE pgveil.access_loads SET records = 100, last = $1", first[:])
	s.load(t, s.loader(t))
	s.good(t)
}

// There may be no log yet: of the other chain there mostly is none.
func TestNoLogYet(t *testing.T) {
	s := newScene(t)
	l := s.loader(t)
	for _, dir := range []string{filepath.Join(s.dir, "beside"), s.dir} { // no folder, no record
		l.Dir = dir
		if more, err := l.Step(t.Context()); more || err != nil {
			t.Errorf("Step of %s = %v, %v", dir, more, err)
		}
	}
	s.statement(t, "alice")
	s.load(t, l)
	s.good(t)
}
