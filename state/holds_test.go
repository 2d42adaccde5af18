package state_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/state"
)

func TestHolds(t *testing.T) {
	s := newSite(t).store(t)
	ctx := t.Context()
	mine, err := s.Hold(ctx, state.Hold{Kind: "customer", Key: "42", Matter: "case 7", By: "olga"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(ctx, state.Hold{Relation: "crm.invoices", Matter: "audit of 2026", By: "olga", Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(ctx, state.Hold{Relation: "crm.tickets", Matter: "over", By: "olga", Until: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []state.Hold{{Matter: "over nothing"}, {Kind: "customer", Matter: "of nobody"}, {Kind: "customer", Key: "1"}} {
		if _, err := s.Hold(ctx, bad); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
	over := func(key string) (matters []string) {
		err := s.Use(ctx, func(c *pgx.Conn) error {
			return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				found, err := state.HoldsOver(ctx, tx, "customer", key)
				for _, h := range found {
					matters = append(matters, h.Matter)
				}
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return matters
	}
	if got := over("42"); len(got) != 2 || got[0] != "case 7" {
		t.Errorf("over 42: %q", got)
	}
	if got := over("43"); len(got) != 1 || got[0] != "audit of 2026" {
		t.Errorf("over 43: %q", got)
	}
	if !mine.Over("customer", "42", "crm.orders") || mine.Over("customer", "43", "crm.orders") || mine.Over("contact", "42", "crm.orders") {
		t.Error("a hold on customer 42 is over somebody else, or not over 42")
	}
	for i, want := range []bool{true, false} {
		if done, err := s.ReleaseHold(ctx, mine.ID, "olga", "settled"); err != nil || done != want {
			t.Errorf("release %d: %v, %v", i, done, err)
		}
	}
	if all, err := s.Holds(ctx); err != nil || len(all) != 1 {
		t.Errorf("holds: %+v, %v", all, err)
	}
}
