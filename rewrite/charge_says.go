package rewrite

import (
	"cmp"
	"fmt"
	"strings"
)

// Fewest is the number of subjects from which on a row of a statistic discloses
// nobody.
const Fewest = 10

// counted says in words what limits count of a statement's rows.
func (n *Naming) counted() string {
	var whom []string
	unbounded := false
	for _, r := range n.Charged {
		kind, many := r.Kind, fmt.Sprintf("%d at most", r.Each)
		if kind == AnyKind {
			kind = "data subjects"
		}
		if r.Each == AnyNumber {
			many, unbounded = "any number", true
		}
		whom = append(whom, kind+": "+many)
	}
	text := cmp.Or(strings.Join(whom, ", "), "nobody")
	switch {
	case unbounded:
		text += ", so it is refused to whom limits of subjects or values are for"
	case n.Statistic:
		text += ", and nobody in a row made of " + fmt.Sprint(Fewest) + " subjects or more"
	case n.Counted && !n.Whole:
		text += ", for each row that it was made of"
	}
	if n.Lone != "" && !unbounded {
		text += "; a row made of one subject's alone counts as that one"
	}
	if len(n.Clear) > 0 {
		text += "; as they are: " + strings.Join(n.Clear, ", ")
	}
	return text
}

// limits lists what limits count of a row of each statement's result.
func (x *explanation) limits(p *Plan) {
	var lines []string
	for i := range p.Subjects {
		lines = append(lines, p.Naming(i).counted())
	}
	x.list("Limits count of a row", lines)
}
