package resolve

import pg_query "github.com/pganalyze/pg_query_go/v6"

// jsonExpr resolves the SQL/JSON expressions, and refuses what no case of expr
// knows.
func (r *resolver) jsonExpr(n *pg_query.Node, s *scope, as UseKind) error {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_JsonValueExpr:
		return r.jsonValue(v.JsonValueExpr, s, as)
	case *pg_query.Node_JsonKeyValue:
		return r.jsonKeyValue(v.JsonKeyValue, s, as)
	case *pg_query.Node_JsonArgument:
		return r.jsonValue(v.JsonArgument.Val, s, as)
	case *pg_query.Node_JsonObjectConstructor:
		if err := r.jsonOutput(v.JsonObjectConstructor.Output); err != nil {
			return err
		}
		return r.exprs(v.JsonObjectConstructor.Exprs, s, as)
	case *pg_query.Node_JsonArrayConstructor:
		if err := r.jsonOutput(v.JsonArrayConstructor.Output); err != nil {
			return err
		}
		return r.exprs(v.JsonArrayConstructor.Exprs, s, as)
	case *pg_query.Node_JsonArrayQueryConstructor:
		if err := r.jsonOutput(v.JsonArrayQueryConstructor.Output); err != nil {
			return err
		}
		_, _, err := r.subquery(v.JsonArrayQueryConstructor.Query, s)
		return err
	case *pg_query.Node_JsonObjectAgg:
		if err := r.jsonAgg(v.JsonObjectAgg.Constructor, s, as); err != nil {
			return err
		}
		return r.jsonKeyValue(v.JsonObjectAgg.Arg, s, as)
	case *pg_query.Node_JsonArrayAgg:
		if err := r.jsonAgg(v.JsonArrayAgg.Constructor, s, as); err != nil {
			return err
		}
		return r.jsonValue(v.JsonArrayAgg.Arg, s, as)
	case *pg_query.Node_JsonParseExpr:
		if err := r.jsonOutput(v.JsonParseExpr.Output); err != nil {
			return err
		}
		return r.jsonValue(v.JsonParseExpr.Expr, s, as)
	case *pg_query.Node_JsonScalarExpr:
		if err := r.jsonOutput(v.JsonScalarExpr.Output); err != nil {
			return err
		}
		return r.expr(v.JsonScalarExpr.Expr, s, as)
	case *pg_query.Node_JsonSerializeExpr:
		if err := r.jsonOutput(v.JsonSerializeExpr.Output); err != nil {
			return err
		}
		return r.jsonValue(v.JsonSerializeExpr.Expr, s, as)
	case *pg_query.Node_JsonIsPredicate:
		return r.expr(v.JsonIsPredicate.Expr, s, as)
	case *pg_query.Node_JsonFuncExpr:
		return r.jsonFunc(v.JsonFuncExpr, s, as)
	default:
		return unsupported("%s in an expression", nodeName(n))
	}
}

func (r *resolver) jsonFunc(f *pg_query.JsonFuncExpr, s *scope, as UseKind) error {
	if err := r.jsonOutput(f.Output); err != nil {
		return err
	}
	if err := r.jsonValue(f.ContextItem, s, as); err != nil {
		return err
	}
	for _, b := range []*pg_query.JsonBehavior{f.OnEmpty, f.OnError} {
		if err := r.jsonBehavior(b, s, as); err != nil {
			return err
		}
	}
	if err := r.expr(f.Pathspec, s, as); err != nil {
		return err
	}
	return r.exprs(f.Passing, s, as)
}

func (r *resolver) jsonValue(v *pg_query.JsonValueExpr, s *scope, as UseKind) error {
	return r.exprs([]*pg_query.Node{v.GetRawExpr(), v.GetFormattedExpr()}, s, as)
}

func (r *resolver) jsonKeyValue(kv *pg_query.JsonKeyValue, s *scope, as UseKind) error {
	if err := r.expr(kv.GetKey(), s, as); err != nil {
		return err
	}
	return r.jsonValue(kv.GetValue(), s, as)
}

func (r *resolver) jsonAgg(c *pg_query.JsonAggConstructor, s *scope, as UseKind) error {
	if err := r.jsonOutput(c.GetOutput()); err != nil {
		return err
	}
	if err := r.exprs(c.GetAggOrder(), s, as); err != nil {
		return err
	}
	if err := r.expr(c.GetAggFilter(), s, UseFilter); err != nil {
		return err
	}
	return r.window(c.GetOver(), s)
}

func (r *resolver) jsonBehavior(b *pg_query.JsonBehavior, s *scope, as UseKind) error {
	return r.expr(b.GetExpr(), s, as)
}

func (r *resolver) jsonOutput(o *pg_query.JsonOutput) error {
	return r.typeName(o.GetTypeName())
}
