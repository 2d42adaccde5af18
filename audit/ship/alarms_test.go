package ship

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// TestAlarms gives a sink a log that does not go on where it was. It stops, says
// so, and sends nothing.
func TestAlarms(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, m *memory)
		want   string
	}{
		{"the log was replaced", func(t *testing.T, m *memory) {
			removeLog(t, m.dir)
			m.open()
			m.statements(50)
		}, "the log was replaced"},
		{"the log was cut short", func(t *testing.T, m *memory) {
			removeLog(t, m.dir)
			m.open()
			m.statements(1)
		}, "it was cut short or replaced"},
		{"there is no log", func(t *testing.T, m *memory) { removeLog(t, m.dir) }, "there is no log"},
		{"the cursor is damaged", func(t *testing.T, m *memory) { write(t, cursorPath(m.dir, "file"), `{"main"`) }, "is no cursor"},
		{"the cursor is empty", func(t *testing.T, m *memory) { write(t, cursorPath(m.dir, "file"), ``) }, "is no cursor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newLog(t)
			m.statements(20)
			sink, path := m.fileSink()
			if err := m.ship(sink); err != nil {
				t.Fatal(err)
			}
			if err := m.log.Close(); err != nil {
				t.Fatal(err)
			}
			before := seqs(t, path)
			tt.change(t, m)
			err := m.ship(sink)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(m.said.String(), "alert=ship_stopped") {
				t.Errorf("shipping ends with %v and logs\n%s", err, m.said)
			}
			if after := seqs(t, path); !slices.Equal(before, after) {
				t.Errorf("it sent %v", after[len(before):])
			}
		})
	}
}

func removeLog(t *testing.T, dir string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	for _, path := range list {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil || len(list) == 0 {
		t.Fatal(err, "no segments")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFloorFails says nothing about a floor when a cursor cannot be read:
// whoever asks must not remove anything.
func TestFloorFails(t *testing.T) {
	m := newLog(t)
	m.statements(1)
	sink, _ := m.fileSink()
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	write(t, cursorPath(m.dir, "other"), "junk")
	if floor, err := Floor(m.dir); err == nil {
		t.Errorf("Floor = %v without an error", floor)
	}
}

// TestRetired has old records removed from the log: not before a sink has them,
// where the log asks for the floor. Where it does not, the sink stops; one that
// begins, begins with what there is.
func TestRetired(t *testing.T) {
	key, _, err := audit.NewKey("test.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	for _, asks := range []bool{true, false} {
		t.Run(fmt.Sprintf("the log asks: %v", asks), func(t *testing.T) {
			m := &memory{t: t, dir: t.TempDir(), said: &logged{}}
			o := audit.Options{SegmentSize: 1, Key: &key, CheckpointEvery: time.Hour, Retention: audit.Retention{Keep: time.Nanosecond}}
			if asks {
				o.Retention.Floor = func() uint64 {
					floor, err := Floor(m.dir)
					if err != nil {
						t.Error(err)
					}
					return floor["main"]
				}
			}
			if m.log, err = audit.Open(m.dir, o); err != nil {
				t.Fatal(err)
			}
			defer m.log.Close()
			m.statements(1)
			sink, path := m.fileSink()
			if err := m.ship(sink); err != nil {
				t.Fatal(err)
			}
			m.statements(1000) // four segments
			tomb, err := m.log.Retire(t.Context())
			if err != nil || (tomb.Records > 2) == asks {
				t.Fatalf("Retire = %+v, %v", tomb, err)
			}
			if err := m.ship(sink); (err == nil) != asks || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("to %d of %s are gone", tomb.Records-1, m.dir)) {
				t.Fatalf("after %d records were removed: %v", tomb.Records, err)
			}
			if !asks {
				fresh, path := m.fileSink()
				fresh.Name = "fresh"
				if err := m.ship(fresh); err != nil {
					t.Fatal(err)
				}
				if got := seqs(t, path); len(got) == 0 || got[0] != fmt.Sprintf("audit %d", tomb.Records) {
					t.Errorf("a new sink has %d records, from %v", len(got), got[:min(1, len(got))])
				}
				return
			}
			if got := seqs(t, path); !slices.Equal(got[:2002], upTo("audit", 0, 2002)) {
				t.Errorf("there are %d records", len(got))
			}
			if tomb, err := m.log.Retire(t.Context()); err != nil || tomb.Records == 0 {
				t.Errorf("once the sink has all, Retire = %+v, %v", tomb, err)
			}
		})
	}
}
