package state_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

func TestHolds(t *testing.T) {
	s := newSite(t).store(t)
	ctx := t.Context()
	within := func(f func(tx pgx.Tx) error) error {
		return s.Use(ctx, func(c *pgx.Conn) error { return pgx.BeginFunc(ctx, c, f) })
	}
	add := func(h state.Hold, until string) (made state.Hold, err error) {
		err = within(func(tx pgx.Tx) error { made, err = state.AddHold(ctx, tx, h, until); return err })
		return made, err
	}
	mine, err := add(state.Hold{Kind: "customer", Key: "42", Matter: "case 7", By: "olga"}, "")
	if err != nil || !mine.Until.IsZero() {
		t.Fatal(mine, err)
	}
	if h, err := add(state.Hold{Relation: "crm.invoices", Matter: "audit of 2026", By: "olga"}, "2999-01-01"); err != nil || h.Until.Year() != 2999 && h.Until.Year() != 2998 {
		t.Fatal(h, err)
	}
	if _, err := add(state.Hold{Relation: "crm.tickets", Matter: "over", By: "olga"}, "2020-01-01"); err != nil {
		t.Fatal(err)
	}
	if _, err := add(state.Hold{Relation: "crm.tickets", Matter: "never", By: "olga"}, "soon"); code(t, err) != privacy.BadKey {
		t.Error(err)
	}
	for _, bad := range []state.Hold{{Matter: "over nothing"}, {Kind: "customer", Matter: "of nobody"}, {Kind: "customer", Key: "1"}} {
		if _, err := add(bad, ""); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
	over := func(key string) (matters []string) {
		err := within(func(tx pgx.Tx) error {
			found, err := state.HoldsOver(ctx, tx, "customer", key)
			for _, h := range found {
				matters = append(matters, h.Matter)
			}
			return err
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
	lift := func() (h state.Hold, err error) {
		err = within(func(tx pgx.Tx) error { h, err = state.LiftHold(ctx, tx, mine.ID, "olga", "settled"); return err })
		return h, err
	}
	if h, err := lift(); err != nil || h.Released.IsZero() || h.Digest() == mine.Digest() {
		t.Errorf("lifted %+v, %v", h, err)
	}
	if _, err := lift(); code(t, err) != privacy.NotFound {
		t.Errorf("lifted again: %v", err)
	}
	if all, err := s.Holds(ctx); err != nil || len(all) != 1 {
		t.Errorf("holds: %+v, %v", all, err)
	}
}
