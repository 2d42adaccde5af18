package ship

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// memory is a log that tests write to, and what ships it.
type memory struct {
	t   *testing.T
	dir string
	log *audit.Log
	// said is what was logged.
	said *logged
}

type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func newLog(t *testing.T) *memory {
	t.Helper()
	m := &memory{t: t, dir: t.TempDir(), said: &logged{}}
	m.open()
	return m
}

func (m *memory) open() {
	m.t.Helper()
	var err error
	if m.log, err = audit.Open(m.dir, audit.Options{SegmentSize: 1}); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { m.log.Close() })
}

func (m *memory) append(r audit.Record) uint64 {
	m.t.Helper()
	seq, err := m.log.Append(&r)
	if err != nil {
		m.t.Fatal(err)
	}
	return seq
}

// statements appends n statements, each with its outcome.
func (m *memory) statements(n int) {
	m.t.Helper()
	for i := range n {
		seq := m.append(audit.Record{Kind: audit.KindStatement, User: "alice", Command: "SELECT", Decision: "mask", Shape: fmt.Sprintf("SELECT %d", i)})
		m.append(audit.Record{Kind: audit.KindOutcome, Ref: seq, Tag: "SELECT 1", Rows: 1})
	}
}

func (m *memory) options() Options {
	return Options{
		Dir: m.dir, Log: slog.New(slog.NewTextHandler(m.said, nil)), Rest: time.Millisecond,
		Chains: []Chain{{Name: "main", Dir: m.dir, Log: "test.example/audit"}, {Name: "beside", Dir: filepath.Join(m.dir, "beside"), Log: "test.example/audit/beside"}},
	}
}

func (m *memory) start(sinks ...Sink) *Shipper {
	m.t.Helper()
	s, err := Start(sinks, m.options())
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// ship ships what is in the log, and waits until it is there.
func (m *memory) ship(sinks ...Sink) error {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	return m.start(sinks...).Close(ctx)
}

func sinkTo(name string, to Target) Sink {
	return Sink{Name: name, To: to, Format: asRecord, Batch: 100, Timeout: 10 * time.Second}
}

// fileSink is a sink to a file that the test can read.
func (m *memory) fileSink() (Sink, string) {
	path := filepath.Join(m.t.TempDir(), "access.jsonl")
	return sinkTo("file", &File{Path: path}), path
}

// seqs gives the log and the seq of each line of a file, as "audit 0".
func seqs(t *testing.T, path string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		list = append(list, seqOf(t, []byte(line)))
	}
	return list
}

func seqOf(t *testing.T, line []byte) string {
	t.Helper()
	var e plain
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return fmt.Sprintf("%s %d", strings.TrimPrefix(e.Log, "test.example/"), e.Seq)
}

func upTo(log string, from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("%s %d", log, i))
	}
	return list
}

// TestShip ships a log in parts, over restarts, and both of its chains. Each
// record arrives once, in the order of its chain.
func TestShip(t *testing.T) {
	m := newLog(t)
	sink, path := m.fileSink()
	m.statements(300)
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	m.statements(200)
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, upTo("audit", 0, 1000)) {
		t.Errorf("there are %d records: %v", len(got), got)
	}
	beside, err := audit.Open(filepath.Join(m.dir, "beside"), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := beside.Append(&audit.Record{Kind: audit.KindSystem, Message: "start"}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(beside.Close(), m.ship(sink)); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path)[1000:]; !slices.Equal(got, upTo("audit/beside", 0, 1)) {
		t.Errorf("of the chain beside, there is %v", got)
	}
	floor, err := Floor(m.dir)
	if err != nil || floor["main"] != 1000 || floor["beside"] != 1 {
		t.Errorf("Floor = %v, %v", floor, err)
	}
}

// TestFollow ships while the log grows, and what was appended last before the
// end.
func TestFollow(t *testing.T) {
	m := newLog(t)
	sink, path := m.fileSink()
	s := m.start(sink)
	for range 20 {
		m.statements(10)
		time.Sleep(time.Millisecond) // so that it is not one batch
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, upTo("audit", 0, 400)) {
		t.Errorf("there are %d records: %v", len(got), got)
	}
	if st := s.Stats()[0]; st.Sent != 400 || st.LagRecords != 0 || st.LastSuccess.IsZero() {
		t.Errorf("Stats = %+v", st)
	}
}

// TestFrom begins a new sink at the end of the log; a sink that has begun goes on
// where it was.
func TestFrom(t *testing.T) {
	m := newLog(t)
	m.statements(10)
	sink, path := m.fileSink()
	sink.FromNow = true
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	m.statements(5)
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, upTo("audit", 20, 30)) {
		t.Errorf("there is %v", got)
	}
}

// TestBackfill ships from a record on without a cursor.
func TestBackfill(t *testing.T) {
	m := newLog(t)
	m.statements(10)
	sink, path := m.fileSink()
	from, o := uint64(13), m.options()
	o.From = &from
	s, err := Start([]Sink{sink}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, upTo("audit", 13, 20)) {
		t.Errorf("there is %v", got)
	}
	if names, err := Known(m.dir); len(names) != 0 || err != nil {
		t.Errorf("there are cursors %v, %v", names, err)
	}
	var first plain
	text, err := os.ReadFile(path)
	if err := errors.Join(err, json.Unmarshal(text[:bytes.IndexByte(text, '\n')], &first)); err != nil {
		t.Fatal(err)
	}
	if first.Statement == nil || first.Statement.Seq != 12 || first.Statement.User != "alice" {
		t.Errorf("the outcome's statement, from before, is %+v", first.Statement)
	}
}

// TestOnly sends what a filter chooses, with what belongs to it.
func TestOnly(t *testing.T) {
	m := newLog(t)
	m.statements(2)
	m.append(audit.Record{Kind: audit.KindStatement, User: "bob", Decision: "refuse", Command: "SELECT"})
	seq := m.append(audit.Record{Kind: audit.KindStatement, User: "bob", Decision: "allow", Command: "SELECT"})
	m.append(audit.Record{Kind: audit.KindSession, User: "carol", Message: "login"})
	m.append(audit.Record{Kind: audit.KindSubjects, Ref: seq, Subjects: []string{"customer:x"}})
	m.append(audit.Record{Kind: audit.KindOutcome, Ref: seq})
	sink, path := m.fileSink()
	sink.Only = []audit.Filter{{Decision: "refuse"}, {User: "bob"}, {Kind: audit.KindSystem}}
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, []string{"audit 4", "audit 5", "audit 7", "audit 8"}) {
		t.Errorf("there is %v", got)
	}
	if floor, err := Floor(m.dir); err != nil || floor["main"] != 9 {
		t.Errorf("Floor = %v, %v: what no filter chooses has to be passed, too", floor, err)
	}
}

// TestOneProcess has a second one wait for the first to end.
func TestOneProcess(t *testing.T) {
	m := newLog(t)
	sink, path := m.fileSink()
	first := m.start(sink)
	m.statements(1)
	awaitSent(t, first, 2)
	second := m.start(sink)
	awaitStats(t, second, func(st Stats) bool { return st.LagRecords == 0 }) // once the cursor is written
	if err := errors.Join(first.Close(t.Context()), second.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, upTo("audit", 0, 2)) {
		t.Errorf("there is %v", got)
	}
	third := m.start(sink)
	m.statements(1)
	if err := third.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := seqs(t, path); !slices.Equal(got, upTo("audit", 0, 4)) {
		t.Errorf("after the lock is free, there is %v", got)
	}
}

// TestReset moves a sink, and forgets one.
func TestReset(t *testing.T) {
	m := newLog(t)
	sink, path := m.fileSink()
	m.statements(5)
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	seven := uint64(7)
	for _, tt := range []struct {
		now  bool
		seq  *uint64
		want []string
	}{
		{false, nil, upTo("audit", 0, 10)},
		{true, nil, nil},
		{false, &seven, upTo("audit", 7, 10)},
	} {
		if err := errors.Join(os.Truncate(path, 0), Reset(m.options(), "file", tt.now, tt.seq), m.ship(sink)); err != nil {
			t.Fatal(err)
		}
		if got := seqs(t, path); !slices.Equal(got, tt.want) {
			t.Errorf("after Reset(%v, %v) there is %v", tt.now, tt.seq, got)
		}
	}
	if err := Forget(m.dir, "file"); err != nil {
		t.Fatal(err)
	}
	if floor, err := Floor(m.dir); err != nil || len(floor) > 0 {
		t.Errorf("Floor = %v, %v", floor, err)
	}
	if err := Forget(m.dir, "../../file"); err == nil {
		t.Error("a path was taken for a name")
	}
}

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// standing is a refused statement of some length.
func standing(shape string) audit.Record {
	return audit.Record{Kind: audit.KindStatement, User: "alice", Command: "SELECT", Decision: "refuse", Shape: shape}
}

// TestSealed keeps to itself what the log has sealed.
func TestSealed(t *testing.T) {
	m := newLog(t)
	seq := m.append(audit.Record{Kind: audit.KindStatement, Decision: "allow", Sealed: "c2VhbGVk"})
	m.append(audit.Record{Kind: audit.KindOutcome, Ref: seq})
	sink, path := m.fileSink()
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	from, o := uint64(1), m.options()
	o.From = &from // the statement is read again
	s, err := Start([]Sink{sink}, o)
	if err == nil {
		err = s.Close(t.Context())
	}
	text, rerr := os.ReadFile(path)
	if err := errors.Join(err, rerr); err != nil || strings.Contains(string(text), "c2VhbGVk") || strings.Count(string(text), "\n") != 3 {
		t.Errorf("%v: %s", err, text)
	}
}

// TestDurable has a sink know of no record, and pass none by, that a crash of the
// machine can still take back.
func TestDurable(t *testing.T) {
	m := newLog(t)
	m.statements(10)
	sink, path := m.fileSink()
	sink.Only = []audit.Filter{{User: "nobody"}}
	o := m.options()
	o.Durable = func(context.Context, Chain, uint64) error { return errors.New("the disk fails") }
	for _, now := range []bool{false, true} {
		sink.FromNow = now
		s, err := Start([]Sink{sink}, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "the disk fails") {
			t.Errorf("Close = %v", err)
		}
		if floor, err := Floor(m.dir); err != nil || floor["main"] != 0 {
			t.Errorf("Floor = %v, %v", floor, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("something was sent")
		}
		if err := Forget(m.dir, sink.Name); err != nil && !now {
			t.Fatal(err)
		}
	}
}

// TestFirstRecord looks for the first record of a log that gets it at that moment:
// a sink must not begin behind it.
func TestFirstRecord(t *testing.T) {
	for range 100 {
		m := newLog(t)
		done := make(chan struct{})
		go func() { m.statements(20); close(done) }()
		for appending := true; appending; {
			select {
			case <-done:
				appending = false
			default:
			}
			if first, some, err := firstRecord(m.dir); first != 0 || !some || err != nil {
				t.Fatalf("firstRecord = %d, %v, %v", first, some, err)
			}
		}
		if err := m.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
