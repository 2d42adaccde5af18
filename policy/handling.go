package policy

import (
	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/catalog"
)

// Fate is what an erasure does with a subject's rows. The zero Fate is none.
type Fate uint8

// The fates.
const (
	FateDelete    Fate = iota + 1 // the rows go
	FateAnonymise                 // they stay, and tell of nobody any more
	FateKeep                      // they stay as they are, as a law demands
)

var fateNames = []string{"delete", "anonymise", "keep"}

// String gives the fate as a policy writes it.
func (f Fate) String() string {
	if f == 0 || int(f) > len(fateNames) {
		return "none"
	}
	return fateNames[f-1]
}

// Handling says what an erasure does with the rows of a subject in one relation.
// Where nothing is said they are deleted.
type Handling struct {
	Relation *catalog.Relation
	Do       Fate
	Because  string // of FateKeep: the duty, in the words of a certificate
	For      Keep   // of FateKeep: how long, from the moment in After; zero: without an end
	After    string // a column; "" without For
}

// handling is a Handling as it is written.
type handling struct {
	on      []pattern
	do      Fate
	because string
	lasts   Keep
	after   pattern
	pos     Pos
}

// handling reads what an erasure does with some tables.
func (r *reader) handling(n *yaml.Node) handling {
	h := handling{pos: r.at(n)}
	r.fields(n, "an erasure's handling of tables", keys{
		"on": func(n *yaml.Node) {
			r.list(n, "tables", func(n *yaml.Node) { h.on = append(h.on, r.name(n, "a table", 2)) })
		},
		"do":      func(n *yaml.Node) { h.do = Fate(r.oneOf(n, "fate", fateNames...) + 1) },
		"because": func(n *yaml.Node) { h.because = r.text(n, "a text").text },
		"for":     func(n *yaml.Node) { h.lasts = r.keep(n) },
		"after":   func(n *yaml.Node) { h.after = r.name(n, "a column", 1) },
	}, "on", "do")
	kept, timed := h.do == FateKeep, h.lasts != Keep{}
	switch {
	case kept && h.because == "":
		r.add(h.pos, `who keeps what was to be erased says why: "because"`)
	case !kept && (timed || h.because != "" || h.after.parts != nil):
		r.add(h.pos, `"because", "for" and "after" are for what is kept`)
	case timed != (h.after.parts != nil):
		r.add(h.pos, `"for" says how long, and "after" the column with the moment from which it counts: neither means anything alone`)
	}
	return h
}

// handlings resolves what is said of a subject's erasure.
func (c *compiler) handlings(s *subject) []Handling {
	var all []Handling
	said := map[*catalog.Relation]bool{}
	for _, h := range s.erase {
		for _, p := range h.on {
			r := c.relation(p)
			if r == nil {
				continue
			}
			if said[r] {
				c.add(p.pos, "what an erasure of subject %q does with %s is said twice", s.name.text, r.QualifiedName())
				continue
			}
			said[r] = true
			done := Handling{Relation: r, Do: h.do, Because: h.because, For: h.lasts}
			if h.after.parts != nil {
				done.After = c.column(r, h.after)
				c.moment(r, h.after)
			}
			all = append(all, done)
		}
	}
	return all
}
