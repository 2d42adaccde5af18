package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// verify parses what is about to be sent and looks at it as a stranger would:
// every governed relation must stand inside a sub-select that equals a
// generated one, or be the target of a write that was decided. Anything else
// is a bug here, and the statement is not sent.
func (c *planner) verify(sql string, sent *pg_query.Node) error {
	node, err := parse.ParseOne(sql)
	if err != nil {
		return refuseUnsupported("say it another way", "this statement cannot be sent on as it was understood")
	}
	if !parse.Equal(node, sent) {
		// The deparser has gaps. What it says must be what was decided on.
		return refuseUnsupported("say it another way", "this statement cannot be sent on as it was understood")
	}
	generated := slices.Clone(c.generated)
	targets := slices.Clone(c.targets)
	ctes := cteNames(node)
	parse.Walk(node, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.LockingClause:
			return false // names what stands in FROM
		case *pg_query.SelectStmt:
			for i, g := range generated {
				if g.is(v) {
					generated = slices.Delete(generated, i, i+1)
					return false
				}
			}
		case *pg_query.RangeVar:
			if err == nil {
				err = c.verifyRelation(v, &targets, ctes)
			}
		}
		return true
	})
	if err == nil && len(generated) > 0 {
		err = fmt.Errorf("verify: internal error: %d generated sub-selects are missing", len(generated))
	}
	return err
}

func cteNames(node *pg_query.Node) map[string]bool {
	names := map[string]bool{}
	parse.Walk(node, func(m proto.Message) bool {
		if c, ok := m.(*pg_query.CommonTableExpr); ok {
			names[c.Ctename] = true
		}
		return true
	})
	return names
}

func (c *planner) verifyRelation(rv *pg_query.RangeVar, targets *[]*resolve.Ref, ctes map[string]bool) error {
	if rv.Schemaname == "" {
		if ctes[rv.Relname] {
			return nil
		}
		return fmt.Errorf("verify: internal error: relation %q has no schema", rv.Relname)
	}
	rel, ok := c.engine.Catalog.Relation(nil, rv.Schemaname, rv.Relname)
	if ok && !rel.Governed() && openRelation(rel) {
		return nil
	}
	for i, t := range *targets {
		if ok && t.Relation == rel {
			*targets = slices.Delete(*targets, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("verify: internal error: relation %s.%s stands outside a generated sub-select", rv.Schemaname, rv.Relname)
}

// generated is a sub-select that was put in place of a relation.
type generated struct {
	sel     *pg_query.SelectStmt
	filter  *pg_query.Node // the condition on rows; nil for every row
	matched bool           // conditions of the client's stand in it as well
}

// is tells whether a sub-select that was parsed again is this one: the same
// columns of the same relation, under the same condition on rows.
func (g *generated) is(parsed *pg_query.SelectStmt) bool {
	bare := &pg_query.SelectStmt{
		TargetList:  parsed.TargetList,
		FromClause:  parsed.FromClause,
		WhereClause: parsed.WhereClause,
		LimitOffset: parsed.LimitOffset,
		LimitOption: parsed.LimitOption,
		Op:          parsed.Op,
	}
	return len(parsed.FromClause) == 1 && len(parsed.TargetList) == len(g.sel.TargetList) &&
		parse.Equal(parsed, bare) &&
		parse.Equal(relationOf(parsed), relationOf(g.sel)) &&
		equalLists(parsed.TargetList, g.sel.TargetList) &&
		equalNodes(parsed.LimitOffset, g.sel.LimitOffset) &&
		g.isFiltered(parsed.WhereClause)
}

func (g *generated) isFiltered(where *pg_query.Node) bool {
	if !g.matched {
		return equalNodes(where, g.filter)
	}
	if g.filter == nil {
		return where != nil
	}
	have, want := conjuncts(where), conjuncts(g.filter)
	return len(have) > len(want) && equalLists(have[:len(want)], want)
}

func conjuncts(n *pg_query.Node) []*pg_query.Node {
	if e := n.GetBoolExpr(); e.GetBoolop() == pg_query.BoolExprType_AND_EXPR {
		return e.Args
	}
	return []*pg_query.Node{n}
}

func relationOf(sel *pg_query.SelectStmt) *pg_query.RangeVar {
	if ts := sel.FromClause[0].GetRangeTableSample(); ts != nil {
		return ts.Relation.GetRangeVar()
	}
	return sel.FromClause[0].GetRangeVar()
}

func equalNodes(a, b *pg_query.Node) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return parse.Equal(a, b)
}

func equalLists(a, b []*pg_query.Node) bool {
	return slices.EqualFunc(a, b, equalNodes)
}
