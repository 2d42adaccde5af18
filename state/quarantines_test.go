package state_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

func keepOut(t *testing.T, store *state.Store, q state.Quarantine) []state.Quarantine {
	t.Helper()
	made, err := store.Quarantine(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// out gives the names of those in quarantine.
func out(t *testing.T, store *state.Store) (names []string) {
	t.Helper()
	all, err := store.Quarantined(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		names = append(names, q.Who.String()+" "+q.Name)
	}
	return names
}

func TestQuarantines(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	alice := state.Quarantine{Who: policy.TargetUser, Name: "alice", Reason: "ticket 4711", By: "dora", For: time.Hour}
	made := keepOut(t, store, alice)
	want := alice
	want.State = "in force"
	if diff := cmp.Diff([]state.Quarantine{want}, made, cmpopts.IgnoreFields(want, "ID", "Made", "Left", "For")); diff != "" {
		t.Error(diff)
	}
	if m := made[0]; m.Left < 59*time.Minute || m.Left > time.Hour || (m.For-time.Hour).Abs() > time.Second {
		t.Errorf("it lasts %s, and %s are left", m.For, m.Left)
	}
	for _, q := range []state.Quarantine{
		{Who: policy.TargetLogin, Name: "crm_app", Reason: "x", By: "dora"},
		{Who: policy.TargetAddress, Name: "10.0.0.0/8", Reason: "x", By: "dora"},
	} {
		if m := keepOut(t, store, q); m[0].For != 0 || m[0].Left != 0 || m[0].State != "in force" {
			t.Errorf("without an end: %+v", m[0])
		}
	}
	s.exec(t, "INSERT INTO pgveil.quarantines (who, name, reason, made_by, automatic, ends_at) VALUES ('user', 'bob', 'x', 'dora', false, clock_timestamp())")
	everybody := []string{"user alice", "login crm_app", "address 10.0.0.0/8"}
	if got := out(t, store); !cmp.Equal(got, everybody) {
		t.Errorf("in quarantine are %q, want %q", got, everybody)
	}
	for _, tt := range []struct {
		who  policy.Target
		name string
		want int64
	}{{policy.TargetLogin, "alice", 0}, {policy.TargetUser, "bob", 0}, {policy.TargetUser, "alice", 1}, {policy.TargetUser, "alice", 0}} {
		if n, err := store.Release(t.Context(), tt.who, tt.name, "max", "a mistake"); n != tt.want || err != nil {
			t.Errorf("Release(%s %s) = %d, %v; want %d", tt.who, tt.name, n, err, tt.want)
		}
	}
	all, err := store.Quarantines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, q := range all {
		states = append(states, q.Name+" "+q.State+" "+q.Released+" "+q.Release)
	}
	if want := []string{"10.0.0.0/8 in force  ", "crm_app in force  ", "bob over  ", "alice released max a mistake"}; !cmp.Equal(states, want) {
		t.Errorf("listed are %q, want %q", states, want)
	}
	for _, bad := range []state.Quarantine{{Name: "x", Reason: "x"}, {Who: policy.TargetUser, Reason: "x"}, {Who: policy.TargetUser, Name: "x"}} {
		if _, err := store.Quarantine(t.Context(), bad); err == nil {
			t.Errorf("%+v is written", bad)
		}
	}
	s.exec(t, "DROP TABLE pgveil.quarantines")
	if _, err := store.Quarantined(t.Context()); code(t, err) != privacy.NotAvailable {
		t.Errorf("without the table: %v", err)
	}
}

// TestAutomaticQuarantines writes what is noticed again and again once, unless it
// makes a quarantine much longer, or it was released meanwhile.
func TestAutomaticQuarantines(t *testing.T) {
	store := newSite(t).store(t)
	notice := func(d time.Duration) int {
		return len(keepOut(t, store, state.Quarantine{Who: policy.TargetUser, Name: "alice", Reason: "x", By: "pgveil", Automatic: true, For: d}))
	}
	var got []int
	for _, d := range []time.Duration{time.Hour, time.Hour, time.Minute, 3 * time.Hour, 0, 0, time.Hour} {
		got = append(got, notice(d))
	}
	if want := []int{1, 0, 0, 1, 1, 0, 0}; !cmp.Equal(got, want) {
		t.Errorf("%v were written, want %v", got, want)
	}
	if n, err := store.Release(t.Context(), policy.TargetUser, "alice", "dora", ""); n != 3 || err != nil {
		t.Errorf("Release = %d, %v", n, err)
	}
	if n := notice(time.Hour); n != 1 {
		t.Errorf("%d are written of what is noticed after a release", n)
	}
}

// TestReleaseAgainstAdd has stores add and release at once: what was in force and
// what was released add up, and none is both.
func TestReleaseAgainstAdd(t *testing.T) {
	s := newSite(t)
	var mu sync.Mutex
	var made, released int64
	errs := together(t, s, 8, func(i int, store *state.Store) error {
		for range 20 {
			if i%2 == 0 {
				all, err := store.Quarantine(t.Context(), state.Quarantine{Who: policy.TargetUser, Name: "alice", Reason: "x", By: "dora", For: time.Hour})
				if err != nil {
					return err
				}
				mu.Lock()
				made += int64(len(all))
				mu.Unlock()
				continue
			}
			n, err := store.Release(t.Context(), policy.TargetUser, "alice", "max", "")
			if err != nil {
				return err
			}
			mu.Lock()
			released += n
			mu.Unlock()
		}
		return nil
	})
	if errs[""] != 8 {
		t.Fatalf("they end with %v", errs)
	}
	if left := int64(len(out(t, s.store(t)))); made != 80 || released+left != made {
		t.Errorf("%d were made, %d released and %d are left", made, released, left)
	}
}

// TestOrders has one proxy ask others, some of which answer.
func TestOrders(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	orders := func(proxy string) (ids []int64) {
		t.Helper()
		all, err := store.Orders(t.Context(), proxy)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			ids = append(ids, o.ID)
		}
		return ids
	}
	for _, proxy := range []string{"a", "b", "c", "gone"} {
		orders(proxy)
	}
	s.exec(t, "UPDATE pgveil.proxies SET seen_at = clock_timestamp() - interval '1 minute' WHERE proxy = 'gone'")
	o := state.Order{What: state.KillUser, Name: "alice", By: "dora", Reason: "x", Proxy: "a"}
	var err error
	if o.ID, err = store.Order(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	got, err := store.Orders(t.Context(), "b")
	if diff := cmp.Diff([]state.Order{o}, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	if own, late := orders("a"), orders("late"); len(own)+len(late) > 0 {
		t.Errorf("an order reaches who gave it, %v, or who came later, %v", own, late)
	}
	session := state.Session{ID: "abcdefghijklmnop", User: `a"\`, Roles: []string{"agent"}, Since: time.Now().UTC().Truncate(time.Second), Rows: 7}
	for range 2 { // the second counts for nothing
		if err := store.Answer(t.Context(), o.ID, state.Answer{Proxy: "b", Ended: 2, Sessions: []state.Session{session}}); err != nil {
			t.Fatal(err)
		}
	}
	if left := orders("b"); len(left) > 0 {
		t.Errorf("an order that is answered still stands: %v", left)
	}
	said, silent, err := store.Answers(t.Context(), o)
	if diff := cmp.Diff([]state.Answer{{Proxy: "b", Ended: 2, Sessions: []state.Session{session}}}, said); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	if want := []string{"c", "late"}; !slices.Equal(silent, want) {
		t.Errorf("silent are %q, want %q", silent, want)
	}
	if err := store.Leave(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, silent, _ = store.Answers(t.Context(), o); !slices.Equal(silent, []string{"late"}) {
		t.Errorf("silent are %q", silent)
	}
	s.exec(t, "UPDATE pgveil.orders SET asked_at = clock_timestamp() - interval '2 hours'")
	if left := orders("late"); len(left) > 0 {
		t.Errorf("an order stands for ever: %v", left)
	}
	if _, err := store.Order(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var kept int
	if err := s.conn.QueryRow(t.Context(), "SELECT count(*) FROM pgveil.orders").Scan(&kept); err != nil || kept != 1 {
		t.Errorf("%d orders are kept, %v", kept, err)
	}
}

// An answer is bounded, however many sessions there are.
func TestLongAnswer(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	if _, err := store.Orders(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	o := state.Order{What: state.ListSessions, Proxy: "a"}
	var err error
	if o.ID, err = store.Order(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	all := make([]state.Session, 6000)
	for i := range all {
		all[i].ID = fmt.Sprint(i)
	}
	if err := store.Answer(t.Context(), o.ID, state.Answer{Proxy: "b", Sessions: all}); err != nil {
		t.Fatal(err)
	}
	said, _, err := store.Answers(t.Context(), o)
	if err != nil || len(said) != 1 || len(said[0].Sessions) != 5001 || said[0].Sessions[5000].State != "1000 more are not listed" {
		t.Errorf("%d answers, %v", len(said), err)
	}
}
