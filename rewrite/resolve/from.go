package resolve

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// from resolves a FROM clause into the items of scope s.
func (r *resolver) from(clause []*pg_query.Node, s *scope) error {
	for _, n := range clause {
		items, err := r.fromItem(n, s, s.items)
		if err != nil {
			return err
		}
		if err := distinctNames(s.items, items); err != nil {
			return err
		}
		s.items = append(s.items, items...)
	}
	return nil
}

// distinctNames refuses what PostgreSQL refuses: one name for two items,
// unless both are relations of different schemas without an alias.
func distinctNames(have, more []*item) error {
	for _, m := range more {
		for _, h := range have {
			if h.name == m.name && m.name != "" && (h.schema == m.schema || h.schema == "" || m.schema == "") {
				return &Error{Code: "42712", Message: fmt.Sprintf("table name %q specified more than once", m.name), Pos: -1}
			}
		}
	}
	return nil
}

// fromItem resolves one FROM item. left is what a LATERAL item may refer to.
func (r *resolver) fromItem(n *pg_query.Node, s *scope, left []*item) ([]*item, error) {
	lateral := &scope{parent: s.parent, items: left, ctes: s.ctes}
	switch v := n.Node.(type) {
	case *pg_query.Node_RangeVar:
		return one(r.rangeVar(n, v.RangeVar, s))
	case *pg_query.Node_RangeTableSample:
		return one(r.tableSample(n, v.RangeTableSample, s, lateral))
	case *pg_query.Node_RangeSubselect:
		inner := lateral
		if !v.RangeSubselect.Lateral {
			inner = &scope{parent: s.parent, ctes: s.ctes}
		}
		return one(r.rangeSubselect(v.RangeSubselect, inner))
	case *pg_query.Node_RangeFunction:
		return one(r.rangeFunction(v.RangeFunction, lateral))
	case *pg_query.Node_RangeTableFunc:
		return one(r.xmlTable(v.RangeTableFunc, lateral))
	case *pg_query.Node_JsonTable:
		return one(r.jsonTable(v.JsonTable, lateral))
	case *pg_query.Node_JoinExpr:
		return r.join(v.JoinExpr, s, left)
	default:
		return nil, unsupported("%T in FROM", n.Node)
	}
}

func one(it *item, err error) ([]*item, error) {
	if err != nil {
		return nil, err
	}
	return []*item{it}, nil
}

func (r *resolver) rangeVar(n *pg_query.Node, rv *pg_query.RangeVar, s *scope) (*item, error) {
	if rv.Schemaname == "" && rv.Catalogname == "" {
		if c := s.ctes.find(rv.Relname); c != nil {
			return r.cteItem(c, rv)
		}
	}
	rel, err := r.relation(rv)
	if err != nil {
		return nil, err
	}
	if rel.Kind == catalog.View && r.in.Expand != nil && r.in.Expand(rel) {
		return r.view(n, rv, rel)
	}
	ref := r.newRef(rel, rv, n)
	it := relationItem(ref)
	if names := rv.GetAlias().GetColnames(); len(names) > 0 {
		ref.Positional, ref.Renamed = true, true
		return it, it.rename(names)
	}
	return it, nil
}

// maxViews bounds how deep views stand on views.
const maxViews = 32

// view puts a view's query in its place and resolves that: with the names that
// it was made with, and nothing of the statement around it in sight.
func (r *resolver) view(n *pg_query.Node, rv *pg_query.RangeVar, rel *catalog.Relation) (*item, error) {
	if r.views++; r.views > maxViews {
		return nil, unsupported("a view %d views deep", maxViews)
	}
	defer func() { r.views-- }()
	query, err := parse.ParseOne(rel.Definition)
	if err != nil || query.GetSelectStmt() == nil || n.GetRangeVar() == nil {
		return nil, unsupported("the view %s", rel.QualifiedName())
	}
	alias := rv.Alias
	if alias == nil {
		alias = &pg_query.Alias{Aliasname: rv.Relname}
	}
	sub := &pg_query.RangeSubselect{Subquery: query, Alias: alias}
	n.Node = &pg_query.Node_RangeSubselect{RangeSubselect: sub}
	path := r.in.Path
	r.in.Path = []string{"pg_catalog"}
	it, err := r.rangeSubselect(sub, &scope{})
	r.in.Path = path
	if err != nil {
		return nil, err
	}
	if rv.Alias == nil {
		it.schema = rel.Schema
	}
	return it, nil
}

// relation finds the relation that a RangeVar names.
func (r *resolver) relation(rv *pg_query.RangeVar) (*catalog.Relation, error) {
	name := rv.Relname
	if rv.Schemaname != "" {
		name = rv.Schemaname + "." + name
	}
	if rv.Catalogname != "" && rv.Catalogname != r.in.Catalog.Database {
		return nil, &Error{Code: "0A000", Message: fmt.Sprintf("cross-database references are not implemented: \"%s.%s\"", rv.Catalogname, name), Pos: rv.Location}
	}
	if (rv.Schemaname == "" || rv.Schemaname == "pg_temp") && r.in.Temporary != nil {
		if rel := r.in.Temporary(rv.Relname); rel != nil {
			return rel, nil
		}
	}
	rel, ok := r.in.Catalog.Relation(r.in.Path, rv.Schemaname, rv.Relname)
	if !ok {
		return nil, &Error{Code: "42P01", Message: fmt.Sprintf("relation %q does not exist", name), Pos: rv.Location, Name: name}
	}
	if rel.Kind == catalog.CompositeType {
		return nil, &Error{Code: "42809", Message: fmt.Sprintf("cannot open relation %q", rv.Relname), Pos: rv.Location}
	}
	return rel, nil
}

func (r *resolver) cteItem(c *cte, rv *pg_query.RangeVar) (*item, error) {
	if err := r.resolveCTE(c); err != nil {
		return nil, err
	}
	if len(rv.GetAlias().GetColnames()) > 0 {
		byPosition(c.cols)
	}
	it := &item{name: rv.Relname, cols: derived(c.cols), opaque: c.opaque}
	if rv.Alias != nil {
		it.name = rv.Alias.Aliasname
	}
	return it, it.rename(rv.GetAlias().GetColnames())
}

func (r *resolver) tableSample(n *pg_query.Node, ts *pg_query.RangeTableSample, s, lateral *scope) (*item, error) {
	rv, ok := ts.Relation.Node.(*pg_query.Node_RangeVar)
	if !ok {
		return nil, unsupported("TABLESAMPLE of %T", ts.Relation.Node)
	}
	if err := r.exprs(ts.Args, lateral, UseFilter); err != nil {
		return nil, err
	}
	if err := r.expr(ts.Repeatable, lateral, UseFilter); err != nil {
		return nil, err
	}
	return r.rangeVar(n, rv.RangeVar, &scope{parent: s.parent})
}

func (r *resolver) rangeSubselect(sub *pg_query.RangeSubselect, inner *scope) (*item, error) {
	cols, opaque, err := r.subquery(sub.Subquery, inner)
	if err != nil {
		return nil, err
	}
	if len(sub.GetAlias().GetColnames()) > 0 {
		byPosition(cols)
	}
	it := &item{name: sub.GetAlias().GetAliasname(), cols: derived(cols), opaque: opaque}
	return it, it.rename(sub.GetAlias().GetColnames())
}

// rangeFunction resolves functions in FROM. Of a function that returns an
// anonymous record, or a type that is not known here, any column may be named.
func (r *resolver) rangeFunction(rf *pg_query.RangeFunction, lateral *scope) (*item, error) {
	it := &item{name: rf.GetAlias().GetAliasname()}
	for _, f := range rf.Functions {
		list := f.GetList().GetItems()
		if len(list) != 2 {
			return nil, unsupported("this form of function in FROM")
		}
		start := len(r.q.Funcs)
		if err := r.expr(list[0], lateral, UseOutput); err != nil {
			return nil, err
		}
		defs := list[1].GetList().GetItems()
		if len(defs) == 0 {
			defs = rf.Coldeflist
		}
		cols, opaque, err := r.functionColumns(list[0], defs, start, it.name, len(rf.Functions) > 1)
		if err != nil {
			return nil, err
		}
		if it.name == "" {
			it.name = OutputName(list[0])
		}
		it.cols = append(it.cols, cols...)
		it.opaque = it.opaque || opaque
	}
	if rf.Ordinality {
		it.cols = append(it.cols, column{name: "ordinality"})
	}
	return it, it.rename(rf.GetAlias().GetColnames())
}

// functionColumns gives the columns of one function in FROM. called is where
// r.q.Funcs stood before its call was resolved.
func (r *resolver) functionColumns(call *pg_query.Node, defs []*pg_query.Node, called int, alias string, several bool) ([]column, bool, error) {
	if len(defs) > 0 {
		return r.columnDefs(defs)
	}
	name := alias
	if name == "" || several {
		name = OutputName(call)
	}
	fc, ok := call.Node.(*pg_query.Node_FuncCall)
	if !ok {
		return []column{{name: name}}, false, nil
	}
	for _, f := range r.q.Funcs[called:] {
		if f.Call != fc.FuncCall {
			continue
		}
		if SeveralUnnested(f.Call) {
			return slices.Repeat([]column{{name: name}}, len(f.Call.Args)), false, nil
		}
		return r.resultColumns(f.Found, name)
	}
	return []column{{name: name}}, true, nil
}

func (r *resolver) columnDefs(defs []*pg_query.Node) ([]column, bool, error) {
	var cols []column
	for _, d := range defs {
		def := d.GetColumnDef()
		if def == nil {
			return nil, false, unsupported("%T as a column definition", d.Node)
		}
		if err := r.typeName(def.TypeName); err != nil {
			return nil, false, err
		}
		cols = append(cols, column{name: def.Colname})
	}
	return cols, false, nil
}

// resultColumns gives the columns that all of the functions return; where they
// differ, or the type is not a plain one, any column may be named.
func (r *resolver) resultColumns(found []catalog.Func, name string) ([]column, bool, error) {
	if len(found) == 0 {
		return []column{{name: name}}, true, nil
	}
	names := found[0].OutNames
	for _, f := range found {
		if f.RowType != 0 {
			rel, ok := r.in.Catalog.RelationByOID(f.RowType)
			if !ok || rel.Governed() {
				return nil, false, unsupported("function %s.%s, which returns rows of a governed relation,", f.Schema, f.Name)
			}
			names = names[:0:0]
			for _, c := range rel.Columns {
				names = append(names, c.Name)
			}
			continue
		}
		if !slices.Equal(f.OutNames, found[0].OutNames) {
			return nil, true, nil
		}
	}
	if len(names) == 0 {
		opaque := slices.ContainsFunc(found, func(f catalog.Func) bool { return !scalar(f.Returns) })
		return []column{{name: name}}, opaque, nil
	}
	cols := make([]column, len(names))
	for i, n := range names {
		cols[i] = column{name: n}
	}
	return cols, false, nil
}

// scalar tells whether a type surely has no columns: it is one of PostgreSQL's
// own, but neither record nor polymorphic.
func scalar(oid uint32) bool {
	const record, anyelement, anycompatible, firstUser = 2249, 2283, 5077, 16384
	return oid < firstUser && oid != record && oid != anyelement && oid != anycompatible
}

func (r *resolver) xmlTable(x *pg_query.RangeTableFunc, lateral *scope) (*item, error) {
	it := &item{name: x.GetAlias().GetAliasname()}
	if it.name == "" {
		it.name = "xmltable"
	}
	exprs := []*pg_query.Node{x.Docexpr, x.Rowexpr}
	for _, ns := range x.Namespaces {
		exprs = append(exprs, ns.GetResTarget().GetVal())
	}
	for _, n := range x.Columns {
		c := n.GetRangeTableFuncCol()
		if c.TypeName != nil {
			if err := r.typeName(c.TypeName); err != nil {
				return nil, err
			}
		}
		exprs = append(exprs, c.Colexpr, c.Coldefexpr)
		it.cols = append(it.cols, column{name: c.Colname})
	}
	if err := r.exprs(exprs, lateral, UseOutput); err != nil {
		return nil, err
	}
	return it, it.rename(x.GetAlias().GetColnames())
}

func (r *resolver) jsonTable(j *pg_query.JsonTable, lateral *scope) (*item, error) {
	it := &item{name: j.GetAlias().GetAliasname()}
	if it.name == "" {
		it.name = "json_table"
	}
	if err := r.jsonValue(j.ContextItem, lateral, UseOutput); err != nil {
		return nil, err
	}
	if err := r.exprs(j.Passing, lateral, UseOutput); err != nil {
		return nil, err
	}
	if err := r.jsonBehavior(j.OnError, lateral, UseOutput); err != nil {
		return nil, err
	}
	if err := r.jsonTableColumns(j.Columns, it, lateral); err != nil {
		return nil, err
	}
	return it, it.rename(j.GetAlias().GetColnames())
}

func (r *resolver) jsonTableColumns(cols []*pg_query.Node, it *item, lateral *scope) error {
	for _, n := range cols {
		c := n.GetJsonTableColumn()
		if c == nil {
			return unsupported("%T in JSON_TABLE", n.Node)
		}
		if c.TypeName != nil {
			if err := r.typeName(c.TypeName); err != nil {
				return err
			}
		}
		for _, b := range []*pg_query.JsonBehavior{c.OnEmpty, c.OnError} {
			if err := r.jsonBehavior(b, lateral, UseOutput); err != nil {
				return err
			}
		}
		if c.Coltype != pg_query.JsonTableColumnType_JTC_NESTED {
			it.cols = append(it.cols, column{name: c.Name})
		}
		if err := r.jsonTableColumns(c.Columns, it, lateral); err != nil {
			return err
		}
	}
	return nil
}

// derived makes the columns of a sub-select or CTE what those outside see.
func derived(cols []column) []column {
	out := slices.Clone(cols)
	for i := range out {
		out[i].base = false
	}
	return out
}
