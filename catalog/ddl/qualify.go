package ddl

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pgveil/pgveil/catalog"
)

// qualify puts schemas before the names in a view's query wherever they lie
// outside pg_catalog, as pg_get_viewdef does: what the view means must not
// depend on the search path of whoever reads its definition.
func (b *builder) qualify(sel *pg.SelectStmt) {
	qualifier{b}.walkSelect(sel, nil)
}

type qualifier struct{ b *builder }

// walk visits a tree; ctes are the names that WITH has given a meaning here.
func (q qualifier) walk(m protoreflect.Message, ctes []string) {
	switch n := m.Interface().(type) {
	case *pg.SelectStmt:
		q.walkSelect(n, ctes)
		return
	case *pg.RangeVar:
		q.relation(n, ctes)
	case *pg.FuncCall:
		n.Funcname = q.name(n.GetFuncname(), q.function)
	case *pg.TypeName:
		n.Names = q.name(n.GetNames(), q.typ)
	case *pg.A_Expr:
		n.Name = q.name(n.GetName(), q.operator)
	}
	q.walkFields(m, ctes)
}

func (q qualifier) walkFields(m protoreflect.Message, ctes []string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				q.walk(v.List().Get(i).Message(), ctes)
			}
		default:
			q.walk(v.Message(), ctes)
		}
		return true
	})
}

// walkSelect gives each WITH query the names of those before it, or, of
// recursive ones, of all.
func (q qualifier) walkSelect(sel *pg.SelectStmt, ctes []string) {
	with := sel.GetWithClause()
	ctes = slices.Clip(ctes)
	if with.GetRecursive() {
		for _, n := range with.GetCtes() {
			ctes = append(ctes, n.GetCommonTableExpr().GetCtename())
		}
	}
	for _, n := range with.GetCtes() {
		q.walk(n.GetCommonTableExpr().ProtoReflect(), ctes)
		ctes = append(slices.Clip(ctes), n.GetCommonTableExpr().GetCtename())
	}
	sel.WithClause = nil
	q.walkFields(sel.ProtoReflect(), ctes)
	sel.WithClause = with
}

func (q qualifier) relation(rv *pg.RangeVar, ctes []string) {
	if rv.GetSchemaname() != "" || slices.Contains(ctes, rv.GetRelname()) {
		return
	}
	if r, err := q.b.relation(rv); err == nil && r.Schema != "pg_catalog" {
		rv.Schemaname = r.Schema
	}
}

// name puts the schema before a name that the first schema of the search path
// to have it is not pg_catalog.
func (q qualifier) name(names []*pg.Node, has func(catalog.Name) bool) []*pg.Node {
	if len(names) != 1 {
		return names
	}
	for _, schema := range q.b.lookupPath() {
		if !has(catalog.Name{Schema: schema, Name: names[0].GetString_().GetSval()}) {
			continue
		}
		if schema != "pg_catalog" {
			return []*pg.Node{pg.MakeStrNode(schema), names[0]}
		}
		return names
	}
	return names
}

func (q qualifier) function(n catalog.Name) bool {
	return len(q.b.system.Funcs(nil, n.Schema, n.Name)) > 0 ||
		slices.ContainsFunc(q.b.funcs, func(f routine) bool { return f.Schema == n.Schema && f.Name == n.Name })
}

func (q qualifier) typ(n catalog.Name) bool {
	_, ok := q.b.types[n]
	return ok
}

func (q qualifier) operator(n catalog.Name) bool {
	return slices.Contains(q.b.system.OperatorSchemas(n.Name), n.Schema) || slices.Contains(q.b.operators, n)
}
