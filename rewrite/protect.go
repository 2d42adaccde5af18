package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// protect keeps a masked value that comes back from overwriting the value it
// hides: SET col = X becomes
// SET col = CASE WHEN X IS NOT DISTINCT FROM mask(col) THEN col ELSE X END.
// It comes last, since X then stands there twice as it is sent.
func (c *planner) protect(t *resolve.Target, v *view, q *resolve.Query) error {
	for _, n := range assignments(t) {
		rt := n.GetResTarget()
		i := t.Ref.Relation.ColumnIndex(rt.Name)
		if v.columns[i].treatment.Show != policy.ShowMasked || rt.Val.GetSetToDefault() != nil {
			continue
		}
		name := t.Ref.Relation.QualifiedName() + "." + rt.Name
		if rt.Val.GetMultiAssignRef() != nil {
			return refuseUnsupported("assign the columns one by one", "%s is masked for you and cannot be assigned together with others", name)
		}
		if volatileCall(rt.Val, q) {
			return refuseUnsupported("give the value itself", "%s is masked for you and cannot be assigned what differs at each call", name)
		}
		column := &pg_query.Node{}
		setColumnRef(column, t.Ref.Alias, rt.Name)
		unchanged, err := sameAs(rt.Val, c.slot(v, t.Ref.Relation, i, t.Ref.Alias), t.Ref.Relation.Columns[i].Type)
		if err != nil {
			return err
		}
		rt.Val = caseWhen(unchanged, column, assignable(rt.Val, t.Ref.Relation.Columns[i].Type))
	}
	return nil
}

// unequal are the types without an operator = that tells two values apart:
// that of boxes compares areas.
var unequal = []string{"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle"}

// sameAs gives the condition that a value is a mask, once it is of the column's
// type: compared as it comes, text would keep the blanks at the end of char, and
// numeric the digits that real has not. A parameter gets the column's type so.
func sameAs(value, mask *pg_query.Node, typ catalog.Type) (*pg_query.Node, error) {
	value, err := asColumn(value, typ)
	if err != nil {
		return nil, err
	}
	if slices.Contains(unequal, typ.Base) {
		text := catalog.Type{Schema: "pg_catalog", Name: "text"}
		value, mask = castTo(value, text), castTo(mask, text)
	}
	return pg_query.MakeAExprNode(pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT, []*pg_query.Node{pg_query.MakeStrNode("=")}, value, mask, -1), nil
}

// assignable casts a value to a column's type without its length: CASE wants one
// type where an assignment casts by itself. To what a domain is made of, for a
// mask need not pass its checks.
func assignable(n *pg_query.Node, typ catalog.Type) *pg_query.Node {
	if typ.Kind == 'd' {
		typ.Schema, typ.Name = typ.BaseSchema, typ.Base
	}
	return castTo(n, typ)
}

// asColumn casts a value to a column's type, as assignable does, with its
// length.
func asColumn(n *pg_query.Node, typ catalog.Type) (*pg_query.Node, error) {
	if typ.Kind == 'd' || typ.Mod < 0 {
		return assignable(n, typ), nil
	}
	node, err := canonical("SELECT NULL::" + typ.SQL)
	if err != nil {
		return nil, fmt.Errorf("type %s: internal error: %w", typ.SQL, err)
	}
	cast := node.GetSelectStmt().TargetList[0].GetResTarget().Val
	cast.GetTypeCast().Arg = n
	return cast, nil
}

func castTo(n *pg_query.Node, t catalog.Type) *pg_query.Node {
	names := []*pg_query.Node{pg_query.MakeStrNode(t.Schema), pg_query.MakeStrNode(t.Name)}
	if onlyBare(t.Schema, t.Name) {
		names = names[1:]
	}
	return &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{
		Arg: n, TypeName: &pg_query.TypeName{Names: names, Typemod: -1},
	}}}
}

// volatileCall tells whether a value comes out differently each time.
func volatileCall(n *pg_query.Node, q *resolve.Query) bool {
	found := false
	parse.Walk(n, func(m proto.Message) bool {
		for _, f := range q.Funcs {
			found = found || m == proto.Message(f.Call) && slices.ContainsFunc(f.Found, func(f catalog.Func) bool { return f.Volatility == 'v' })
		}
		return !found
	})
	return found
}

func caseWhen(condition, then, otherwise *pg_query.Node) *pg_query.Node {
	n := pg_query.MakeCaseExprNode(nil, []*pg_query.Node{pg_query.MakeCaseWhenNode(condition, then, -1)}, -1)
	n.GetCaseExpr().Defresult = otherwise
	return n
}
