package resolve

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// source is a column of a relation that something is made from.
type source struct {
	ref    *Ref
	column int
	star   bool // only as part of a whole row
}

// column is one column of something in FROM, or of a query's output.
type column struct {
	name    string
	sources []source
	base    bool // a relation's own column
	direct  bool // of an output: a column of a relation at the same level, as it is
	star    bool // of an output: a * brought it in
	plain   bool // a relation's own column, perhaps handed through by sub-selects
	carries Carried
}

// item is something in FROM that names can refer to.
type item struct {
	name    string // alias or relation name; "" when it has none
	schema  string // of unaliased relations
	cols    []column
	ref     *Ref // when it is a relation
	hidden  bool // its columns need the name before them: the item is a side of a join
	opaque  bool // may have columns that are not known
	onlyRef bool // cannot be referred to by * (excluded, old, new)
}

// scope is one level of a query: what its FROM brings, and what surrounds it.
type scope struct {
	parent *scope
	items  []*item
	ctes   *ctes
}

// ctes is a chain of WITH entries, innermost first.
type ctes struct {
	outer *ctes
	name  string
	cte   *cte
}

type cte struct {
	node      *pg_query.CommonTableExpr
	scope     *scope // what its query is resolved in
	cols      []column
	opaque    bool
	done      bool
	resolving bool
}

func (c *ctes) find(name string) *cte {
	for ; c != nil; c = c.outer {
		if c.name == name {
			return c.cte
		}
	}
	return nil
}

func (s *scope) child() *scope { return &scope{parent: s, ctes: s.ctes} }

// relationItem makes the FROM item of a relation.
func relationItem(ref *Ref) *item {
	it := &item{name: ref.Alias, ref: ref, cols: make([]column, len(ref.Relation.Columns))}
	if ref.Var.Alias == nil {
		it.schema = ref.Relation.Schema
	}
	for i, c := range ref.Relation.Columns {
		it.cols[i] = column{name: c.Name, sources: []source{{ref: ref, column: i}}, base: true, plain: true, carries: Carried{From: []Base{{ref, i}}}}
	}
	return it
}

// rename applies an alias's column names.
func (it *item) rename(names []*pg_query.Node) error {
	if len(names) > len(it.cols) {
		if it.opaque {
			for _, n := range names[len(it.cols):] {
				it.cols = append(it.cols, column{name: n.GetString_().GetSval()})
			}
		} else {
			return &Error{Code: "42P10", Message: fmt.Sprintf("table %q has %d columns available but %d columns specified", it.name, len(it.cols), len(names)), Pos: -1}
		}
	}
	if len(names) > 0 {
		it.cols = slices.Clone(it.cols)
	}
	for i, n := range names {
		it.cols[i].name = n.GetString_().GetSval()
	}
	return nil
}

var systemColumns = []string{"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"}

// IsSystemColumn tells whether a name is one of the columns that every table
// has.
func IsSystemColumn(name string) bool { return slices.Contains(systemColumns, name) }

// lookup finds an unqualified column name, innermost scope first, as
// colNameToVar in parse_relation.c does. ok is false when no scope has it.
//
// An item whose columns are not all known could have any column. A name that
// it could have and an outer scope does have is refused: the server may see it
// otherwise than this package would.
func (s *scope) lookup(name string, pos int32) (c column, it *item, ok bool, err error) {
	opaque := false
	for level := s; level != nil; level = level.parent {
		found := 0
		unknown := false
		for _, i := range level.items {
			if i.hidden || i.onlyRef {
				continue
			}
			unknown = unknown || i.opaque
			for _, col := range i.cols {
				if col.name == name {
					c, it = col, i
					found++
				}
			}
			if i.ref != nil && slices.Contains(systemColumns, name) {
				c, it = column{name: name}, i
				found++
			}
		}
		switch {
		case found > 1:
			return c, nil, false, &Error{Code: "42702", Message: fmt.Sprintf("column reference %q is ambiguous", name), Pos: pos}
		case found == 1 && opaque:
			return c, nil, false, unsupported("the name %q without what it belongs to, beside a function whose columns are not known,", name)
		case found == 1:
			return c, it, true, nil
		}
		opaque = opaque || unknown
	}
	return column{name: name}, nil, opaque, nil
}

// item finds a FROM item by the name that references use, innermost first.
func (s *scope) item(schema, name string, pos int32) (*item, error) {
	for level := s; level != nil; level = level.parent {
		var found *item
		for _, i := range level.items {
			if i.name != name || schema != "" && i.schema != schema {
				continue
			}
			if found != nil {
				return nil, &Error{Code: "42P09", Message: fmt.Sprintf("table reference %q is ambiguous", name), Pos: pos}
			}
			found = i
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, nil
}

func (it *item) column(name string) (column, bool) {
	for _, c := range it.cols {
		if c.name == name {
			return c, true
		}
	}
	return column{name: name}, it.opaque
}
