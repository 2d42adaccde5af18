package datamap

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// Kind is how a policy differs from what a scan found. The zero Kind is none.
type Kind string

// The kinds of difference.
const (
	Unclassified Kind = "unclassified" // no class has the column, or no column of the table has one
	Contradicts  Kind = "contradicts"  // the policy says otherwise than what was found
	Misfit       Kind = "misfit"       // the policy speaks of what is not there, or does not hold together
)

// Difference is one thing in which a policy differs from a database.
type Difference struct {
	Kind       Kind       `json:"kind"`
	Table      string     `json:"table,omitempty"`
	Column     string     `json:"column,omitempty"`
	Policy     Class      `json:"policy,omitempty"` // the class that the policy says
	Found      Class      `json:"found,omitempty"`  // the class that was found; "" where none was
	Confidence float64    `json:"confidence,omitempty"`
	At         policy.Pos `json:"at,omitzero"`
	Says       string     `json:"says"`
}

// Name gives what the difference is about: a table's name or a column's.
func (d *Difference) Name() string {
	if d.Column == "" {
		return d.Table
	}
	return d.Table + "." + d.Column
}

// Diff compares a policy with what was found in cat, of which the map is.
func (m *Map) Diff(doc *policy.Document, cat *catalog.Snapshot) ([]Difference, error) {
	found, err := misfits(doc, cat)
	if err != nil {
		return nil, err
	}
	classes := policy.Classify(doc, cat)
	for _, t := range m.Tables {
		found = append(found, t.diff(classes)...)
	}
	slices.SortStableFunc(found, func(a, b Difference) int {
		return cmp.Compare(strings.Index(order, string(a.Kind)), strings.Index(order, string(b.Kind)))
	})
	return found, nil
}

const order = string(Misfit + " " + Contradicts + " " + Unclassified)

// Agreement tells of how many columns a policy and the map agree whether they are
// open. What the policy has in no class, and what nobody decided, is not.
func (m *Map) Agreement(doc *policy.Document, cat *catalog.Snapshot) (same, of int) {
	classes := policy.Classify(doc, cat)
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			of++
			if (c.Class == Open) == (classes.Class(t.Relation, c.Name) == string(Open)) {
				same++
			}
		}
	}
	return same, of
}

// misfits gives what is wrong with a policy for a catalog.
func misfits(doc *policy.Document, cat *catalog.Snapshot) (found []Difference, err error) {
	_, err = policy.Compile(doc, cat)
	var problems policy.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, err
	}
	for _, p := range problems {
		found = append(found, Difference{Kind: Misfit, At: p.Pos, Says: p.Text})
	}
	return found, nil
}

func (t *Table) diff(classes policy.Classification) []Difference {
	var found, none []Difference
	for _, c := range t.Columns {
		class := classes.Class(t.Relation, c.Name)
		switch {
		case class == "":
			d := Difference{Kind: Unclassified, Table: t.Name, Column: c.Name, Found: c.Class, Confidence: c.Confidence}
			d.Says = "is in no class: " + d.proposal(&c)
			none = append(none, d)
		case c.Sealed > 0 || classes.Sealing(class).Mode != 0:
			if says := c.misplaced(class, classes.Sealing(class)); says != "" {
				found = append(found, Difference{Kind: Contradicts, Table: t.Name, Column: c.Name, Policy: Class(class), Found: c.Class, Confidence: c.Confidence, At: classes.At(class), Says: says})
			}
		case c.contradicts(Class(class)):
			found = append(found, Difference{
				Kind: Contradicts, Table: t.Name, Column: c.Name, Policy: Class(class), Found: c.Class, Confidence: c.Confidence, At: classes.At(class),
				Says: fmt.Sprintf("is %s in the policy, but seems to hold %s (%s)", class, c.Class, c.reason()),
			})
		}
	}
	if len(none) == len(t.Columns) && len(none) > 1 {
		return append(found, Difference{Kind: Unclassified, Table: t.Name, Says: fmt.Sprintf("none of its %d columns is in a class%s", len(none), t.holds())})
	}
	return append(found, none...)
}

// misplaced says what is wrong where sealed values stand beside clear ones, or in a
// column that is not sealed; "" when nothing is.
func (c *Column) misplaced(class string, s policy.Sealing) string {
	switch clear := c.Samples - c.Sealed; {
	case s.Mode == 0:
		return fmt.Sprintf("holds sealed values (%d of %d samples), but its class %s is not sealed: they may be another column's", c.Sealed, c.Samples, class)
	case clear > 0 && !s.Clear && s.Format.Alphabet == "": // what keeps a format looks like any value
		return fmt.Sprintf("is sealed in the policy (%s), but %d of %d samples are in clear", class, clear, c.Samples)
	default:
		return ""
	}
}

func (d *Difference) proposal(c *Column) string {
	if c.Class == Undecided {
		return "somebody has to look at it"
	}
	return fmt.Sprintf("it seems to hold %s (%s)", c.Class, c.reason())
}

// holds lists the classes of a table's columns, but for open ones.
func (t *Table) holds() string {
	var names []string
	for _, k := range kinds {
		if slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Class == k.class }) {
			names = append(names, string(k.class))
		}
	}
	if names == nil {
		return ""
	}
	return ": it seems to hold " + strings.Join(names, ", ")
}

// contradicts tells whether what was found speaks against a policy's class: what
// is open there is personal for sure; or the policy means by the class what a
// scan means by it, and the values are of another.
func (c *Column) contradicts(class Class) bool {
	switch {
	case c.Class == Undecided || c.Class == Open || c.Class == class:
		return false
	case class == Open:
		return c.Confidence >= certain && c.Class != City
	default:
		return known(class) && c.Confidence >= certain && c.byValue && class != FreeText && class != Profile && !class.Special()
	}
}
