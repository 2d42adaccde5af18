package ship

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
		{"records are gone", func(t *testing.T, m *memory) {
			write(t, cursorPath(m.dir, "file"), `{"main":{"next":3,"last":""}}`)
			first := filepath.Join(m.dir, "00000000000000000000.seg")
			if err := os.Rename(first, filepath.Join(m.dir, "00000000000000000007.seg")); err != nil {
				t.Fatal(err)
			}
		}, "records 3 to 6"},
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
