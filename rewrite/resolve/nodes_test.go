package resolve

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pgveil/pgveil/catalog"
)

// inExpressions are the members of the grammar's Node that expr knows, by the
// names of their messages. Everything else must be refused there.
var inExpressions = []string{
	"A_ArrayExpr", "A_Const", "A_Expr", "A_Indices", "A_Indirection", "BoolExpr", "BooleanTest", "CaseExpr", "CaseWhen",
	"CoalesceExpr", "CollateClause", "ColumnRef", "FuncCall", "GroupingFunc", "JsonArgument", "JsonArrayAgg",
	"JsonArrayConstructor", "JsonArrayQueryConstructor", "JsonFuncExpr", "JsonIsPredicate", "JsonKeyValue", "JsonObjectAgg",
	"JsonObjectConstructor", "JsonParseExpr", "JsonScalarExpr", "JsonSerializeExpr", "JsonValueExpr", "List", "MergeSupportFunc", "MinMaxExpr",
	"MultiAssignRef", "NamedArgExpr", "NullTest", "ParamRef", "ResTarget", "RowExpr", "SQLValueFunction", "SetToDefault",
	"SortBy", "SubLink", "TypeCast", "XmlExpr", "XmlSerialize",
}

// inFrom and inQueries are the same for FROM items and for statements that can
// stand where a query can.
var (
	inFrom    = []string{"JoinExpr", "JsonTable", "RangeFunction", "RangeSubselect", "RangeTableFunc", "RangeTableSample", "RangeVar"}
	inQueries = []string{"DeleteStmt", "InsertStmt", "MergeStmt", "SelectStmt", "UpdateStmt"}
)

// Every member of Node is handled where it is listed, and refused everywhere
// else: a grammar with a new member makes this test, not a statement, fail.
func TestEveryNodeIsHandledOrRefused(t *testing.T) {
	members := (&pg_query.Node{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields()
	seen := map[string]bool{}
	for i := range members.Len() {
		field := members.Get(i)
		name := string(field.Message().Name())
		seen[name] = true
		for _, place := range []struct {
			name  string
			known []string
			visit func(*resolver, *pg_query.Node) error
		}{
			{"an expression", inExpressions, func(r *resolver, n *pg_query.Node) error { return r.expr(n, &scope{}, UseOutput) }},
			{"FROM", inFrom, func(r *resolver, n *pg_query.Node) error { _, err := r.fromItem(n, &scope{}, nil); return err }},
			{"a query", inQueries, func(r *resolver, n *pg_query.Node) error { _, err := r.query(n, &scope{}); return err }},
		} {
			refused := refuses(place.visit, field)
			if known := slices.Contains(place.known, name); known == refused {
				t.Errorf("%s in %s: listed as known %v, refused %v", name, place.name, known, refused)
			}
		}
	}
	for _, name := range slices.Concat(inExpressions, inFrom, inQueries) {
		if !seen[name] {
			t.Errorf("%s is listed and not in the grammar", name)
		}
	}
}

// refuses visits an empty node of one kind. Known ones are expected to stumble
// over its emptiness, at worst; only an Unsupported that names the kind counts.
func refuses(visit func(*resolver, *pg_query.Node) error, field protoreflect.FieldDescriptor) (refused bool) {
	n := &pg_query.Node{}
	n.ProtoReflect().Set(field, n.ProtoReflect().NewField(field))
	r := &resolver{in: Input{Catalog: catalog.New(catalog.Parts{})}, q: &Query{}}
	defer func() {
		if recover() != nil {
			refused = false // it went on into the empty node
		}
	}()
	err := visit(r, n)
	var u *Unsupported
	if !errors.As(err, &u) {
		return false
	}
	return slices.Contains([]string{nodeName(n) + " in an expression", nodeName(n), fmt.Sprintf("%T in FROM", n.Node)}, u.What)
}
