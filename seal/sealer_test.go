package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pgveil/pgveil/policy"
)

var epoch = time.Unix(0, 0)

// column is a sealed column of a test.
func column(mode policy.SealMode, stored string) *policy.Sealed {
	return &policy.Sealed{Sealing: policy.Sealing{Mode: mode}, Class: "id", Domain: "crm.people.ssn", Column: "crm.people.ssn", Stored: stored, Values: stored}
}

func sealer(t testing.TB, c *policy.Sealed, keys ...*Key) *Sealer {
	t.Helper()
	r, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Sealer(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestChangedEnvelopes changes every bit of what is stored, and cuts it off
// everywhere: nothing of that opens.
func TestChangedEnvelopes(t *testing.T) {
	key := NewKey("id", Primary, epoch)
	for _, mode := range []policy.SealMode{policy.SealRandomized, policy.SealDeterministic} {
		for _, stored := range []string{"text", "bytea", "jsonb"} {
			s := sealer(t, column(mode, stored), key)
			for _, value := range []string{"", "Ada", string(bytes.Repeat([]byte("x"), 1000))} {
				was, err := s.Seal(nil, []byte(value))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := s.Open(nil, was); err != nil || string(got) != value {
					t.Fatalf("%s %s: %q opens to %q, %v", mode, stored, value, got, err)
				}
				for i := range was {
					if got, err := s.Open(nil, was[:i]); err == nil {
						t.Errorf("%s %s: the first %d bytes open to %q", mode, stored, i, got)
					}
					for bit := range 8 {
						changed := bytes.Clone(was)
						changed[i] ^= 1 << bit
						if got, err := s.Open(nil, changed); err == nil {
							t.Errorf("%s %s: byte %d changed, it opens to %q", mode, stored, i, got)
						}
					}
				}
			}
		}
	}
}

// What is moved to another column, another way of sealing or another type does not
// open; columns that join open each other's.
func TestMovedEnvelopes(t *testing.T) {
	key, of := NewKey("id", Primary, epoch), column(policy.SealDeterministic, "text")
	was, err := sealer(t, of, key).Seal(nil, []byte("Ada"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*policy.Sealed){
		"another column": func(c *policy.Sealed) { c.Domain = "crm.people.iban" },
		"another way":    func(c *policy.Sealed) { c.Mode = policy.SealRandomized },
		"another type":   func(c *policy.Sealed) { c.Values = "date" },
	} {
		other := *of
		change(&other)
		if got, err := sealer(t, &other, key).Open(nil, was); err == nil {
			t.Errorf("%s opens it to %q", name, got)
		}
	}
	joined := *of
	joined.Column = "crm.leads.ssn"
	if got, err := sealer(t, &joined, key).Open(nil, was); err != nil || string(got) != "Ada" {
		t.Errorf("a column that joins opens it to %q, %v", got, err)
	}
}

// Equal values look alike where they are deterministic, and never else.
func TestEqualValues(t *testing.T) {
	key := NewKey("id", Primary, epoch)
	same, random := sealer(t, column(policy.SealDeterministic, "text"), key), sealer(t, column(policy.SealRandomized, "text"), key)
	a, _ := same.Seal(nil, []byte("Ada"))
	b, _ := same.Seal(nil, []byte("Ada"))
	if !bytes.Equal(a, b) {
		t.Errorf("deterministic: %s and %s", a, b)
	}
	nonces := map[string]bool{}
	for range 100_000 {
		e, err := random.Seal(nil, []byte("Ada"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := envelope(e, "text")
		if err != nil {
			t.Fatal(err)
		}
		nonces[string(raw[headLen:headLen+xaesNonce])] = true
	}
	if len(nonces) != 100_000 {
		t.Errorf("100,000 values have %d nonces", len(nonces))
	}
}

// What a key sealed is opened by that key for as long as it may, and by no other.
func TestKeysInTime(t *testing.T) {
	old, c := NewKey("id", Primary, epoch), column(policy.SealRandomized, "text")
	was, err := sealer(t, c, old).Seal(nil, []byte("Ada"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		state State
		want  error
	}{
		{Enabled, nil}, {Disabled, &KeyError{old.ID, Disabled}}, {Destroyed, &KeyError{old.ID, Destroyed}}, {0, &KeyError{Key: old.ID}},
	} {
		keys := []*Key{NewKey("id", Primary, epoch)}
		if tt.state != 0 {
			later := *old
			later.State = tt.state
			keys = append(keys, &later)
		}
		got, err := sealer(t, c, keys...).Open(nil, was)
		var is *KeyError
		switch {
		case tt.want == nil && (err != nil || string(got) != "Ada"):
			t.Errorf("%s: %q, %v", tt.state, got, err)
		case tt.want != nil && (!errors.As(err, &is) || *is != *tt.want.(*KeyError)):
			t.Errorf("%s: %v, want %v", tt.state, err, tt.want)
		}
	}
	if _, err := sealer(t, c, &Key{Class: "id", State: Enabled}).Seal(nil, nil); err == nil {
		t.Error("a class without a primary key seals")
	}
}

func TestRings(t *testing.T) {
	a, b := NewKey("id", Primary, epoch), NewKey("id", Primary, epoch)
	if _, err := NewRing(a, b); err == nil {
		t.Error("a class has two primary keys")
	}
	b.ID, b.Class = a.ID, "other"
	if _, err := NewRing(a, b); err == nil {
		t.Error("two keys have one id")
	}
	r, err := NewRing(a)
	if err != nil {
		t.Fatal(err)
	}
	none := column(policy.SealRandomized, "text")
	none.Class = "none"
	if _, err := r.Sealer(none); err == nil {
		t.Error("a class without keys has a sealer")
	}
	var zero Ring
	if _, err := zero.Sealer(none); err == nil {
		t.Error("the zero ring has a sealer")
	}
}

func TestCanonical(t *testing.T) {
	for _, tt := range []struct{ typ, text, want string }{
		{"int4", " 007", "7"}, {"int4", "-0", "0"}, {"int2", "40000", ""}, {"int8", "1e3", ""},
		{"numeric", "+01.50", "1.50"}, {"numeric", "-0.0", "0.0"}, {"numeric", ".5", "0.5"}, {"numeric", "5.", "5"}, {"numeric", "nan", "NaN"}, {"numeric", "-12345678.000100", "-12345678.000100"}, {"numeric", "10000", "10000"}, {"numeric", "0.00000001", "0.00000001"}, {"numeric", "120000.5", "120000.5"}, {"numeric", "-", ""}, {"numeric", "1..2", ""}, {"numeric", "1.2.3", ""}, {"numeric", "x", ""}, {"numeric", "", ""}, {"numeric", ".", ""},
		{"date", "2001-02-03", "2001-02-03"}, {"date", "2001-02-03 04:05:06Z", "2001-02-03"}, {"date", "03.02.2001", ""}, {"date", "today", ""}, {"date", "2001-02-30", ""}, {"date", "2001-02-03 +02", "2001-02-03"}, {"date", "2001-02-03 -05:30", "2001-02-03"}, {"timestamptz", "2001-02-03 +02", ""}, {"date", "1999-12-31", "1999-12-31"}, {"date", "0001-01-01", "0001-01-01"}, {"date", "20a1-02-03", ""}, {"date", "infinity", "infinity"},
		{"timestamp", "2001-02-03 04:05", "2001-02-03 04:05:00"}, {"timestamptz", "2001-02-03 04:05:06.7+02", "2001-02-03 02:05:06.7+00"}, {"timestamptz", "2001-02-03 04:05:06", ""},
		{"uuid", "{A0EEBC99-9C0B4EF8-BB6D6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {"uuid", "a0", ""},
		{"bool", "TRUE", "t"}, {"bool", "maybe", ""}, {"bytea", `\x4142`, "AB"}, {"bytea", "AB", ""},
		{"text", "a\x00b", ""}, {"text", "\xff", ""}, {"text", "ä", "ä"}, {"json", "{", ""}, {"jsonb", `{"a": 1}`, `{"a": 1}`}, {"point", "(1,2)", ""},
	} {
		got, err := Canonical(tt.typ, []byte(tt.text))
		if string(got) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s %q is %q, %v; want %q", tt.typ, tt.text, got, err, tt.want)
		}
		if err != nil || tt.typ == "bytea" {
			continue
		}
		if again, err := Canonical(tt.typ, got); err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s %q becomes %q, %v", tt.typ, got, again, err)
		}
		wire, err := AppendBinary(nil, tt.typ, got)
		if err != nil {
			t.Errorf("%s %q in binary form: %v", tt.typ, got, err)
			continue
		}
		text, err := FromBinary(tt.typ, wire)
		if err == nil {
			text, err = Canonical(tt.typ, text)
		}
		if err != nil || !bytes.Equal(text, got) {
			t.Errorf("%s %q is %x in binary form, and that is %q, %v", tt.typ, got, wire, text, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key := NewKey("id", Primary, epoch)
	for _, stored := range []string{"text", "bytea", "jsonb"} {
		s := sealer(f, column(policy.SealRandomized, stored), key)
		e, _ := s.Seal(nil, []byte("Ada"))
		f.Add(e)
	}
	f.Add(binary.BigEndian.AppendUint32([]byte{version, algRandom}, key.ID))
	all := map[string]*Sealer{}
	for _, stored := range []string{"text", "bytea", "jsonb"} {
		for _, mode := range []policy.SealMode{policy.SealRandomized, policy.SealDeterministic} {
			all[fmt.Sprint(stored, mode)] = sealer(f, column(mode, stored), key)
		}
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		for name, s := range all {
			if value, err := s.Open(nil, stored); err == nil && string(value) != "Ada" {
				t.Errorf("%s: %q opens to %q", name, stored, value)
			}
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"1.50", "2001-02-03", "2001-02-03 04:05:06.7+02", "t", `\x41`, "{}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, typ := range policy.SealTypes {
			got, err := Canonical(typ, text)
			if err != nil || typ == "bytea" {
				continue
			}
			if again, err := Canonical(typ, got); err != nil || !bytes.Equal(again, got) {
				t.Errorf("%s %q is %q, and that %q, %v", typ, text, got, again, err)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	eachSealer(b, func(b *testing.B, s *Sealer, value, _ []byte) {
		dst := make([]byte, 0, 1<<10)
		for b.Loop() {
			if _, err := s.Seal(dst, value); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	eachSealer(b, func(b *testing.B, s *Sealer, _, stored []byte) {
		dst := make([]byte, 0, 1<<10)
		for b.Loop() {
			if _, err := s.Open(dst, stored); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func eachSealer(b *testing.B, run func(b *testing.B, s *Sealer, value, stored []byte)) {
	key := NewKey("id", Primary, epoch)
	for _, mode := range []policy.SealMode{policy.SealRandomized, policy.SealDeterministic} {
		s := sealer(b, column(mode, "text"), key)
		for _, size := range []int{16, 64} {
			value := bytes.Repeat([]byte("v"), size)
			stored, err := s.Seal(nil, value)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%d", mode, size), func(b *testing.B) {
				b.ReportAllocs()
				run(b, s, value, stored)
			})
		}
	}
}

// What is bound to a row opens there alone; what is not bound only as the policy says.
func TestBound(t *testing.T) {
	key := NewKey("c", Primary, time.Now())
	r, err := NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	sealer := func(row, clear, shred bool) *Sealer {
		s, err := r.Sealer(&policy.Sealed{Sealing: policy.Sealing{Mode: policy.SealRandomized, Row: row, Clear: clear, Shred: shred}, Class: "c", Domain: "d", Stored: "text", Values: "text"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	seal := func(s *Sealer) []byte {
		stored, err := s.Seal(nil, []byte("value"))
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	bound, loose := sealer(true, false, false), sealer(false, false, false)
	stored, unbound := seal(bound.At([]byte("1~"))), seal(loose)
	for _, tt := range []struct {
		name   string
		with   *Sealer
		stored []byte
		want   error
	}{
		{"its row", bound.At([]byte("1~")), stored, nil},
		{"another row", bound.At([]byte("2~")), stored, ErrDamaged},
		{"a longer key", bound.At([]byte("1~1~")), stored, ErrDamaged},
		{"no row", bound, stored, errNoRow},
		{"an empty row", bound.At(nil), stored, errNoRow},
		{"without bind: row", loose, stored, ErrDamaged},
		{"not bound", bound.At([]byte("1~")), unbound, ErrUnbound},
		{"not bound, while it is being sealed", sealer(true, true, false).At([]byte("1~")), unbound, nil},
	} {
		value, err := tt.with.Open(nil, tt.stored)
		if !errors.Is(err, tt.want) || err == nil && string(value) != "value" {
			t.Errorf("%s: %q, %v", tt.name, value, err)
		}
	}
	if _, err := bound.Seal(nil, []byte("value")); !errors.Is(err, errNoRow) {
		t.Errorf("sealed without a row: %v", err)
	}
	own, _, _, err := r.NewDataKey("c", 7)
	if err != nil {
		t.Fatal(err)
	}
	shred := sealer(true, false, true)
	if _, err := shred.SealUnder(nil, []byte("value"), &own); !errors.Is(err, errNoRow) {
		t.Errorf("sealed under a key of its own without a row: %v", err)
	}
	if stored, err = shred.At([]byte("1~")).SealUnder(nil, []byte("value"), &own); err != nil {
		t.Fatal(err)
	}
	for row, want := range map[string]error{"1~": nil, "2~": ErrDamaged, "": errNoRow} {
		_, err := shred.At([]byte(row)).OpenUnder(nil, stored, func(DataKeyID) (DataKey, bool) { return own, true })
		if !errors.Is(err, want) {
			t.Errorf("under a key of its own, in row %q: %v", row, err)
		}
	}
}
