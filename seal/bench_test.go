package seal

import (
	"bytes"
	"testing"

	"github.com/pgveil/pgveil/policy"
)

// benchValues are values as clients write them.
var benchValues = []struct{ typ, text string }{
	{"text", "123-45-6789"}, {"date", "1980-02-29"}, {"numeric", "1234.50"}, {"int4", "4711"}, {"uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	{"timestamp", "2001-02-03 04:05:06.789"}, {"timestamptz", "2001-02-03 04:05:06.789+00"}, {"bool", "t"}, {"bytea", `\x00010203040506070809`}, {"jsonb", `{"a": "b"}`},
}

// eachValue runs a benchmark for values of each kind of type.
func eachValue(b *testing.B, run func(b *testing.B, typ string, text, canonical []byte)) {
	for _, v := range benchValues {
		canonical, err := Canonical(v.typ, []byte(v.text))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(v.typ, func(b *testing.B) {
			b.ReportAllocs()
			run(b, v.typ, []byte(v.text), canonical)
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	eachValue(b, func(b *testing.B, typ string, text, _ []byte) {
		for b.Loop() {
			if _, err := Canonical(typ, text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendBinary(b *testing.B) {
	eachValue(b, func(b *testing.B, typ string, _, canonical []byte) {
		dst := make([]byte, 0, 64)
		for b.Loop() {
			if _, err := AppendBinary(dst, typ, canonical); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFromBinary(b *testing.B) {
	eachValue(b, func(b *testing.B, typ string, _, canonical []byte) {
		wire, err := AppendBinary(nil, typ, canonical)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := FromBinary(typ, wire); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBlind(b *testing.B) {
	s, value := sealer(b, column(policy.SealRandomized, "text"), NewKey("id", Primary, epoch)), []byte("123-45-6789")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Blind(value); err != nil {
			b.Fatal(err)
		}
	}
}

// Opening into a buffer that is used again allocates the cipher that XAES derives,
// and no more.
func TestOpenAllocates(t *testing.T) {
	s := sealer(t, column(policy.SealRandomized, "text"), NewKey("id", Primary, epoch))
	stored, err := s.Seal(nil, bytes.Repeat([]byte("v"), 64))
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 1<<10)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Open(dst, stored); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations to open a value", n)
	}
}
