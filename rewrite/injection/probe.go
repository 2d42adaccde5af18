package injection

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// sleeps tells whether a function takes as long as one says: longer than no time
// at all.
func sleeps(c *pg_query.FuncCall) bool {
	if !slices.Contains([]string{"pg_sleep", "pg_sleep_for", "pg_sleep_until"}, functionName(c)) || len(c.Args) != 1 {
		return false
	}
	x, ok := number(c.Args[0].GetAConst())
	return !ok || x > 0
}

// looking are functions that look into a value piece by piece.
var looking = []string{"substring", "substr", "ascii", "length", "char_length", "octet_length", "left", "right", "get_byte", "strpos", "position", "split_part", "md5", "bit_length", "lower", "upper"}

// telling are functions that tell of the server or of who is logged in, which an
// application does not compare with constants.
var telling = []string{"version", "current_database", "inet_server_addr", "inet_server_port", "pg_backend_pid", "current_setting", "pg_postmaster_start_time", "getpgusername"}

// reaching are functions that read or write files, reach other servers, or run
// a text as a query.
var reaching = []string{
	"pg_read_file", "pg_read_binary_file", "pg_ls_dir", "pg_stat_file", "lo_import", "lo_export", "lo_from_bytea",
	"dblink", "dblink_connect", "dblink_connect_u", "dblink_exec", "dblink_send_query",
	"query_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml", "query_to_xml_and_xmlschema",
}

// only tells whether a statement is a query of function calls alone, as people
// and monitors write it.
func only(n *pg_query.Node) bool {
	sel := n.GetSelectStmt()
	return sel != nil && sel.Op == pg_query.SetOperation_SETOP_NONE && sel.WhereClause == nil && len(sel.FromClause) == 0 &&
		!slices.ContainsFunc(sel.TargetList, func(t *pg_query.Node) bool { return t.GetResTarget().GetVal().GetFuncCall() == nil })
}

// readsTable tells whether a statement names a table that is not the system's.
func (f *finder) readsTable(n proto.Message) bool {
	return f.has(n, func(m proto.Message) bool {
		rv, ok := m.(*pg_query.RangeVar)
		return ok && !ofCatalog(rv) && !(rv.Schemaname == "" && slices.Contains(f.ctes, rv.Relname))
	})
}

// ofCatalog tells whether a name is that of one of the system's tables.
func ofCatalog(rv *pg_query.RangeVar) bool {
	switch rv.Schemaname {
	case "pg_catalog", "information_schema":
		return true
	case "":
		return strings.HasPrefix(rv.Relname, "pg_")
	default:
		return false
	}
}

// readsCatalog tells whether a query reads the system's tables.
func (f *finder) readsCatalog(n proto.Message) bool {
	return f.has(n, func(m proto.Message) bool {
		rv, ok := m.(*pg_query.RangeVar)
		return ok && ofCatalog(rv)
	})
}

// subLink looks at a query within an expression.
func (f *finder) subLink(s *pg_query.SubLink) {
	sel := s.Subselect.GetSelectStmt()
	switch {
	case f.reads && f.readsCatalog(sel):
		f.add(Catalog)
	case sel == nil || sel.Op != pg_query.SetOperation_SETOP_NONE:
		return
	case len(sel.FromClause) == 0 && len(sel.TargetList) == 1 && sel.TargetList[0].GetResTarget().GetVal().GetCaseExpr() != nil:
		f.add(Boolean)
	case f.heavy(sel):
		f.add(Time)
	}
}

// heavy tells whether a query only takes time: it counts made-up rows.
func (f *finder) heavy(sel *pg_query.SelectStmt) bool {
	counts := len(sel.TargetList) == 1 && functionName(sel.TargetList[0].GetResTarget().GetVal().GetFuncCall()) == "count"
	return counts && len(sel.FromClause) > 0 && sel.WhereClause == nil && !slices.ContainsFunc(sel.FromClause, func(n *pg_query.Node) bool {
		return !f.madeOfNumbers(n.GetRangeFunction())
	})
}

func (f *finder) madeOfNumbers(r *pg_query.RangeFunction) bool {
	return f.has(r, func(m proto.Message) bool {
		call, ok := m.(*pg_query.FuncCall)
		return ok && functionName(call) == "generate_series"
	})
}

// conditions looks at how conditions are joined, and at what they compare with
// constants.
func (f *finder) conditions(clauses ...*pg_query.Node) {
	for _, n := range clauses {
		parse.Walk(n, func(m proto.Message) bool {
			switch v := m.(type) {
			case *pg_query.SelectStmt:
				return false // has its own
			case *pg_query.BoolExpr:
				f.boolean(v)
			case *pg_query.A_Expr:
				f.comparison(v)
			}
			return true
		})
	}
}

// comparing are the operators that compare.
var comparing = []string{"=", "<>", "<", ">", "<=", ">=", "~", "~*"}

func (f *finder) comparison(e *pg_query.A_Expr) {
	if f.steps--; e.Kind == pg_query.A_Expr_Kind_AEXPR_OP && !slices.Contains(comparing, operator(e)) {
		return
	}
	for _, pair := range [][2]*pg_query.Node{{e.Lexpr, e.Rexpr}, {e.Rexpr, e.Lexpr}} {
		side, other := pair[0], pair[1]
		if !constant(other) {
			continue
		}
		switch cast := side.GetTypeCast(); {
		case cast != nil && numeric(cast.TypeName) && cast.Arg.GetSubLink() != nil:
			f.add(Error)
		case f.probes(side):
			f.add(Boolean)
		}
	}
}

// probes tells whether an expression, which is compared with a constant, looks
// into another value piece by piece.
func (f *finder) probes(n *pg_query.Node) bool {
	if sel := n.GetSubLink().GetSubselect().GetSelectStmt(); sel != nil && len(sel.TargetList) == 1 {
		return f.looksInto(sel.TargetList[0].GetResTarget().GetVal(), 1)
	}
	return f.looksInto(n, 2)
}

// looksInto tells whether an expression takes pieces of a sub-select or of what
// the server tells of itself; or of anything, by so many functions around each
// other, of which the outermost is one for code points.
func (f *finder) looksInto(n *pg_query.Node, depth int) bool {
	call := n.GetFuncCall()
	if cast := n.GetTypeCast(); cast != nil {
		return f.looksInto(cast.Arg, depth)
	}
	if call == nil || !slices.Contains(looking, functionName(call)) {
		return false
	}
	if depth == 1 {
		return slices.Contains([]string{"substring", "substr", "ascii", "get_byte", "left", "right"}, functionName(call))
	}
	for _, arg := range call.Args {
		if f.holds(arg) {
			return true
		}
	}
	return slices.Contains([]string{"ascii", "get_byte"}, functionName(call)) && slices.ContainsFunc(call.Args, func(a *pg_query.Node) bool { return f.looksInto(a, 1) })
}

// holds tells whether an expression holds a sub-select, or asks the server of
// itself.
func (f *finder) holds(n *pg_query.Node) bool {
	return f.has(n, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.SubLink:
			return true
		case *pg_query.SQLValueFunction:
			return tellsWho(v)
		case *pg_query.FuncCall:
			return slices.Contains(telling, functionName(v))
		default:
			return false
		}
	})
}

// tellsWho tells functions that say who is logged in from those that say what
// time it is, which come before them.
func tellsWho(v *pg_query.SQLValueFunction) bool {
	return v != nil && v.Op >= pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE
}

// cast finds casts to a number of what is no number, so that the error tells
// what it was: a text put together of a sub-select's, or what the server says
// of itself.
func (f *finder) cast(c *pg_query.TypeCast) {
	if !numeric(c.TypeName) {
		return
	}
	arg := c.Arg
	for arg.GetTypeCast() != nil {
		arg = arg.GetTypeCast().Arg
	}
	e := arg.GetAExpr()
	joins := e != nil && operator(e) == "||" || functionName(arg.GetFuncCall()) == "concat"
	says := slices.Contains([]string{"version", "current_database"}, functionName(arg.GetFuncCall())) || tellsWho(arg.GetSqlvalueFunction())
	if says || joins && f.holds(arg) || f.saysOfServer(arg) {
		f.add(Error)
	}
}

// saysOfServer tells whether a sub-select gives what the server says of itself,
// or what its tables do.
func (f *finder) saysOfServer(n *pg_query.Node) bool {
	sel := n.GetSubLink().GetSubselect().GetSelectStmt()
	if sel == nil {
		return false
	}
	counts := len(sel.TargetList) == 1 && functionName(sel.TargetList[0].GetResTarget().GetVal().GetFuncCall()) == "count"
	return len(sel.TargetList) == 1 && f.holds(sel.TargetList[0]) || !counts && f.readsCatalog(sel)
}

func numeric(t *pg_query.TypeName) bool {
	if t == nil || len(t.Names) == 0 || len(t.ArrayBounds) > 0 {
		return false
	}
	return slices.Contains([]string{"int2", "int4", "int8", "numeric", "float4", "float8"}, t.Names[len(t.Names)-1].GetString_().GetSval())
}

// divides tells whether a result of CASE is a division of constants by zero.
func divides(c *pg_query.CaseExpr) bool {
	results := []*pg_query.Node{c.Defresult}
	for _, n := range c.Args {
		results = append(results, n.GetCaseWhen().GetResult())
	}
	return slices.ContainsFunc(results, func(n *pg_query.Node) bool {
		e := n.GetAExpr()
		if e == nil {
			e = n.GetTypeCast().GetArg().GetAExpr()
		}
		zero, ok := number(e.GetRexpr().GetAConst())
		return e != nil && divisionOfConstants(e) && ok && zero == 0
	})
}

func divisionOfConstants(e *pg_query.A_Expr) bool {
	return (operator(e) == "/" || operator(e) == "%") && e.Lexpr.GetAConst() != nil && e.Rexpr.GetAConst() != nil
}
