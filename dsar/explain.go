package dsar

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

// Explanation says which tables hold rows of a kind of subject, how they are
// found and what an erasure does with them. It rests on the policy and the schema
// alone: it knows no rows.
type Explanation struct {
	Subject     string      `json:"subject"`
	Key         []string    `json:"key"`
	Tables      []Explained `json:"tables"` // nearest first; the first is the subject's own
	Elsewhere   []Note      `json:"elsewhere,omitempty"`
	NotFollowed []Note      `json:"not_followed,omitempty"`
	Complete    bool        `json:"complete"` // every column in reach has a class: requests can be answered
}

// Explained is a table in which rows of a subject lie.
type Explained struct {
	Name         string   `json:"name"`
	Standing     Standing `json:"standing"`
	By           []string `json:"by,omitempty"`    // the columns by which rows are found, first the shortest way
	Of           string   `json:"of,omitempty"`    // the table that the first of them leads to
	More         []string `json:"more,omitempty"`  // references to other tables here by which rows are found as well
	Names        []string `json:"names,omitempty"` // the kinds of subject that its rows may name besides
	Erasure      string   `json:"erasure"`
	Because      string   `json:"because,omitempty"`
	Unclassified []string `json:"unclassified,omitempty"`

	parent int // index of Of; -1 of the subject's own
	others []int
}

// Standing is what the rows of a table are to a subject.
type Standing string

// The standings.
const (
	Itself   Standing = "subject"  // the subject's own row
	Owned    Standing = "owned"    // the subject's rows
	Shared   Standing = "shared"   // rows that may be another's as well: what tells of them is redacted, and the row stays
	Mentions Standing = "mentions" // rows of their own that refer to the subject, and live on without it
)

// Explain says what the graph found.
func (g *Graph) Explain() Explanation {
	e := Explanation{Subject: g.Subject.Name, Key: g.key, NotFollowed: g.NotFollowed, Complete: g.Unclassified == nil}
	for i := range g.Tables {
		e.Tables = append(e.Tables, g.explained(i))
	}
	for _, n := range g.References {
		same := func(o Note) bool { return o == n }
		if !slices.ContainsFunc(e.Elsewhere, same) {
			e.Elsewhere = append(e.Elsewhere, n)
		}
	}
	return e
}

func (g *Graph) explained(table int) Explained {
	t := g.Tables[table]
	e := Explained{Name: t.Relation.QualifiedName(), Standing: g.standing(table), parent: -1}
	e.Erasure, e.Because = g.handled(table, e.Standing)
	for _, c := range t.Relation.Columns {
		if _, ok := g.set.Class(t.Relation, c.Name); !ok {
			e.Unclassified = append(e.Unclassified, c.Name)
		}
	}
	for _, c := range t.counterparts {
		if !slices.Contains(e.Names, c.kind) {
			e.Names = append(e.Names, c.kind)
		}
	}
	if t.heir {
		e.parent, e.Of, e.By = 0, g.Tables[0].Relation.QualifiedName(), []string{"inheritance"}
	}
	for _, l := range t.in {
		i := slices.IndexFunc(g.links, func(k edge) bool { return k.Link == l })
		if i >= 0 {
			g.way(&e, g.links[i])
		}
	}
	return e
}

// way adds one by which rows are found.
func (g *Graph) way(e *Explained, by edge) {
	parent := g.Tables[by.parent].Relation.QualifiedName()
	name := strings.TrimPrefix(by.String(), by.From.QualifiedName()+".")
	switch {
	case g.Tables[by.parent].heir && slices.Contains(e.By, name): // what leads to the table leads to its heirs
	case e.parent < 0:
		e.parent, e.Of = by.parent, parent
		e.By = append(e.By, name)
	case e.parent == by.parent:
		if !slices.Contains(e.By, name) {
			e.By = append(e.By, name)
		}
	default:
		e.More = append(e.More, name+" -> "+parent)
		e.others = append(e.others, by.parent)
	}
}

func (g *Graph) standing(table int) Standing {
	t := g.Tables[table]
	switch {
	case g.isRoot(table):
		return Itself
	case !g.owns(table):
		return Mentions
	case t.joints != nil, slices.ContainsFunc(t.counterparts, func(c counterpart) bool { return c.owner }):
		return Shared
	default:
		return Owned
	}
}

// handled says what an erasure does with the rows of a table, and why not delete
// them.
func (g *Graph) handled(table int, s Standing) (erasure, because string) {
	for _, h := range g.Subject.Erase {
		if h.Relation != g.Tables[table].Relation {
			continue
		}
		erasure = h.Do.String()
		if h.After != "" {
			erasure += fmt.Sprintf(" for %s after %s", h.For, h.After)
		}
		return erasure, h.Because
	}
	switch s {
	case Shared:
		if g.Tables[table].joints != nil {
			return policy.FateDelete.String(), "those that are another's as well stay, without what leads to the subject"
		}
		return policy.FateDelete.String(), "of those that are another's as well the reference is taken out"
	case Mentions:
		return SetNull.String(), "the schema lets the row live on without what it refers to"
	default:
		return policy.FateDelete.String(), ""
	}
}

// children gives, for each table, those that are found by it first.
func (e Explanation) children() [][]int {
	all := make([][]int, len(e.Tables))
	for i, t := range e.Tables {
		if t.parent >= 0 {
			all[t.parent] = append(all[t.parent], i)
		}
	}
	return all
}
