package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		n          int
		want       []string
	}{
		{"fits", "as it is", 8, []string{"as it is"}},
		{"between words", "one two three", 8, []string{"one two", "three"}},
		{"a word that ends at the edge", "one two three", 7, []string{"one two", "three"}},
		{"within a word that is too long", "abcdefgh", 3, []string{"abc", "def", "gh"}},
		{"counts characters, not bytes", "äöü ß", 3, []string{"äöü", "ß"}},
		{"line breaks stay", "a\n\nb", 9, []string{"a", "", "b"}},
		{"nothing", "", 5, []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fold(tt.text, tt.n); !slices.Equal(got, tt.want) {
				t.Errorf("fold(%q, %d) = %q, want %q", tt.text, tt.n, got, tt.want)
			}
		})
	}
}

func TestTableIsAlignedAndFits(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b}
	s.table([]string{"who", "what"}, [][]cell{
		row("ä", "short"),
		row("alice", strings.Repeat("many words ", 30)),
	})
	lines := strings.Split(b.String(), "\n")
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > width {
			t.Errorf("a line of %d characters: %q", n, line)
		}
	}
	if want := []string{"  who    what", "  ä      short"}; !slices.Equal(lines[:2], want) {
		t.Errorf("the table begins\n%q, want\n%q", lines[:2], want)
	}
}

func TestColoursAreOffByDefault(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b}
	s.heading(1, 2, "title", "promise")
	s.broken("claim", "this", "that")
	s.verdict(1, 0, 0)
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("escapes in %q", b.String())
	}
}
