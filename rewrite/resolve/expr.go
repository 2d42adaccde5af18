package resolve

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

func (r *resolver) exprs(list []*pg_query.Node, s *scope, as UseKind) error {
	for _, n := range list {
		if err := r.expr(n, s, as); err != nil {
			return err
		}
	}
	return nil
}

// predicate resolves a condition, and notes whether it is leaky.
func (r *resolver) predicate(n *pg_query.Node, s *scope) error {
	if err := r.expr(n, s, UseFilter); err != nil {
		return err
	}
	if n != nil && r.leaky(n, s) {
		r.q.Leaky = true
	}
	return nil
}

// expr resolves an expression. It knows every node that can stand in one and
// refuses the rest.
func (r *resolver) expr(n *pg_query.Node, s *scope, as UseKind) error {
	switch v := n.GetNode().(type) {
	case nil, *pg_query.Node_AConst, *pg_query.Node_ParamRef, *pg_query.Node_SqlvalueFunction,
		*pg_query.Node_SetToDefault, *pg_query.Node_MergeSupportFunc:
		return nil
	case *pg_query.Node_ColumnRef:
		return r.columnRef(n, v.ColumnRef, s, as)
	case *pg_query.Node_AExpr:
		r.operator(v.AExpr.Name)
		return r.exprs([]*pg_query.Node{v.AExpr.Lexpr, v.AExpr.Rexpr}, s, as)
	case *pg_query.Node_BoolExpr:
		return r.exprs(v.BoolExpr.Args, s, as)
	case *pg_query.Node_FuncCall:
		return r.funcCall(n, v.FuncCall, s, as)
	case *pg_query.Node_TypeCast:
		if err := r.typeName(v.TypeCast.TypeName); err != nil {
			return err
		}
		return r.expr(v.TypeCast.Arg, s, as)
	case *pg_query.Node_SubLink:
		return r.subLink(v.SubLink, s, as)
	case *pg_query.Node_CaseExpr:
		if err := r.exprs(v.CaseExpr.Args, s, as); err != nil {
			return err
		}
		return r.exprs([]*pg_query.Node{v.CaseExpr.Arg, v.CaseExpr.Defresult}, s, as)
	case *pg_query.Node_CaseWhen:
		return r.exprs([]*pg_query.Node{v.CaseWhen.Expr, v.CaseWhen.Result}, s, as)
	case *pg_query.Node_CoalesceExpr:
		return r.exprs(v.CoalesceExpr.Args, s, as)
	case *pg_query.Node_MinMaxExpr:
		return r.exprs(v.MinMaxExpr.Args, s, as)
	case *pg_query.Node_NullTest:
		return r.expr(v.NullTest.Arg, s, as)
	case *pg_query.Node_BooleanTest:
		return r.expr(v.BooleanTest.Arg, s, as)
	case *pg_query.Node_AArrayExpr:
		return r.exprs(v.AArrayExpr.Elements, s, as)
	case *pg_query.Node_AIndirection:
		return r.indirection(n, v.AIndirection, s, as)
	case *pg_query.Node_AIndices:
		return r.exprs([]*pg_query.Node{v.AIndices.Lidx, v.AIndices.Uidx}, s, as)
	case *pg_query.Node_RowExpr:
		return r.rowOf(v.RowExpr.Args, s, as)
	case *pg_query.Node_List:
		return r.exprs(v.List.Items, s, as)
	case *pg_query.Node_CollateClause:
		return r.expr(v.CollateClause.Arg, s, as)
	case *pg_query.Node_NamedArgExpr:
		return r.expr(v.NamedArgExpr.Arg, s, as)
	case *pg_query.Node_GroupingFunc:
		return r.exprs(v.GroupingFunc.Args, s, UseSort)
	case *pg_query.Node_MultiAssignRef:
		return r.expr(v.MultiAssignRef.Source, s, as)
	case *pg_query.Node_SortBy:
		r.operator(v.SortBy.UseOp)
		return r.expr(v.SortBy.Node, s, UseSort)
	case *pg_query.Node_ResTarget:
		return r.expr(v.ResTarget.Val, s, as)
	case *pg_query.Node_XmlExpr:
		if err := r.exprs(v.XmlExpr.NamedArgs, s, as); err != nil {
			return err
		}
		return r.exprs(v.XmlExpr.Args, s, as)
	case *pg_query.Node_XmlSerialize:
		if err := r.typeName(v.XmlSerialize.TypeName); err != nil {
			return err
		}
		return r.expr(v.XmlSerialize.Expr, s, as)
	default:
		return r.jsonExpr(n, s, as)
	}
}

// rowOf resolves what a row is made of, in ROW or VALUES: there name.* stands for
// columns, one by one, and not for a row.
func (r *resolver) rowOf(list []*pg_query.Node, s *scope, as UseKind) error {
	for _, n := range list {
		rows := len(r.q.Rows)
		if err := r.expr(n, s, as); err != nil {
			return err
		}
		if fields := n.GetColumnRef().GetFields(); len(fields) == 0 || fields[len(fields)-1].GetAStar() == nil {
			continue
		}
		if len(r.q.Targets) > 0 {
			return unsupported("* among the values of a row, in a statement that writes,")
		}
		r.q.Rows = r.q.Rows[:rows]
	}
	return nil
}

func (r *resolver) subLink(l *pg_query.SubLink, s *scope, as UseKind) error {
	r.operator(l.OperName)
	if err := r.expr(l.Testexpr, s, as); err != nil {
		return err
	}
	cols, _, err := r.subquery(l.Subselect, s)
	if r.outputs != nil {
		r.outputs[l] = cols
	}
	return err
}

// indirection resolves (expression).field and subscripts. The field of a
// relation's whole row is that column, and is written so.
func (r *resolver) indirection(n *pg_query.Node, a *pg_query.A_Indirection, s *scope, as UseKind) error {
	for _, i := range a.Indirection {
		if i.GetString_() != nil || i.GetAStar() != nil {
			continue
		}
		if err := r.expr(i, s, as); err != nil {
			return err
		}
	}
	ref, field := a.Arg.GetColumnRef(), a.Indirection[0].GetString_()
	if ref == nil || field == nil {
		return r.expr(a.Arg, s, as)
	}
	column, err := r.field(ref, field.Sval, s)
	if err != nil {
		return err
	}
	if column == nil {
		return r.expr(a.Arg, s, as)
	}
	if len(a.Indirection) > 1 {
		a.Arg, a.Indirection = column, a.Indirection[1:]
		return r.expr(column, s, as)
	}
	n.Node = column.Node
	return r.expr(n, s, as)
}

// field gives row.field as a reference to a column; nil when ref does not mean
// the row of something in FROM.
func (r *resolver) field(ref *pg_query.ColumnRef, field string, s *scope) (*pg_query.Node, error) {
	it, err := r.wholeRow(ref, s)
	if err != nil || it == nil {
		return nil, err
	}
	if _, ok := it.column(field); !ok {
		return nil, &Error{Code: "42703", Message: fmt.Sprintf("column %q not found in data type of %q", field, it.name), Pos: ref.Location, Name: field}
	}
	if it.name == "" {
		return nil, unsupported("a column of a row without a name")
	}
	fields := []*pg_query.Node{pg_query.MakeStrNode(it.name), pg_query.MakeStrNode(field)}
	return pg_query.MakeColumnRefNode(fields, ref.Location), nil
}

// columnRef resolves a reference to a column, or to a whole row.
func (r *resolver) columnRef(n *pg_query.Node, ref *pg_query.ColumnRef, s *scope, as UseKind) error {
	it, err := r.wholeRow(ref, s)
	if err != nil {
		return err
	}
	if it != nil {
		r.whole(it)
		if it.ref != nil {
			it.ref.Row = true
			r.q.Rows = append(r.q.Rows, Row{it.ref, n})
		}
		for _, c := range it.cols {
			r.use(c, UseStar, nil, ref.Location)
		}
		r.carriedRow(n, it)
		return nil
	}
	c, it, err := r.columnAndItem(ref, s)
	if err != nil {
		return err
	}
	r.use(c, as, n, ref.Location)
	r.carry(n, c.carries)
	return r.pin(ref, c, it, s)
}

// pin notes what a bare column name belongs to, so that it can be sent with
// that: a name which is resolved here to one thing must not come to mean
// another on the server. Columns that USING merged have no single owner, and
// nothing else can be meant by them.
func (r *resolver) pin(ref *pg_query.ColumnRef, c column, it *item, s *scope) error {
	if len(ref.Fields) != 1 || it == nil {
		return nil
	}
	name := it.name
	if name == "" {
		name = s.owner(it, c.name)
	}
	switch {
	case name == "":
		return nil
	case !s.hides(name, it):
		r.q.Bare = append(r.q.Bare, Bare{Node: ref, Owner: name})
		return nil
	case len(r.q.Targets) > 0:
		return unsupported("the name %q for two things, one inside the other, in a statement that writes,", name)
	default:
		return nil
	}
}

// owner gives the name of the one item that gave a join its column; "" when two
// were merged into it.
func (s *scope) owner(join *item, wanted string) (name string) {
	for level := s; level != nil; level = level.parent {
		if !slices.Contains(level.items, join) {
			continue
		}
		for _, it := range level.items {
			has := slices.ContainsFunc(it.cols, func(c column) bool { return c.name == wanted })
			if has && it.hidden && it.name != "" && !it.onlyRef {
				if name != "" {
					return ""
				}
				name = it.name
			}
		}
		return name
	}
	return ""
}

// hides tells whether something else has the name between a scope and the one
// that an item belongs to.
func (s *scope) hides(name string, it *item) bool {
	for level := s; level != nil; level = level.parent {
		if slices.Contains(level.items, it) {
			return false
		}
		if slices.ContainsFunc(level.items, func(i *item) bool { return i.name == name }) {
			return true
		}
	}
	return false
}

// wholeRow gives the item whose row a reference means: by "name" where no
// column is called so, or by "name.*". nil when it means a column.
func (r *resolver) wholeRow(ref *pg_query.ColumnRef, s *scope) (*item, error) {
	last := len(ref.Fields) - 1
	if ref.Fields[last].GetAStar() != nil {
		if last == 0 {
			return nil, unsupported("* outside a target list")
		}
		return r.namedItem(ref, ref.Fields[:last], s)
	}
	if last > 0 {
		return nil, nil
	}
	name := ref.Fields[0].GetString_().GetSval()
	_, it, ok, err := s.lookup(name, ref.Location)
	if err != nil || ok && it != nil {
		return nil, err
	}
	return s.item("", name, ref.Location)
}

// namedItem finds the item that [[catalog.]schema.]name means.
func (r *resolver) namedItem(ref *pg_query.ColumnRef, fields []*pg_query.Node, s *scope) (*item, error) {
	var parts []string
	for _, f := range fields {
		parts = append(parts, f.GetString_().GetSval())
	}
	if len(parts) == 3 && parts[0] == r.in.Catalog.Database {
		parts = parts[1:]
	}
	var it *item
	var err error
	switch len(parts) {
	case 1:
		it, err = s.item("", parts[0], ref.Location)
	case 2:
		it, err = s.item(parts[0], parts[1], ref.Location)
	default:
		return nil, unsupported("a name of %d parts", len(parts)+1)
	}
	if err != nil {
		return nil, err
	}
	if it == nil {
		return nil, &Error{Code: "42P01", Message: fmt.Sprintf("missing FROM-clause entry for table %q", parts[len(parts)-1]), Pos: ref.Location}
	}
	if len(fields) > 1 {
		r.q.Qualified = append(r.q.Qualified, Qualified{Ref: it.ref, Owner: it.name, Node: ref})
	}
	return it, nil
}

// columnOf finds the column that a reference means.
func (r *resolver) columnOf(ref *pg_query.ColumnRef, s *scope) (column, error) {
	c, _, err := r.columnAndItem(ref, s)
	return c, err
}

// columnAndItem finds the column that a reference means, and what in FROM has
// it; nil when that is not known.
func (r *resolver) columnAndItem(ref *pg_query.ColumnRef, s *scope) (column, *item, error) {
	last := len(ref.Fields) - 1
	name := ref.Fields[last].GetString_().GetSval()
	if name == "" {
		return column{}, nil, unsupported("%s in a column reference", nodeName(ref.Fields[last]))
	}
	if last == 0 {
		c, it, ok, err := s.lookup(name, ref.Location)
		if err != nil {
			return column{}, nil, err
		}
		if !ok {
			return column{}, nil, &Error{Code: "42703", Message: fmt.Sprintf("column %q does not exist", name), Pos: ref.Location, Name: name}
		}
		if it != nil && len(c.sources) == 0 {
			systemColumn(it, name)
		}
		return c, it, nil
	}
	it, err := r.namedItem(ref, ref.Fields[:last], s)
	if err != nil {
		return column{}, nil, err
	}
	c, ok := it.column(name)
	if !ok && !systemColumn(it, name) {
		return column{}, nil, &Error{Code: "42703", Message: fmt.Sprintf("column %s.%s does not exist", it.name, name), Pos: ref.Location, Name: name}
	}
	return c, it, nil
}

// systemColumn notes the use of a system column of a relation.
func systemColumn(it *item, name string) bool {
	if it.ref == nil || !slices.Contains(systemColumns, name) {
		return false
	}
	if !slices.Contains(it.ref.System, name) {
		it.ref.System = append(it.ref.System, name)
	}
	return true
}
