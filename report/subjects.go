package report

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/audit"
)

// subjectSet holds which subjects were named, each once, and how. It holds no
// more than max of them, at about 50 bytes each: of those beyond it only how
// often they were named is known, which is how many they are at most.
type subjectSet struct {
	max    int
	kinds  []string
	tokens map[token]mark
	odd    map[string]mark // what is no token as pgveil makes them, whole
	beyond map[string]int64
}

// token is a subject: the index of its kind, and the 16 bytes of its token.
type token struct {
	kind uint8
	id   [16]byte
}

// mark says what became known or was changed of a subject: two bits a class,
// and two for all.
type mark uint64

const (
	markReturned mark = 1 << 63
	markChanged  mark = 1 << 62
	markClasses       = 31 // how many a mark has room for
)

func clearMark(class int) mark  { return 1 << (2 * class) }
func maskedMark(class int) mark { return 2 << (2 * class) }

func newSubjectSet(most int) subjectSet {
	return subjectSet{max: most, tokens: map[token]mark{}, odd: map[string]mark{}, beyond: map[string]int64{}}
}

// add notes a subject as a record names it, kind:token.
func (s *subjectSet) add(name string, m mark) {
	if key, ok := s.key(name); ok {
		had, found := s.tokens[key]
		if !found && s.full() {
			s.beyond[kindOf(name)]++
			return
		}
		s.tokens[key] = had | m
		return
	}
	had, found := s.odd[name]
	if !found && s.full() {
		s.beyond[kindOf(name)]++
		return
	}
	s.odd[strings.Clone(name)] = had | m
}

func (s *subjectSet) full() bool { return len(s.tokens)+len(s.odd) >= s.max }

// tokenText is how tokens are written. Strict, so that no two texts are one.
var tokenText = base64.RawURLEncoding.Strict()

func (s *subjectSet) key(name string) (token, bool) {
	kind, text, _ := strings.Cut(name, ":")
	var t token
	if len(text) != tokenText.EncodedLen(len(t.id)) {
		return t, false
	}
	if _, err := tokenText.Decode(t.id[:], []byte(text)); err != nil {
		return t, false
	}
	i := slices.Index(s.kinds, kind)
	if i < 0 {
		if len(s.kinds) > 255 {
			return t, false
		}
		i, s.kinds = len(s.kinds), append(s.kinds, strings.Clone(kind))
	}
	t.kind = uint8(i)
	return t, true
}

func kindOf(name string) string {
	kind, _, ok := strings.Cut(name, ":")
	if !ok {
		return ""
	}
	return strings.Clone(kind)
}

// each calls a function for every subject, in no order.
func (s *subjectSet) each(f func(kind string, m mark)) {
	for t, m := range s.tokens {
		f(s.kinds[t.kind], m)
	}
	for name, m := range s.odd {
		f(kindOf(name), m)
	}
}

// Subject is one whom the log names, and what became known of it.
type Subject struct {
	Kind     string   `json:"kind"`
	Token    string   `json:"token"`
	Key      string   `json:"key,omitempty"` // in the database, where it was asked for and is known
	Returned bool     `json:"returned"`
	Changed  bool     `json:"changed"`
	Clear    []string `json:"clear,omitempty"`  // classes
	Masked   []string `json:"masked,omitempty"` // classes
}

// Subjects gives the named subjects that are remembered, ordered by kind and
// token; behind them those whose tokens are none of pgveil's.
func (v *Investigation) Subjects() iter.Seq[Subject] {
	return func(yield func(Subject) bool) {
		set := &v.subjects
		tokens := slices.AppendSeq(make([]token, 0, len(set.tokens)), maps.Keys(set.tokens))
		slices.SortFunc(tokens, func(a, b token) int {
			return cmp.Or(cmp.Compare(set.kinds[a.kind], set.kinds[b.kind]), bytes.Compare(a.id[:], b.id[:]))
		})
		for _, t := range tokens {
			if !yield(v.describe(set.kinds[t.kind], tokenText.EncodeToString(t.id[:]), set.tokens[t])) {
				return
			}
		}
		for _, name := range slices.Sorted(maps.Keys(set.odd)) {
			kind, id, ok := strings.Cut(name, ":")
			if !ok {
				kind, id = "", name
			}
			if !yield(v.describe(kind, id, set.odd[name])) {
				return
			}
		}
	}
}

func (v *Investigation) describe(kind, id string, m mark) Subject {
	s := Subject{Kind: kind, Token: id, Returned: m&markReturned != 0, Changed: m&markChanged != 0}
	for class, c := range v.classes {
		if c.index < markClasses && m&clearMark(c.index) != 0 {
			s.Clear = append(s.Clear, class)
		}
		if c.index < markClasses && m&maskedMark(c.index) != 0 {
			s.Masked = append(s.Masked, class)
		}
	}
	slices.Sort(s.Clear)
	slices.Sort(s.Masked)
	return s
}

// bound is how many subjects a kind may have beyond those that are named.
type bound struct {
	unnamed    int64 // sum of what the outcomes say
	any        int64 // statements that bound it by nothing
	unfinished int64 // of them, statements without an outcome
}

// most adds two bounds; what overflows is any number.
func most(a, b int64) int64 {
	if a < 0 || b < 0 || a+b < 0 {
		return audit.AnyNumber
	}
	return a + b
}

// KindFinding is how many subjects of a kind are concerned.
type KindFinding struct {
	Kind       string `json:"kind"`                 // "" where the log does not say which
	Named      int64  `json:"named"`                // confirmed: the log names them, each counted once
	Returned   int64  `json:"returned"`             // of them, by statements that returned rows
	Changed    int64  `json:"changed"`              // of them, by statements that changed rows
	Repeated   int64  `json:"beyond,omitempty"`     // names that there was no room to compare: so many more at most
	Unnamed    int64  `json:"unnamed,omitempty"`    // more at most, as outcomes say
	Unbounded  int64  `json:"unbounded,omitempty"`  // statements that may concern any number
	Unfinished int64  `json:"unfinished,omitempty"` // of them, statements without an outcome
	AtMost     int64  `json:"at_most"`              // upper bound; -1: any number
}

// kindFindings counts the subjects by kind.
func (v *Investigation) kindFindings() []KindFinding {
	found := map[string]*KindFinding{}
	of := func(kind string) *KindFinding {
		if found[kind] == nil {
			found[kind] = &KindFinding{Kind: kind}
		}
		return found[kind]
	}
	v.subjects.each(func(kind string, m mark) {
		k := of(kind)
		k.Named++
		if m&markReturned != 0 {
			k.Returned++
		}
		if m&markChanged != 0 {
			k.Changed++
		}
	})
	for kind, n := range v.subjects.beyond {
		of(kind).Repeated = n
	}
	for kind, b := range v.bounds {
		k := of(kind)
		k.Unnamed, k.Unbounded, k.Unfinished = b.unnamed, b.any, b.unfinished
	}
	list := make([]KindFinding, 0, len(found))
	for _, k := range found {
		k.AtMost = most(most(k.Named, k.Repeated), k.Unnamed)
		if k.Unbounded > 0 {
			k.AtMost = audit.AnyNumber
		}
		list = append(list, *k)
	}
	slices.SortFunc(list, func(a, b KindFinding) int { return cmp.Compare(a.Kind, b.Kind) })
	return list
}
