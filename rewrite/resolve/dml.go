package resolve

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// target resolves the relation that a statement writes. A CTE's name never
// means one.
func (r *resolver) target(stmt *pg_query.Node, rv *pg_query.RangeVar, command string) (*Target, *item, error) {
	rel, err := r.relation(rv)
	if err != nil {
		return nil, nil, err
	}
	t := &Target{Ref: r.newRef(rel, rv, nil), Command: command, Stmt: stmt}
	r.q.Targets = append(r.q.Targets, t)
	return t, relationItem(t.Ref), nil
}

func (r *resolver) insert(n *pg_query.Node, ins *pg_query.InsertStmt, outer *scope) ([]column, error) {
	s := outer.child()
	if err := r.with(ins.WithClause, s); err != nil {
		return nil, err
	}
	t, it, err := r.target(n, ins.Relation, "INSERT")
	if err != nil {
		return nil, err
	}
	if err := r.written(t, ins.Cols, s); err != nil {
		return nil, err
	}
	t.All = len(ins.Cols) == 0 && ins.SelectStmt != nil
	if ins.SelectStmt != nil {
		cols, opaque, err := r.subquery(ins.SelectStmt, s)
		if err != nil {
			return nil, err
		}
		byPosition(cols)
		if t.All && !opaque {
			// Values go to the first columns; the rest get their defaults.
			t.All = false
			for i := range min(len(cols), len(t.Ref.Relation.Columns)) {
				t.Columns = append(t.Columns, i)
			}
		}
	}
	s.items = []*item{it}
	if err := r.onConflict(ins.OnConflictClause, s, t); err != nil {
		return nil, err
	}
	return r.returning(&ins.ReturningList, s, t)
}

// onConflict resolves ON CONFLICT. What excluded shows is what the statement
// itself brought, so it has no sources.
func (r *resolver) onConflict(oc *pg_query.OnConflictClause, s *scope, t *Target) error {
	if oc == nil {
		return nil
	}
	if infer := oc.Infer; infer != nil {
		if err := r.inferred(infer, s); err != nil {
			return err
		}
	}
	excluded := &item{name: "excluded", onlyRef: true}
	for i, c := range t.Ref.Relation.Columns {
		excluded.cols = append(excluded.cols, column{name: c.Name, carries: Carried{From: []Base{{t.Ref, i}}}})
	}
	inner := &scope{parent: s.parent, ctes: s.ctes, items: []*item{s.items[0], excluded}}
	if err := r.assignments(t, oc.TargetList, inner); err != nil {
		return err
	}
	return r.predicate(oc.WhereClause, inner)
}

func (r *resolver) inferred(infer *pg_query.InferClause, s *scope) error {
	for _, n := range infer.IndexElems {
		e := n.GetIndexElem()
		if e == nil {
			return unsupported("%s in ON CONFLICT", nodeName(n))
		}
		if e.Name != "" {
			ref := &pg_query.ColumnRef{Fields: []*pg_query.Node{pg_query.MakeStrNode(e.Name)}, Location: -1}
			c, err := r.columnOf(ref, s)
			if err != nil {
				return err
			}
			r.use(c, UseInfer, nil, -1)
		}
		if err := r.expr(e.Expr, s, UseFilter); err != nil {
			return err
		}
	}
	return r.predicate(infer.WhereClause, s)
}

func (r *resolver) update(n *pg_query.Node, up *pg_query.UpdateStmt, outer *scope) ([]column, error) {
	s := outer.child()
	if err := r.with(up.WithClause, s); err != nil {
		return nil, err
	}
	t, it, err := r.target(n, up.Relation, "UPDATE")
	if err != nil {
		return nil, err
	}
	s.items = []*item{it}
	if err := r.joinedWith(up.FromClause, s); err != nil {
		return nil, err
	}
	if err := r.assignments(t, up.TargetList, s); err != nil {
		return nil, err
	}
	if err := r.targetWhere(up.WhereClause, s); err != nil {
		return nil, err
	}
	return r.returning(&up.ReturningList, s, t)
}

func (r *resolver) delete(n *pg_query.Node, del *pg_query.DeleteStmt, outer *scope) ([]column, error) {
	s := outer.child()
	if err := r.with(del.WithClause, s); err != nil {
		return nil, err
	}
	t, it, err := r.target(n, del.Relation, "DELETE")
	if err != nil {
		return nil, err
	}
	s.items = []*item{it}
	if err := r.joinedWith(del.UsingClause, s); err != nil {
		return nil, err
	}
	if err := r.targetWhere(del.WhereClause, s); err != nil {
		return nil, err
	}
	return r.returning(&del.ReturningList, s, t)
}

// joinedWith resolves what an UPDATE or DELETE joins its target with. The
// target itself is not visible to LATERAL items there.
func (r *resolver) joinedWith(clause []*pg_query.Node, s *scope) error {
	from := &scope{parent: s.parent, ctes: s.ctes}
	if err := r.from(clause, from); err != nil {
		return err
	}
	if err := distinctNames(s.items, from.items); err != nil {
		return err
	}
	s.items = append(s.items, from.items...)
	return nil
}

// targetWhere resolves the WHERE of an UPDATE or DELETE. A cursor's current row
// may be named by the statement as a whole only, since the session checks under
// whose access the cursor was opened.
func (r *resolver) targetWhere(where *pg_query.Node, s *scope) error {
	if where.GetCurrentOfExpr() == nil {
		return r.where(where, s)
	}
	if s.parent.parent != nil {
		return unsupported("WHERE CURRENT OF in WITH")
	}
	return nil
}

// assignments resolves SET.
func (r *resolver) assignments(t *Target, list []*pg_query.Node, s *scope) error {
	if err := r.written(t, list, s); err != nil {
		return err
	}
	return r.exprs(list, s, UseOutput)
}

// written notes the columns that a column list or SET names.
func (r *resolver) written(t *Target, list []*pg_query.Node, s *scope) error {
	for _, n := range list {
		rt := n.GetResTarget()
		if rt == nil {
			return unsupported("%s in a column list", nodeName(n))
		}
		i := t.Ref.Relation.ColumnIndex(rt.Name)
		if i < 0 {
			return &Error{Code: "42703", Message: fmt.Sprintf("column %q of relation %q does not exist", rt.Name, t.Ref.Relation.Name), Pos: rt.Location}
		}
		t.Columns = append(t.Columns, i)
		r.q.Uses = append(r.q.Uses, Use{Ref: t.Ref, Column: i, As: UseWrite, Pos: rt.Location})
		if len(rt.Indirection) > 0 {
			t.Parts = append(t.Parts, i)
		}
		for _, n := range rt.Indirection {
			if n.GetString_() != nil {
				continue
			}
			if err := r.expr(n, s, UseOutput); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *resolver) returning(list *[]*pg_query.Node, s *scope, t *Target) ([]column, error) {
	t.Returning = list
	cols, opaque, err := r.targetList(list, s, t)
	if opaque {
		return nil, unsupported("RETURNING * over a function whose columns are not known")
	}
	return cols, err
}

// spellOutStars replaces a * that covers the target by the target's columns,
// one by one, and name.* for whatever else it covers.
func (r *resolver) spellOutStars(list *[]*pg_query.Node, s *scope, t *Target) error {
	var out []*pg_query.Node
	for _, n := range *list {
		star, err := r.starItems(n.GetResTarget().GetVal().GetColumnRef(), s)
		if err != nil {
			return err
		}
		if star == nil {
			out = append(out, n)
		}
		for _, it := range star {
			if it.ref != t.Ref {
				out = append(out, resTarget(it.name, pg_query.MakeAStarNode()))
				continue
			}
			for _, c := range it.cols {
				col := resTarget(it.name, pg_query.MakeStrNode(c.name))
				out = append(out, col)
				t.Stars = append(t.Stars, col)
			}
		}
	}
	*list = out
	return nil
}

// starItems gives the named items that a star covers, nil when ref is none.
func (r *resolver) starItems(ref *pg_query.ColumnRef, s *scope) ([]*item, error) {
	if ref == nil || ref.Fields[len(ref.Fields)-1].GetAStar() == nil {
		return nil, nil
	}
	if len(ref.Fields) > 1 {
		it, err := r.namedItem(ref, ref.Fields[:len(ref.Fields)-1], s)
		if err != nil {
			return nil, err
		}
		return []*item{it}, nil
	}
	var named []*item
	columns := 0
	for _, it := range s.items {
		if it.name != "" && !it.onlyRef {
			named = append(named, it)
			columns += len(it.cols)
		}
	}
	if all, _ := visibleColumns(s.items); len(all) != columns {
		return nil, unsupported("RETURNING * over a join that merges columns")
	}
	return named, nil
}

func resTarget(name string, field *pg_query.Node) *pg_query.Node {
	return pg_query.MakeResTargetNodeWithVal(pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(name), field}, -1), -1)
}
