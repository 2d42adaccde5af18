package resolve

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// join resolves a join: the items of both sides, reachable by name only, and
// one item without a name for the join's own columns; or, under an alias, just
// one item of that name.
func (r *resolver) join(j *pg_query.JoinExpr, s *scope, left []*item) ([]*item, error) {
	firstRef := len(r.q.Refs)
	l, err := r.fromItem(j.Larg, s, left)
	if err != nil {
		return nil, err
	}
	middle := len(r.q.Refs)
	right, err := r.fromItem(j.Rarg, s, append(slices.Clone(left), l...))
	if err != nil {
		return nil, err
	}
	if err := distinctNames(l, right); err != nil {
		return nil, err
	}
	r.markNullable(j.Jointype, firstRef, middle)
	joined, usingItem, err := r.joinColumns(j, l, right)
	if err != nil {
		return nil, err
	}
	both := append(slices.Clone(l), right...)
	if usingItem != nil {
		both = append(both, usingItem)
	}
	on := &scope{parent: s.parent, items: both, ctes: s.ctes}
	if err := r.predicate(j.Quals, on); err != nil {
		return nil, err
	}
	if j.Alias != nil {
		for _, ref := range r.q.Refs[firstRef:] {
			ref.Joined = true
			ref.Renamed = ref.Renamed || len(j.Alias.Colnames) > 0
			ref.Positional = ref.Positional || ref.Renamed
		}
		joined.name = j.Alias.Aliasname
		if usingItem != nil {
			return nil, unsupported("a join with both an alias and an alias for its USING columns")
		}
		return []*item{joined}, joined.rename(j.Alias.Colnames)
	}
	for _, it := range both {
		it.hidden = true
	}
	return append(both, joined), nil
}

// markNullable notes which relations an outer join can fill up with NULLs: a
// condition on those cannot be moved from WHERE into them.
func (r *resolver) markNullable(kind pg_query.JoinType, first, middle int) {
	nullable := []*Ref{}
	switch kind {
	case pg_query.JoinType_JOIN_INNER:
	case pg_query.JoinType_JOIN_LEFT:
		nullable = r.q.Refs[middle:]
	case pg_query.JoinType_JOIN_RIGHT:
		nullable = r.q.Refs[first:middle]
	default:
		nullable = r.q.Refs[first:]
	}
	for _, ref := range nullable {
		ref.outer = true
	}
}

// joinColumns gives the join's own columns: those of USING or NATURAL first
// and once, then the rest of the left and of the right side.
func (r *resolver) joinColumns(j *pg_query.JoinExpr, left, right []*item) (*item, *item, error) {
	lcols, lopaque := visibleColumns(left)
	rcols, ropaque := visibleColumns(right)
	using, err := usingNames(j, lcols, rcols, lopaque || ropaque)
	if err != nil {
		return nil, nil, err
	}
	joined := &item{opaque: lopaque || ropaque}
	for _, name := range using {
		lc, err := mergeSide(name, lcols, "left", lopaque)
		if err != nil {
			return nil, nil, err
		}
		rc, err := mergeSide(name, rcols, "right", ropaque)
		if err != nil {
			return nil, nil, err
		}
		// The comparison that merges them is a condition like any other.
		r.q.Leaky = r.q.Leaky || !mergeable(lc, rc)
		r.use(lc, UseFilter, nil, -1)
		r.use(rc, UseFilter, nil, -1)
		joined.cols = append(joined.cols, column{name: name, sources: merge(slices.Clone(lc.sources), rc.sources...), plain: lc.plain && rc.plain, carries: lc.carries.or(rc.carries)})
		r.q.Merges = append(r.q.Merges, Merge{lc.carries, rc.carries})
	}
	var usingItem *item
	if j.JoinUsingAlias != nil {
		usingItem = &item{name: j.JoinUsingAlias.Aliasname, cols: slices.Clone(joined.cols), hidden: true}
	}
	for _, c := range append(slices.Clone(lcols), rcols...) {
		if !slices.Contains(using, c.name) {
			joined.cols = append(joined.cols, c)
		}
	}
	return joined, usingItem, nil
}

func usingNames(j *pg_query.JoinExpr, left, right []column, opaque bool) ([]string, error) {
	var names []string
	for _, n := range j.UsingClause {
		names = append(names, n.GetString_().GetSval())
	}
	if !j.IsNatural {
		return names, nil
	}
	if opaque {
		return nil, unsupported("NATURAL JOIN over a function whose columns are not known")
	}
	for _, l := range left {
		if slices.ContainsFunc(right, func(c column) bool { return c.name == l.name }) && !slices.Contains(names, l.name) {
			names = append(names, l.name)
		}
	}
	return names, nil
}

func mergeSide(name string, cols []column, side string, opaque bool) (column, error) {
	var found []column
	for _, c := range cols {
		if c.name == name {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return column{}, &Error{Code: "42702", Message: fmt.Sprintf("common column name %q appears more than once in %s table", name, side), Pos: -1}
	case opaque:
		return column{name: name}, nil
	default:
		return column{}, &Error{Code: "42703", Message: fmt.Sprintf("column %q specified in USING clause does not exist in %s table", name, side), Pos: -1}
	}
}

// visibleColumns gives the columns that * means over these items.
func visibleColumns(items []*item) (cols []column, opaque bool) {
	for _, it := range items {
		if !it.hidden && !it.onlyRef {
			cols = append(cols, it.cols...)
			opaque = opaque || it.opaque
		}
	}
	return cols, opaque
}
