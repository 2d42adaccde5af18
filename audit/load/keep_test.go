package load_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// What is old is dropped by the day, and not loaded again; the parts of the days
// to come are there.
func TestKeep(t *testing.T) {
	s := newScene(t)
	l := s.loader(t)
	l.Keep = 3
	s.now = s.now.AddDate(0, 0, -10)
	old := s.statement(t, "alice")
	s.now = s.now.AddDate(0, 0, 8)
	s.statement(t, "bob")
	s.now = s.now.AddDate(0, 0, 2)
	s.outcome(t, old, audit.Record{Rows: 1, Subjects: []string{"customer:aaaaaaaaaaaaaaaaaaaaaa"}})
	s.load(t, l)
	users := "SELECT username FROM pgveil.access_log ORDER BY seq"
	if got := s.ask(t, users); !cmp.Equal(got, []string{"(bob)"}) {
		t.Errorf("users in the table: %v", got)
	}
	s.good(t)
	s.now = s.now.AddDate(0, 0, 2)
	s.statement(t, "carl")
	s.load(t, l)
	if got := s.ask(t, users); !cmp.Equal(got, []string{"(carl)"}) {
		t.Errorf("users in the table after two days: %v", got)
	}
	want := []string{"(access_log_20261121)", "(access_log_20261122)", "(access_log_20261123)", "(access_log_20261124)", "(access_log_20261125)", "(access_log_20261126)"}
	parts := s.ask(t, "SELECT relname FROM pg_class WHERE relname ~ '^access_log_2' AND relkind = 'r' ORDER BY 1")
	if diff := cmp.Diff(want[1:], parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	s.good(t)
	if firsts := s.ask(t, "SELECT DISTINCT username FROM pgveil.first_accesses ORDER BY 1"); !cmp.Equal(firsts, []string{"(bob)", "(carl)"}) {
		t.Errorf("first accesses: %v", firsts)
	}
}

// Somebody who reads does not keep the loader from making parts, and makes it wait
// no longer than a moment with dropping some.
func TestReadersAreNotWaitedFor(t *testing.T) {
	s := newScene(t)
	l := s.loader(t)
	l.Keep = 1
	s.statement(t, "alice")
	s.load(t, l)
	reader := pgtest.Connect(t, s.dsn)
	if _, err := reader.Exec(t.Context(), "BEGIN; SELECT count(*) FROM pgveil.access_log"); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.AddDate(0, 0, 5)
	s.statement(t, "bob")
	began := time.Now()
	s.load(t, l)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := s.ask(t, "SELECT username FROM pgveil.access_log ORDER BY seq"); !cmp.Equal(got, []string{"(alice)", "(bob)"}) {
		t.Errorf("users in the table: %v", got)
	}
	if _, err := reader.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	l = s.loader(t)
	l.Keep = 1
	s.load(t, l)
	if got := s.ask(t, "SELECT username FROM pgveil.access_log ORDER BY seq"); !cmp.Equal(got, []string{"(bob)"}) {
		t.Errorf("users in the table, once nobody reads: %v", got)
	}
	s.good(t)
}

// Records that the log itself does not keep any more stay in the table for as long
// as that does, and are not held against the log.
func TestRetired(t *testing.T) {
	s := newScene(t)
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	key, _, err := audit.NewKey("crm.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	s.dir, s.name = t.TempDir(), key.Name()
	s.log, err = audit.Open(s.dir, audit.Options{Key: &key, SegmentSize: 1, Now: func() time.Time { return s.now }, Retention: audit.Retention{Keep: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close()
	s.exec(t, "INSERT INTO pgveil.subjects VALUES ('customer', '42', 'aaaaaaaaaaaaaaaaaaaaaa')")
	more := func() {
		for range 300 {
			s.outcome(t, s.statement(t, "alice"), audit.Record{Rows: 1, Subjects: []string{"customer:aaaaaaaaaaaaaaaaaaaaaa"}})
		}
	}
	open := s.statement(t, "alice") // ends when its record is gone
	more()
	s.load(t, s.loader(t))
	retire := func() audit.Tombstone {
		s.now = s.now.Add(2 * time.Hour)
		more()
		tomb, err := s.log.Retire(t.Context())
		if err != nil || tomb.Records == 0 {
			t.Fatalf("%d records were retired, %v", tomb.Records, err)
		}
		return tomb
	}
	tomb := retire()
	s.outcome(t, open, audit.Record{Rows: 3})
	s.load(t, s.loader(t))
	if rep := s.good(t); rep.First != tomb.Records || rep.Rows == 0 {
		t.Errorf("compared from record %d on, want %d; %d rows", rep.First, tomb.Records, rep.Rows)
	}
	if got := s.ask(t, "SELECT count(*), max(rows) FROM pgveil.access_log WHERE kind = 'statement'"); got[0] != "(601,3)" {
		t.Errorf("statements, and rows of that which took long: %v, want (601,3)", got)
	}

	s.exec(t, "DELETE FROM pgveil.access_loads; DELETE FROM pgveil.access_log; DELETE FROM pgveil.access_subjects")
	tomb = retire()
	s.load(t, s.loader(t)) // for the first time
	rep := s.good(t)
	if rep.First != tomb.Records || rep.Records != s.log.Stats().Appended {
		t.Errorf("records %d to %d are in the table, want %d to %d", rep.First, rep.Records, tomb.Records, s.log.Stats().Appended)
	}
}

// Records that went before they were in the table are missed, and said to be; what
// there still is is loaded.
func TestRetiredTooSoon(t *testing.T) {
	s := newScene(t)
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	key, _, err := audit.NewKey("crm.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	s.dir, s.name = t.TempDir(), key.Name()
	s.log, err = audit.Open(s.dir, audit.Options{Key: &key, SegmentSize: 1, Now: func() time.Time { return s.now }, Retention: audit.Retention{Keep: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close()
	s.statement(t, "alice")
	s.load(t, s.loader(t))
	for range 2 {
		for range 500 {
			s.outcome(t, s.statement(t, "bob"), audit.Record{Rows: 1})
		}
		s.now = s.now.Add(2 * time.Hour)
	}
	tomb, err := s.log.Retire(t.Context())
	if err != nil || tomb.Records < 10 {
		t.Fatalf("%d records were retired, %v", tomb.Records, err)
	}
	var said lockedLog
	l := s.loader(t)
	l.Log = slog.New(slog.NewTextHandler(&said, nil))
	s.load(t, l)
	if !strings.Contains(said.String(), "records of the access log were removed before they were in its table") {
		t.Errorf("it says %q", said.String())
	}
	if rep := s.good(t); rep.Records != s.log.Stats().Appended {
		t.Errorf("%d of %d records are in the table", rep.Records, s.log.Stats().Appended)
	}
}
