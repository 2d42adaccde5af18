package rewrite

import (
	"errors"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// A value of a column of which equal values look alike has several forms while its
// class's keys are turned, one for each key that opens. So it is looked for in a list
// of them: a literal becomes the items of IN (…), a parameter an array.

// turn is a comparison that has to look for every form of its constants.
type turn struct {
	node *pg_query.Node // that the comparison is
	e    *pg_query.A_Expr
	ref  *pg_query.Node // what is compared
}

// turns has a comparison look for forms, once all else is done.
func (f *flow) turns(e *pg_query.A_Expr, ref *pg_query.Node) {
	switch {
	case f.err != nil || f.again:
	case f.node.GetAExpr() != e:
		f.err = errors.New("seal: internal error: a comparison is not where it was met")
	default:
		f.turned = append(f.turned, turn{f.node, e, ref})
	}
}

// do changes the comparison. Constants are the nodes that are to be sealed.
func (t turn) do(f *flow) {
	other := t.e.Rexpr
	if other == t.ref {
		other = t.e.Lexpr
	}
	items, alone := []*pg_query.Node{other}, true
	switch t.e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_IN:
		items, alone = other.GetList().GetItems(), false
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL:
		if other.GetAArrayExpr() == nil {
			return // a parameter that is a list already
		}
		items, alone = other.GetAArrayExpr().GetElements(), false
	}
	sealed := func(n *pg_query.Node) *sealAt {
		i := slices.IndexFunc(f.holes, func(p *sealAt) bool { return p.node == n })
		if i < 0 {
			return nil
		}
		return f.holes[i]
	}
	var listed []*pg_query.Node
	var each []*sealAt
	for _, n := range items {
		p := sealed(n)
		if p != nil {
			p.forms = true
		}
		if p != nil && resolveParam(n) {
			each = append(each, p)
		} else {
			listed = append(listed, n)
		}
	}
	if len(each) == 0 && (!alone || sealed(other) == nil) {
		return
	}
	f.changed = true
	differs := t.e.Kind == pg_query.A_Expr_Kind_AEXPR_DISTINCT
	same := t.e.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT
	not := t.e.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL
	if name := t.e.Name[len(t.e.Name)-1].GetString_().GetSval(); t.e.Kind != pg_query.A_Expr_Kind_AEXPR_OP_ANY && !differs && !same {
		not = not || name != "="
	}
	var parts []*pg_query.Node
	if len(listed) > 0 {
		parts = append(parts, compare(pg_query.A_Expr_Kind_AEXPR_IN, not, t.ref, &pg_query.Node{Node: &pg_query.Node_List{List: &pg_query.List{Items: listed}}}))
	}
	for i, p := range each {
		ref := t.ref
		if i > 0 || len(listed) > 0 {
			ref = proto.Clone(ref).(*pg_query.Node)
		}
		kind := pg_query.A_Expr_Kind_AEXPR_OP_ANY
		if not {
			kind = pg_query.A_Expr_Kind_AEXPR_OP_ALL
		}
		parts = append(parts, compare(kind, not, ref, p.node))
	}
	whole := parts[0]
	if len(parts) > 1 {
		op := pg_query.BoolExprType_OR_EXPR
		if not {
			op = pg_query.BoolExprType_AND_EXPR
		}
		whole = pg_query.MakeBoolExprNode(op, parts, -1)
	}
	if differs || same {
		whole = &pg_query.Node{Node: &pg_query.Node_BooleanTest{BooleanTest: &pg_query.BooleanTest{Arg: whole, Booltesttype: pg_query.BoolTestType_IS_TRUE, Location: -1}}}
		if len(each) > 0 { // which may be NULL
			whole = pg_query.MakeBoolExprNode(pg_query.BoolExprType_OR_EXPR, []*pg_query.Node{whole,
				pg_query.MakeBoolExprNode(pg_query.BoolExprType_AND_EXPR, []*pg_query.Node{isNull(t.ref), isNull(each[0].node)}, -1)}, -1)
		}
	}
	if differs {
		whole = pg_query.MakeBoolExprNode(pg_query.BoolExprType_NOT_EXPR, []*pg_query.Node{whole}, -1)
	}
	t.node.Node = whole.Node
}

// flatten makes of OR and AND what the parser would have made of their text: the first
// of their conditions is none of their own kind.
func flatten(query *pg_query.Node) {
	parse.Walk(query, func(m proto.Message) bool {
		b, ok := m.(*pg_query.BoolExpr)
		for ok && b.Boolop != pg_query.BoolExprType_NOT_EXPR && b.Args[0].GetBoolExpr().GetBoolop() == b.Boolop {
			b.Args = append(slices.Clip(b.Args[0].GetBoolExpr().Args), b.Args[1:]...)
		}
		return true
	})
}

func compare(kind pg_query.A_Expr_Kind, not bool, ref, with *pg_query.Node) *pg_query.Node {
	name := "="
	if not {
		name = "<>"
	}
	return &pg_query.Node{Node: &pg_query.Node_AExpr{AExpr: &pg_query.A_Expr{
		Kind: kind, Name: []*pg_query.Node{pg_query.MakeStrNode(name)}, Lexpr: ref, Rexpr: with, Location: -1,
	}}}
}

func isNull(n *pg_query.Node) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_NullTest{NullTest: &pg_query.NullTest{Arg: proto.Clone(n).(*pg_query.Node), Nulltesttype: pg_query.NullTestType_IS_NULL, Location: -1}}}
}

// resolveParam tells whether a constant is a parameter, perhaps cast.
func resolveParam(n *pg_query.Node) bool {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	return n.GetParamRef() != nil
}

// tested gives the parameters of which a query asks whether they are null, where it
// does.
func tested(query *pg_query.Node) map[*pg_query.ParamRef]*pg_query.NullTest {
	all := map[*pg_query.ParamRef]*pg_query.NullTest{}
	parse.Walk(query, func(m proto.Message) bool {
		if n, ok := m.(*pg_query.NullTest); ok {
			arg := n.Arg
			for arg.GetTypeCast() != nil {
				arg = arg.GetTypeCast().Arg
			}
			if ref := arg.GetParamRef(); ref != nil {
				all[ref] = n
			}
		}
		return true
	})
	return all
}

// typeOfTest gives the type that a parameter has where a query asks whether it is null.
func typeOfTest(test *pg_query.NullTest) string {
	if names := test.Arg.GetTypeCast().GetTypeName().GetNames(); len(names) > 0 {
		return names[len(names)-1].GetString_().GetSval()
	}
	return "text"
}
