package injection

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// Sign is the name of a shape that injections have.
type Sign string

// The signs.
const (
	Tautology Sign = "tautology"     // a condition on constants makes another one moot
	Stacked   Sign = "stacked"       // behind a query there is a statement of another kind
	Comment   Sign = "comment"       // a comment cuts off, or stands between the words of, a statement
	Union     Sign = "union"         // rows of constants or of the catalog are added to a table's
	Time      Sign = "time_probe"    // how long the answer takes tells something
	Error     Sign = "error_probe"   // whether there is an error, or what it says, tells something
	Boolean   Sign = "boolean_probe" // whether there are rows tells something of another value
	Catalog   Sign = "catalog_probe" // a part of a query looks at what tables and users there are
	Server    Sign = "server_access" // a part of a query reaches for files or other servers
)

// finder collects the signs of one text.
type finder struct {
	signs []Sign
	steps int      // that it may still take within what it walks through
	ctes  []string // names that the statement gives to queries of its own
	reads bool     // the statement reads tables that are not the system's
}

func (f *finder) add(s Sign) {
	if !slices.Contains(f.signs, s) {
		f.signs = append(f.signs, s)
	}
}

// Signs gives the signs of a text whose statements are given, each once, in no
// order that means anything; nil for nearly every text.
func Signs(sql string, stmts []parse.Statement) []Sign {
	f := &finder{steps: maxSteps}
	for i, st := range stmts {
		if i > 0 && stacks(stmts[i-1].Node, st.Node) {
			f.add(Stacked)
		}
		f.statement(st.Node, i > 0)
	}
	if hidesByComments(sql, stmts) {
		f.add(Comment)
	}
	return f.signs
}

// maxSteps bounds how many nodes are looked at from each of the nodes around
// them, for who nests deeply: some milliseconds.
const maxSteps = 100_000

// has tells whether a tree has a node of which is says so.
func (f *finder) has(n proto.Message, is func(proto.Message) bool) (found bool) {
	parse.Walk(n, func(m proto.Message) bool {
		f.steps--
		found = found || f.steps > 0 && is(m)
		return !found && f.steps > 0
	})
	return found
}

// statement looks at one statement. behind says that another one is before it.
func (f *finder) statement(n *pg_query.Node, behind bool) {
	f.ctes = nil
	parse.Walk(n, func(m proto.Message) bool {
		if cte, ok := m.(*pg_query.CommonTableExpr); ok {
			f.ctes = append(f.ctes, cte.Ctename)
		}
		return true
	})
	f.reads = f.readsTable(n)
	alone := !behind && only(n)
	parse.Walk(n, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.SelectStmt:
			f.union(v)
			f.conditions(v.WhereClause, v.HavingClause)
		case *pg_query.UpdateStmt:
			f.conditions(v.WhereClause)
		case *pg_query.DeleteStmt:
			f.conditions(v.WhereClause)
		case *pg_query.JoinExpr:
			f.conditions(v.Quals)
		case *pg_query.SubLink:
			f.subLink(v)
		case *pg_query.CaseExpr:
			if divides(v) {
				f.add(Error)
			}
		case *pg_query.TypeCast:
			f.cast(v)
		case *pg_query.FuncCall:
			if sleeps(v) && !alone {
				f.add(Time)
			}
			if f.reads && slices.Contains(reaching, functionName(v)) {
				f.add(Server)
			}
		}
		return true
	})
}

// DependsOnLiterals tells whether the signs of a statement depend on the values
// of its literals.
func DependsOnLiterals(n *pg_query.Node) bool {
	depends := false
	parse.Walk(n, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.BoolExpr: // the first of several is the application's own
			depends = depends || v.Boolop != pg_query.BoolExprType_NOT_EXPR && slices.ContainsFunc(v.Args[1:], aboutConstants)
		case *pg_query.A_Expr:
			depends = depends || divisionOfConstants(v)
		case *pg_query.FuncCall:
			depends = depends || sleeps(v)
		}
		return !depends
	})
	return depends
}

// aboutConstants tells whether a condition, or the first of those that it is
// made of, is on constants alone.
func aboutConstants(n *pg_query.Node) bool {
	n = first(n)
	return n.GetAConst() == nil && constant(n)
}
