package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// target gives the target of a write.
func (f *flow) target(n *pg_query.Node) *resolve.Target {
	i := slices.IndexFunc(f.query.Targets, func(t *resolve.Target) bool { return t.Stmt == n })
	f.met[f.query.Targets[i]] = true
	return f.query.Targets[i]
}

// column gives how a column of a relation is sealed by its name; nil when it is
// not. A blind column is pgveil's alone to write.
func (f *flow) column(rel *catalog.Relation, name string) *sealedColumn {
	columns := f.engine.seals.columns[rel]
	for i, of := range columns {
		switch {
		case of == nil:
		case rel.Columns[i].Name == name:
			return of
		case of.Blind && policy.BlindColumn(rel.Columns[i].Name) == name && f.err == nil && !f.again:
			f.err = refuseUnsupported("leave it out", "%s.%s holds what %s is found by, which pgveil writes", rel.QualifiedName(), name, of.Column)
		}
	}
	return nil
}

func (f *flow) insert(n *pg_query.Node, ins *pg_query.InsertStmt) {
	t := f.target(n)
	f.with(ins.WithClause)
	f.whole(t, ins.Cols)
	names := columnNames(ins.Cols, t.Ref.Relation)
	sel := ins.SelectStmt.GetSelectStmt()
	switch {
	case sel == nil: // DEFAULT VALUES
		f.lone, f.row = true, nil
	case len(sel.ValuesLists) > 0 && len(sel.SortClause) == 0 && sel.LimitCount == nil && sel.LimitOffset == nil:
		f.with(sel.WithClause)
		f.lone = len(sel.ValuesLists) > 1 || !f.multiplies() // PostgreSQL has no calls that give sets in several rows
		f.inserted(t, ins, names, sel)
	default:
		f.lone = false
		f.row = nil
		f.selected(t, names, sel)
	}
	if oc := ins.OnConflictClause; oc != nil {
		f.lone = f.lone && len(sel.GetValuesLists()) <= 1 // each row of VALUES may meet another
		if f.byKey = conflictsByKey(oc, t.Ref.Relation); !f.byKey || !f.lone {
			f.row = nil
		}
		f.set(t, oc.TargetList, func(more []*pg_query.Node) { oc.TargetList = append(oc.TargetList, more...) })
		f.walkIf(oc.WhereClause)
	}
	f.outputs(ins.ReturningList)
}

// whole demands that no part of a sealed column is named, as an element is.
func (f *flow) whole(t *resolve.Target, list []*pg_query.Node) {
	for _, n := range list {
		rt := n.GetResTarget()
		if len(rt.Indirection) == 0 || f.err != nil {
			continue
		}
		if of := f.column(t.Ref.Relation, rt.Name); of != nil {
			f.err = refuseUnsupported("give the whole new value", "%s is sealed: a part of it cannot be written", of.Column)
		}
	}
}

// columnNames gives the columns that a column list names, or those of the
// relation where there is none.
func columnNames(list []*pg_query.Node, rel *catalog.Relation) (names []string) {
	for _, n := range list {
		names = append(names, n.GetResTarget().GetName())
	}
	if len(list) == 0 {
		for _, c := range rel.Columns {
			names = append(names, c.Name)
		}
	}
	return names
}

// inserted follows the rows of VALUES.
func (f *flow) inserted(t *resolve.Target, ins *pg_query.InsertStmt, names []string, sel *pg_query.SelectStmt) {
	found := make([]string, len(names)) // the columns by which values of each are found, where there are any
	at := make([][]*sealAt, len(sel.ValuesLists))
	for r, row := range sel.ValuesLists {
		at[r] = make([]*sealAt, len(names))
		f.row = f.rowBy(t.Ref.Relation, func(column string) *pg_query.Node {
			if ins.Override == pg_query.OverridingKind_OVERRIDING_USER_VALUE {
				return nil // the server may number the row itself
			}
			if i := slices.Index(names, column); i >= 0 && i < len(row.GetList().GetItems()) {
				return row.GetList().Items[i]
			}
			return nil
		})
		for i, n := range row.GetList().GetItems() {
			if i >= len(names) {
				break // the server says so
			}
			of := f.column(t.Ref.Relation, names[i])
			if at[r][i] = f.assigned(t, of, names[i], n); at[r][i] != nil && of.Blind {
				found[i] = policy.BlindColumn(of.name())
			}
		}
	}
	if f.again || f.err != nil || !slices.ContainsFunc(found, func(name string) bool { return name != "" }) {
		return
	}
	if len(ins.Cols) == 0 {
		for _, name := range names[:min(len(names), len(sel.ValuesLists[0].GetList().Items))] {
			ins.Cols = append(ins.Cols, pg_query.MakeResTargetNodeWithName(name, -1))
		}
	}
	f.changed = true
	for i, name := range found {
		if name == "" {
			continue
		}
		ins.Cols = append(ins.Cols, pg_query.MakeResTargetNodeWithName(name, -1))
		for r, row := range sel.ValuesLists {
			row.GetList().Items = append(row.GetList().Items, f.foundBy(at[r][i]))
		}
	}
}

// foundBy gives what stands for what a value is found by; NULL where there is none.
func (f *flow) foundBy(at *sealAt) *pg_query.Node {
	if at == nil {
		return &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Isnull: true}}}
	}
	return f.blind(at)
}

// name is the column's own, without its relation's.
func (s *sealedColumn) name() string { return s.relation.Columns[s.index].Name }

// selected follows INSERT … SELECT, of which a sealed column takes a constant, or
// the values of a column that is sealed alike.
func (f *flow) selected(t *resolve.Target, names []string, sel *pg_query.SelectStmt) {
	constants := map[int]*pg_query.Node{}
	if sel.Op == pg_query.SetOperation_SETOP_NONE && len(sel.DistinctClause) == 0 {
		for i, n := range sel.TargetList {
			constants[i] = n.GetResTarget().GetVal()
		}
	}
	f.selects(sel)
	for i, c := range f.query.Gives[sel] {
		if i >= len(names) || f.err != nil {
			return
		}
		of, v := f.column(t.Ref.Relation, names[i]), f.carried(c)
		switch val := constants[i]; {
		case of == nil && v == nil:
		case of == nil:
			f.refuse(v, "stored in "+t.Ref.Relation.QualifiedName()+"."+names[i]+", which is not sealed")
		case v != nil:
			f.moved(of, v)
		case val != nil && len(sel.TargetList) == len(f.query.Gives[sel]) && resolve.IsConstant(val):
			if at := f.assigned(t, of, names[i], val); at != nil && of.Blind && f.err == nil {
				f.err = refuseUnsupported("give the value in VALUES", "INSERT … SELECT cannot fill what %s is found by", of.Column)
			}
		default:
			f.cannotSeal(of)
		}
	}
}

func (f *flow) cannotSeal(of *sealedColumn) {
	if f.err == nil {
		f.err = refuseUnsupported("give the value itself, as a literal or a parameter", "%s is sealed: what the server computes cannot be stored in it", of.Column)
	}
}

// moved demands that what is sealed for one place may be stored in another.
func (f *flow) moved(of *sealedColumn, v *value) {
	switch {
	case f.err != nil:
	case v.show.Show != policy.ShowClear:
		f.refuse(v, "copied where it is shown masked")
	case v.as().Domain != of.Domain || !alikeSealed(v.as(), of.Sealed):
		f.refuse(v, "stored in "+of.Column+", which is sealed differently")
	case of.Shred:
		f.refuse(v, "copied: the copy would share the key that an erasure destroys")
	case of.Row:
		f.refuse(v, "copied: it is bound to its row")
	case of.Blind:
		f.refuse(v, "copied: what it is found by is not known here")
	}
}

// assigned follows a value that is stored in a column. It gives the place where
// it is sealed; nil when nothing is.
func (f *flow) assigned(t *resolve.Target, of *sealedColumn, name string, n *pg_query.Node) *sealAt {
	if f.err != nil || n.GetSetToDefault() != nil {
		return nil
	}
	v := f.of(n)
	if of == nil {
		if v != nil {
			f.refuse(v, "stored in "+t.Ref.Relation.QualifiedName()+"."+name+", which is not sealed")
		} else {
			f.expr(n)
		}
		return nil
	}
	if show, _ := f.shows(resolve.Base{Ref: t.Ref, Column: t.Ref.Relation.ColumnIndex(name)}, of); show.Show != policy.ShowClear && f.err == nil {
		f.err = refuse("ask for a role that sees it", "%s is sealed and shown masked: what is written could be the mask", of.Column)
	}
	switch {
	case v != nil:
		f.as(n)
		if !f.isSame(t, of, n) {
			f.moved(of, v)
		}
	case n.GetAConst().GetIsnull() || n.GetTypeCast().GetArg().GetAConst().GetIsnull():
	case resolve.IsConstant(n) && n.GetAArrayExpr() == nil:
		f.shares(of)
		f.needsRow(of)
		at := f.hole(n, of.Sealed, false)
		if of.Row {
			at.row = f.row
		}
		return at
	default:
		f.cannotSeal(of)
	}
	return nil
}

// isSame tells whether a value is what the row holds already, or what the
// INSERT itself brought.
func (f *flow) isSame(t *resolve.Target, of *sealedColumn, n *pg_query.Node) bool {
	from := f.query.Carries[n].From
	return len(from) == 1 && from[0].Ref == t.Ref && f.engine.seals.of(from[0]) == of && !of.Blind && (!of.Row || isExcluded(n) && f.byKey)
}

func (f *flow) update(n *pg_query.Node, up *pg_query.UpdateStmt) {
	t := f.target(n)
	f.with(up.WithClause)
	f.row, f.lone = f.pins(t, up.WhereClause)
	f.byKey = false
	f.set(t, up.TargetList, func(more []*pg_query.Node) { up.TargetList = append(up.TargetList, more...) })
	f.from(up.FromClause)
	f.walkIf(up.WhereClause)
	f.outputs(up.ReturningList)
}

// set follows SET, and adds what blind columns are set to.
func (f *flow) set(t *resolve.Target, list []*pg_query.Node, add func([]*pg_query.Node)) {
	f.whole(t, list)
	f.keepsKey(t, list)
	var more []*pg_query.Node
	for _, n := range list {
		rt := n.GetResTarget()
		of := f.column(t.Ref.Relation, rt.Name)
		val, together := rt.Val, false
		if multi := val.GetMultiAssignRef(); multi != nil {
			row := multi.Source.GetRowExpr()
			if row == nil || int(multi.Colno) > len(row.Args) {
				f.multiple(of, multi)
				continue
			}
			val, together = row.Args[multi.Colno-1], true
		}
		at := f.assigned(t, of, rt.Name, val)
		if at != nil && together && f.err == nil {
			f.err = refuseUnsupported("write column = value for each", "%s is sealed: it cannot be set together with others", of.Column)
		}
		if of != nil && of.Blind && !f.again {
			more = append(more, pg_query.MakeResTargetNodeWithNameAndVal(policy.BlindColumn(of.name()), f.foundBy(at), -1))
		}
	}
	if f.err == nil && len(more) > 0 {
		f.changed = true
		add(more)
	}
}

// multiple follows (a, b) = (SELECT …), which stores nothing that is sealed.
func (f *flow) multiple(of *sealedColumn, m *pg_query.MultiAssignRef) {
	if of != nil {
		f.cannotSeal(of)
		return
	}
	for _, c := range f.query.Gives[m.Source.GetSubLink().GetSubselect().GetSelectStmt()] {
		if v := f.carried(c); v != nil {
			f.refuse(v, "stored in what is not sealed")
		}
	}
	f.walk(m)
}

func (f *flow) merge(n *pg_query.Node, m *pg_query.MergeStmt) {
	t := f.target(n)
	f.with(m.WithClause)
	f.from([]*pg_query.Node{m.SourceRelation})
	f.walkIf(m.JoinCondition)
	f.lone, f.row, f.byKey = false, nil, false
	for _, w := range m.MergeWhenClauses {
		when := w.GetMergeWhenClause()
		f.walkIf(when.Condition)
		switch when.CommandType {
		case pg_query.CmdType_CMD_UPDATE:
			f.set(t, when.TargetList, func(more []*pg_query.Node) { when.TargetList = append(when.TargetList, more...) })
		case pg_query.CmdType_CMD_INSERT:
			f.mergeInserts(t, when)
		}
	}
	f.outputs(m.ReturningList)
}

func (f *flow) mergeInserts(t *resolve.Target, when *pg_query.MergeWhenClause) {
	f.whole(t, when.TargetList)
	names := columnNames(when.TargetList, t.Ref.Relation)
	for i, n := range when.Values {
		if i >= len(names) {
			return
		}
		of := f.column(t.Ref.Relation, names[i])
		at := f.assigned(t, of, names[i], n)
		if of == nil || !of.Blind || at == nil || f.again {
			continue
		}
		if len(when.TargetList) == 0 {
			for _, name := range names[:len(when.Values)] {
				when.TargetList = append(when.TargetList, pg_query.MakeResTargetNodeWithName(name, -1))
			}
		}
		when.TargetList = append(when.TargetList, pg_query.MakeResTargetNodeWithName(policy.BlindColumn(of.name()), -1))
		when.Values = append(when.Values, f.blind(at))
	}
}

// sealCopy follows COPY of a table.
func (c *planner) sealCopy(cp *pg_query.CopyStmt, step int) error {
	rel, ok := c.engine.guessRelation(c.asked(), cp.Relation)
	if !ok {
		return c.sealUnseen(&pg_query.Node{Node: &pg_query.Node_CopyStmt{CopyStmt: cp}}, "COPY that cannot be followed")
	}
	if err := c.isAltered(rel); err != nil {
		return err
	}
	if c.engine.seals.columns[rel] == nil {
		return nil
	}
	if cp.IsProgram || cp.Filename != "" {
		if !cp.IsFrom {
			return nil // what is stored is what the file gets
		}
		return refuseUnsupported("use COPY FROM STDIN", "the server reads the file itself, and %s has sealed columns", rel.QualifiedName())
	}
	if cp.WhereClause != nil {
		return refuseUnsupported("leave WHERE out", "COPY FROM with WHERE cannot be followed while %s has sealed columns", rel.QualifiedName())
	}
	return c.sealCopied(cp, rel, step)
}

// sealCopied notes how the columns that COPY takes in or gives are sealed.
func (c *planner) sealCopied(cp *pg_query.CopyStmt, rel *catalog.Relation, step int) error {
	f := c.newFlow(&resolve.Query{})
	var names []string
	for _, n := range cp.Attlist {
		names = append(names, n.GetString_().GetSval())
	}
	if len(names) == 0 {
		for _, col := range rel.Columns {
			if !col.Generated {
				names = append(names, col.Name)
			}
		}
	}
	var opened []Opened
	taken := make([]*policy.Sealed, len(names))
	for i, name := range names {
		of := f.column(rel, name)
		if f.err != nil && !cp.IsFrom {
			f.err = nil // reading it is no harm
		}
		if of == nil {
			continue
		}
		taken[i] = of.Sealed
		opened = append(opened, Opened{Column: i, As: []*policy.Sealed{of.Sealed}, Show: policy.Treatment{Show: policy.ShowClear, Class: of.Class}})
		if show, _ := f.shows(resolve.Base{Ref: &resolve.Ref{Relation: rel}, Column: rel.ColumnIndex(name)}, of); cp.IsFrom && show.Show != policy.ShowClear {
			return refuse("ask for a role that sees it", "%s is sealed and shown masked: what is written could be the mask", of.Column)
		}
		if of.Blind && cp.IsFrom {
			return refuseUnsupported("use INSERT", "COPY FROM cannot fill what %s is found by", of.Column)
		}
	}
	if f.err != nil || len(opened) == 0 {
		return f.err
	}
	data, err := copyData(cp)
	if err != nil {
		return err
	}
	if !cp.IsFrom {
		taken = nil
		c.plan.seals().outputs(step, opened)
	}
	key, err := c.engine.seals.keyIn(rel, names)
	if cp.IsFrom && err != nil {
		return err
	}
	c.plan.seals().copies(step, &Copied{Data: data, Taken: taken, Key: key})
	return nil
}
