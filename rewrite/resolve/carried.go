package resolve

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// Carried says of which columns of relations a value is, as it is stored there:
// handed through sub-selects, CTEs, joins and set operations, but not computed.
type Carried struct {
	From []Base
	Made bool // it can be another value as well, which is not NULL
	Row  bool // it is a row, of which those are parts
}

// Base is a column of a relation.
type Base struct {
	Ref    *Ref
	Column int // index into Ref.Relation.Columns
}

// Merge is a pair of columns that USING or NATURAL compares and makes one.
type Merge struct{ Left, Right Carried }

// or says what a value is that is either of two.
func (c Carried) or(d Carried) Carried {
	both := Carried{From: slices.Clone(c.From), Made: c.Made || d.Made, Row: c.Row || d.Row}
	for _, b := range d.From {
		if !slices.Contains(both.From, b) {
			both.From = append(both.From, b)
		}
	}
	return both
}

// carry notes what a reference, or a key that names an output, is.
func (r *resolver) carry(n *pg_query.Node, c Carried) {
	if n == nil || len(c.From) == 0 || r.params == nil {
		return
	}
	if r.q.Carries == nil {
		r.q.Carries = map[*pg_query.Node]Carried{}
	}
	r.q.Carries[n] = c
}

// carriedRow notes a reference to a whole row.
func (r *resolver) carriedRow(n *pg_query.Node, it *item) {
	row := Carried{Made: true, Row: true}
	for _, c := range it.cols {
		row = row.or(c.carries)
	}
	r.carry(n, row)
}

// gives notes what a query's outputs are.
func (r *resolver) gives(n *pg_query.SelectStmt, cols []column) {
	if r.q.Gives == nil {
		r.q.Gives = map[*pg_query.SelectStmt][]Carried{}
	}
	r.q.Gives[n] = carried(cols)
}

func carried(cols []column) []Carried {
	all := make([]Carried, len(cols))
	for i, c := range cols {
		all[i] = c.carries
	}
	return all
}

// valueOf says what an output's expression is.
func (r *resolver) valueOf(n *pg_query.Node) Carried {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		if c, ok := r.q.Carries[n]; ok {
			return c
		}
	case *pg_query.Node_SubLink:
		gives := r.q.Gives[v.SubLink.Subselect.GetSelectStmt()]
		if v.SubLink.SubLinkType == pg_query.SubLinkType_EXPR_SUBLINK && len(gives) == 1 {
			return gives[0]
		}
	case *pg_query.Node_AConst:
		return Carried{Made: !v.AConst.Isnull}
	case *pg_query.Node_TypeCast:
		return Carried{Made: !v.TypeCast.Arg.GetAConst().GetIsnull()}
	case *pg_query.Node_CoalesceExpr, *pg_query.Node_CaseExpr:
		return r.eitherOf(Alternatives(n))
	}
	return Carried{Made: true}
}

// eitherOf says what a value is that is one of several. Constants among them do
// not count: they can be made what the others are.
func (r *resolver) eitherOf(list []*pg_query.Node) (c Carried) {
	for _, n := range list {
		if !IsConstant(n) {
			c = c.or(r.valueOf(n))
		}
	}
	c.Made = c.Made || len(c.From) == 0
	return c
}

// Alternatives gives the values of which COALESCE and CASE are one; nil for
// anything else.
func Alternatives(n *pg_query.Node) (list []*pg_query.Node) {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_CoalesceExpr:
		return v.CoalesceExpr.Args
	case *pg_query.Node_CaseExpr:
		for _, when := range v.CaseExpr.Args {
			list = append(list, when.GetCaseWhen().GetResult())
		}
		if v.CaseExpr.Defresult != nil {
			list = append(list, v.CaseExpr.Defresult)
		}
	}
	return list
}
