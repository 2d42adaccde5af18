package rewrite

import (
	"cmp"
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// The access log names the data subjects whose rows a statement returns or
// changes. Where the client asks for the column that holds their keys, the keys
// are read off the rows on their way. Where it does not, a plain query by a
// caller with restrictions gets that column in addition, behind the client's
// own, and it is taken off again. Where several rows become one, nobody can say
// whose they were, only how many at most.

// Naming says how the subjects are named whose rows one statement of a text
// returns or changes.
type Naming struct {
	Reached []Reached
	Added   []string  // kinds: behind the client's own columns the rows have the keys of subjects, as text
	Counted bool      // behind those, how many rows a row of the result was made of
	Lone    string    // kind: behind that, the key of the only subject whose rows those were; NULL where it was none, or several
	Images  []Imaging // of rows that it changes, in columns behind those
	Silent  bool      // the client gets no rows: the columns of those that come are all for naming, or images

	Uncounted bool // the server does not say how many rows there are

	// What limits count of the rows that the client gets. It is less than what
	// is reached: conditions tell little of those whom they leave out.
	Charged   []Reached // how many subjects a row discloses at most; where rows are counted and not Whole, each row that it was made of
	Tied      bool      // where a key is NULL, a row may be about somebody all the same: an outer join finds them by another, or it was grouped by something else
	Whole     bool      // Charged is of a row of the result, however many rows it was made of
	Statistic bool      // a row made of many discloses nobody: what is counted are subjects, each once
	Clear     []string  // the classes of which a row has values as they are
}

// Reached bounds how many subjects of a kind a row can be about.
type Reached struct {
	Kind string // or AnyKind
	Each int64  // of one row that is returned, changed or counted; AnyNumber
}

// AnyNumber says that nothing bounds the number.
const AnyNumber = -1

// AnyKind says that a text may be about subjects of every kind.
const AnyKind = "*"

// Naming gives how the subjects of one statement are named.
func (p *Plan) Naming(step int) *Naming {
	if step < len(p.Subjects) && p.Subjects[step] != nil {
		return p.Subjects[step]
	}
	return nobody
}

var nobody = &Naming{}

// Hidden tells how many columns of a row the client did not ask for.
func (n *Naming) Hidden() int {
	hidden := len(n.Added) + n.Pictured()
	if n.Counted {
		hidden++
	}
	if n.Lone != "" {
		hidden++
	}
	return hidden
}

// Pictured tells how many columns of a row are images.
func (n *Naming) Pictured() (columns int) {
	for _, i := range n.Images {
		if i.Before {
			columns++
		}
		if i.After {
			columns++
		}
	}
	return columns
}

func (n *Naming) equal(m *Naming) bool {
	return n == m || n != nil && m != nil && n.Counted == m.Counted && n.Lone == m.Lone && n.Silent == m.Silent && n.Uncounted == m.Uncounted &&
		n.Whole == m.Whole && n.Tied == m.Tied && n.Statistic == m.Statistic && slices.Equal(n.Charged, m.Charged) && slices.Equal(n.Clear, m.Clear) &&
		slices.Equal(n.Reached, m.Reached) && slices.Equal(n.Added, m.Added) && slices.EqualFunc(n.Images, m.Images, Imaging.equal)
}

// nobody tells whether a statement is about nobody.
func (n *Naming) nobody() bool {
	return len(n.Reached)+len(n.Images)+len(n.Charged)+len(n.Clear) == 0
}

// explained notes that the statement's rows do not come. What it copies, it does.
func (n *Naming) explained() {
	n.Clear = nil
	n.Charged = slices.DeleteFunc(n.Charged, func(r Reached) bool { return r.Each != AnyNumber })
}

// reach notes that a row is about so many subjects of a kind more.
func (n *Naming) reach(kind string, each int64) {
	i := slices.IndexFunc(n.Reached, func(r Reached) bool { return r.Kind == kind })
	switch {
	case i < 0:
		n.Reached = append(n.Reached, Reached{kind, each})
	case each == AnyNumber || n.Reached[i].Each == AnyNumber:
		n.Reached[i].Each = AnyNumber
	default:
		n.Reached[i].Each += each
	}
}

// blur notes that of how many subjects a row tells is not known.
func (n *Naming) blur() {
	for i := range n.Reached {
		n.Reached[i].Each = AnyNumber
	}
}

// Origin is a column of a table, as the server's descriptions of rows name it.
type Origin struct {
	Relation uint32 // OID
	Column   int16  // attnum
}

// keyColumns gives the columns that hold keys of subjects, each with its kinds.
func keyColumns(cat *catalog.Snapshot, set *policy.Set) map[Origin][]string {
	keys := map[Origin][]string{}
	for _, r := range cat.Relations() {
		if !r.Governed() {
			continue
		}
		of, _ := set.SubjectKeys(r)
		for _, k := range of {
			if c, ok := r.Column(k.Columns[0]); ok && len(k.Through) == 0 && namesByText(set, r, k) {
				at := Origin{r.OID, c.Num}
				keys[at] = append(keys[at], k.Kind)
			}
		}
	}
	return keys
}

// KeysOf gives the kinds of subject whose keys a column holds.
func (e *Engine) KeysOf(o Origin) []string { return e.keys[o] }

// added is a column behind the client's own.
type added struct {
	kind  string // "" for the count and for images
	lone  bool
	image bool
	sql   string
}

func (a added) counts() bool { return a.kind == "" && !a.image }

// subjects finds how the statement's subjects are named, and sees to it that
// what names them can be had. It runs before the tree is changed.
func (c *planner) subjects(w *work) error {
	if !c.engine.names {
		return nil
	}
	s := c.engine.survey(w.node, w.query)
	c.naming = s.naming
	m := s.meterOf(w.views)
	m.measure(w.node, c.keeps)
	if len(s.naming.Reached) > 0 && c.top && w.query.Outputs <= maxOutputs {
		if err := c.add(s, m, w); err != nil {
			return err
		}
	}
	if len(m.moved) > 0 {
		shown := len(*outputs(w.node)) > 0
		m.chargeMoved(shown || len(c.added) > 0, shown)
	}
	if s.groups && len(c.added) == 0 {
		s.naming.blur() // nobody counts what its rows are made of
	}
	if m.counts && !slices.ContainsFunc(c.added, added.counts) {
		s.naming.uncharted()
	}
	return nil
}

func (c *planner) add(s *surveyor, m *meter, w *work) error {
	switch v := w.node.Node.(type) {
	case *pg_query.Node_SelectStmt:
		return c.addToSelect(s, m, v.SelectStmt, w)
	case *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt:
		return c.addToWrite(s, w)
	default:
		return nil
	}
}

// maxOutputs is how many columns a statement may give for more to be added. The
// server takes 1664, with those that ORDER BY alone names.
const maxOutputs = 1600

// addToSelect adds what names the subjects to a plain query.
func (c *planner) addToSelect(s *surveyor, m *meter, sel *pg_query.SelectStmt, w *work) error {
	if sel.Op != pg_query.SetOperation_SETOP_NONE || len(sel.ValuesLists) > 0 || len(sel.FromClause) == 0 || s.blurs || countsBeyond(sel, w.query.Outputs) {
		return nil
	}
	if s.groups {
		return c.addCount(s, m, sel, w)
	}
	for _, ref := range s.direct {
		if err := c.addKeys(ref, w.views[ref], sel.TargetList, w.query); err != nil {
			return err
		}
	}
	return nil
}

// countsBeyond tells whether ORDER BY, GROUP BY or DISTINCT ON names a column by a
// number that the statement does not have, and would if some were added.
func countsBeyond(sel *pg_query.SelectStmt, outputs int) bool {
	var beyond func(n *pg_query.Node) bool
	beyond = func(n *pg_query.Node) bool {
		number := cmp.Or(n.GetSortBy().GetNode(), n).GetAConst().GetIval().GetIval()
		return int(number) > outputs || slices.ContainsFunc(n.GetGroupingSet().GetContent(), beyond)
	}
	return slices.ContainsFunc(slices.Concat(sel.SortClause, sel.GroupClause, sel.DistinctClause), beyond)
}

// addToWrite adds what names the subjects to the RETURNING of a write. A caller
// who may not read the table may not be able to.
func (c *planner) addToWrite(s *surveyor, w *work) error {
	i := slices.IndexFunc(w.query.Targets, func(t *resolve.Target) bool { return t.Stmt == w.node })
	if i < 0 {
		return nil
	}
	t := w.query.Targets[i]
	rel := t.Ref.Relation
	if rel.Kind != catalog.Table && rel.Kind != catalog.PartitionedTable || !w.views[t.Ref].access.Ops.Has(policy.Select) {
		return nil
	}
	asked := len(*t.Returning) > 0
	if err := c.addKeys(t.Ref, w.views[t.Ref], *t.Returning, w.query); err != nil {
		return err
	}
	s.naming.Silent = !asked && len(c.added) > 0
	return nil
}

// addKeys adds the keys of the subjects of a relation's rows that the client did
// not ask for itself, where they can be had.
func (c *planner) addKeys(ref *resolve.Ref, v *view, targets []*pg_query.Node, q *resolve.Query) error {
	rel := ref.Relation
	if !rel.Governed() || isTemporary(rel) || rel.Guarded || ref.Positional || ref.Joined {
		return nil
	}
	keys, ok := c.engine.Policy.SubjectKeys(rel)
	if !ok {
		return nil
	}
	for _, k := range keys {
		if len(k.Through) == 0 && asksFor(ref, rel.ColumnIndex(k.Columns[0]), v, targets, q) || !namesByText(c.engine.Policy, rel, k) || !mayFollow(rel, k) || !c.shows(ref, v, k.Columns) {
			continue
		}
		x, err := keyExpression(k)
		if err != nil {
			return err
		}
		c.added = append(c.added, added{kind: k.Kind, sql: "(" + x.over(ref.Alias) + ")::pg_catalog.text"})
	}
	return nil
}

// mayFollow tells whether whoever may read a relation may read all that a key is
// found by, all of its rows.
func mayFollow(rel *catalog.Relation, k policy.SubjectKey) bool {
	return !slices.ContainsFunc(k.Through, func(by policy.KeyColumns) bool {
		closed := func(reader uint32) bool { return !slices.Contains(by.Relation.Reached, reader) }
		return by.Relation.Guarded || !slices.Contains(by.Relation.Reached, 0) && slices.ContainsFunc(rel.Readers, closed)
	})
}

// asksFor tells whether a key is among what a statement gives, as it is.
func asksFor(ref *resolve.Ref, column int, v *view, targets []*pg_query.Node, q *resolve.Query) bool {
	return slices.ContainsFunc(targets, func(n *pg_query.Node) bool {
		val := n.GetResTarget().GetVal()
		fields := val.GetColumnRef().GetFields()
		if len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil {
			whose := len(fields) == 1 || fields[len(fields)-2].GetString_().GetSval() == ref.Alias
			return whose && (v.target || v.bare || shownClear(v.columns[column]))
		}
		return slices.ContainsFunc(q.Uses, func(u resolve.Use) bool {
			return u.Node != nil && u.Node == val && u.Ref == ref && u.Column == column && !u.Derived && (v.bare || shownClear(v.columns[column]))
		})
	})
}

// shows sees to it that what stands in a relation's place has some columns. It
// cannot where they are not shown as they are.
func (c *planner) shows(ref *resolve.Ref, v *view, columns []string) bool {
	for _, name := range columns {
		if i := ref.Relation.ColumnIndex(name); i < 0 || !v.target && !v.bare && !shownClear(v.columns[i]) {
			return false
		}
	}
	for _, name := range columns {
		if !v.target {
			ref.Used[ref.Relation.ColumnIndex(name)] = true
		}
	}
	return true
}

// keyExpression gives the expression of a subject's key.
func keyExpression(k policy.SubjectKey) (*expression, error) {
	node, err := canonical("SELECT " + k.SQL)
	if err != nil {
		return nil, fmt.Errorf("key of a %s: internal error: %w", k.Kind, err)
	}
	x, err := newExpression(node.GetSelectStmt().TargetList[0].GetResTarget().Val)
	if err != nil {
		return nil, fmt.Errorf("key of a %s: internal error: %w", k.Kind, err)
	}
	return x, nil
}

// addColumns writes the columns that name subjects into the text of a statement
// as it was decided. That nothing else of it changes is made certain.
func (c *planner) addColumns(sql string) (string, error) {
	if len(c.added) == 0 {
		return sql, nil
	}
	before, err := parse.ParseOne(sql)
	if err != nil {
		return "", fmt.Errorf("rewrite: internal error: %w", err)
	}
	at, lead := len(sql), " RETURNING "
	list := outputs(before)
	if before.GetSelectStmt() != nil {
		lead = " "
		if at, err = parse.TargetsEnd(sql); err != nil {
			return "", fmt.Errorf("rewrite: internal error: %w", err)
		}
	}
	if len(*list) > 0 {
		lead = ", "
	}
	var columns string
	for i, a := range c.added {
		columns += fmt.Sprintf("%s%s AS %s%d", lead, a.sql, keyPrefix, i)
		lead = ", "
		switch {
		case a.image: // as Images says
		case a.kind == "":
			c.naming.Counted = true
		case a.lone:
			c.naming.Lone = a.kind
		default:
			c.naming.Added = append(c.naming.Added, a.kind)
		}
	}
	changed := sql[:at] + columns + sql[at:]
	after, err := parse.ParseOne(changed)
	if err != nil {
		return "", fmt.Errorf("rewrite: internal error: %w", err)
	}
	more := outputs(after)
	if more == nil || len(*more) != len(*list)+len(c.added) {
		return "", fmt.Errorf("rewrite: internal error: columns that name subjects are not where they belong")
	}
	*more = slices.Clip((*more)[:len(*list)])
	if len(*more) == 0 {
		*more = nil
	}
	if !parse.Equal(before, after) {
		return "", fmt.Errorf("rewrite: internal error: columns that name subjects change the statement")
	}
	return changed, nil
}

// keyPrefix begins the names of columns that name subjects. Without names of
// their own they could be what ORDER BY means.
const keyPrefix = "pgveil_key_"

// outputs gives the list of what a statement gives; nil when it has none.
func outputs(n *pg_query.Node) *[]*pg_query.Node {
	switch v := n.Node.(type) {
	case *pg_query.Node_SelectStmt:
		return &v.SelectStmt.TargetList
	case *pg_query.Node_InsertStmt:
		return &v.InsertStmt.ReturningList
	case *pg_query.Node_UpdateStmt:
		return &v.UpdateStmt.ReturningList
	case *pg_query.Node_DeleteStmt:
		return &v.DeleteStmt.ReturningList
	default:
		return nil
	}
}

// named gives how the subjects of a decided statement are named. What EXPLAIN
// gives are no rows of anybody's, but it may change some.
func (c *planner) named(n *pg_query.Node) *Naming {
	if c.naming == nil || c.naming.nobody() {
		return nil
	}
	if n.GetExplainStmt() != nil {
		c.naming.explained()
		if c.plan.Steps[len(c.plan.Steps)-1].Effect&Writes == 0 {
			return nil
		}
		c.naming.blur()
	}
	return c.naming
}
