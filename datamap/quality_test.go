package datamap_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/datamap"
	"github.com/pgveil/pgveil/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// scan scans the database of a connection.
func scan(t *testing.T, conn *pgx.Conn, o datamap.Options) *datamap.Map {
	t.Helper()
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	m, err := datamap.Scan(t.Context(), conn, cat, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// score counts how a class was recognised.
type score struct{ right, missed, wrong int }

func (s score) precision() float64 { return part(s.right, s.right+s.wrong) }
func (s score) recall() float64    { return part(s.right, s.right+s.missed) }

func part(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// bound is what a half must reach: precision and recall of all classes together,
// of each class, and how many of the columns that hold something personal, of
// whichever class, are neither open nor undecided.
type bound struct{ precision, recall, class, personal float64 }

func TestQuality(t *testing.T) {
	for half, want := range map[string]bound{
		"tune": {precision: 0.99, recall: 0.98, class: 0.9, personal: 0.98},
		"held": {precision: 0.95, recall: 0.92, personal: 0.92},
	} {
		t.Run(half, func(t *testing.T) {
			conn, columns := load(t, half)
			m := scan(t, conn, datamap.Options{})
			scores, personal, lines := compare(m, columns)
			var all score
			for _, class := range slices.Sorted(maps.Keys(scores)) {
				s := scores[class]
				all.right, all.missed, all.wrong = all.right+s.right, all.missed+s.missed, all.wrong+s.wrong
				t.Logf("%-12s precision %.2f recall %.2f of %d", class, s.precision(), s.recall(), s.right+s.missed)
				if s.precision() < want.class || s.recall() < want.class {
					t.Errorf("%s: precision %.2f and recall %.2f, want %.2f", class, s.precision(), s.recall(), want.class)
				}
			}
			t.Logf("%s, %d columns: precision %.3f, recall %.3f; of personal columns %.3f are in a class", half, len(columns), all.precision(), all.recall(), personal)
			if all.precision() < want.precision || all.recall() < want.recall || personal < want.personal {
				t.Errorf("precision %.3f, recall %.3f, personal %.3f; want %+v", all.precision(), all.recall(), personal, want)
			}
			if half == "tune" {
				t.Log(strings.Join(lines, "\n"))
			}
		})
	}
}

// compare counts by class, and lists what was judged otherwise than labelled.
func compare(m *datamap.Map, columns []labelled) (scores map[string]score, personal float64, lines []string) {
	found := map[string]datamap.Column{}
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			found[t.Name+"."+c.Name] = c
		}
	}
	scores = map[string]score{}
	count := func(class string, add func(*score)) {
		if class != "open" {
			s := scores[class]
			add(&s)
			scores[class] = s
		}
	}
	of, in := 0, 0
	for _, c := range columns {
		got := found[c.table+"."+c.name]
		class := string(got.Class)
		if class == "" {
			class = "open"
		}
		if c.label != "open" {
			of++
			if class != "open" {
				in++
			}
		}
		if class == c.label {
			count(class, func(s *score) { s.right++ })
			continue
		}
		count(c.label, func(s *score) { s.missed++ })
		count(class, func(s *score) { s.wrong++ })
		lines = append(lines, fmt.Sprintf("%s.%s is %s, judged %q: %+v", c.table, c.name, c.label, got.Class, got.Evidence))
	}
	return scores, part(in, of), lines
}
