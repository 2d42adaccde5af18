package rewrite

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// verifySealed reads what is about to be sent anew, and follows sealed values
// through that: whatever is written to a sealed column, or compared with one, must
// be a mark or a parameter that will be sealed. It does not believe what was noted
// before, so a mistake there is a statement that is not sent, and no clear value
// on the server.
func (c *planner) verifySealed(sql string) error {
	if c.engine.seals == nil {
		return nil
	}
	node, err := parse.ParseOne(sql)
	if err != nil {
		return fmt.Errorf("verify: internal error: %w", err)
	}
	query := queryOf(node)
	if query == nil || queryOf(query) != query {
		return nil
	}
	in := c.input()
	in.Expand = nil
	q, err := resolve.Resolve(in, query)
	if err != nil {
		return fmt.Errorf("verify: internal error: sealed values: %w", err)
	}
	if !c.engine.seals.touches(q) {
		return nil
	}
	f := c.newFlow(q)
	f.again = true
	f.statement(query)
	f.everything()
	if f.err != nil {
		return fmt.Errorf("verify: internal error: sealed values: %w", f.err)
	}
	for _, p := range f.holes {
		if !c.willBeSealed(p) {
			return fmt.Errorf("verify: internal error: a value of %s is sent as it is", p.as.Column)
		}
	}
	return nil
}

// willBeSealed tells whether what stands at a place is a mark, or a parameter that
// is sealed for the same column.
func (c *planner) willBeSealed(p *sealAt) bool {
	n := p.node
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	s := c.plan.Seals
	switch v := n.Node.(type) {
	case *pg_query.Node_ParamRef:
		i := int(v.ParamRef.Number) - 1
		return s != nil && i < len(s.Params) && s.Params[i].For != nil && s.Params[i].For.Domain == p.as.Domain
	case *pg_query.Node_AConst:
		mark := v.AConst.GetSval().GetSval()
		return s != nil && strings.HasPrefix(mark, c.engine.seals.mark) && s.marked["'"+mark+"'"].of.Domain == p.as.Domain
	default:
		return false
	}
}
