package policy

import (
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// Ops is a set of things a caller may do to a relation. The zero Ops is none.
type Ops uint8

// The operations that a role's tables entry can grant with do.
const (
	Select Ops = 1 << iota
	Insert
	Update
	Delete
)

// AllOps is every operation.
const AllOps = Select | Insert | Update | Delete

// opNames stand in the order of the bits of Ops.
var opNames = []string{"select", "insert", "update", "delete"}

// Has tells whether every operation of o is in the set.
func (s Ops) Has(o Ops) bool { return s&o == o && o != 0 }

// String lists the operations as a policy spells them; "nothing" for none.
func (s Ops) String() string {
	var names []string
	for i, name := range opNames {
		if s.Has(1 << i) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// Show is what a caller gets of a column. The zero Show refuses.
type Show uint8

// What a caller gets of a column.
const (
	ShowRefuse    Show = iota // naming the column refuses the statement; * leaves it out
	ShowAggregate             // aggregates over groups of at least Min subjects; else as refused
	ShowMasked                // its masked form
	ShowClear                 // its value
)

// Match is what predicates on a masked column see. The zero Match refuses.
type Match uint8

// What predicates on a masked column see.
const (
	MatchRefuse   Match = iota // a predicate that names it refuses the statement
	MatchMasked                // the masked form (the default of the language)
	MatchEquality              // top-level AND-ed equality with a constant or parameter sees the value
)

// matchNames stand in the order of Match.
var matchNames = []string{"refuse", "masked", "equality"}

// String gives the match as a policy writes it.
func (m Match) String() string {
	if int(m) >= len(matchNames) {
		return matchNames[MatchRefuse]
	}
	return matchNames[m]
}

// Treatment is the decision for one column: what is shown, and why.
type Treatment struct {
	Show    Show
	Mask    Mask // when Show is ShowMasked
	Min     int  // when Show is ShowAggregate: the least size of a group
	Match   Match
	Class   string // the column's class; "" when nobody classified it
	Rule    string // where the deciding rule stands: "policy/crm.yaml:42"; "" for open columns and defaults
	Because string // the rule's own words, or the default's: shown in refusals

	// Observed says what a rule with state: observe would have decided
	// instead: for the record, it changes nothing. "" when there is none.
	Observed string
}

// View is what one access has of one relation through one way of seeing its
// rows: rows that satisfy Rows are seen with these Columns.
type View struct {
	Rows    string      // a boolean SQL expression over the relation's bare column names, attributes filled in as literals; "" means every row
	Columns []Treatment // parallel to the relation's Columns

	// Ops is what may be done to the rows of this view. It may be more than
	// the relation's Ops: of a caller who reads all rows and may update its
	// own, only the view of its own rows has Update.
	Ops Ops
}

// RelationAccess is everything the policy says about one access and one
// relation. The zero value grants nothing.
type RelationAccess struct {
	Relation *catalog.Relation
	Ops      Ops // what may be done to the rows of every view, and Insert when any role grants it
	// Views has one element unless several of the caller's roles reach the
	// relation with different row filters: then a row is seen through the
	// views whose filter it satisfies, and each column in its clearest form.
	Views []View
	// Consent must hold as well, for every view: the subject's consent for the
	// purpose.
	Consent Condition
	// Restriction must hold too: nobody whose row it is had the processing
	// restricted, or objected to the purpose.
	Restriction Condition
	Because     string // why Ops lacks what it lacks, for refusals
}

// Condition is a condition on rows, as boolean SQL expressions like Rows in
// several forms, which hold for the same rows. The zero Condition is none.
type Condition struct {
	ByRow   string // evaluated where the relation is read, row by row, and never made a join
	ByIndex string // the same, by a look into an index for every row: cheapest where few are read
	ByJoin  string // may be made a join, so that whatever a statement computes may come before it
}

// HasAggregates tells whether a column is left to aggregates in some view.
func (a *RelationAccess) HasAggregates() bool {
	return slices.ContainsFunc(a.Views, func(v View) bool {
		return slices.ContainsFunc(v.Columns, func(t Treatment) bool { return t.Show == ShowAggregate })
	})
}
