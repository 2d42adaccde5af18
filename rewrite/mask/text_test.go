package mask

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

// textColumn is a column of type text.
var textColumn = catalog.Column{Name: "v", Type: catalog.Type{
	OID: 25, Schema: "pg_catalog", Name: "text", Mod: -1, SQL: "text", Kind: 'b', Base: "text"}}

var textTable = catalog.Relation{Schema: "crm", Name: "people", Columns: []catalog.Column{textColumn}}

// masked runs a mask over texts.
func masked(t *testing.T, conn *pgx.Conn, mask string, in []string) []string {
	t.Helper()
	e := expr(t, parseMask(t, mask), &textTable, &textColumn)
	out := texts(t, conn, "SELECT "+e+" FROM unnest($1::text[]) WITH ORDINALITY AS t(v, n) ORDER BY n", in)
	if len(out) != len(in) {
		t.Fatalf("%d results for %d values", len(out), len(in))
	}
	return out
}

func stars(n int) string { return strings.Repeat("*", n) }

// ends is first, last and inner as they are documented.
func ends(m, n int) func(string) string {
	return func(s string) string {
		r := []rune(s)
		if len(r) <= m+n {
			return stars(len(r))
		}
		return string(r[:m]) + stars(len(r)-m-n) + string(r[len(r)-n:])
	}
}

func outer(m, n int) func(string) string {
	return func(s string) string {
		r := []rune(s)
		if len(r) <= m+n {
			return stars(len(r))
		}
		return stars(m) + string(r[m:len(r)-n]) + stars(n)
	}
}

func prefix(n int) func(string) string {
	return func(s string) string {
		r := []rune(s)
		if len(r) <= n {
			return stars(len(r))
		}
		return string(r[:n])
	}
}

func phone(s string) string {
	punctuation := func(c rune) bool { return strings.ContainsRune(" ()+./-", c) }
	r := []rune(s)
	if len(slices.DeleteFunc(slices.Clone(r[:min(len(r), 40)]), punctuation)) <= 2 {
		return stars(len(r))
	}
	shape := slices.Clone(r[:min(len(r)-2, 38)])
	for i, c := range shape {
		if !punctuation(c) {
			shape[i] = '*'
		}
	}
	return string(shape) + string(r[len(r)-2:])
}

func email(s string) string {
	first := strings.Index(s, "@")
	if first < 1 {
		return "***"
	}
	domain := s[strings.LastIndex(s, "@")+1:]
	if end := strings.IndexAny(domain, " \t\n\r,;:/?#<>()\"'"); end >= 0 {
		domain = domain[:end]
	}
	r := []rune(s[:first])
	return string(r[:min(1, len(r)-1)]) + "***@" + domain
}

// TestTextsAgainstReference compares the server's results on random texts with
// those of the functions above, and checks that no text comes through whole.
func TestTextsAgainstReference(t *testing.T) {
	conn, in := connect(t), randomTexts(3000)
	for _, tt := range []struct {
		mask string
		want func(string) string
	}{
		{"first(1)", ends(1, 0)},
		{"first(5)", ends(5, 0)},
		{"last(4)", ends(0, 4)},
		{"inner(2, 3)", ends(2, 3)},
		{"inner(0, 1)", ends(0, 1)},
		{"outer(2, 1)", outer(2, 1)},
		{"outer(0, 3)", outer(0, 3)},
		{"prefix(3)", prefix(3)},
		{"phone", phone},
		{"email", email},
	} {
		t.Run(tt.mask, func(t *testing.T) {
			for i, got := range masked(t, conn, tt.mask, in) {
				if want := tt.want(in[i]); got != want {
					t.Errorf("%s of %q = %q, want %q", tt.mask, in[i], got, want)
				}
				if got == in[i] && strings.Trim(got, "*") != "" {
					t.Errorf("%s shows %q whole", tt.mask, got)
				}
			}
		})
	}
}

// randomTexts are short, so that the cases around every bound come up.
func randomTexts(n int) []string {
	random := rand.New(rand.NewPCG(1, 2))
	letters := []rune("abcAB019@@@..+- ()'\"\\,\n\té漢🦄")
	out := make([]string, n)
	for i := range out {
		r := make([]rune, random.IntN(14)*(1+i%5))
		for j := range r {
			r[j] = letters[random.IntN(len(letters))]
		}
		out[i] = string(r)
	}
	return out
}

func TestScrub(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"nothing to see, 12 apples for 3.50", "nothing to see, 12 apples for 3.50"},
		{"Ada <ada.l+x@mail.example.com>, bob@example.org;", "Ada <[email]>, [email];"},
		{"müller@exämple.de schreibt", "[email] schreibt"},
		{"card 4111 1111 1111 1111, cvv 123", "card [number], cvv 123"},
		{"4111111111111111", "[number]"},
		{"call +49 (30) 123-4567 or 555.123.4567", "call [number] or [number]"},
		{"ssn 123-45-6789.", "ssn [number]."},
		{"IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [iban] please"},
		{"IBAN DE89370400440532013000.", "IBAN [iban]."},
		{"NO9386011117947", "[iban]"},
		{"see https://ada:secret@example.com/x?y=1 and https://example.com/a", "see [url] and https://example.com/a"},
		{"ftp://user@host", "[url]"},
		{"order 123456 is fine", "order 123456 is fine"},
		{"  spaces stay  ", "  spaces stay  "},
	}
	var in []string
	for _, tt := range tests {
		in = append(in, tt.in)
	}
	for i, got := range masked(t, connect(t), "scrub", in) {
		if got != tests[i].want {
			t.Errorf("scrub of %q = %q, want %q", in[i], got, tests[i].want)
		}
	}
}

func TestInitials(t *testing.T) {
	in := []string{"Ada Lovelace", "ada", "  Ada   King  Lovelace ", "Élodie Ünal", "", "   ", "王 伟", "a\\1 b"}
	want := []string{"A. L.", "a.", "A. K. L.", "É. Ü.", "", "", "王. 伟.", "a. b."}
	for i, got := range masked(t, connect(t), "initials", in) {
		if got != want[i] {
			t.Errorf("initials of %q = %q, want %q", in[i], got, want[i])
		}
	}
}

// TestLongTexts runs masks on texts longer than they look at, one of them
// longer than what the server can search or translate.
func TestLongTexts(t *testing.T) {
	var lengths []string
	for _, mask := range []string{"scrub", "initials", "email", "phone", "ip", "prefix(3)", "first(2)", "last(4)", "inner(1, 1)"} {
		lengths = append(lengths, "length("+expr(t, parseMask(t, mask), &textTable, &textColumn)+")")
	}
	conn := connect(t)
	for _, value := range []string{"repeat('a', 300000)", "repeat('a@', 300000)", "repeat('1 ', 300000)", "repeat('AB12', 300000)",
		"repeat('http://x', 300000)", "repeat('@', 300000)", "'a@' || repeat('1', 270000000)"} {
		// OFFSET keeps the planner from writing the value in every place of v.
		texts(t, conn, fmt.Sprintf("SELECT concat(%s) FROM (SELECT %s AS v OFFSET 0) t", strings.Join(lengths, ", "), value))
	}
}
