package unused

import (
	"slices"
	"strings"
	"unicode"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
)

// relations finds the relations that statements used. The columns of a record
// tell most; what uses no column (SELECT count(*) FROM orders) has only the
// relation's name in its shape.
type relations struct {
	byWord map[string][]string // qualified names, by a word of the relation's own name in lower case
	shapes map[string]words    // what was found in shapes, by fingerprint
}

// words is what a shape's words say: the operations and the relations that they
// name, whichever of the operations was on which.
type words struct {
	ops       policy.Ops
	relations []string
}

// use is a relation and what was done to it.
type use struct {
	relation string
	ops      policy.Ops
}

// maxShapes bounds the shapes that are remembered.
const maxShapes = 10_000

func relationsOf(grants []policy.GrantItem) relations {
	r := relations{map[string][]string{}, map[string]words{}}
	seen := map[string]bool{}
	for _, g := range grants {
		name := g.Relation.QualifiedName()
		if parts := split(g.Relation.Name); len(parts) > 0 && !seen[name] {
			seen[name] = true
			r.byWord[parts[0]] = append(r.byWord[parts[0]], name)
		}
	}
	return r
}

// split cuts text into words in lower case, as names and keywords are written.
func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '_' && c != '$' })
}

// used gives the relations that a statement used. Of a statement that reads
// some and writes another, each counts as used in every way: the log does not
// tell which.
func (r *relations) used(rec *audit.Record) []use {
	w := r.shape(rec)
	ops := w.ops
	if ops == 0 { // EXECUTE, FETCH: whatever was prepared. SET, PRIVACY: nothing, whatever it is called
		ops, w.relations = policy.AllOps, nil
	}
	uses := make([]use, 0, len(w.relations)+2)
	for _, name := range w.relations {
		uses = append(uses, use{name, ops})
	}
	for _, c := range rec.Columns {
		name := c.Name[:max(0, strings.LastIndexByte(c.Name, '.'))]
		also := ops
		if c.Use == "read" { // as in the condition of an UPDATE
			also |= policy.Select
		}
		if u := (use{name, also}); !slices.Contains(uses, u) {
			uses = append(uses, u)
		}
	}
	return uses
}

func (r *relations) shape(rec *audit.Record) words {
	if w, ok := r.shapes[rec.Fingerprint]; ok && rec.Fingerprint != "" {
		return w
	}
	var w words
	for _, word := range split(rec.Shape) {
		w.ops |= operation(word)
		for _, name := range r.byWord[word] {
			if !slices.Contains(w.relations, name) {
				w.relations = append(w.relations, name)
			}
		}
	}
	if len(r.shapes) >= maxShapes {
		clear(r.shapes)
	}
	r.shapes[rec.Fingerprint] = w
	return w
}

// operation gives what a keyword does.
func operation(word string) policy.Ops {
	switch word {
	case "select", "table", "returning":
		return policy.Select
	case "insert":
		return policy.Insert
	case "update", "share": // FOR UPDATE, FOR SHARE
		return policy.Update
	case "delete", "truncate":
		return policy.Delete
	case "copy":
		return policy.Select | policy.Insert
	case "merge", "lock":
		return policy.AllOps
	default:
		return 0
	}
}
