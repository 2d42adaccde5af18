package rewrite

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// The aggregates of PostgreSQL of which it is known how much they tell of the
// rows that they merge. All others tell of every row.
var (
	countings = []string{"count"}
	pickings  = []string{"min", "max", "any_value", "bool_and", "bool_or", "every"} // the value of one row
	summings  = []string{"sum", "avg", "stddev", "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance"}
)

// gather gives whom a row tells of that a level's own merging makes. The statement's
// own rows come with a count of what they were made of, where that is needed.
func (m *meter) gather(sel *pg_query.SelectStmt, l *level, top bool) []*person {
	rows := own(l.rows, l.depth)
	groups, _ := m.merges(sel)
	if !groups && !l.beyond || len(rows) == 0 {
		return rows
	}
	keeps := m.keeps(m.groupKeys(sel, l), l)
	var kept, merged []*person
	for _, p := range rows {
		if keeps[p] {
			kept = append(kept, p)
		} else {
			merged = append(merged, p)
		}
	}
	if top {
		m.group, m.merged = l, merged
	}
	worth, bounded := m.worth(sel, l)
	if !top && bounded && !l.beyond {
		merged = slices.DeleteFunc(merged, func(p *person) bool { return m.anonymous(p, l) })
	}
	switch {
	case bounded && !l.beyond:
		return append(kept, many(merged, max(1, worth), l.depth)...)
	case top && len(merged) > 0:
		m.counts = true
		return rows
	default:
		return append(kept, many(merged, AnyNumber, l.depth)...)
	}
}

// keeps tells which subjects are one in every group: rows are grouped by their key,
// by what leads to it, or by the primary key of the row that is about them.
func (m *meter) keeps(keys []*pg_query.Node, l *level) map[*person]bool {
	kept := map[*person]bool{}
	grouped := map[*item][]int{}
	for _, n := range keys {
		if n.GetGroupingSet() != nil {
			m.vary = true
			return map[*person]bool{} // some rows are grouped by less
		}
		s := m.spot(n, l)
		if s.who != nil {
			kept[s.who.root()] = true
		}
		if s.of == nil || !slices.Contains(l.items, s.item) {
			continue
		}
		grouped[s.of] = append(grouped[s.of], s.column)
		for _, w := range s.of.ways {
			if w.column == s.column {
				kept[w.who.root()] = true
			}
		}
	}
	for it, columns := range grouped {
		rel := it.ref.Relation // whose row is the same in every group, as it is wherever its columns are given
		missing := func(column int) bool { return !slices.Contains(columns, column) }
		if len(rel.PrimaryKey) == 0 || slices.ContainsFunc(rel.PrimaryKey, missing) || m.inherited(rel) {
			continue
		}
		for _, p := range it.persons() {
			kept[p.root()] = true
		}
	}
	return kept
}

// groupKeys gives what a query groups by. An item of GROUP BY may mean an output,
// by its number, or by its name where no column is called so.
func (m *meter) groupKeys(sel *pg_query.SelectStmt, l *level) (keys []*pg_query.Node) {
	for _, n := range sel.GroupClause {
		if number := n.GetAConst().GetIval(); number != nil {
			n = numbered(sel, int(number.Ival), n)
		} else if fields := n.GetColumnRef().GetFields(); len(fields) == 1 {
			if _, _, column := m.find(n, l); !column {
				n = outputNamed(sel, fields[0].GetString_().GetSval(), n)
			}
		}
		keys = append(keys, n)
	}
	return keys
}

// numbered gives an output by its number; n where * hides which it is.
func numbered(sel *pg_query.SelectStmt, i int, n *pg_query.Node) *pg_query.Node {
	star := func(n *pg_query.Node) bool { return isStar(n.GetResTarget().GetVal()) }
	if i < 1 || i > len(sel.TargetList) || slices.ContainsFunc(sel.TargetList[:i], star) {
		return n
	}
	return sel.TargetList[i-1].GetResTarget().GetVal()
}

// outputNamed gives an output by its name; n where none is called so.
func outputNamed(sel *pg_query.SelectStmt, name string, n *pg_query.Node) *pg_query.Node {
	for _, t := range sel.TargetList {
		if rt := t.GetResTarget(); rt.Name == name {
			return rt.Val
		}
	}
	return n
}

// inherited tells whether other tables' rows come with a relation's, whose primary
// keys may be the same.
func (m *meter) inherited(rel *catalog.Relation) bool {
	return slices.ContainsFunc(m.engine.Catalog.Relations(), func(r *catalog.Relation) bool {
		return !r.Partition && slices.Contains(r.Parents, rel.OID)
	})
}

func (i *item) persons() (all []*person) {
	for _, p := range i.keys {
		all = append(all, p)
	}
	for _, w := range i.ways {
		all = append(all, w.who)
	}
	return all
}

// aggregatesOf gives the calls of aggregates of a level.
func (m *meter) aggregatesOf(sel *pg_query.SelectStmt) (calls []*pg_query.Node) {
	walkLevel(sel, func(n *pg_query.Node) {
		if m.isAggregate(n) && !slices.ContainsFunc(calls, func(o *pg_query.Node) bool { return parse.Equal(o, n) }) {
			calls = append(calls, n)
		}
	})
	return calls
}

// worth tells of how many of the rows that it merges a level's row tells at most.
// Of n rows, n numbers that mix them can tell n values: each counts as a row.
// bounded is false where it is not known.
func (m *meter) worth(sel *pg_query.SelectStmt, l *level) (rows int64, bounded bool) {
	bounded = true
	for _, n := range m.aggregatesOf(sel) {
		w, ok := m.tells(n.GetFuncCall(), l)
		rows += w
		bounded = bounded && ok
	}
	walkLevel(sel, func(n *pg_query.Node) {
		bounded = bounded && n.GetJsonObjectAgg() == nil && n.GetJsonArrayAgg() == nil
	})
	return rows, bounded
}

// tells gives of how many rows an aggregate's result tells. Numbers that can be
// weighted row by row, by an expression or by how often a join repeats a row, may
// hold any number of values one behind the other.
func (m *meter) tells(call *pg_query.FuncCall, l *level) (rows int64, bounded bool) {
	f, known := m.calls[call]
	foreign := func(f catalog.Func) bool { return f.Schema != "pg_catalog" }
	if !known || len(f.Found) == 0 || slices.ContainsFunc(f.Found, foreign) || call.AggWithinGroup {
		return 0, false
	}
	switch {
	case slices.Contains(countings, f.Name):
		bare := call.AggStar || len(call.Args) == 1 && call.Args[0].GetColumnRef() != nil
		if bare && call.AggFilter == nil {
			return 0, l.plain()
		}
		return 1, l.plain()
	case slices.Contains(pickings, f.Name):
		return 1, true
	case slices.Contains(summings, f.Name):
		return 1, l.plain() && len(call.Args) == 1 && m.summable(call.Args[0], l)
	default:
		return 0, false
	}
}

// summable tells whether what is summed up cannot be made to keep rows apart: a
// column as it is, or a product and the like of columns that are open and name
// nobody.
func (m *meter) summable(n *pg_query.Node, l *level) bool {
	if s := m.spot(n, l); s.of != nil || s.item != nil && s.item.ref != nil || s.item != nil && s.item.mixes(n) {
		return true
	}
	return m.arithmetic(n, true)
}

// mixes tells whether a column of a sub-select is a sum itself.
func (i *item) mixes(n *pg_query.Node) bool {
	fields := n.GetColumnRef().GetFields()
	return slices.ContainsFunc(i.outs, func(o output) bool { return o.mixed && o.name == fields[len(fields)-1].GetString_().GetSval() })
}

// claims notes to which level the aggregates of one belong: the innermost that
// their arguments are of.
func (m *meter) claims(sel *pg_query.SelectStmt, l *level) {
	for _, n := range m.aggregatesOf(sel) {
		var owner *level
		some, sure := false, true
		parse.Walk(n, func(msg proto.Message) bool {
			if node, ok := msg.(*pg_query.Node); ok && node.GetColumnRef() != nil {
				_, at, ok := m.find(node, l)
				some, sure = true, sure && ok
				if ok && (owner == nil || at.depth > owner.depth) {
					owner = at
				}
			}
			return true
		})
		if !some || owner == l {
			continue
		}
		for up := l.outer; up != nil; up = up.outer {
			up.beyond = up.beyond || up == owner || !sure
		}
	}
}

// arithmetic tells whether an expression is made of open columns that name nobody,
// of constants and the four operations. cases allows one CASE that chooses between
// such and nothing, as FILTER does.
func (m *meter) arithmetic(n *pg_query.Node, cases bool) bool {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		u, ok := m.uses[n]
		return ok && m.open(u) && !m.names(u.Ref.Relation, u.Column)
	case *pg_query.Node_AConst:
		return true
	case *pg_query.Node_TypeCast:
		return m.arithmetic(v.TypeCast.Arg, false)
	case *pg_query.Node_CoalesceExpr:
		return len(v.CoalesceExpr.Args) == 2 && m.arithmetic(v.CoalesceExpr.Args[0], cases) && v.CoalesceExpr.Args[1].GetAConst() != nil
	case *pg_query.Node_AExpr:
		op := v.AExpr.Name[len(v.AExpr.Name)-1].GetString_().GetSval()
		return v.AExpr.Kind == pg_query.A_Expr_Kind_AEXPR_OP && strings.Contains("+-*/", op) && len(op) == 1 &&
			(v.AExpr.Lexpr == nil || m.arithmetic(v.AExpr.Lexpr, false)) && m.arithmetic(v.AExpr.Rexpr, false)
	case *pg_query.Node_CaseExpr:
		e := v.CaseExpr
		none := e.Defresult == nil || isNothing(e.Defresult)
		return cases && e.Arg == nil && len(e.Args) == 1 && none && m.arithmetic(e.Args[0].GetCaseWhen().GetResult(), false)
	default:
		return false
	}
}

func isNothing(n *pg_query.Node) bool {
	c := n.GetAConst()
	return c != nil && (c.Isnull || c.GetIval() != nil && c.GetIval().Ival == 0)
}

// open tells whether a column of a relation is open.
func (m *meter) open(u resolve.Use) bool {
	return !u.Ref.Relation.Governed() || m.engine.class(u) == openClass
}

// names tells whether a column can be what single rows are asked for by: it leads
// to a subject, or is part of the primary key.
func (m *meter) names(rel *catalog.Relation, column int) bool {
	if !rel.Governed() || slices.Contains(rel.PrimaryKey, column) {
		return rel.Governed()
	}
	keys, _ := m.engine.Policy.SubjectKeys(rel)
	return slices.ContainsFunc(keys, func(k policy.SubjectKey) bool { return slices.Contains(k.Columns, rel.Columns[column].Name) })
}

// anonymous tells whether a level uses of a subject's rows only what is open and
// names nobody. Merged, they tell of nobody then.
func (m *meter) anonymous(p *person, l *level) bool {
	found := false
	for _, it := range l.items {
		about := slices.ContainsFunc(it.persons(), func(o *person) bool { return o.root() == p })
		if !about {
			continue
		}
		found = true
		if it.ref.Whole || it.ref.Row || len(it.ref.System) > 0 {
			return false
		}
		for column, used := range it.ref.Used {
			if used && (!m.open(resolve.Use{Ref: it.ref, Column: column}) || m.names(it.ref.Relation, column)) {
				return false
			}
		}
	}
	return found
}

// windowsOf gives the calls of window functions of a level.
func windowsOf(sel *pg_query.SelectStmt) (calls []*pg_query.Node) {
	walkLevel(sel, func(n *pg_query.Node) {
		if n.GetFuncCall().GetOver() != nil {
			calls = append(calls, n)
		}
	})
	return calls
}

// around gives whom the window functions of a level tell of beside its rows: each
// of those that look at other rows, of one more. Rows of the same subject tell of
// nobody else.
func (m *meter) around(sel *pg_query.SelectStmt, l *level, rows []*person) (more []*person) {
	for _, n := range windowsOf(sel) {
		call := n.GetFuncCall()
		times := m.window(call, l)
		if times == 0 {
			continue
		}
		same := m.keeps(partition(call.Over, sel), l)
		for _, p := range own(rows, l.depth) {
			if !same[p] {
				more = append(more, many([]*person{p}, times, l.depth)...)
			}
		}
	}
	return more
}

// window gives of how many other rows a window function tells.
func (m *meter) window(call *pg_query.FuncCall, l *level) int64 {
	name := m.calls[call].Name
	switch {
	case m.kindOf(call, 'w') && slices.Contains(lookingAround, name):
		return 1
	case m.kindOf(call, 'w'):
		return 0 // ranks
	}
	rows, bounded := m.tells(call, l)
	switch {
	case bounded:
		return rows
	case name == "count":
		return rows + 1
	default:
		return AnyNumber
	}
}

// partition gives what a window is partitioned by.
func partition(over *pg_query.WindowDef, sel *pg_query.SelectStmt) []*pg_query.Node {
	keys := over.PartitionClause
	for _, n := range sel.WindowClause {
		if w := n.GetWindowDef(); w.Name != "" && (w.Name == over.Name || w.Name == over.Refname) {
			keys = append(slices.Clone(keys), partition(&pg_query.WindowDef{PartitionClause: w.PartitionClause, Refname: w.Refname}, &pg_query.SelectStmt{WindowClause: before(sel.WindowClause, n)})...)
		}
	}
	return keys
}

// before gives the windows that one may be based on.
func before(windows []*pg_query.Node, n *pg_query.Node) []*pg_query.Node {
	return windows[:slices.Index(windows, n)]
}

// harmless tells whether all that a query gives is made of open columns that name
// nobody, so that whoever keeps it keeps nothing of anybody.
func (m *meter) harmless(n proto.Message) bool {
	fine := true
	parse.Walk(n, func(msg proto.Message) bool {
		sel, ok := msg.(*pg_query.SelectStmt)
		if ok {
			fine = fine && m.harmlessLists(sel.TargetList) && m.harmlessLists(sel.ValuesLists)
		}
		return fine
	})
	return fine
}

// harmlessLists tells so of expressions, but for the queries in them.
func (m *meter) harmlessLists(list []*pg_query.Node) bool {
	fine := true
	for _, n := range list {
		parse.Walk(n, func(msg proto.Message) bool {
			if node, ok := msg.(*pg_query.Node); ok && node.GetColumnRef() != nil {
				u, known := m.uses[node]
				fine = fine && known && m.open(u) && !m.names(u.Ref.Relation, u.Column)
			}
			_, query := msg.(*pg_query.SelectStmt)
			return fine && !query
		})
	}
	return fine
}
