package parse

import (
	"strings"
	"testing"
)

// checkShape compares what the two ways of making a shape give, and tells
// whether the text is plain.
func checkShape(t *testing.T, sql string) bool {
	t.Helper()
	got, ok := plainShape(sql)
	if !ok {
		return false
	}
	if want, err := scannedShape(sql); err != nil || got != want {
		t.Errorf("%q has the shape %q, want %q, %v", sql, got, want, err)
	}
	return true
}

func TestPlainShapeAsScanned(t *testing.T) {
	eachText(t, func(sql string) bool { return checkShape(t, sql) })
	// Every three of these, with and without a blank between them.
	parts := []string{"a", "A1", "E", "e", "x", "U&", "n", "_", "1", "1.5", "0x1F", "1e5", ".", "..", "'s'", "'t''u'", "''", `"q"`, `"r""s"`, "$1", "$$", "$a$",
		"-", "--", "/", "*", "/*", "*/", "::", ":", ":=", "=", "<>", "?", "(", ")", ",", ";", "\n", "\t", "\v", "\f", "é", `\`, "E'\\''", "&", "#", "@", "\x00", "NULL"}
	for _, sql := range []string{strings.Repeat("!", 64), "$" + strings.Repeat("9", 20), "SELECT " + strings.Repeat("9", 5000), `""`} {
		checkShape(t, sql)
	}
	plain := 0
	for _, a := range parts {
		for _, b := range parts {
			for _, c := range parts {
				for _, sql := range []string{a + b + c, a + " " + b + c, a + b + " " + c, a + " " + b + " " + c, a + "\n" + b + c} {
					if checkShape(t, sql) {
						plain++
					}
				}
			}
		}
	}
	if plain < 10_000 {
		t.Errorf("only %d of them are plain", plain)
	}
}

func FuzzPlainShape(f *testing.F) {
	f.Add("SELECT a.b, 'x''y' FROM t WHERE c = $1 AND d > 1.5")
	f.Fuzz(func(t *testing.T, sql string) { checkShape(t, sql) })
}
