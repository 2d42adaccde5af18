package sweep

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// occurrences finds what a matcher finds, by strings.Index.
func occurrences(words []string, text string) []string {
	var all []string
	for _, w := range words {
		for from := 0; ; {
			i := strings.Index(text[from:], w)
			if i < 0 {
				break
			}
			all = append(all, fmt.Sprintf("%q %d", w, from+i))
			from += i + 1
		}
	}
	slices.Sort(all)
	return all
}

func matched(words []string, text string) []string {
	m := newMatcher(slices.Clone(words))
	var all []string
	m.find([]byte(text), func(word, from, to int) {
		if text[from:to] != m.words[word] {
			all = append(all, "something else than "+m.words[word])
		}
		all = append(all, fmt.Sprintf("%q %d", m.words[word], from))
	})
	slices.Sort(all)
	return all
}

func TestMatcher(t *testing.T) {
	for _, tt := range []struct{ words, text string }{
		{"", "nothing to find"},
		{"anna annabel annabelle bell", "annabellebell anna"},
		{"aaaa aaaaa aaaaaa", "aaaaaaaaaaaaaaab"},
		{"she's hers", "ushers she's"},
		{"longer", "long"},
		{"ada@example.com ada@example.org", "to ada@example.co, ada@example.com.au, ada@example.org"},
		{"\x00\x01\x02\x03 \xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\x00\x01\x02\x03"},
	} {
		words := slices.Compact(slices.Sorted(slices.Values(strings.Fields(tt.words))))
		if diff := cmp.Diff(occurrences(words, tt.text), matched(words, tt.text)); diff != "" {
			t.Errorf("%s in %q: -want +got:\n%s", tt.words, tt.text, diff)
		}
	}
}

func FuzzMatcher(f *testing.F) {
	f.Add("anna annabel", "annabelle anna")
	f.Add("aaaa aaaab", "aaaaaaaab")
	f.Fuzz(func(t *testing.T, list, text string) {
		var words []string
		for w := range strings.SplitSeq(list, " ") {
			if len(w) >= minWord && !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
		if diff := cmp.Diff(occurrences(words, text), matched(words, text)); diff != "" {
			t.Errorf("%q in %q: -want +got:\n%s", words, text, diff)
		}
	})
}

// FuzzScan: what stands in a text as a whole word is found in it, whatever is
// around it, and the same in capitals.
func FuzzScan(f *testing.F) {
	f.Add("ada@example.com", "to <", ">")
	f.Add("+49 151 1234-5678", "phone ", "")
	f.Add("Çelik", "\\", "%41")
	f.Fuzz(func(t *testing.T, value, before, after string) {
		n := Needle{Name: "it", Value: value}
		if f := formOf(value); f.plain == "" || strings.TrimSpace(value) != value {
			return
		}
		s, _ := newScanner([]Needle{n})
		for _, v := range []string{value, strings.ToUpper(value)} {
			if string(fold(nil, []byte(v))) != string(fold(nil, []byte(value))) {
				continue // a letter whose capital has another small one
			}
			found := false
			s.scan([]byte(before+" "+v+" "+after), func(needle, _ int) { found = true })
			if !found && string(fold(nil, []byte(before+" "+v+" "+after))) == string(fold(nil, []byte(before+" ")))+string(fold(nil, []byte(v)))+string(fold(nil, []byte(" "+after))) {
				t.Errorf("%q is not found between %q and %q", v, before, after)
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	var text strings.Builder
	for i := 0; text.Len() < 1<<20; i++ {
		fmt.Fprintf(&text, "%d\tMaria Example%d\tmaria.example%d@example.com\t+49 151 %08d\tWas called about order %d on 2026-01-%02d, wants a call back.\n", i, i, i, i*37%100_000_000, i, i%28+1)
	}
	lines := bytes.Split([]byte(text.String()), []byte("\n"))
	for _, n := range []int{5, 500, 50_000} {
		b.Run(fmt.Sprintf("needles=%d", n), func(b *testing.B) {
			var needles []Needle
			for i := range n / 5 {
				for j, v := range []string{"maria.sample%d@example.com", "+49 151 9%07d", "Sample%d Maria", "1c1e3dd0-9531-4f30-b24a-%012d", "DE89 3704 0044 %010d"} {
					needles = append(needles, Needle{Name: fmt.Sprint(j), Value: fmt.Sprintf(v, i)})
				}
			}
			s, _ := newScanner(needles)
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				for _, line := range lines {
					s.scan(line, func(int, int) {})
				}
			}
		})
	}
}
