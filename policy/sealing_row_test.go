package policy

import (
	"strings"
	"testing"
)

// What AppendRow makes of a key, SplitRow takes off again, and no two keys look alike.
func FuzzSplitRow(f *testing.F) {
	for _, seed := range [][4]string{{"1", "a", "b", "pgv1.x"}, {"-7", "a~", "~b", "~"}, {"0", "", "1:~", ""}, {"12", "Zürich", "9:", "2:a~b~"}} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	of := &Sealed{RowKey: []KeyColumn{{"n", "int8"}, {"a", "text"}, {"b", "varchar"}}}
	key := func(number, a, b string) (key []byte) {
		for i, v := range []string{number, a, b} {
			key = of.RowKey[i].AppendRow(key, v)
		}
		return key
	}
	f.Fuzz(func(t *testing.T, number, a, b, stored string) {
		a, b = strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "?")
		if len(number) >= maxNumber || strings.Contains(number, rowEnd) {
			return
		}
		whole := key(number, a, b)
		got, rest, ok := of.SplitRow(append(append([]byte{}, whole...), stored...))
		if !ok || string(got) != string(whole) || string(rest) != stored {
			t.Errorf("SplitRow(%q + %q) = %q, %q, %v", whole, stored, got, rest, ok)
		}
		if a != b && string(key(number, a, b)) == string(key(number, b, a)) {
			t.Errorf("the keys of %q, %q and %[2]q, %[1]q are %q", a, b, whole)
		}
		_, _, _ = of.SplitRow([]byte(stored)) // whatever it is
	})
}

func TestSplitRow(t *testing.T) {
	of := &Sealed{RowKey: []KeyColumn{{"n", "int4"}, {"a", "text"}}}
	for _, text := range []string{"", "1", "1~", "1~a", "1~1:", "1~2:a~", "1~1:ab~", "~1:a", "1~:a~", "1~99999999999:a~", strings.Repeat("1", maxNumber) + "~1:a~", "1~-1:~", "1~1:\xff"} {
		if key, rest, ok := of.SplitRow([]byte(text)); ok {
			t.Errorf("SplitRow(%q) = %q, %q", text, key, rest)
		}
	}
	if key, rest, ok := of.SplitRow([]byte("1~0:~")); !ok || string(key) != "1~0:~" || len(rest) > 0 {
		t.Errorf("an empty text: %q, %q, %v", key, rest, ok)
	}
}
