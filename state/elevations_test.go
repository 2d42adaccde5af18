package state_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

func elevate(t *testing.T, store *state.Store, approval string, lasts time.Duration) state.Elevation {
	t.Helper()
	e, err := store.Elevate(t.Context(), state.Elevation{
		Login: "crm_app", User: "alice", Role: "support_agent", Purpose: "billing", Reason: "ticket 4711", Approval: approval, For: lasts,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// read gives an elevation as it is now.
func read(t *testing.T, store *state.Store, id int64) state.Elevation {
	t.Helper()
	e, err := store.Elevation(t.Context(), fmt.Sprint(id))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// inForce gives the numbers of those that are.
func inForce(t *testing.T, store *state.Store) (ids []int64) {
	t.Helper()
	all, err := store.Granted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestElevate(t *testing.T) {
	store := newSite(t).store(t)
	want := state.Elevation{
		Login: "crm_app", User: "alice", Role: "support_agent", Purpose: "billing", Reason: "ticket 4711", For: 30 * time.Minute,
	}
	var all []int64
	for approval, is := range map[string]string{"none": "granted", "before": "asked", "after": "granted"} {
		e := elevate(t, store, approval, want.For)
		want.Approval, want.State = approval, is
		if diff := cmp.Diff(want, e, cmpopts.IgnoreFields(e, "ID", "Asked", "Left")); diff != "" {
			t.Errorf("approval %s: %s", approval, diff)
		}
		if diff := cmp.Diff(e, read(t, store, e.ID), cmpopts.IgnoreFields(e, "Left")); diff != "" {
			t.Errorf("what is read is not what was made: %s", diff)
		}
		granted := is == "granted"
		if left := read(t, store, e.ID).Left; granted && (left < 29*time.Minute || left > want.For) || !granted && left != 0 {
			t.Errorf("approval %s: %s are left", approval, left)
		}
		if granted {
			all = append(all, e.ID)
		}
	}
	if got := inForce(t, store); !cmp.Equal(got, all) {
		t.Errorf("in force are %v, want %v", got, all)
	}
	bad := want
	bad.Approval = ""
	if e, err := store.Elevate(t.Context(), bad); err == nil {
		t.Errorf("without a word on approval: %+v", e)
	}
	bad = want
	bad.For = 0
	if e, err := store.Elevate(t.Context(), bad); err == nil {
		t.Errorf("without an end: %+v", e)
	}
}

// decide is one of the ways to decide an elevation.
type decide func(s *state.Store, ctx context.Context, id int64, by, why string) error

// Each decision is possible from certain states only, and leads to one.
func TestDecisions(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	begin := map[string]func() int64{
		"asked":   func() int64 { return elevate(t, store, "before", time.Hour).ID },
		"granted": func() int64 { return elevate(t, store, "none", time.Hour).ID },
		"unseen":  func() int64 { return elevate(t, store, "after", time.Hour).ID },
		"denied": func() int64 {
			id := elevate(t, store, "before", time.Hour).ID
			return done(t, id, store.Deny(t.Context(), id, "bea", "no"))
		},
		"revoked": func() int64 {
			id := elevate(t, store, "none", time.Hour).ID
			return done(t, id, store.Revoke(t.Context(), id, "bea", "no"))
		},
		"revoked unseen": func() int64 {
			id := elevate(t, store, "after", time.Hour).ID
			return done(t, id, store.Revoke(t.Context(), id, "bea", "no"))
		},
		"over": func() int64 {
			id := elevate(t, store, "after", time.Hour).ID
			s.exec(t, "UPDATE pgveil.elevations SET ends_at = clock_timestamp() WHERE id = $1", id)
			return id
		},
		"reviewed": func() int64 {
			id := elevate(t, store, "after", time.Hour).ID
			return done(t, id, store.Review(t.Context(), id, "bea", "fine"))
		},
	}
	for name, d := range map[string]struct {
		decide decide
		to     map[string]string // state before → after; others stay
	}{
		"approve": {(*state.Store).Approve, map[string]string{"asked": "granted"}},
		"deny":    {(*state.Store).Deny, map[string]string{"asked": "denied"}},
		"revoke":  {(*state.Store).Revoke, map[string]string{"granted": "revoked", "unseen": "revoked", "reviewed": "revoked"}},
		"review":  {(*state.Store).Review, map[string]string{"unseen": "granted", "over": "granted", "revoked unseen": "revoked"}},
	} {
		for from, begin := range begin {
			t.Run(name+" "+from, func(t *testing.T) {
				id := begin()
				before := read(t, store, id)
				err := d.decide(store, t.Context(), id, "otto", "because")
				after := read(t, store, id)
				want, may := d.to[from]
				switch {
				case !may && (code(t, err) != privacy.SchemaChanged || !cmp.Equal(before, after, cmpopts.IgnoreFields(before, "Left"))):
					t.Errorf("%v; it was %+v\nand is %+v", err, before, after)
				case may && (err != nil || after.State != want):
					t.Errorf("%v; it is %+v, want %s", err, after, want)
				case may && name == "review" && (after.Reviewed != "otto" || after.Review != "because"),
					may && name != "review" && (after.Decided != "otto" || after.Decision != "because"):
					t.Errorf("who decided what is not kept: %+v", after)
				}
				in := false
				for _, granted := range inForce(t, store) {
					in = in || granted == id
				}
				if in != (after.State == "granted" && after.Left > 0) {
					t.Errorf("in force: %v, but it is %+v", in, after)
				}
			})
		}
	}
}

func done(t *testing.T, id int64, err error) int64 {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// An elevation lasts from its approval, not from when it was asked for.
func TestApprovalBegins(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	id := elevate(t, store, "before", time.Hour).ID
	s.exec(t, "UPDATE pgveil.elevations SET asked_at = now() - interval '3 days'")
	if err := store.Approve(t.Context(), id, "bea", ""); err != nil {
		t.Fatal(err)
	}
	if left := read(t, store, id).Left; left < 59*time.Minute || left > time.Hour {
		t.Errorf("%s are left of an hour", left)
	}
}

// Of those who decide one elevation at once, one does.
func TestDecideTogether(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	for name, tt := range map[string]struct {
		approval string
		ways     []decide
	}{
		"approve or deny": {"before", []decide{(*state.Store).Approve, (*state.Store).Deny}},
		"revoke":          {"none", []decide{(*state.Store).Revoke}},
		"review":          {"after", []decide{(*state.Store).Review}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				id := elevate(t, store, tt.approval, time.Hour).ID
				winners := make(chan string, 4)
				codes := together(t, s, cap(winners), func(i int, store *state.Store) error {
					by := fmt.Sprint("user", i)
					err := tt.ways[i%len(tt.ways)](store, t.Context(), id, by, "because")
					if err == nil {
						winners <- by
					}
					return err
				})
				if codes[""] != 1 || codes[privacy.SchemaChanged] != 3 {
					t.Fatalf("%v", codes)
				}
				e := read(t, store, id)
				if by := <-winners; e.Decided+e.Reviewed != by {
					t.Errorf("%s has decided, %+v is kept", by, e)
				}
			}
		})
	}
}

func TestNoElevation(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	elevate(t, store, "before", time.Hour)
	for _, id := range []string{"0", "17", "999999999999999999"} {
		if _, err := store.Elevation(t.Context(), id); code(t, err) != privacy.NotFound {
			t.Errorf("Elevation(%s): %v", id, err)
		}
	}
	if e, err := store.Elevation(t.Context(), "1; DROP SCHEMA pgveil"); err == nil {
		t.Errorf("what is no number is one: %+v", e)
	}
	for name, decide := range map[string]decide{
		"Approve": (*state.Store).Approve, "Deny": (*state.Store).Deny, "Revoke": (*state.Store).Revoke, "Review": (*state.Store).Review,
	} {
		if err := decide(store, t.Context(), 17, "bea", "no"); code(t, err) != privacy.SchemaChanged {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := inForce(t, store); got != nil {
		t.Errorf("in force: %v", got)
	}
	s.exec(t, "DROP TABLE pgveil.elevations")
	if _, err := store.Granted(t.Context()); code(t, err) != privacy.NotAvailable || !strings.Contains(err.Error(), "pgveil schema --apply") {
		t.Errorf("without the table: %v", err)
	}
}

// Those of the last 90 days are listed, the newest first.
func TestElevations(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	old, first, last := elevate(t, store, "none", time.Hour), elevate(t, store, "before", time.Hour), elevate(t, store, "after", time.Hour)
	s.exec(t, "UPDATE pgveil.elevations SET asked_at = now() - interval '91 days' WHERE id = $1", old.ID)
	all, err := store.Elevations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].ID != last.ID || all[1].ID != first.ID {
		t.Errorf("listed are %+v", all)
	}
}
