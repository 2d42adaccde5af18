package ddl

import (
	"errors"
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// output is a column of a query's result or of one of its sources. Its name is
// empty where PostgreSQL makes one up in a way that we do not follow.
type output struct {
	name  string
	typ   catalog.Type
	table string // of a source's column: the alias by which it is reached; "" when joined by USING
}

// source is an item of FROM. Nothing is known of the columns of an opaque one,
// such as a function.
type source struct {
	alias   string
	columns []output
	opaque  bool
}

// scope is what the names in a query can mean.
type scope struct {
	outer   *scope
	ctes    map[string][]output
	sources []source
	star    []output // what * stands for
}

// query gives the columns of a query's result. It writes out every * in it,
// which means the columns of now and not those that a table gets later.
func (b *builder) query(sel *pg.SelectStmt, outer *scope) ([]output, error) {
	sc := &scope{outer: outer, ctes: map[string][]output{}}
	if err := b.ctes(sel.GetWithClause(), sc); err != nil {
		return nil, err
	}
	switch {
	case sel.GetOp() != pg.SetOperation_SETOP_NONE:
		return b.setOperation(sel, sc)
	case len(sel.GetValuesLists()) > 0:
		return nil, errors.New("VALUES is not supported in a view")
	case sel.GetIntoClause() != nil:
		return nil, errors.New("SELECT INTO is not supported")
	}
	for _, item := range sel.GetFromClause() {
		star, err := b.from(item, sc)
		if err != nil {
			return nil, err
		}
		sc.star = append(sc.star, star...)
	}
	return b.targets(sel, sc)
}

func (b *builder) ctes(with *pg.WithClause, sc *scope) error {
	for _, n := range with.GetCtes() {
		cte := n.GetCommonTableExpr()
		sel := cte.GetCtequery().GetSelectStmt()
		if sel == nil || cte.GetSearchClause() != nil || cte.GetCycleClause() != nil {
			return fmt.Errorf("WITH %s is not a plain query", cte.GetCtename())
		}
		names := texts(cte.GetAliascolnames())
		if with.GetRecursive() && sel.GetLarg() != nil {
			// A recursive query has the columns of its first arm.
			columns, err := b.query(sel.GetLarg(), sc)
			if err != nil {
				return err
			}
			sc.ctes[cte.GetCtename()] = rename(settled(columns, b), names)
		}
		columns, err := b.query(sel, sc)
		if err != nil {
			return err
		}
		sc.ctes[cte.GetCtename()] = rename(settled(columns, b), names)
	}
	return nil
}

func (b *builder) setOperation(sel *pg.SelectStmt, sc *scope) ([]output, error) {
	left, err := b.query(sel.GetLarg(), sc)
	if err != nil {
		return nil, err
	}
	right, err := b.query(sel.GetRarg(), sc)
	if err != nil {
		return nil, err
	}
	if len(left) != len(right) {
		return nil, errors.New("the arms of a set operation differ in their number of columns")
	}
	for i := range left {
		if left[i].typ, err = b.common([]catalog.Type{left[i].typ, right[i].typ}); err != nil {
			return nil, fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return left, nil
}

// targets types the select list. The result of a literal stays unknown, since
// it takes on the type that the other arm of a set operation has.
func (b *builder) targets(sel *pg.SelectStmt, sc *scope) ([]output, error) {
	var columns []output
	var list []*pg.Node
	for _, n := range sel.GetTargetList() {
		target := n.GetResTarget()
		if ref := target.GetVal().GetColumnRef(); isStar(ref) {
			star, err := sc.expand(ref)
			if err != nil {
				return nil, err
			}
			for _, c := range star {
				columns = append(columns, c)
				list = append(list, pg.MakeResTargetNodeWithVal(c.ref(), -1))
			}
			continue
		}
		t, err := b.typeOf(target.GetVal(), sc)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", len(columns)+1, err)
		}
		name := target.GetName()
		if name == "" {
			name = resultName(target.GetVal())
		}
		columns = append(columns, output{name: name, typ: t})
		list = append(list, n)
	}
	sel.TargetList = list
	return columns, nil
}

func isStar(ref *pg.ColumnRef) bool {
	fields := ref.GetFields()
	return len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil
}

// expand gives the columns that * or table.* stands for.
func (sc *scope) expand(ref *pg.ColumnRef) ([]output, error) {
	if len(ref.GetFields()) == 1 {
		if slices.ContainsFunc(sc.sources, func(s source) bool { return s.opaque }) {
			return nil, errors.New("* covers columns that are not known: name them")
		}
		return sc.star, nil
	}
	table := ref.GetFields()[0].GetString_().GetSval()
	s, err := sc.source(table)
	if err != nil || len(ref.GetFields()) > 2 {
		return nil, fmt.Errorf("%s.* is not supported: name the columns", table)
	}
	if s.opaque {
		return nil, fmt.Errorf("%s.* covers columns that are not known: name them", table)
	}
	return s.columns, nil
}

// ref names a source's column.
func (c output) ref() *pg.Node {
	fields := []*pg.Node{pg.MakeStrNode(c.name)}
	if c.table != "" {
		fields = append([]*pg.Node{pg.MakeStrNode(c.table)}, fields...)
	}
	return pg.MakeColumnRefNode(fields, -1)
}

// settled makes text of literals whose type nothing decided.
func settled(columns []output, b *builder) []output {
	for i := range columns {
		columns[i].typ = b.settle(columns[i].typ)
	}
	return columns
}

func (b *builder) settle(t catalog.Type) catalog.Type {
	if t.Name == "unknown" && t.Schema == "pg_catalog" {
		return b.systemType("text")
	}
	return t
}

// rename gives a source's columns the names of an alias's list, which may be
// shorter.
func rename(columns []output, names []string) []output {
	for i := range min(len(names), len(columns)) {
		columns[i].name = names[i]
	}
	return columns
}
