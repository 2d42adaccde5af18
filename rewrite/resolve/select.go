package resolve

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// query resolves a statement that can stand where a query can: at the top, in
// a CTE, in a sub-select. It gives the output's columns.
func (r *resolver) query(n *pg_query.Node, s *scope) ([]column, error) {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_SelectStmt:
		cols, _, err := r.selectStmt(v.SelectStmt, s)
		return cols, err
	case *pg_query.Node_InsertStmt:
		return r.insert(n, v.InsertStmt, s)
	case *pg_query.Node_UpdateStmt:
		return r.update(n, v.UpdateStmt, s)
	case *pg_query.Node_DeleteStmt:
		return r.delete(n, v.DeleteStmt, s)
	case *pg_query.Node_MergeStmt:
		return r.merge(n, v.MergeStmt, s)
	default:
		return nil, unsupported("%s", nodeName(n))
	}
}

// subquery resolves a SELECT inside another statement.
func (r *resolver) subquery(n *pg_query.Node, outer *scope) ([]column, bool, error) {
	sel := n.GetSelectStmt()
	if sel == nil {
		return nil, false, unsupported("%s as a sub-select", nodeName(n))
	}
	return r.selectStmt(sel, outer)
}

func (r *resolver) selectStmt(sel *pg_query.SelectStmt, outer *scope) (cols []column, opaque bool, err error) {
	s := outer.child()
	if err := r.with(sel.WithClause, s); err != nil {
		return nil, false, err
	}
	if sel.IntoClause != nil {
		return nil, false, unsupported("SELECT INTO")
	}
	defer func() { r.gives(sel, cols) }()
	switch {
	case sel.Op != pg_query.SetOperation_SETOP_NONE:
		cols, opaque, err = r.setOperation(sel, s)
	case len(sel.ValuesLists) > 0:
		cols, err = r.values(sel, s)
	default:
		return r.plainSelect(sel, s)
	}
	if err != nil {
		return nil, false, err
	}
	// ORDER BY over a set operation or VALUES sees the output's columns only.
	out := &scope{parent: s, ctes: s.ctes, items: []*item{{cols: derived(cols), opaque: opaque}}}
	return cols, opaque, r.tail(sel, out, cols)
}

func (r *resolver) setOperation(sel *pg_query.SelectStmt, s *scope) ([]column, bool, error) {
	left, lopaque, err := r.selectStmt(sel.Larg, s)
	if err != nil {
		return nil, false, err
	}
	return r.setOperationRight(sel, left, lopaque, s)
}

func (r *resolver) values(sel *pg_query.SelectStmt, s *scope) ([]column, error) {
	var cols []column
	for _, row := range sel.ValuesLists {
		for i, v := range row.GetList().GetItems() {
			mark := len(r.q.Uses)
			if err := r.rowOf([]*pg_query.Node{v}, s, UseOutput); err != nil {
				return nil, err
			}
			if i == len(cols) {
				cols = append(cols, column{name: fmt.Sprintf("column%d", i+1)})
			}
			cols[i].carries = cols[i].carries.or(r.valueOf(v))
			cols[i].sources = merge(cols[i].sources, r.sourcesSince(mark)...)
		}
	}
	return cols, nil
}

func (r *resolver) plainSelect(sel *pg_query.SelectStmt, s *scope) ([]column, bool, error) {
	firstRef := len(r.q.Refs)
	if err := r.from(sel.FromClause, s); err != nil {
		return nil, false, err
	}
	if err := r.where(sel.WhereClause, s); err != nil {
		return nil, false, err
	}
	cols, opaque, err := r.targetList(&sel.TargetList, s, nil)
	if err != nil {
		return nil, false, err
	}
	if err := r.groupBy(sel, s, cols); err != nil {
		return nil, false, err
	}
	if err := r.predicate(sel.HavingClause, s); err != nil {
		return nil, false, err
	}
	for _, w := range sel.WindowClause {
		if err := r.window(w.GetWindowDef(), s); err != nil {
			return nil, false, err
		}
	}
	for _, d := range sel.DistinctClause {
		if d.GetNode() == nil {
			continue // plain DISTINCT
		}
		if err := r.sortKey(d, s, cols); err != nil {
			return nil, false, err
		}
	}
	if err := r.locking(sel.LockingClause, s, r.q.Refs[firstRef:]); err != nil {
		return nil, false, err
	}
	return cols, opaque, r.tail(sel, s, cols)
}

// tail resolves what may follow any query: ORDER BY, LIMIT, OFFSET.
func (r *resolver) tail(sel *pg_query.SelectStmt, s *scope, cols []column) error {
	for _, n := range sel.SortClause {
		sort := n.GetSortBy()
		if sort == nil {
			return unsupported("%s in ORDER BY", nodeName(n))
		}
		r.operator(sort.UseOp)
		if err := r.sortKey(sort.Node, s, cols); err != nil {
			return err
		}
	}
	return r.exprs([]*pg_query.Node{sel.LimitCount, sel.LimitOffset}, s, UseOutput)
}

// sortKey resolves an item of ORDER BY or DISTINCT ON: the name of an output
// column, its number, or an expression.
func (r *resolver) sortKey(n *pg_query.Node, s *scope, cols []column) error {
	if ref := n.GetColumnRef(); ref != nil && len(ref.Fields) == 1 {
		name := ref.Fields[0].GetString_().GetSval()
		if i := slices.IndexFunc(cols, func(c column) bool { return c.name == name }); i >= 0 && name != "" {
			r.carry(n, cols[i].carries)
			r.useDerived(cols[i], ref.Location)
			return nil
		}
	}
	if r.position(n, cols) {
		return nil
	}
	return r.expr(n, s, UseSort)
}

// position handles an output column's number where one can stand.
func (r *resolver) position(n *pg_query.Node, cols []column) bool {
	c := n.GetAConst()
	if c == nil || c.GetIval() == nil {
		return false
	}
	if i := int(c.GetIval().Ival); i >= 1 && i <= len(cols) {
		byPosition(cols[:i])
		r.carry(n, cols[i-1].carries)
		r.useDerived(cols[i-1], c.Location)
	}
	return true
}

// useDerived records that an output column is sorted or grouped by.
func (r *resolver) useDerived(c column, pos int32) {
	c.base = false
	mark := len(r.q.Uses)
	r.use(c, UseSort, nil, pos)
	for i := range r.q.Uses[mark:] {
		r.q.Uses[mark+i].direct = c.direct
	}
}

// groupBy resolves GROUP BY. A bare name is an input column first, an output
// column else.
func (r *resolver) groupBy(sel *pg_query.SelectStmt, s *scope, cols []column) error {
	g := Grouping{Select: sel}
	plain := len(sel.GroupClause) > 0
	for _, n := range sel.GroupClause {
		mark := len(r.q.Uses)
		if err := r.groupKey(n, s, cols); err != nil {
			return err
		}
		if n.GetGroupingSet() != nil {
			plain = false
		}
		if len(r.q.Uses) == mark+1 && (isColumnRef(n) && r.q.Uses[mark].Node != nil || r.q.Uses[mark].direct) {
			g.Columns = append(g.Columns, r.q.Uses[mark])
		}
	}
	if plain && len(g.Columns) > 0 {
		r.q.Groupings = append(r.q.Groupings, g)
	}
	return nil
}

func isColumnRef(n *pg_query.Node) bool { return n.GetColumnRef() != nil }

func (r *resolver) groupKey(n *pg_query.Node, s *scope, cols []column) error {
	if set := n.GetGroupingSet(); set != nil {
		for _, c := range set.Content {
			if err := r.groupKey(c, s, cols); err != nil {
				return err
			}
		}
		return nil
	}
	if row := n.GetRowExpr(); row != nil {
		for _, c := range row.Args {
			if err := r.groupKey(c, s, cols); err != nil {
				return err
			}
		}
		return nil
	}
	if ref := n.GetColumnRef(); ref != nil && len(ref.Fields) == 1 {
		name := ref.Fields[0].GetString_().GetSval()
		_, it, ok, err := (&scope{items: s.items}).lookup(name, ref.Location)
		if err != nil {
			return err
		}
		if !ok || it == nil {
			if i := slices.IndexFunc(cols, func(c column) bool { return c.name == name }); i >= 0 {
				r.carry(n, cols[i].carries)
				r.useDerived(cols[i], ref.Location)
				return nil
			}
		}
	}
	if r.position(n, cols) {
		return nil
	}
	return r.expr(n, s, UseSort)
}

// targetList resolves a SELECT list or RETURNING, and gives its columns. For
// RETURNING, target is what is written: a * over it is spelled out, because
// the target stays what it is.
func (r *resolver) targetList(list *[]*pg_query.Node, s *scope, target *Target) (cols []column, opaque bool, err error) {
	for _, n := range *list {
		if err := r.starOfRow(n.GetResTarget().GetVal(), s); err != nil {
			return nil, false, err
		}
	}
	if target != nil {
		if err := r.spellOutStars(list, s, target); err != nil {
			return nil, false, err
		}
	}
	for _, n := range *list {
		rt := n.GetResTarget()
		if rt == nil {
			return nil, false, unsupported("%s in a target list", nodeName(n))
		}
		if star, err := r.starColumns(rt.Val, s); err != nil {
			return nil, false, err
		} else if star != nil {
			for _, c := range star.cols {
				if c.base && slices.ContainsFunc(c.sources, func(src source) bool { return src.ref.Item == nil }) {
					return nil, false, unsupported("* over a relation that is written, in a query inside,")
				}
				r.use(c, UseStar, nil, rt.Location)
				c.star = c.star || c.base // what a query inside names cannot be missing
				c.carries.Made = c.carries.Made || len(c.carries.From) == 0
				cols = append(cols, derived([]column{c})...)
			}
			opaque = opaque || star.opaque
			continue
		}
		mark := len(r.q.Uses)
		as := UseOutput
		if target != nil && slices.Contains(target.Stars, n) {
			as = UseStar
		}
		c, err := r.outputColumn(rt, s, as, mark)
		if err != nil {
			return nil, false, err
		}
		cols = append(cols, c)
	}
	if len(cols) > maxColumns {
		return nil, false, &Error{Code: "54011", Message: fmt.Sprintf("target lists can have at most %d entries", maxColumns), Pos: -1}
	}
	return cols, opaque, nil
}

// maxColumns is MaxTupleAttributeNumber in PostgreSQL's htup_details.h.
const maxColumns = 1664

// byPosition notes that the columns of an output are told apart by where they
// stand, so that a * may leave none out.
func byPosition(cols []column) {
	for _, c := range cols {
		for _, src := range c.sources {
			if c.star {
				src.ref.Positional = true
			}
		}
	}
}

func (r *resolver) outputColumn(rt *pg_query.ResTarget, s *scope, as UseKind, mark int) (column, error) {
	rows := len(r.q.Rows)
	if err := r.expr(rt.Val, s, as); err != nil {
		return column{}, err
	}
	c := column{name: rt.Name, sources: r.sourcesSince(mark), carries: r.valueOf(rt.Val)}
	if c.name == "" {
		c.name = OutputName(rt.Val)
		// Deparsing may spell a constant without its cast, a mask may come in
		// place of a written target's column, and its columns in place of a row.
		if rt.Val.GetTypeCast().GetArg().GetAConst() != nil || len(r.q.Targets) > 0 || len(r.q.Rows) > rows {
			rt.Name = c.name
		}
	}
	if ref := rt.Val.GetColumnRef(); ref != nil {
		found, err := r.columnOf(ref, s)
		c.plain = err == nil && found.plain
		c.direct = err == nil && found.base && len(found.sources) == 1
	}
	return c, nil
}

// sourcesSince gives the columns used since there were mark uses.
func (r *resolver) sourcesSince(mark int) []source {
	var sources []source
	for _, u := range r.q.Uses[mark:] {
		sources = merge(sources, source{ref: u.Ref, column: u.Column, star: u.As == UseStar})
	}
	return sources
}

// merge adds sources that are not there yet: without that, expressions over
// expressions over one column would gather it without bounds.
func merge(sources []source, more ...source) []source {
	for _, s := range more {
		if !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	return sources
}

// starOfRow writes (name).*, where name means a row, as name.*.
func (r *resolver) starOfRow(n *pg_query.Node, s *scope) error {
	a := n.GetAIndirection()
	ref := a.GetArg().GetColumnRef()
	if ref == nil || len(a.Indirection) != 1 || a.Indirection[0].GetAStar() == nil {
		return nil
	}
	it, err := r.wholeRow(ref, s)
	if err != nil || it == nil || it.name == "" {
		return err
	}
	n.Node = pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(it.name), a.Indirection[0]}, ref.Location).Node
	return nil
}

// starColumns gives what a * or name.* in a target list stands for, nil when n
// is neither. Relations under it keep all of their columns.
func (r *resolver) starColumns(n *pg_query.Node, s *scope) (*item, error) {
	ref := n.GetColumnRef()
	if ref == nil || ref.Fields[len(ref.Fields)-1].GetAStar() == nil {
		return nil, nil
	}
	if len(ref.Fields) == 1 {
		if len(s.items) == 0 {
			return nil, &Error{Code: "42601", Message: "SELECT * with no tables specified is not valid", Pos: ref.Location}
		}
		for _, it := range s.items {
			r.whole(it)
		}
		cols, opaque := visibleColumns(s.items)
		return &item{cols: cols, opaque: opaque}, nil
	}
	it, err := r.namedItem(ref, ref.Fields[:len(ref.Fields)-1], s)
	if err != nil || it == nil {
		return nil, err // (composite).* is an expression
	}
	r.whole(it)
	return it, nil
}

// whole notes that every column of an item is wanted.
func (r *resolver) whole(it *item) {
	if it.ref != nil {
		it.ref.Whole = true
	}
	for _, c := range it.cols {
		for _, src := range c.sources {
			if c.base {
				src.ref.Whole = true
			}
		}
	}
}

// where resolves WHERE, setting apart the conjuncts that a match mode of
// equality could serve: those that look at the value and cannot fail.
func (r *resolver) where(clause *pg_query.Node, s *scope) error {
	for _, c := range Conjuncts(clause) {
		mark := len(r.q.Uses)
		if err := r.expr(c, s, UseFilter); err != nil {
			return err
		}
		conjunct := Conjunct{Node: c, Leaky: r.leaky(c, s), Local: true}
		ref := EqualityReference(c)
		for i := mark; i < len(r.q.Uses); i++ {
			u := &r.q.Uses[i]
			conjunct.Uses = append(conjunct.Uses, i)
			conjunct.Local = conjunct.Local && sameLevel(s, u.Ref)
			if ref != nil && !conjunct.Leaky && u.Node == ref && sameLevel(s, u.Ref) {
				u.As = UseEquality
				u.Match = &Match{Conjunct: c, Reference: ref, Nullable: u.Ref.outer}
			}
		}
		r.q.Leaky = r.q.Leaky || conjunct.Leaky
		r.q.Conjuncts = append(r.q.Conjuncts, conjunct)
	}
	return nil
}

func sameLevel(s *scope, ref *Ref) bool {
	return slices.ContainsFunc(s.items, func(it *item) bool { return it.ref == ref })
}

// Conjuncts gives what is AND-ed at the top of a condition.
func Conjuncts(n *pg_query.Node) []*pg_query.Node {
	if n == nil {
		return nil
	}
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg_query.BoolExprType_AND_EXPR {
		var all []*pg_query.Node
		for _, a := range b.Args {
			all = append(all, Conjuncts(a)...)
		}
		return all
	}
	return []*pg_query.Node{n}
}

// EqualityReference gives the reference in "col = constant", "constant = col",
// "col IN (constants)" and "col = ANY (constant)"; nil for anything else.
func EqualityReference(n *pg_query.Node) *pg_query.Node {
	e := n.GetAExpr()
	if e == nil || len(e.Name) != 1 || e.Name[0].GetString_().GetSval() != "=" {
		return nil
	}
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP:
		if isColumnRef(e.Lexpr) && IsConstant(e.Rexpr) {
			return e.Lexpr
		}
		if isColumnRef(e.Rexpr) && IsConstant(e.Lexpr) {
			return e.Rexpr
		}
	case pg_query.A_Expr_Kind_AEXPR_IN:
		if len(e.Rexpr.GetList().GetItems()) <= maxGuesses && isColumnRef(e.Lexpr) && !slices.ContainsFunc(e.Rexpr.GetList().GetItems(), func(n *pg_query.Node) bool { return !IsConstant(n) }) {
			return e.Lexpr
		}
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY:
		if isColumnRef(e.Lexpr) && IsConstant(e.Rexpr) && guesses(e.Rexpr) <= maxGuesses {
			return e.Lexpr
		}
	}
	return nil
}

// guesses counts the elements of an array that is written out. Any other may
// have any number.
func guesses(n *pg_query.Node) int {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().Arg
	}
	if a := n.GetAArrayExpr(); a != nil {
		return len(a.Elements)
	}
	return maxGuesses + 1
}

// maxGuesses bounds the constants that one equality compares with: each is a
// guess at a value that is hidden.
const maxGuesses = 10

// IsConstant tells whether an expression is a literal or parameter, perhaps
// cast, or an array of those.
func IsConstant(n *pg_query.Node) bool {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_AConst, *pg_query.Node_ParamRef:
		return true
	case *pg_query.Node_TypeCast:
		return IsConstant(v.TypeCast.Arg)
	case *pg_query.Node_AArrayExpr:
		return !slices.ContainsFunc(v.AArrayExpr.Elements, func(n *pg_query.Node) bool { return !IsConstant(n) })
	default:
		return false
	}
}

// locking resolves FOR UPDATE and kin.
func (r *resolver) locking(clauses []*pg_query.Node, s *scope, refs []*Ref) error {
	for _, n := range clauses {
		lock := n.GetLockingClause()
		if lock == nil {
			return unsupported("%s as a locking clause", nodeName(n))
		}
		if len(lock.LockedRels) == 0 {
			for _, ref := range refs {
				ref.Locked = true
			}
		}
		for _, l := range lock.LockedRels {
			it, err := s.item("", l.GetRangeVar().GetRelname(), -1)
			if err != nil {
				return err
			}
			if it != nil && it.ref != nil {
				it.ref.Locked = true
			}
		}
	}
	return nil
}

func (r *resolver) window(w *pg_query.WindowDef, s *scope) error {
	if w == nil {
		return nil
	}
	for _, o := range w.OrderClause {
		sort := o.GetSortBy()
		r.operator(sort.GetUseOp())
		if err := r.expr(sort.GetNode(), s, UseSort); err != nil {
			return err
		}
	}
	if err := r.exprs(w.PartitionClause, s, UseSort); err != nil {
		return err
	}
	return r.exprs([]*pg_query.Node{w.StartOffset, w.EndOffset}, s, UseOutput)
}
