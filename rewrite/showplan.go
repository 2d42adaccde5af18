package rewrite

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// explain decides EXPLAIN. The plan is that of what is sent, without anything
// that was counted: costs, row estimates and buffers come from statistics and
// sizes, which hidden rows and values are part of. EXPLAIN ANALYZE counts rows
// that filters removed and pages that hidden columns fill, so it is open only over
// relations of which nothing is hidden.
func (c *planner) explain(x *pg_query.ExplainStmt) error {
	analyze, err := explainOptions(x)
	if err != nil {
		return err
	}
	step := Step{Command: "EXPLAIN"}
	c.unsent = true
	switch v := x.Query.GetNode().(type) {
	case *pg_query.Node_ExecuteStmt:
		if analyze {
			return refuseUnsupported("explain the query itself", "EXPLAIN ANALYZE of EXECUTE is not open to callers with restrictions")
		}
		if step.Effect, err = c.execute(v.ExecuteStmt); err != nil {
			return err
		}
		step.Name = v.ExecuteStmt.Name
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt, *pg_query.Node_MergeStmt:
		if step.Effect, step.Name, err = c.topQuery(x.Query); err != nil {
			return err
		}
	default:
		return refuseUnsupported("explain a query", "EXPLAIN of %s is not open to callers with restrictions", commandName(x.Query))
	}
	if analyze && (c.plan.Decision != Allowed || c.hides) {
		return refuse("use EXPLAIN without ANALYZE", "EXPLAIN ANALYZE counts rows, and some are hidden or masked for you")
	}
	if !analyze {
		step.Effect &^= Reads | Writes
	}
	c.plan.Steps = append(c.plan.Steps, step)
	return nil
}

// explainOptions leaves those options of EXPLAIN that tell nothing of hidden
// rows, and turns off what is on by itself.
func explainOptions(x *pg_query.ExplainStmt) (analyze bool, err error) {
	var kept []*pg_query.Node
	for _, n := range x.Options {
		def := n.GetDefElem()
		switch def.GetDefname() {
		case "analyze":
			analyze = isOption(def)
			kept = append(kept, n)
		case "verbose", "format", "settings", "generic_plan", "timing", "summary":
			kept = append(kept, n)
		case "costs", "buffers", "wal", "memory", "serialize":
		default:
			return false, refuseUnsupported("leave the option out", "EXPLAIN with %s is not open to callers with restrictions", def.GetDefname())
		}
	}
	off := []string{"costs"}
	if analyze {
		off = append(off, "buffers")
	}
	for _, name := range off {
		kept = append(kept, &pg_query.Node{Node: &pg_query.Node_DefElem{DefElem: &pg_query.DefElem{
			Defname: name, Arg: pg_query.MakeStrNode("off"), Defaction: pg_query.DefElemAction_DEFELEM_UNSPEC,
		}}})
	}
	x.Options = kept
	return analyze, nil
}

// isOption tells whether an option is on, or may be.
func isOption(def *pg_query.DefElem) bool {
	off := []string{"off", "false", "0"}
	return def.Arg == nil || !slices.Contains(off, strings.ToLower(def.Arg.GetString_().GetSval())) && !(def.Arg.GetInteger() != nil && def.Arg.GetInteger().Ival == 0)
}
