package ddl

import (
	"errors"
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
)

// from adds an item of FROM to the scope and gives the columns that * takes
// from it.
func (b *builder) from(n *pg.Node, sc *scope) ([]output, error) {
	switch item := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		return b.fromRelation(item.RangeVar, sc)
	case *pg.Node_JoinExpr:
		return b.fromJoin(item.JoinExpr, sc)
	case *pg.Node_RangeSubselect:
		columns, err := b.query(item.RangeSubselect.GetSubquery().GetSelectStmt(), sc)
		if err != nil {
			return nil, err
		}
		return sc.add(item.RangeSubselect.GetAlias(), "", settled(columns, b)), nil
	case *pg.Node_RangeFunction:
		sc.sources = append(sc.sources, source{alias: item.RangeFunction.GetAlias().GetAliasname(), opaque: true})
		return nil, nil
	default:
		return nil, fmt.Errorf("%s in FROM is not supported", describe(n))
	}
}

func (b *builder) fromRelation(rv *pg.RangeVar, sc *scope) ([]output, error) {
	if rv.GetSchemaname() == "" {
		if columns, ok := sc.cte(rv.GetRelname()); ok {
			return sc.add(rv.GetAlias(), rv.GetRelname(), slices.Clone(columns)), nil
		}
	}
	r, err := b.relation(rv)
	if err != nil {
		return nil, err
	}
	columns := make([]output, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = output{name: c.Name, typ: c.Type}
	}
	return sc.add(rv.GetAlias(), rv.GetRelname(), columns), nil
}

// add makes a source of columns, under its alias or else its own name.
func (sc *scope) add(alias *pg.Alias, name string, columns []output) []output {
	if alias.GetAliasname() != "" {
		name = alias.GetAliasname()
	}
	columns = rename(columns, texts(alias.GetColnames()))
	for i := range columns {
		columns[i].table = name
	}
	sc.sources = append(sc.sources, source{alias: name, columns: columns})
	return columns
}

func (b *builder) fromJoin(j *pg.JoinExpr, sc *scope) ([]output, error) {
	if j.GetAlias() != nil || j.GetJoinUsingAlias() != nil {
		return nil, errors.New("the alias of a join is not supported")
	}
	left, err := b.from(j.GetLarg(), sc)
	if err != nil {
		return nil, err
	}
	right, err := b.from(j.GetRarg(), sc)
	if err != nil {
		return nil, err
	}
	using := texts(j.GetUsingClause())
	if j.GetIsNatural() {
		if slices.ContainsFunc(sc.sources, func(s source) bool { return s.opaque }) {
			return nil, errors.New("NATURAL JOIN with unknown columns is not supported")
		}
		for _, c := range left {
			if hasOutput(right, c.name) {
				using = append(using, c.name)
			}
		}
	}
	return b.merge(left, right, using)
}

// merge gives the columns of a join: those of USING first, once.
func (b *builder) merge(left, right []output, using []string) ([]output, error) {
	var columns []output
	for _, name := range using {
		l, err := oneOf(left, name)
		if err != nil {
			return nil, err
		}
		r, err := oneOf(right, name)
		if err != nil {
			return nil, err
		}
		t, err := b.common([]catalog.Type{l.typ, r.typ})
		if err != nil {
			return nil, fmt.Errorf("column %q of USING: %w", name, err)
		}
		columns = append(columns, output{name: name, typ: t})
	}
	for _, c := range slices.Concat(left, right) {
		if !slices.Contains(using, c.name) {
			columns = append(columns, c)
		}
	}
	return columns, nil
}

func hasOutput(columns []output, name string) bool {
	return slices.ContainsFunc(columns, func(c output) bool { return c.name == name })
}

// oneOf finds the one column of that name.
func oneOf(columns []output, name string) (output, error) {
	var found []output
	for _, c := range columns {
		if c.name == name {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return output{}, fmt.Errorf("column %q does not exist", name)
	case 1:
		return found[0], nil
	default:
		return output{}, fmt.Errorf("column %q is ambiguous", name)
	}
}

// cte finds the result of a WITH query of this or an outer query.
func (sc *scope) cte(name string) ([]output, bool) {
	for ; sc != nil; sc = sc.outer {
		if columns, ok := sc.ctes[name]; ok {
			return columns, true
		}
	}
	return nil, false
}

func (sc *scope) source(alias string) (source, error) {
	for ; sc != nil; sc = sc.outer {
		for _, s := range sc.sources {
			if s.alias == alias {
				return s, nil
			}
		}
	}
	return source{}, fmt.Errorf("there is no %q in FROM", alias)
}

// column finds what a column reference names, here or in an outer query.
func (sc *scope) column(ref *pg.ColumnRef) (output, error) {
	names := texts(ref.GetFields())
	if n := len(names); n > 1 {
		// With a schema before it, the table is still the one of that name.
		s, err := sc.source(names[n-2])
		if err != nil {
			return output{}, err
		}
		if s.opaque {
			return output{}, errUntyped
		}
		return oneOf(s.columns, names[n-1])
	}
	if len(names) == 0 {
		return output{}, errUntyped
	}
	for ; sc != nil; sc = sc.outer {
		if hasOutput(sc.star, names[0]) {
			return oneOf(sc.star, names[0])
		}
		if slices.ContainsFunc(sc.sources, func(s source) bool { return s.opaque }) {
			return output{}, errUntyped
		}
	}
	return output{}, fmt.Errorf("column %q does not exist", names[0])
}
