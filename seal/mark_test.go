package seal

import (
	"testing"
	"time"

	"github.com/pgveil/pgveil/policy"
)

func TestHeadOf(t *testing.T) {
	key := NewKey("c", Primary, time.Now())
	old := NewKey("c", Disabled, time.Now())
	gone := NewKey("c", Destroyed, time.Now())
	ring, err := NewRing(key, old, gone)
	if err != nil {
		t.Fatal(err)
	}
	for _, as := range []string{"text", "varchar", "bytea", "json", "jsonb"} {
		for _, mode := range []policy.SealMode{policy.SealRandomized, policy.SealDeterministic} {
			s, err := ring.Sealer(&policy.Sealed{Sealing: policy.Sealing{Mode: mode}, Class: "c", Domain: "d", Stored: as, Values: as})
			if err != nil {
				t.Fatal(err)
			}
			stored, err := s.Seal(nil, []byte("value"))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := HeadOf(stored[:HeadLen(as)], as); !ok || got != (Head{Mode: mode, Key: key.ID}) {
				t.Errorf("HeadOf of %s in %s = %v, %v", mode, as, got, ok)
			}
			if _, ok := HeadOf(stored[:HeadLen(as)-1], as); ok {
				t.Errorf("HeadOf takes what is too short in %s", as)
			}
			stored[len(Prefix(as))+1] ^= 1
			if _, ok := HeadOf(stored, as); ok {
				t.Errorf("HeadOf takes another version in %s", as)
			}
		}
		if _, ok := HeadOf([]byte("something clear that is long"), as); ok {
			t.Errorf("HeadOf takes what is clear in %s", as)
		}
	}
	for id, want := range map[uint32]State{key.ID: Primary, old.ID: Disabled, gone.ID: Destroyed, key.ID ^ old.ID ^ 1: 0} {
		if got := ring.State("c", id); got != want {
			t.Errorf("State(%08x) = %v, want %v", id, got, want)
		}
	}
	if id, ok := ring.Primary("c"); !ok || id != key.ID {
		t.Errorf("Primary = %08x, %v", id, ok)
	}
	if _, ok := ring.Primary("d"); ok || ring.State("d", key.ID) != 0 || ring.KeysOf("d") != nil {
		t.Error("a class without keys has some")
	}
	if got := ring.KeysOf("c"); len(got) != 2 {
		t.Errorf("KeysOf = %08x", got)
	}
}
