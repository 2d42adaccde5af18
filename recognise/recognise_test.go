package recognise_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgveil/pgveil/recognise"
)

// labelled is a text and what is in it.
type labelled struct {
	text    string
	matches []recognise.Match
}

// read reads a file of labelled texts, a line each.
func read(t testing.TB, file string) (all []labelled) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(string(b), "¦", "")) {
		all = append(all, label(t, strings.TrimSuffix(line, "\n")))
	}
	return all
}

func label(t testing.TB, line string) (l labelled) {
	t.Helper()
	for {
		before, rest, found := strings.Cut(line, "[[")
		l.text += before
		if !found {
			return l
		}
		inside, after, _ := strings.Cut(rest, "]]")
		name, value, _ := strings.Cut(inside, "|")
		set, err := recognise.Parse(name)
		if err != nil || len(set.Kinds()) != 1 {
			t.Fatalf("%s: %v", line, err)
		}
		l.matches = append(l.matches, recognise.Match{Kind: set.Kinds()[0], From: len(l.text), To: len(l.text) + len(value)})
		l.text += value
		line = after
	}
}

func find(set recognise.Set, text []byte) (all []recognise.Match) {
	s := recognise.New(set)
	for m, ok := s.Next(text, 0); ok; m, ok = s.Next(text, m.To) {
		all = append(all, m)
	}
	return all
}

// score counts for one kind.
type score struct{ right, wrong, missed int }

func (s score) precision() float64 { return float64(s.right) / float64(max(1, s.right+s.wrong)) }
func (s score) recall() float64    { return float64(s.right) / float64(max(1, s.right+s.missed)) }

// least is what must hold of each kind over all the files: of what is found how
// much is right, and how much of what is there is found.
var least = map[recognise.Kind]struct{ precision, recall float64 }{
	recognise.Email: {0.99, 0.99}, recognise.Phone: {0.95, 0.95}, recognise.Card: {0.95, 0.99}, recognise.IBAN: {0.99, 0.99},
	recognise.USSSN: {0.95, 0.99}, recognise.GBNINO: {0.95, 0.99}, recognise.DEIdNr: {0.95, 0.99}, recognise.FRNIR: {0.95, 0.99},
	recognise.ESDNI: {0.95, 0.99}, recognise.ITCF: {0.99, 0.99}, recognise.PLPESEL: {0.90, 0.99}, recognise.NLBSN: {0.95, 0.99},
	recognise.BENN: {0.95, 0.99}, recognise.SEPnr: {0.95, 0.99}, recognise.BRCPF: {0.95, 0.99}, recognise.INAadhaar: {0.95, 0.99},
	recognise.AWSKey: {1, 1}, recognise.GitHubToken: {1, 1}, recognise.SlackToken: {1, 1}, recognise.StripeKey: {1, 1},
	recognise.GoogleKey: {1, 1}, recognise.JWT: {1, 1}, recognise.PrivateKey: {1, 1}, recognise.URLPassword: {0.99, 0.99},
}

// TestPrecisionAndRecall holds every kind to its minimum. Some eleven digits are
// a number of Poland's and of Belgium's alike: found as either they are found.
func TestPrecisionAndRecall(t *testing.T) {
	scores := map[recognise.Kind]*score{}
	for _, k := range recognise.All.Kinds() {
		scores[k] = &score{}
	}
	for _, file := range []string{"made.txt", "written.txt", "nothing.txt"} {
		for _, l := range read(t, file) {
			want := map[recognise.Match]bool{}
			for _, m := range l.matches {
				want[m] = true
			}
			for _, m := range find(recognise.All, []byte(l.text)) {
				if labelled, ok := alike(m, l.matches); ok {
					scores[labelled.Kind].right++
					delete(want, labelled)
					continue
				}
				scores[m.Kind].wrong++
				t.Logf("%s: %s %q found in %s", file, m.Kind, l.text[m.From:m.To], l.text)
			}
			for m := range want {
				scores[m.Kind].missed++
				t.Logf("%s: %s %q not found in %s", file, m.Kind, l.text[m.From:m.To], l.text)
			}
		}
	}
	for _, k := range recognise.All.Kinds() {
		s, min := scores[k], least[k]
		t.Logf("%-13s %4d labelled  precision %.3f  recall %.3f", k, s.right+s.missed, s.precision(), s.recall())
		if s.right == 0 || min.recall == 0 || s.precision() < min.precision || s.recall() < min.recall {
			t.Errorf("%s: precision %.3f and recall %.3f, want at least %.3f and %.3f", k, s.precision(), s.recall(), min.precision, min.recall)
		}
	}
}

// alike gives the label that a match is of.
func alike(m recognise.Match, labels []recognise.Match) (recognise.Match, bool) {
	for _, l := range labels {
		both := recognise.Of(l.Kind, m.Kind)
		if l.From == m.From && l.To == m.To && (l.Kind == m.Kind || both&recognise.NationalIDs == both) {
			return l, true
		}
	}
	return m, false
}

// TestWhole says of whole values what they may be.
func TestWhole(t *testing.T) {
	for _, l := range append(read(t, "made.txt"), read(t, "written.txt")...) {
		for _, m := range l.matches {
			value := l.text[m.From:m.To]
			if m.Kind == recognise.URLPassword {
				value = "https://x:" + value + "@example.com/"
			}
			if !recognise.Whole([]byte(" " + value)).Has(m.Kind) {
				t.Errorf("Whole(%q) does not have %s", value, m.Kind)
			}
			if got := recognise.Whole([]byte("a word and " + value)); got != 0 {
				t.Errorf("Whole(%q) = %s, want nothing", "a word and "+value, got)
			}
		}
	}
	for _, value := range []string{"", " ", "x", "42", "2026-11-22", "hello@", "DE", strings.Repeat("1", 1<<20)} {
		if got := recognise.Whole([]byte(value)); got != 0 {
			t.Errorf("Whole(%.20q) = %s, want nothing", value, got)
		}
	}
}

func TestWords(t *testing.T) {
	for _, word := range recognise.Words() {
		set, err := recognise.Parse(word)
		if err != nil || set == 0 || set&^recognise.All != 0 || set.String() != word {
			t.Errorf("Parse(%q) = %v, %v", word, set, err)
		}
	}
	for _, word := range []string{"", "mail", "Email", "email "} {
		if set, err := recognise.Parse(word); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", word, set)
		}
	}
	if got := recognise.All.String(); got != "email, phone, card, iban, national_id, secret" {
		t.Errorf("All is %q", got)
	}
	if recognise.Kind(0).String() != "nothing" || recognise.Kind(200).String() != "nothing" {
		t.Error("what is no kind has a name")
	}
}

// TestSets finds with one kind asked for no other, and with none nothing.
func TestSets(t *testing.T) {
	for _, l := range read(t, "made.txt") {
		for _, k := range []recognise.Kind{recognise.Card, recognise.Email, recognise.PrivateKey} {
			for _, m := range find(recognise.Of(k), []byte(l.text)) {
				if m.Kind != k {
					t.Errorf("asked for %s, found %s", k, m.Kind)
				}
			}
		}
		if got := find(0, []byte(l.text)); got != nil {
			t.Errorf("asked for nothing, found %v", got)
		}
	}
}

func TestScrub(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"to bob@example.com, please", "to ***************, please"},
		{`{"card": 4111111111111111, "n": 1}`, `{"card": 1111111111111111, "n": 1}`},
		{`{"card": "4111111111111111"}`, `{"card": "****************"}`},
		{`{"text": "line\nbob@example.com"}`, `{"text": "line\n***************"}`},
		{`{"text": "m\u00fcller@example.com"}`, `{"text": "m\u00fc****************"}`},
		{`[4111111111111111,4111111111111111]`, `[1111111111111111,1111111111111111]`},
		{"4111111111111111", "****************"},
		{"müller@example.de x", "****************** x"},
		{"postgres://app:hunter2@db/x", "postgres://app:*******@db/x"},
	} {
		text := []byte(tt.text)
		for _, m := range find(recognise.All, text) {
			recognise.Scrub(text, m)
		}
		if string(text) != tt.want || len(text) != len(tt.text) {
			t.Errorf("%s becomes %s, want %s", tt.text, text, tt.want)
		}
	}
}

// TestNoAllocations finds without allocating.
func TestNoAllocations(t *testing.T) {
	s := recognise.New(recognise.All)
	var texts [][]byte
	for _, l := range read(t, "made.txt") {
		texts = append(texts, []byte(l.text))
	}
	if n := testing.AllocsPerRun(10, func() {
		for _, text := range texts {
			for m, ok := s.Next(text, 0); ok; m, ok = s.Next(text, m.To) {
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzNext: matches come in order, lie within the text and between its
// characters, and a scrubbed text is as long and as valid as before.
func FuzzNext(f *testing.F) {
	for _, file := range []string{"made.txt", "written.txt", "nothing.txt"} {
		for _, l := range read(f, file) {
			f.Add([]byte(l.text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := utf8.Valid(text)
		at := 0
		all := find(recognise.All, text)
		for _, m := range all {
			if m.Kind == 0 || m.From < at || m.To <= m.From || m.To > len(text) {
				t.Fatalf("%q: %+v behind %d", text, m, at)
			}
			at = m.To
		}
		scrubbed := bytes.Clone(text)
		for _, m := range all {
			recognise.Scrub(scrubbed, m)
		}
		if valid && !utf8.Valid(scrubbed) {
			t.Fatalf("%q became %q", text, scrubbed)
		}
		recognise.Whole(text)
	})
}

// prose is text as people write it, with the numbers that they use, and nothing
// to be found.
var prose = strings.Repeat("The customer called again about the delivery of 12 chairs on 3 March; we agreed on a refund of 149.90 EUR, "+
	"which takes 5 to 7 days. She was not happy with the packaging, and asked for a call back after 16:30. Order 8817-23, see note 4. ", 300)

func BenchmarkNext(b *testing.B) {
	var made strings.Builder
	for _, l := range read(b, "made.txt") {
		made.WriteString(prose[:200] + l.text + "\n")
	}
	for _, bb := range []struct {
		name, text string
	}{
		{"letters", strings.Repeat("nothing but words and spaces in here. ", 1000)},
		{"prose", prose},
		{"matches", made.String()},
		{"digits", strings.Repeat("4532 1734 5678 9012 ", 1000)},
		{"at signs", strings.Repeat("a:b@c.d/", 1000)},
		{"hex", strings.Repeat("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 ", 500)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s, text := recognise.New(recognise.All), []byte(bb.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				for m, ok := s.Next(text, 0); ok; m, ok = s.Next(text, m.To) {
				}
			}
		})
	}
}
