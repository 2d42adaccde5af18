package policy

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// vocabularyPrefix stands before the terms of the Data Privacy Vocabulary.
const vocabularyPrefix = "dpv:"

// vocabularyText lists the purposes of the W3C Community Group's Data Privacy
// Vocabulary, version 2.2, one a line: a term, and the broader purposes, but for
// Purpose itself. Only names are in it.
//
//go:embed vocabulary.txt
var vocabularyText string

// vocabularyTerms gives the terms, each with the broader ones.
func vocabularyTerms() map[string][]string {
	terms := map[string][]string{}
	for line := range strings.Lines(vocabularyText) {
		if words := strings.Fields(line); len(words) > 0 {
			terms[words[0]] = words[1:]
		}
	}
	return terms
}

// vocabulary reads a term with its prefix, and gives it without.
func (r *reader) vocabulary(n *yaml.Node) word {
	w := r.text(n, "a term of the Data Privacy Vocabulary, as dpv:Marketing")
	term, ok := strings.CutPrefix(w.text, vocabularyPrefix)
	terms := vocabularyTerms()
	_, known := terms[term]
	switch {
	case w.text == "":
	case !ok:
		r.add(w.pos, "%q is not a term of the Data Privacy Vocabulary: write dpv: before it", w.text)
	case !known:
		r.unknown(w.pos, "purpose of the Data Privacy Vocabulary", term, slices.Sorted(maps.Keys(terms)))
	}
	return word{term, w.pos}
}

// misplaced lists the purposes that the policy has within another of which the
// vocabulary does not say so. The policy may know better, or be mistaken.
func (s *Set) misplaced() []string {
	terms := vocabularyTerms()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.doc.purposes)) {
		p := s.doc.purposes[name]
		for _, q := range s.purposeAndAncestors(p)[1:] {
			if p.means.text != "" && q.means.text != "" && !narrower(terms, p.means.text, q.means.text) {
				lines = append(lines, fmt.Sprintf("%s: purpose %s is within %s, but dpv:%s is not within dpv:%s",
					p.means.pos, name, q.name.text, p.means.text, q.means.text))
			}
		}
	}
	return lines
}

// narrower tells whether a term is another, or a part of it.
func narrower(terms map[string][]string, term, than string) bool {
	return term == than || slices.ContainsFunc(terms[term], func(broader string) bool { return narrower(terms, broader, than) })
}
