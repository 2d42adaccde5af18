package rewrite

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/mask"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// inner is what every generated sub-select calls its relation.
const inner = "pgveil_t"

// template is what one access sees of one relation, ready to be put together:
// the expressions of masked columns, and the condition on rows. It is shared
// between plans: nobody changes it.
type template struct {
	access  *policy.RelationAccess
	columns []shown
	where   *expression  // nil for every row
	byIndex *expression  // where in another form (see policy.Condition); nil when it has none
	byJoin  *expression  // likewise
	filter  map[int]bool // columns that the row filters look at
	joins   bool         // where holds a sub-select, which the server may make a join
	bare    bool         // nothing is hidden: every column is clear, and every row is seen
	least   least
}

// shown is one column of a template.
type shown struct {
	treatment policy.Treatment
	mask      *expression // of what is not the column itself; nil when it is, or when it is refused
}

// shownClear tells whether a column is shown as it is.
func shownClear(s shown) bool { return s.treatment.Show == policy.ShowClear && s.mask == nil }

type templateKey struct {
	access   uint64
	relation uint32
}

// template gives the access's view of a relation, made at its first use.
func (e *Engine) template(a *policy.Access, rel *catalog.Relation) (*template, error) {
	if isTemporary(rel) {
		return temporaryTemplate(rel), nil
	}
	key := templateKey{a.ID, rel.OID}
	if t, ok := e.templates.Load(key); ok {
		return t.(*template), nil
	}
	t, err := e.makeTemplate(a, rel)
	if err != nil {
		return nil, err
	}
	e.templates.Store(key, t)
	return t, nil
}

func (e *Engine) makeTemplate(a *policy.Access, rel *catalog.Relation) (*template, error) {
	ra := a.Relation(rel)
	if len(ra.Views) == 0 {
		return &template{access: ra, columns: make([]shown, len(rel.Columns))}, nil
	}
	t := &template{access: ra, columns: make([]shown, len(rel.Columns)), filter: map[int]bool{}}
	var targets []string
	for i := range rel.Columns {
		expr, treatment, err := e.columnExpr(ra, rel, i)
		if err != nil {
			return nil, err
		}
		t.columns[i].treatment = treatment
		if treatment.Visible() {
			targets = append(targets, expr+" AS "+quoteIdent(rel.Columns[i].Name))
		}
	}
	if err := e.leastSize(t, a, rel); err != nil {
		return nil, err
	}
	sql := "SELECT " + strings.Join(targets, ", ") + " FROM " + quoteIdent(rel.Schema) + "." + quoteIdent(rel.Name) + " AS " + inner
	where := rowCondition(ra, func(c policy.Condition) string { return c.ByRow })
	if where != "" {
		sql += " WHERE " + where
	}
	if err := e.fill(t, rel, sql); err != nil || t.where == nil || t.joins {
		return t, err
	}
	var err error
	if t.byIndex, err = e.otherForm(rel, where, rowCondition(ra, func(c policy.Condition) string { return c.ByIndex })); err != nil {
		return nil, err
	}
	t.byJoin, err = e.otherForm(rel, where, rowCondition(ra, func(c policy.Condition) string { return c.ByJoin }))
	return t, err
}

// otherForm gives the condition on rows in another form than that of the
// template; nil when both are the same.
func (e *Engine) otherForm(rel *catalog.Relation, where, form string) (*expression, error) {
	if form == where {
		return nil, nil
	}
	sel, err := e.understood(rel, "SELECT 1 FROM "+quoteIdent(rel.Schema)+"."+quoteIdent(rel.Name)+" AS "+inner+" WHERE "+form)
	if err != nil {
		return nil, err
	}
	return newExpression(sel.WhereClause)
}

// understood parses a query over a relation, names qualified.
func (e *Engine) understood(rel *catalog.Relation, sql string) (*pg_query.SelectStmt, error) {
	node, err := canonical(sql)
	if err != nil {
		return nil, fmt.Errorf("view of %s: internal error: %w", rel.QualifiedName(), err)
	}
	foldIntegers(node)
	q, err := resolve.Resolve(resolve.Input{Catalog: e.Catalog, Path: []string{"pg_catalog", rel.Schema}}, node)
	if err != nil {
		return nil, fmt.Errorf("view of %s: %w", rel.QualifiedName(), err)
	}
	for _, u := range q.Uses {
		if u.Ref != q.Refs[0] {
			continue
		}
		if u.Node != nil {
			setColumnRef(u.Node, inner, rel.Columns[u.Column].Name)
		}
	}
	pin(q)
	qualify(q)
	return node.GetSelectStmt(), nil
}

// fill makes the template of its text.
func (e *Engine) fill(t *template, rel *catalog.Relation, sql string) error {
	sel, err := e.understood(rel, sql)
	if err != nil {
		return err
	}
	if err := t.express(sel, rel); err != nil {
		return fmt.Errorf("view of %s: internal error: %w", rel.QualifiedName(), err)
	}
	t.bare = t.where == nil && !slices.ContainsFunc(t.columns, func(c shown) bool { return !shownClear(c) })
	if t.where == nil {
		return nil
	}
	t.joins = resolve.HoldsJoin(sel.WhereClause)
	q, err := resolve.Expr(resolve.Input{Catalog: e.Catalog, Path: []string{"pg_catalog"}}, rel, inner, sel.WhereClause)
	if err != nil {
		return fmt.Errorf("row filter of %s: %w", rel.QualifiedName(), err)
	}
	for _, u := range q.Uses {
		if e.seals.holds(u) {
			return fmt.Errorf("row filter of %s: it looks at %s, which is sealed", rel.QualifiedName(), rel.Columns[u.Column].Name)
		}
		t.filter[u.Column] = t.filter[u.Column] || u.Ref == q.Refs[0]
	}
	return nil
}

// express keeps the expressions of a template's query.
func (t *template) express(sel *pg_query.SelectStmt, rel *catalog.Relation) (err error) {
	if sel.WhereClause != nil {
		if t.where, err = newExpression(sel.WhereClause); err != nil {
			return err
		}
	}
	for i, n := 0, 0; i < len(t.columns); i++ {
		if !t.columns[i].treatment.Visible() {
			continue
		}
		val := sel.TargetList[n].GetResTarget().GetVal()
		n++
		if t.columns[i].treatment.Show == policy.ShowClear && isInner(val, rel.Columns[i].Name) {
			continue
		}
		if t.columns[i].mask, err = newExpression(val); err != nil {
			return err
		}
	}
	return nil
}

// isInner tells whether an expression is just a column of pgveil_t.
func isInner(n *pg_query.Node, column string) bool {
	fields := n.GetColumnRef().GetFields()
	return len(fields) == 2 && fields[0].GetString_().GetSval() == inner && fields[1].GetString_().GetSval() == column
}

// columnExpr gives the expression for a column: its value, a mask, or, where
// roles with different row filters show it differently, a CASE over them, the
// clearest first.
// A sealed column stands there as it is stored, and becomes what the caller sees
// once it is opened.
func (e *Engine) columnExpr(ra *policy.RelationAccess, rel *catalog.Relation, i int) (string, policy.Treatment, error) {
	views := clearestFirst(ra.Views, i)
	if of := e.seals.column(rel, i); of != nil {
		least := views[len(views)-1].Columns[i]
		if least.Show == policy.ShowAggregate {
			least.Show = policy.ShowRefuse
		}
		return e.stored(rel, i), least, nil
	}
	best := views[0].Columns[i]
	if best.Show == policy.ShowAggregate {
		return "", leastOf(views, i), nil
	}
	expr, err := treated(best, rel, i)
	if err != nil || best.Show == policy.ShowRefuse || alike(views, i) {
		return expr, best, err
	}
	var b strings.Builder
	b.WriteString("CASE")
	for _, v := range views {
		expr, err := treated(v.Columns[i], rel, i)
		if err != nil {
			return "", best, err
		}
		when := v.Rows
		if when == "" {
			when = "true"
		}
		fmt.Fprintf(&b, " WHEN (%s) THEN %s", when, expr)
	}
	b.WriteString(" END")
	best.Show, best.Match = policy.ShowMasked, policy.MatchMasked
	return b.String(), best, nil
}

func treated(t policy.Treatment, rel *catalog.Relation, i int) (string, error) {
	c := &rel.Columns[i]
	ref := inner + "." + quoteIdent(c.Name)
	switch t.Show {
	case policy.ShowClear:
		return ref, nil
	case policy.ShowMasked:
		return mask.Expr(t.Mask, t.Class, rel, c, ref)
	default: // refused: where another view shows it, this one's rows have none
		return "NULL::" + c.Type.SQL, nil
	}
}

func clearestFirst(views []policy.View, i int) []policy.View {
	sorted := slices.Clone(views)
	slices.SortStableFunc(sorted, func(a, b policy.View) int {
		x, y := a.Columns[i], b.Columns[i]
		if x.Show != policy.ShowMasked || y.Show != policy.ShowMasked {
			return cmp.Compare(y.Show, x.Show)
		}
		return cmp.Compare(y.Mask.Rank(), x.Mask.Rank())
	})
	return sorted
}

func alike(views []policy.View, i int) bool {
	for _, v := range views[1:] {
		if v.Columns[i].Show != views[0].Columns[i].Show || v.Columns[i].Mask != views[0].Columns[i].Mask {
			return false
		}
	}
	return true
}

// rowCondition gives the condition on rows: any view's filter, and what those
// say whose rows they are.
func rowCondition(ra *policy.RelationAccess, form func(policy.Condition) string) string {
	var any []string
	for _, v := range ra.Views {
		if v.Rows == "" {
			any = nil
			break
		}
		any = append(any, "("+v.Rows+")")
	}
	var all []string
	if len(any) > 0 {
		all = append(all, "("+strings.Join(any, " OR ")+")")
	}
	for _, c := range []policy.Condition{ra.Consent, ra.Restriction} {
		if kept := form(c); kept != "" {
			all = append(all, "("+kept+")")
		}
	}
	return strings.Join(all, " AND ")
}

// CheckFilter tells whether a policy's row filter can be used: a condition
// over the relation's columns that the catalog understands.
func CheckFilter(cat *catalog.Snapshot, expr string, rel *catalog.Relation) error {
	node, err := parse.ParseOne("SELECT 1 WHERE " + expr)
	if err != nil {
		return err
	}
	sel := node.GetSelectStmt()
	bare := &pg_query.SelectStmt{TargetList: sel.GetTargetList(), WhereClause: sel.GetWhereClause(), LimitOption: sel.GetLimitOption(), Op: sel.GetOp()}
	if sel == nil || !parse.Equal(sel, bare) {
		return fmt.Errorf("not a single condition")
	}
	_, err = resolve.Expr(resolve.Input{Catalog: cat, Path: []string{"pg_catalog", rel.Schema}}, rel, inner, sel.WhereClause)
	return err
}

// canonical parses a text into the tree that its deparsed form parses to, so
// that what is sent and parsed again can be compared with it.
func canonical(sql string) (*pg_query.Node, error) {
	node, err := parse.ParseOne(sql)
	if err != nil {
		return nil, err
	}
	if sql, err = parse.Deparse(node); err != nil {
		return nil, err
	}
	return parse.ParseOne(sql)
}

// reference gives a reference to a column of what is called alias.
func reference(alias, column string) *pg_query.Node {
	return pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeStrNode(alias), pg_query.MakeStrNode(column)}, -1)
}

func setColumnRef(n *pg_query.Node, alias, column string) { n.Node = reference(alias, column).Node }

// quoteIdent quotes a name so that it means just itself.
func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
