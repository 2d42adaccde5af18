package resolve

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// with makes the CTEs of a WITH clause known to scope s, and resolves all of
// them, used or not: one that is not used may still write.
func (r *resolver) with(w *pg_query.WithClause, s *scope) error {
	if w == nil {
		return nil
	}
	var all []*cte
	for _, n := range w.Ctes {
		node := n.GetCommonTableExpr()
		if node == nil {
			return unsupported("%s in WITH", nodeName(n))
		}
		c := &cte{node: node, scope: &scope{parent: s.parent, ctes: s.ctes}}
		s.ctes = &ctes{outer: s.ctes, name: node.Ctename, cte: c}
		all = append(all, c)
	}
	for _, c := range all {
		if w.Recursive {
			c.scope.ctes = s.ctes // sees itself and those after it as well
		}
	}
	for _, c := range all {
		if err := r.resolveCTE(c); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) resolveCTE(c *cte) error {
	switch {
	case c.done:
		return nil
	case c.resolving:
		// A reference to itself: its columns are those of its first branch.
		if c.cols == nil && !c.opaque {
			return unsupported("a recursive query whose first branch refers to itself")
		}
		return nil
	}
	c.resolving = true
	cols, opaque, err := r.cteQuery(c)
	if err != nil {
		return err
	}
	c.cols, c.opaque = cteNames(c.node, cols), opaque
	r.searchAndCycle(c)
	c.done = true
	return nil
}

func (r *resolver) cteQuery(c *cte) ([]column, bool, error) {
	sel := c.node.Ctequery.GetSelectStmt()
	if sel == nil {
		cols, err := r.query(c.node.Ctequery, c.scope)
		return cols, false, err
	}
	if sel.Op == pg_query.SetOperation_SETOP_UNION {
		return r.recursiveUnion(c, sel)
	}
	return r.selectStmt(sel, c.scope)
}

// recursiveUnion resolves a UNION in a CTE, whose second branch may refer to
// the CTE itself.
func (r *resolver) recursiveUnion(c *cte, sel *pg_query.SelectStmt) ([]column, bool, error) {
	s := c.scope.child()
	if err := r.with(sel.WithClause, s); err != nil {
		return nil, false, err
	}
	first, opaque, err := r.selectStmt(sel.Larg, s)
	if err != nil {
		return nil, false, err
	}
	c.cols, c.opaque = cteNames(c.node, first), opaque
	r.searchAndCycle(c)
	cols, opaque, err := r.setOperationRight(sel, first, opaque, s)
	if err != nil {
		return nil, false, err
	}
	r.gives(sel, cols)
	out := &scope{parent: s, ctes: s.ctes, items: []*item{{cols: derived(cols), opaque: opaque}}}
	return cols, opaque, r.tail(sel, out, cols)
}

func (r *resolver) setOperationRight(sel *pg_query.SelectStmt, left []column, lopaque bool, s *scope) ([]column, bool, error) {
	right, ropaque, err := r.selectStmt(sel.Rarg, s)
	if err != nil {
		return nil, false, err
	}
	if !lopaque && !ropaque && len(left) != len(right) {
		return nil, false, &Error{Code: "42601", Message: fmt.Sprintf("each %s query must have the same number of columns", setName(sel.Op)), Pos: -1}
	}
	if !slices.EqualFunc(left, right, sameColumn) {
		byPosition(left)
		byPosition(right)
	}
	cols := derived(left)
	for i := range min(len(left), len(right)) {
		cols[i].sources = merge(slices.Clone(left[i].sources), right[i].sources...)
		cols[i].plain = left[i].plain && right[i].plain
		cols[i].carries = left[i].carries.or(right[i].carries)
	}
	return cols, lopaque || ropaque, nil
}

// sameColumn tells whether two outputs are one column of one relation, of which
// a * leaves out the same on both sides.
func sameColumn(a, b column) bool {
	return len(a.sources) == 1 && len(b.sources) == 1 &&
		a.sources[0].ref.Relation == b.sources[0].ref.Relation && a.sources[0].column == b.sources[0].column
}

func setName(op pg_query.SetOperation) string {
	switch op {
	case pg_query.SetOperation_SETOP_UNION:
		return "UNION"
	case pg_query.SetOperation_SETOP_INTERSECT:
		return "INTERSECT"
	default:
		return "EXCEPT"
	}
}

func cteNames(node *pg_query.CommonTableExpr, cols []column) []column {
	if len(node.Aliascolnames) > 0 {
		byPosition(cols)
	}
	named := derived(cols)
	for i, n := range node.Aliascolnames {
		if i < len(named) {
			named[i].name = n.GetString_().GetSval()
		}
	}
	return named
}

// searchAndCycle adds the columns that SEARCH and CYCLE make.
func (r *resolver) searchAndCycle(c *cte) {
	if search := c.node.SearchClause; search != nil {
		c.cols = append(c.cols, column{name: search.SearchSeqColumn})
	}
	if cycle := c.node.CycleClause; cycle != nil {
		c.cols = append(c.cols, column{name: cycle.CycleMarkColumn}, column{name: cycle.CyclePathColumn})
	}
}
