package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// A value of a class that says "shred" has a key of its own, which the erasure of its
// row destroys. So no two rows may share one: such a value is written where the
// statement itself shows that it goes into one row.

// shares refuses a value under a key of its own where more than one row may take it.
func (f *flow) shares(of *sealedColumn) {
	switch {
	case !of.Shred || f.err != nil:
	case f.later:
		f.err = refuseUnsupported("prepare it by the protocol, with a parameter", "%s has a key for each value: a literal in PREPARE would be written time after time", of.Column)
	case !f.lone:
		f.err = refuseUnsupported("write one row, named by its whole primary key, or the rows of VALUES", "%s has a key for each value, and more than one row may take this one", of.Column)
	}
}

// multiplies tells whether a call in a row of VALUES can make several rows of it.
func (f *flow) multiplies() bool {
	return slices.ContainsFunc(f.query.Funcs, func(c resolve.Func) bool {
		return len(c.Found) == 0 || slices.ContainsFunc(c.Found, func(fn catalog.Func) bool { return fn.ReturnsSet })
	})
}

// pins tells whether a condition holds for one row of a relation at most: it gives each
// column of the primary key a constant. row is that key, where values are bound to it.
func (f *flow) pins(t *resolve.Target, where *pg_query.Node) (row *Row, lone bool) {
	rel := t.Ref.Relation
	given := map[string]*pg_query.Node{}
	if len(rel.PrimaryKey) == 0 || f.engine.heirs(rel) {
		return nil, false
	}
	for _, n := range conjuncts(where) {
		e := n.GetAExpr()
		if e.GetKind() != pg_query.A_Expr_Kind_AEXPR_OP || len(e.GetName()) != 1 || e.GetName()[0].GetString_().GetSval() != "=" {
			continue
		}
		for _, side := range [][2]*pg_query.Node{{e.Lexpr, e.Rexpr}, {e.Rexpr, e.Lexpr}} {
			if side[0].GetColumnRef() == nil || !resolve.IsConstant(side[1]) || side[1].GetAArrayExpr() != nil {
				continue
			}
			i := slices.IndexFunc(f.query.Uses, func(u resolve.Use) bool { return u.Node == side[0] && u.Ref == t.Ref })
			if i >= 0 {
				given[rel.Columns[f.query.Uses[i].Column].Name] = side[1]
			}
		}
	}
	for _, i := range rel.PrimaryKey {
		if given[rel.Columns[i].Name] == nil {
			return nil, false
		}
	}
	return f.rowBy(rel, func(column string) *pg_query.Node { return given[column] }), true
}

// conjuncts gives the conditions that all must hold.
func conjuncts(n *pg_query.Node) []*pg_query.Node {
	b := n.GetBoolExpr()
	if b == nil || b.Boolop != pg_query.BoolExprType_AND_EXPR {
		return []*pg_query.Node{n}
	}
	var all []*pg_query.Node
	for _, arg := range b.Args {
		all = append(all, conjuncts(arg)...)
	}
	return all
}

// heirs tells whether other tables inherit from one: their rows have keys of their
// own, which may be the same.
func (e *Engine) heirs(rel *catalog.Relation) bool {
	return slices.ContainsFunc(e.Catalog.Relations(), func(r *catalog.Relation) bool {
		return !r.Partition && slices.Contains(r.Parents, rel.OID)
	})
}
