package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

const countRows = "(pg_catalog.count(*))::pg_catalog.text"

// addCount adds how many rows a row of the result was made of; of a statistic, how
// many subjects, where somebody limits those. These get the only one's key as well.
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
		}
	}
	if len(c.added) == 0 && (!s.nested && !s.endsOnly(sel) || limited && m.counts) {
		c.added = []added{{sql: countRows}}
	}
	if who := m.alone(sel); limited && !s.nested && len(c.added) > 0 && who != nil {
		return c.addLone(m, w, who)
	}
	return nil
}

// alone gives the subject of each row that a row of the result is made of, where it
// tells of nobody beside them: made of one's rows only, it tells of that one.
func (m *meter) alone(sel *pg_query.SelectStmt) *person {
	if m.group == nil || len(m.merged) != 1 || len(m.moved) > 0 {
		return nil
	}
	who, many := m.merged[0], int64(1)
	if !m.counts {
		worth, _ := m.worth(sel, m.group)
		many = max(1, worth)
	}
	reached := m.naming.Reached
	if who.each != 1 || !slices.Equal(m.naming.Charged, []Reached{{who.kind, many}}) || len(reached) != 1 || reached[0].Kind != who.kind || reached[0].Each == AnyNumber {
		return nil
	}
	return who
}

// addLone adds the key of the only subject that a row was made of, where a relation
// of FROM has it as it is. Of what an outer join did not find, some keys are NULL,
// and whose those rows are is not known.
func (c *planner) addLone(m *meter, w *work, who *person) error {
	for _, it := range m.group.items {
		if it.ref == nil {
			continue
		}
		rel := it.ref.Relation
		keys, _ := c.engine.Policy.SubjectKeys(rel)
		i := slices.IndexFunc(keys, func(k policy.SubjectKey) bool {
			p := it.keys[rel.ColumnIndex(k.Columns[0])]
			return len(k.Through) == 0 && p != nil && p.root() == who && namesByText(c.engine.Policy, rel, k)
		})
		if i < 0 || rel.Guarded || it.ref.Positional || it.ref.Joined || !c.shows(it.ref, w.views[it.ref], keys[i].Columns) {
			continue
		}
		x, err := keyExpression(keys[i])
		if err != nil {
			return err
		}
		key := "(" + x.over(it.ref.Alias) + ")"
		if held, _ := rel.Column(keys[i].Columns[0]); textOf(held.Type) != "integer" {
			key += `::pg_catalog.text COLLATE pg_catalog."C"` // other types have no least value, or one by rules of their own
		}
		c.added = append(c.added, added{kind: who.kind, lone: true, sql: fmt.Sprintf(lone, key)})
		return nil
	}
	return nil
}

// lone is the least of some keys that are all there and all the same.
const lone = "(CASE WHEN pg_catalog.count(%[1]s) OPERATOR(pg_catalog.=) pg_catalog.count(*) AND pg_catalog.min(%[1]s) OPERATOR(pg_catalog.=) pg_catalog.max(%[1]s) THEN pg_catalog.min(%[1]s) END)::pg_catalog.text"

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
