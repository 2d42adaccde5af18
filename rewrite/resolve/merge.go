package resolve

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// merge resolves MERGE. Its WHEN clauses see the target, the source or both, as
// setNamespaceForMergeWhen in parse_merge.c has it.
//
// The join condition is no WHERE: a row of the source that fails it is not gone
// but not matched. So no part of it may be moved into the source.
func (r *resolver) merge(n *pg_query.Node, m *pg_query.MergeStmt, outer *scope) ([]column, error) {
	s := outer.child()
	if err := r.with(m.WithClause, s); err != nil {
		return nil, err
	}
	t, it, err := r.target(n, m.Relation, "MERGE")
	if err != nil {
		return nil, err
	}
	source := &scope{parent: s.parent, ctes: s.ctes}
	if err := r.from([]*pg_query.Node{m.SourceRelation}, source); err != nil {
		return nil, err
	}
	if err := distinctNames([]*item{it}, source.items); err != nil {
		return nil, err
	}
	s.items = append(append(s.items, source.items...), it) // RETURNING * gives the source first
	if err := r.predicate(m.JoinCondition, s); err != nil {
		return nil, err
	}
	target := &scope{parent: s.parent, ctes: s.ctes, items: []*item{it}}
	for _, node := range m.MergeWhenClauses {
		when := node.GetMergeWhenClause()
		seen := map[pg_query.MergeMatchKind]*scope{
			pg_query.MergeMatchKind_MERGE_WHEN_MATCHED:               s,
			pg_query.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_TARGET: source,
			pg_query.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE: target,
		}[when.GetMatchKind()]
		if when == nil || seen == nil {
			return nil, unsupported("%s in MERGE", nodeName(node))
		}
		if err := r.mergeWhen(t, when, seen); err != nil {
			return nil, err
		}
	}
	return r.returning(&m.ReturningList, s, t)
}

// mergeWhen resolves one WHEN clause, whose expressions see s.
func (r *resolver) mergeWhen(t *Target, when *pg_query.MergeWhenClause, s *scope) error {
	if err := r.predicate(when.Condition, s); err != nil {
		return err
	}
	switch when.CommandType {
	case pg_query.CmdType_CMD_NOTHING, pg_query.CmdType_CMD_DELETE:
		return nil
	case pg_query.CmdType_CMD_UPDATE:
		return r.assignments(t, when.TargetList, s)
	case pg_query.CmdType_CMD_INSERT:
		if err := r.written(t, when.TargetList, s); err != nil {
			return err
		}
		if len(when.TargetList) == 0 {
			for i := range min(len(when.Values), len(t.Ref.Relation.Columns)) {
				t.Columns = append(t.Columns, i)
			}
		}
		return r.exprs(when.Values, s, UseOutput)
	default:
		return unsupported("%s in MERGE", when.CommandType)
	}
}
