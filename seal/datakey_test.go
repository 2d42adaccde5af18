package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// shredding is a ring with two keys of a class, and a column that is sealed under
// data keys, of a type.
func shredding(t *testing.T, stored string) (*Ring, *Sealer) {
	t.Helper()
	r, err := NewRing(NewKey("birth", Primary, time.Now()), NewKey("birth", Enabled, time.Now()), NewKey("other", Primary, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Sealer(&policy.Sealed{
		Sealing: policy.Sealing{Mode: policy.SealRandomized, Shred: true}, Class: "birth", Domain: "crm.customers.born", Column: "crm.customers.born",
		Stored: stored, Values: "text",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func TestDataKeys(t *testing.T) {
	for _, stored := range []string{"text", "bytea", "json"} {
		t.Run(stored, func(t *testing.T) {
			r, s := shredding(t, stored)
			if _, err := s.Seal(nil, []byte("x")); !errors.Is(err, ErrNeedsDataKey) {
				t.Errorf("sealing without a data key: %v", err)
			}
			const id = DataKeyID(0xfedcba9876543210)
			k, by, wrapped, err := r.NewDataKey("birth", id)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := s.SealUnder(nil, []byte("1980-02-29"), &k)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := DataKeyOf(sealed, stored); !ok || got != id {
				t.Errorf("the envelope names %x, %v", got, ok)
			}
			if _, err := s.Open(nil, sealed); !errors.Is(err, ErrNeedsDataKey) {
				t.Errorf("opening without a data key: %v", err)
			}
			again, err := r.DataKey(id, by, wrapped)
			if err != nil {
				t.Fatal(err)
			}
			have := func(DataKeyID) (DataKey, bool) { return again, true }
			if got, err := s.OpenUnder(nil, sealed, have); err != nil || string(got) != "1980-02-29" {
				t.Errorf("opened %q, %v", got, err)
			}
			if _, err := s.OpenUnder(nil, sealed, func(DataKeyID) (DataKey, bool) { return DataKey{}, false }); !errors.Is(err, ErrNoDataKey) {
				t.Errorf("without its key: %v", err)
			}
			for i := range sealed {
				bad := bytes.Clone(sealed)
				bad[i] ^= 1
				if got, err := s.OpenUnder(nil, bad, have); err == nil {
					t.Errorf("opened %q with byte %d changed", got, i)
				}
				if got, err := s.OpenUnder(nil, sealed[:i], have); err == nil {
					t.Errorf("opened %q of %d bytes", got, i)
				}
			}
		})
	}
}

func TestWrappedDataKeys(t *testing.T) {
	r, _ := shredding(t, "text")
	k, by, wrapped, err := r.NewDataKey("birth", 7)
	if err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func() error{
		"another id":    func() error { _, err := r.DataKey(8, by, wrapped); return err },
		"cut off":       func() error { _, err := r.DataKey(7, by, wrapped[:len(wrapped)-1]); return err },
		"empty":         func() error { _, err := r.DataKey(7, by, nil); return err },
		"another key":   func() error { _, err := r.DataKey(7, r.Wraps("birth")[0], wrapped); return err },
		"an unknown":    func() error { _, err := r.DataKey(7, by+1, wrapped); return err },
		"a ring of own": func() error { o, _ := shredding(t, "text"); _, err := o.DataKey(7, by, wrapped); return err },
	} {
		if f() == nil {
			t.Errorf("%s: it was unwrapped", what)
		}
	}
	// What is wrapped under the key before is wrapped under the primary one.
	old := r.classes["birth"].all[r.Wraps("birth")[0]]
	was, err := old.wrap(&k)
	if err != nil {
		t.Fatal(err)
	}
	now, out, again, err := r.Rewrap(7, old.ID, was)
	if err != nil || !again || now != by {
		t.Fatalf("wrapped under %08x, %v, %v", now, again, err)
	}
	if got, err := r.DataKey(7, now, out); err != nil || got != k {
		t.Errorf("another key came back: %v", err)
	}
	if _, _, again, err := r.Rewrap(7, now, out); again || err != nil {
		t.Errorf("wrapped once more: %v, %v", again, err)
	}
}

func TestDataKeysIn(t *testing.T) {
	var sent []byte
	var want []DataKeyID
	for i, stored := range []string{"text", "bytea", "jsonb"} {
		r, s := shredding(t, stored)
		k, _, _, err := r.NewDataKey("birth", DataKeyID(1000+i))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := s.SealUnder(nil, []byte("value"), &k)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(append(append(sent, "\x00\x01pgv1.pgv1."...), sealed...), "\tpgv1.AAAA"...)
		want = append(want, k.ID)
		if stored == "bytea" {
			sent = append(append(sent, `\\x`...), hex.EncodeToString(sealed)...)
		}
	}
	got := DataKeysIn(nil, sent)
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// TestDataKeysEscaped has ids of every byte, as the server writes them with bytea_output
// escape.
func TestDataKeysEscaped(t *testing.T) {
	for b := range 256 {
		for _, next := range []byte{'0', '\\', 'a', 200} {
			id := DataKeyID(b)<<56 | DataKeyID(next)<<48 | DataKeyID(b)
			e := binary.BigEndian.AppendUint64(append(bytes.Clone(magic), version, algShred), uint64(id))
			var text []byte
			for _, c := range append(e, 'x') {
				switch {
				case c == '\\':
					text = append(text, `\\`...)
				case c < ' ' || c > '~':
					text = fmt.Appendf(text, `\%03o`, c)
				default:
					text = append(text, c)
				}
			}
			for _, sent := range [][]byte{text, bytes.ReplaceAll(text, []byte(`\`), []byte(`\\`))} {
				if got := DataKeysIn(nil, sent); len(got) != 1 || got[0] != id {
					t.Errorf("found %x in %q, want %x", got, sent, id)
				}
			}
		}
	}
}

func FuzzDataKeysIn(f *testing.F) {
	f.Add([]byte(textPrefix + "AQMAAAAAAAAD6AAA"))
	f.Add(append(bytes.Clone(magic), 1, 3, 0, 0, 0, 0, 0, 0, 0, 9))
	f.Fuzz(func(t *testing.T, sent []byte) {
		if n := len(DataKeysIn(nil, sent)); n*shredHead > 3*len(sent) {
			t.Errorf("%d keys in %d bytes", n, len(sent))
		}
	})
}
