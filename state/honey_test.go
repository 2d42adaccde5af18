package state_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pgveil/pgveil/state"
)

func TestHoney(t *testing.T) {
	s := newSite(t)
	first, second := s.store(t), s.store(t)
	for _, tt := range []struct {
		kind, key string
		adopted   bool
		want      bool
	}{
		{"customer", "17", false, true},
		{"customer", "17", true, false}, // it stays what it was
		{"employee", "17", true, true},
		{"customer", "O'Neil \x01", false, true},
	} {
		if planted, err := first.PlantHoney(t.Context(), tt.kind, tt.key, tt.adopted); err != nil || planted != tt.want {
			t.Errorf("planting %s %q: %t, %v, want %t", tt.kind, tt.key, planted, err, tt.want)
		}
	}
	all, err := second.Honey(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("planted are %+v, %v", all, err)
	}
	adopted := map[string]bool{}
	for _, h := range all {
		adopted[h.Kind+" "+h.Key] = h.Adopted
		if h.Planted.IsZero() {
			t.Errorf("%+v was never planted", h)
		}
	}
	if adopted["customer 17"] || !adopted["employee 17"] {
		t.Errorf("adopted are %v", adopted)
	}
	for _, want := range []bool{true, false} {
		if gone, err := second.ForgetHoney(t.Context(), "customer", "17"); err != nil || gone != want {
			t.Errorf("forgetting: %t, %v, want %t", gone, err, want)
		}
	}
	if all, err = first.Honey(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("then planted are %+v, %v", all, err)
	}
}

// TestHoneyTellsNothing reads the table as who has no key: no key of a subject is
// in it, and a row that was not written with the key does not count.
func TestHoneyTellsNothing(t *testing.T) {
	s := newSite(t)
	store := s.store(t)
	if _, err := store.PlantHoney(t.Context(), "customer", "4711-0815", false); err != nil {
		t.Fatal(err)
	}
	var row []byte
	if err := s.conn.QueryRow(t.Context(), "SELECT pg_catalog.convert_to(h::text, 'UTF8') || h.digest || h.sealed FROM pgveil.honey AS h").Scan(&row); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(row, []byte("4711")) {
		t.Errorf("the key is in %q", row)
	}
	other := s.store(t)
	other.Key = bytes.Repeat([]byte{8}, 32)
	if _, err := other.Honey(t.Context()); err == nil {
		t.Error("another key opens the records")
	}
	s.exec(t, "UPDATE pgveil.honey SET kind = 'employee'")
	if _, err := store.PlantHoney(t.Context(), "customer", "1", false); err != nil {
		t.Fatal(err)
	}
	var unreadable *state.UnreadableError
	if all, err := store.Honey(t.Context()); !errors.As(err, &unreadable) || unreadable.Rows != 1 || len(all) != 1 || all[0].Key != "1" {
		t.Errorf("with one of another kind there are %+v, %v", all, err)
	}
}
