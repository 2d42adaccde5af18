package state_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/detect"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// met has a detector see that a user gets so many subjects' rows, from one on.
func met(d *detect.Detector, user string, at time.Time, from, n int) {
	w := &policy.Watch{}
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = detect.Hash("customer", fmt.Sprint(from+i))
	}
	d.Met(w, detect.Who{At: at, User: user}, hashes)
	d.Statement(w, &detect.Statement{Who: detect.Who{At: at, User: user}})
}

// TestHabits has two proxies see the same user: what both saw counts once, and
// is there for the next process.
func TestHabits(t *testing.T) {
	s := newSite(t)
	at := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	var counts []int
	for i := range 2 {
		d := detect.New(10)
		met(d, "alice", at, 100*i, 200)
		met(d, "bob", at.Add(time.Hour), 1, 1)
		together, err := s.store(t).KeepHabits(t.Context(), d.Changes(10))
		if err != nil || len(together) != 2 || together[0].User != "alice" {
			t.Fatal(together, err)
		}
		counts = append(counts, together[0].Subjects)
		if d.Merge(together); len(d.Changes(10)) != 0 {
			t.Error("what was written is to be written again")
		}
	}
	if counts[0] < 180 || counts[0] > 220 || counts[1] < 275 || counts[1] > 325 {
		t.Errorf("one saw 200 and both 300 subjects, which are estimated as %v", counts)
	}
	got, err := s.store(t).Habits(t.Context(), []string{"alice", "carol"}, "2026-11-01")
	if err != nil || len(got) != 1 || got[0].Hours != 1<<9 || got[0].Subjects != counts[1] || detect.CountSketch(got[0].Sketch) != counts[1] {
		t.Errorf("read: %+v, %v", got, err)
	}
	if got, err = s.store(t).Habits(t.Context(), []string{"alice"}, "2026-11-23"); err != nil || len(got) != 0 {
		t.Errorf("since the day after: %+v, %v", got, err)
	}
}

func TestHabitNames(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	for _, h := range []detect.Habit{
		{User: "alice", Day: "2026-09-01", Tables: []string{"crm.customers"}},
		{User: "alice", Day: "2026-11-22", Tables: []string{"crm.customers", `crm."odd ' name"`}, Networks: []string{"10.1.2.0/24"}},
	} {
		if _, err := store.KeepHabits(t.Context(), []detect.Habit{h}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := store.Habits(t.Context(), []string{"alice"}, "2026-09-01")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, h := range got {
		names["day "+h.Day]++
		for _, name := range append(h.Tables, h.Networks...) {
			names[name]++
		}
	}
	// The day in September is forgotten, what was used then is not.
	want := map[string]int{"day 2026-11-22": 1, "day ": 3, "crm.customers": 1, `crm."odd ' name"`: 1, "10.1.2.0/24": 1}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

// TestHabitsAtOnce has several proxies write the same people, in different
// orders.
func TestHabitsAtOnce(t *testing.T) {
	s := newSite(t)
	const stores, people, rounds = 4, 101, 5
	var tasks sync.WaitGroup
	for i := range stores {
		store := s.store(t)
		tasks.Go(func() {
			for round := range rounds {
				var habits []detect.Habit
				for k := range people {
					habits = append(habits, detect.Habit{User: fmt.Sprint((k*(i*2+1) + i*77) % people), Day: "2026-11-22", Hours: 1 << (i*rounds + round), Tables: []string{fmt.Sprint("t", i)}})
				}
				if _, err := store.KeepHabits(t.Context(), habits); err != nil {
					t.Error(err)
				}
			}
		})
	}
	tasks.Wait()
	got, err := s.store(t).Habits(t.Context(), []string{"7"}, "2026-11-22")
	if err != nil || len(got) != 1+stores || got[0].Hours != 1<<(stores*rounds)-1 {
		t.Errorf("all together: %+v, %v", got, err)
	}
}

func TestHabitsWithoutTables(t *testing.T) {
	s := newSite(t)
	s.exec(t, "DROP TABLE pgveil.habits, pgveil.habit_names")
	if _, err := s.store(t).Habits(t.Context(), []string{"alice"}, "2026-11-22"); code(t, err) != privacy.NotAvailable {
		t.Errorf("without tables: %v", err)
	}
	if _, err := s.store(t).KeepHabits(t.Context(), []detect.Habit{{User: "alice", Day: "2026-11-22"}}); code(t, err) != privacy.NotAvailable {
		t.Errorf("without tables: %v", err)
	}
}
