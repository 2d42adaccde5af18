package seal

import (
	"slices"
	"testing"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// TestForms: what a value was stored as under whichever key that opens is among its
// forms, the newest first.
func TestForms(t *testing.T) {
	var keys []*Key
	var stored, found [][]byte
	for i, state := range []State{Enabled, Disabled, Enabled, Primary} {
		k := NewKey("id", Primary, epoch.Add(time.Duration(i)))
		s := sealer(t, column(policy.SealDeterministic, "text"), k)
		one, err := s.Seal(nil, []byte("7"))
		if err != nil {
			t.Fatal(err)
		}
		hash, err := s.Blind([]byte("7"))
		if err != nil {
			t.Fatal(err)
		}
		k.State = state
		keys = append(keys, k)
		if state != Disabled {
			stored, found = append(stored, one), append(found, hash)
		}
	}
	slices.Reverse(stored)
	slices.Reverse(found)
	s := sealer(t, column(policy.SealDeterministic, "text"), keys...)
	if got, err := s.Forms([]byte("7")); err != nil || !slices.EqualFunc(got, stored, slices.Equal) {
		t.Errorf("forms are %q, %v\nwant %q", got, err, stored)
	}
	if got, err := s.BlindForms([]byte("7")); err != nil || !slices.EqualFunc(got, found, slices.Equal) {
		t.Errorf("hashes are %x, %v\nwant %x", got, err, found)
	}
	if _, err := sealer(t, column(policy.SealRandomized, "text"), keys...).Forms([]byte("7")); err == nil {
		t.Error("randomized values have forms")
	}
	if _, err := sealer(t, column(policy.SealDeterministic, "text"), keys[0]).Forms([]byte("7")); err == nil {
		t.Error("a class without a primary key has forms")
	}
}
