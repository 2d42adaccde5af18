package rewrite

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// verify parses what is about to be sent, demands that it says exactly what was
// decided on, and looks for every relation in that: a governed one must stand
// where a sub-select was generated for it or in a condition of the policy's,
// or be the target of a write that was decided. Anything else is a bug here,
// and the statement is not sent.
func (c *planner) verify(sql string, sent *pg_query.Node) (*pg_query.Node, error) {
	node, err := parse.ParseOne(sql)
	if err != nil || !parse.Equal(node, sent) {
		// The deparser has gaps.
		return nil, refuseUnsupported("say it another way", "this statement cannot be sent on as it was understood")
	}
	ctes := cteNames(sent)
	parse.Walk(sent, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.LockingClause:
			return false // names what stands in FROM
		case *pg_query.RangeVar:
			if err == nil && !c.allowed[v] {
				err = c.verifyRelation(v, ctes)
			}
		}
		return true
	})
	return node, err
}

// allow notes relations that were put, or left, where they stand.
func (c *planner) allow(nodes ...proto.Message) {
	if c.allowed == nil {
		c.allowed = map[*pg_query.RangeVar]bool{}
	}
	for _, n := range nodes {
		parse.Walk(n, func(m proto.Message) bool {
			if rv, ok := m.(*pg_query.RangeVar); ok {
				c.allowed[rv] = true
			}
			return true
		})
	}
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

func (c *planner) verifyRelation(rv *pg_query.RangeVar, ctes map[string]bool) error {
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
	return fmt.Errorf("verify: internal error: relation %s.%s stands outside a generated sub-select", rv.Schemaname, rv.Relname)
}
