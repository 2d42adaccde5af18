package seal

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/policy"
)

// TestFF1 has NIST's samples for SP 800-38G, under keys of 128, 192 and 256 bits.
func TestFF1(t *testing.T) {
	const (
		k128   = "2B7E151628AED2A6ABF7158809CF4F3C"
		k192   = k128 + "EF4359D8D580AA4F"
		k256   = k192 + "7F036D6F04FC6A94"
		digits = "0123456789"
		long   = "0123456789abcdefghi"
		t10    = "39383736353433323130"
		t11    = "3737373770717273373737"
	)
	for i, tt := range []struct {
		key   string
		radix int
		tweak string
		clear string
		want  string
	}{
		{k128, 10, "", digits, "2433477484"},
		{k128, 10, t10, digits, "6124200773"},
		{k128, 36, t11, long, "a9tv40mll9kdu509eum"},
		{k192, 10, "", digits, "2830668132"},
		{k192, 10, t10, digits, "2496655549"},
		{k192, 36, t11, long, "xbj3kv35jrawxv32ysr"},
		{k256, 10, "", digits, "6657667009"},
		{k256, 10, t10, digits, "1001623463"},
		{k256, 36, t11, long, "xs8a0azh2avyalyzuwd"},
	} {
		key, _ := hex.DecodeString(tt.key)
		tweak, _ := hex.DecodeString(tt.tweak)
		f, err := newFF1(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := f.encrypt(tweak, tt.radix, tt.clear); !ok || got != tt.want {
			t.Errorf("sample %d: %q, want %q", i+1, got, tt.want)
		}
		if got, ok := f.decrypt(tweak, tt.radix, tt.want); !ok || got != tt.clear {
			t.Errorf("sample %d opens to %q", i+1, got)
		}
	}
}

// FuzzFF1 turns texts of numerals both ways, in machine words and in numbers of any size:
// both agree, and there is a way back.
func FuzzFF1(f *testing.F) {
	f.Add([]byte("a key of 32 bytes that is no key"), []byte("crm.people.iban"), uint8(10), "0123456789")
	f.Add([]byte(""), []byte{}, uint8(36), "a9tv40mll9kdu509eumzzzz")
	f.Add([]byte(""), []byte{1}, uint8(26), "000000")
	f.Add([]byte(""), []byte{1}, uint8(10), strings.Repeat("9", 37))
	f.Fuzz(func(t *testing.T, seed, tweak []byte, radix uint8, text string) {
		if radix != 10 && radix != 26 && radix != 36 || len(text) < 2 || len(text) > 60 || strings.Trim(text, numerals[:radix]) != "" {
			return // formats let no other through
		}
		var key [32]byte
		copy(key[:], seed)
		with, err := newFF1(key[:])
		if err != nil {
			t.Fatal(err)
		}
		sealed, ok := with.encrypt(tweak, int(radix), text)
		big, okBig := with.encryptBig(tweak, int(radix), text)
		if sealed != big || ok != okBig {
			t.Fatalf("%q is %q, %v and %q, %v", text, sealed, ok, big, okBig)
		}
		if !ok {
			return
		}
		back, _ := with.decrypt(tweak, int(radix), sealed)
		backBig, _ := with.decryptBig(tweak, int(radix), sealed)
		if len(sealed) != len(text) || back != text || backBig != text {
			t.Errorf("%q is %q, and that opens to %q and %q", text, sealed, back, backBig)
		}
	})
}

// TestFF1Words holds that the formats in use do not take the slow way, and that the longest
// do not overflow the fast one.
func TestFF1Words(t *testing.T) {
	with, err := newFF1(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ radix, fast int }{{10, 36}, {26, 26}, {36, 24}} {
		if with.words(nil, tt.radix, strings.Repeat("0", tt.fast)) == nil || with.words(nil, tt.radix, strings.Repeat("0", tt.fast+1)) != nil {
			t.Errorf("radix %d: the longest that fits is not %d", tt.radix, tt.fast)
		}
		for n := 2; n <= 60; n++ {
			text := strings.Repeat(string(numerals[tt.radix-1]), n)
			got, _ := with.encrypt([]byte("x"), tt.radix, text)
			if want, ok := with.encryptBig([]byte("x"), tt.radix, text); got != want || !ok {
				t.Errorf("radix %d: %q is %q, want %q", tt.radix, text, got, want)
			}
		}
	}
}

func formatColumn(f policy.SealFormat, name string) *policy.Sealed {
	return &policy.Sealed{Sealing: policy.Sealing{Mode: policy.SealDeterministic, Format: f}, Class: "id", Domain: name, Column: name, Stored: "text", Values: "text"}
}

func TestFormats(t *testing.T) {
	key := NewKey("id", Primary, epoch)
	key.Format = true
	for _, tt := range []struct {
		f      policy.SealFormat
		values []string
		not    []string
	}{
		{policy.SealFormat{Alphabet: "digits", Least: 6, Most: 56}, []string{"000000", "0123456", strings.Repeat("9", 56)}, []string{"", "12345", "12345a", "-12345", "+12345", "12_345", " 12345", strings.Repeat("9", 57)}},
		{policy.SealFormat{Alphabet: "letters", Least: 5, Most: 20}, []string{"AAAAA", "ZZZZZZ", "HELLOWORLD"}, []string{"hello", "HELL0", "HÉLLO"}},
		{policy.SealFormat{Alphabet: "alphanumeric", Least: 22, Most: 22}, []string{"DE89370400440532013000"}, []string{"DE8937040044053201300", "de89370400440532013000"}},
	} {
		s := sealer(t, formatColumn(tt.f, "crm.people.id"), key)
		other := sealer(t, formatColumn(tt.f, "crm.leads.id"), key)
		for _, v := range tt.values {
			sealed, err := s.Seal([]byte("x"), []byte(v))
			if err != nil || len(sealed) != len(v)+1 || string(sealed[1:]) == v {
				t.Fatalf("%s: %q is sealed as %q, %v", tt.f, v, sealed, err)
			}
			again, err := s.Seal(nil, []byte(v))
			if err != nil || string(again) != string(sealed[1:]) {
				t.Errorf("%s: %q is sealed as %q and %q", tt.f, v, sealed[1:], again)
			}
			if elsewhere, err := other.Seal(nil, []byte(v)); err != nil || string(elsewhere) == string(again) {
				t.Errorf("%s: %q looks alike in two columns: %v", tt.f, v, err)
			}
			if got, err := s.Open([]byte("y"), again); err != nil || string(got) != "y"+v {
				t.Errorf("%s: %q opens to %q, %v", tt.f, v, got, err)
			}
		}
		for _, v := range tt.not {
			var form *FormError
			if sealed, err := s.Seal(nil, []byte(v)); !errors.As(err, &form) {
				t.Errorf("%s: %q is sealed as %q, %v", tt.f, v, sealed, err)
			}
			if got, err := s.Open(nil, []byte(v)); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %q opens to %q, %v", tt.f, v, got, err)
			}
		}
	}
}

// TestFormatKey: values that keep a format do not say which key sealed them, so it is one
// and the same, whatever becomes of the others.
func TestFormatKey(t *testing.T) {
	first, second := NewKey("id", Enabled, epoch), NewKey("id", Primary, epoch)
	first.Format = true
	c := formatColumn(policy.SealFormat{Alphabet: "digits", Least: 9, Most: 9}, "crm.people.id")
	was, err := sealer(t, c, first).Seal(nil, []byte("123456789"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sealer(t, c, first, second).Open(nil, was); err != nil || string(got) != "123456789" {
		t.Errorf("after a rotation: %q, %v", got, err)
	}
	for _, state := range []State{Disabled, Destroyed} {
		first.State = state
		r, err := NewRing(first, second)
		if err != nil {
			t.Fatal(err)
		}
		var gone *KeyError
		if s, err := r.Sealer(c); !errors.As(err, &gone) || gone.State != state {
			t.Errorf("%s: %v, %v", state, s, err)
		}
	}
	r, err := NewRing(second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sealer(c); err == nil {
		t.Error("another key seals what keeps a format")
	}
	second.Format = true
	first.State = Enabled
	if _, err := NewRing(first, second); err == nil {
		t.Error("two keys are for formats")
	}
}

func BenchmarkFormat(b *testing.B) {
	key := NewKey("id", Primary, epoch)
	key.Format = true
	s := sealer(b, formatColumn(policy.SealFormat{Alphabet: "alphanumeric", Least: 22, Most: 22}, "crm.people.iban"), key)
	sealed, err := s.Seal(nil, []byte("DE89370400440532013000"))
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = s.Open(dst[:0], sealed); err != nil {
			b.Fatal(err)
		}
	}
}
