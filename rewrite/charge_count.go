package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

const countRows = "(pg_catalog.count(*))::pg_catalog.text"

// addCount adds how many rows a row of the result was made of; of a statistic, how
// many subjects, where somebody limits those.
func (c *planner) addCount(s *surveyor, m *meter, sel *pg_query.SelectStmt, w *work) error {
	limited := c.session.Access.Limits.CountSubjects()
	if !s.nested && m.statistic(sel) {
		sql, err := c.countSubjects(m, w, limited)
		if err != nil {
			return err
		}
		if sql != "" {
			s.naming.Statistic = true
			c.added = []added{{sql: sql}}
			return nil
		}
	}
	if !s.nested && !s.endsOnly(sel) || limited && m.counts {
		c.added = []added{{sql: countRows}}
	}
	return nil
}

// countSubjects gives what counts the subjects that a group is made of; "" where
// nothing does. In a subject's own table those are its rows.
func (c *planner) countSubjects(m *meter, w *work, limited bool) (string, error) {
	who := m.merged[0]
	for _, it := range m.group.items {
		if it.ref == nil || !slices.ContainsFunc(it.persons(), func(p *person) bool { return p.root() == who }) {
			continue
		}
		rel := it.ref.Relation
		keys, _ := c.engine.Policy.SubjectKeys(rel)
		if len(m.group.items) == 1 && len(keys) == 1 && len(rel.PrimaryKey) == 1 && len(keys[0].Through) == 0 && rel.Columns[rel.PrimaryKey[0]].Name == keys[0].Columns[0] {
			return countRows, nil
		}
		i := slices.IndexFunc(keys, func(k policy.SubjectKey) bool { return k.Kind == who.kind })
		if !limited || i < 0 || rel.Guarded || it.ref.Positional || it.ref.Joined || !mayFollow(rel, keys[i]) || !c.shows(it.ref, w.views[it.ref], keys[i].Columns) {
			continue
		}
		x, err := keyExpression(keys[i])
		if err != nil {
			return "", err
		}
		return "(pg_catalog.count(DISTINCT " + x.over(it.ref.Alias) + "))::pg_catalog.text", nil
	}
	return "", nil
}

// statistic tells whether a row of the result tells of nobody when it was made of
// many subjects: of rows of one kind, gathered by what is open alone, it gives
// numbers that mix them, be it of open columns, or only how many there are.
func (m *meter) statistic(sel *pg_query.SelectStmt) bool {
	groups, around := m.merges(sel)
	if m.group == nil || !groups || around || m.counts || len(m.merged) != 1 || !m.group.plain() {
		return false
	}
	worth, _ := m.worth(sel, m.group)
	if who := m.merged[0]; who.each != 1 || !slices.Equal(m.naming.Charged, []Reached{{who.kind, max(1, worth)}}) {
		return false
	}
	if !m.openOnly(m.groupKeys(sel, m.group)) || holdsQuery(sel) {
		return false
	}
	calls := m.aggregatesOf(sel)
	if len(calls) == 1 && m.isCount(calls[0].GetFuncCall()) {
		return m.keysAndCount(sel, calls[0])
	}
	return m.allOpen() && m.mixing(sel)
}

// isCount tells whether a call counts rows, or those with a value, without FILTER.
func (m *meter) isCount(call *pg_query.FuncCall) bool {
	return m.calls[call].Name == "count" && call.AggFilter == nil && (call.AggStar || len(call.Args) == 1 && call.Args[0].GetColumnRef() != nil)
}

// keysAndCount tells whether a query gives what it groups by and one count.
func (m *meter) keysAndCount(sel *pg_query.SelectStmt, count *pg_query.Node) bool {
	for _, n := range sel.TargetList {
		val := n.GetResTarget().GetVal()
		if !parse.Equal(val, count) && !m.openOnly([]*pg_query.Node{val}) {
			return false
		}
	}
	return true
}

// openOnly tells whether expressions look at open columns alone, and are no
// aggregates.
func (m *meter) openOnly(list []*pg_query.Node) bool {
	fine := true
	for _, n := range list {
		parse.Walk(n, func(msg proto.Message) bool {
			if node, ok := msg.(*pg_query.Node); ok && node.GetColumnRef() != nil {
				u, known := m.uses[node]
				fine = fine && known && m.open(u)
			} else if ok && m.isAggregate(node) {
				fine = false
			}
			return fine
		})
	}
	return fine
}

// allOpen tells whether the statement uses open columns alone.
func (m *meter) allOpen() bool {
	return !slices.ContainsFunc(m.query.Uses, func(u resolve.Use) bool { return !m.open(u) || u.Ref.Row })
}

// mixing tells whether the aggregates of a query mix columns that name nobody.
func (m *meter) mixing(sel *pg_query.SelectStmt) bool {
	for _, n := range m.aggregatesOf(sel) {
		call := n.GetFuncCall()
		if m.isCount(call) {
			continue
		}
		if !m.harmlessLists(append(slices.Clone(call.Args), call.AggFilter)) {
			return false
		}
	}
	return true
}

// holdsQuery tells whether a query's outputs, or what groups and sorts them, hold
// sub-selects.
func holdsQuery(sel *pg_query.SelectStmt) bool {
	found := false
	for _, n := range slices.Concat(sel.TargetList, sel.GroupClause, sel.SortClause, sel.DistinctClause, []*pg_query.Node{sel.HavingClause, sel.LimitCount, sel.LimitOffset}) {
		parse.Walk(n, func(msg proto.Message) bool {
			_, query := msg.(*pg_query.SelectStmt)
			found = found || query
			return !found
		})
	}
	return found
}
