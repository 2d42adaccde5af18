package resolve

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// funcCall resolves a call and its arguments.
func (r *resolver) funcCall(n *pg_query.Node, f *pg_query.FuncCall, s *scope, as UseKind) error {
	schema, name, err := qualifiedName(f.Funcname, r.in.Catalog.Database)
	if err != nil {
		return err
	}
	candidates := r.in.Catalog.Funcs(r.in.Path, schema, name)
	found := Callable(candidates, f)
	if len(found) == 0 && SeveralUnnested(f) {
		found = candidates
	}
	if len(found) == 0 || r.namesType(found, schema, name) {
		if done, err := r.projection(n, f, schema, name, s, as); done || err != nil {
			return err
		}
	}
	if len(found) == 0 {
		if !r.coercion(f, schema, name) {
			return &Error{Code: "42883", Message: fmt.Sprintf("function %s does not exist", strings.TrimPrefix(schema+"."+name, ".")), Pos: f.Location, Name: name}
		}
	}
	r.q.Funcs = append(r.q.Funcs, Func{Call: f, Found: found, Name: name})
	if err := r.exprs(f.Args, s, as); err != nil {
		return err
	}
	if err := r.exprs(f.AggOrder, s, as); err != nil {
		return err
	}
	if err := r.expr(f.AggFilter, s, UseFilter); err != nil {
		return err
	}
	return r.window(f.Over, s)
}

// SeveralUnnested tells whether a call is unnest(a, b, …), which in FROM, and
// only by its bare name, means several calls side by side.
func SeveralUnnested(f *pg_query.FuncCall) bool {
	return len(f.Funcname) == 1 && f.Funcname[0].GetString_().GetSval() == "unnest" && len(f.Args) > 1
}

// Callable gives the functions that take as many arguments as the call has.
func Callable(all []catalog.Func, f *pg_query.FuncCall) []catalog.Func {
	n := len(f.Args)
	if f.AggWithinGroup {
		n += len(f.AggOrder)
	}
	var found []catalog.Func
	for _, c := range all {
		if n >= c.MinArgs && (n <= c.MaxArgs || c.MaxArgs < 0) || c.MaxArgs < 0 && n >= c.MinArgs-1 || f.AggStar && c.Kind == 'a' {
			found = append(found, c)
		}
	}
	return found
}

// projection handles column(row), which means row.column where no function is
// called so, and is written so.
func (r *resolver) projection(n *pg_query.Node, f *pg_query.FuncCall, schema, name string, s *scope, as UseKind) (bool, error) {
	if schema != "" || len(f.Args) != 1 || f.Args[0].GetColumnRef() == nil {
		return false, nil
	}
	it, err := r.wholeRow(f.Args[0].GetColumnRef(), s)
	if err != nil || it == nil {
		return false, err
	}
	if _, ok := it.column(name); !ok {
		return false, nil
	}
	column, err := r.field(f.Args[0].GetColumnRef(), name, s)
	if err != nil {
		return false, err
	}
	n.Node = column.Node
	return true, r.expr(n, s, as)
}

// namesType tells whether functions are PostgreSQL's own casts to a type, none
// of which takes a row: name, text, date.
func (r *resolver) namesType(found []catalog.Func, schema, name string) bool {
	return schema == "" && r.in.Catalog.HasType("pg_catalog", name) &&
		!slices.ContainsFunc(found, func(f catalog.Func) bool { return f.Schema != "pg_catalog" })
}

// coercion tells whether a call is a cast in the form of a function: type(x).
func (r *resolver) coercion(f *pg_query.FuncCall, schema, name string) bool {
	if len(f.Args) != 1 || f.AggStar || f.Over != nil {
		return false
	}
	if schema != "" {
		return r.in.Catalog.HasType(schema, name)
	}
	return r.in.Catalog.TypeSchema(r.in.Path, name) != ""
}

// typeName resolves a type's name.
func (r *resolver) typeName(t *pg_query.TypeName) error {
	if t == nil {
		return nil
	}
	if t.PctType {
		return unsupported("%%TYPE")
	}
	schema, name, err := qualifiedName(t.Names, r.in.Catalog.Database)
	if err != nil {
		return err
	}
	if schema == "" {
		schema = r.in.Catalog.TypeSchema(r.in.Path, name)
	}
	if !r.in.Catalog.HasType(schema, name) {
		return &Error{Code: "42704", Message: fmt.Sprintf("type %q does not exist", strings.TrimPrefix(schema+"."+name, ".")), Pos: t.Location, Name: name}
	}
	r.q.Types = append(r.q.Types, Type{Type: t, Schema: schema})
	return nil
}

// operator notes an operator's name, for the engine to look up.
func (r *resolver) operator(names []*pg_query.Node) {
	if len(names) == 0 {
		return
	}
	name := names[len(names)-1].GetString_().GetSval()
	if !slices.Contains(r.q.Operators, name) {
		r.q.Operators = append(r.q.Operators, name)
	}
}

// qualifiedName takes a list of strings apart.
func qualifiedName(names []*pg_query.Node, database string) (schema, name string, err error) {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = n.GetString_().GetSval()
	}
	if len(parts) == 3 && parts[0] == database {
		parts = parts[1:]
	}
	switch len(parts) {
	case 1:
		return "", parts[0], nil
	case 2:
		return parts[0], parts[1], nil
	default:
		return "", "", unsupported("the name %q", strings.Join(parts, "."))
	}
}
