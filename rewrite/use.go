package rewrite

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// view is what the caller sees through one reference.
type view struct {
	*template
	target  bool
	plain   bool                 // one of the system's own relations, open as it is
	bare    bool                 // the relation stands as it is: nothing of it is hidden
	matches []resolve.Use        // equalities that look at the value itself
	system  []string             // system columns to hand through
	fenced  bool                 // nothing outside may be evaluated before the condition on rows
	sub     *pg_query.SelectStmt // what stands in the relation's place

	aggregates []aggregate      // the calls that may use columns left to aggregates
	extra      []*pg_query.Node // outputs of the sub-select for those
}

// view finds what the caller sees of a relation, and refuses what the relation
// as a whole is not open for.
func (c *planner) view(ref *resolve.Ref, q *resolve.Query) (*view, error) {
	rel := ref.Relation
	if !rel.Governed() {
		return c.systemView(ref, q)
	}
	t, err := c.engine.template(c.session.Access, rel)
	if err != nil {
		return nil, err
	}
	if derives(rel) && ref.Item == nil {
		return nil, refuseUnsupported("write the tables that it is made from", "writing through the view %s is not open to callers with restrictions", rel.QualifiedName())
	}
	if derives(rel) && !c.session.Access.Discloses(rel.Schema, rel.Name) {
		return nil, refuse("ask the policy's owner to name it under discloses, and to class its columns",
			"%s holds what a query of its own found: which rows it shows may tell of what it hides", rel.QualifiedName())
	}
	v := &view{template: t, target: ref.Item == nil}
	if (ref.Whole || ref.Positional) && !slices.ContainsFunc(t.columns, func(s shown) bool { return s.treatment.Visible() }) {
		return nil, refuse(t.whyNothing(), "no column of %s is open to your roles and purpose", rel.QualifiedName())
	}
	if i := t.lost(ref); i >= 0 {
		return nil, c.refuseColumn(rel.QualifiedName()+"."+rel.Columns[i].Name, "left out where columns are told apart by position", t.columns[i].treatment)
	}
	if !v.target && !t.access.Ops.Has(policy.Select) {
		return nil, refuseRelation("read", rel.QualifiedName(), t.access.Because)
	}
	if ref.Locked && !t.access.Ops.Has(policy.Update) {
		return nil, refuseRelation("lock rows of", rel.QualifiedName(), t.access.Because)
	}
	for _, name := range ref.System {
		if !slices.Contains(openSystemColumns, name) {
			return nil, refuse("leave it out", "the system column %s.%s is not open to callers with restrictions", ref.Alias, name)
		}
		v.system = append(v.system, name)
	}
	v.fenced = t.fenced(q)
	// What * means is not left to the server: it may know of a new column.
	v.bare = t.bare && !v.target && !ref.Whole && !ref.Positional && !ref.Joined
	if ref.Whole && len(v.system) > 0 {
		return nil, refuseUnsupported("name the columns", "* beside a system column of %s is not supported for restricted callers", rel.QualifiedName())
	}
	if t.where != nil {
		c.plan.Decision = Masked
		c.plan.addReason("rows of " + rel.QualifiedName() + " are filtered")
	}
	return v, nil
}

// lost gives a refused column without which the names that an alias gives to
// columns would mean others; -1 when there is none.
func (t *template) lost(ref *resolve.Ref) int {
	named := len(t.columns)
	if names := ref.Var.GetAlias().GetColnames(); len(names) > 0 {
		named = min(named, len(names))
	}
	if !ref.Renamed {
		return -1
	}
	return slices.IndexFunc(t.columns[:named], func(s shown) bool { return !s.treatment.Visible() })
}

// fenced tells whether nothing of a query may be evaluated before the condition
// on rows.
func (t *template) fenced(q *resolve.Query) bool { return t.where != nil && (q.Leaky || t.joins) }

// openSystemColumns are the system columns that callers with restrictions may
// see. Where a row lies, and what deleted it, tells of other rows.
var openSystemColumns = []string{"xmin", "tableoid"}

// derives tells whether a relation's rows come from a query of the schema's,
// which runs with its owner's eyes.
func derives(rel *catalog.Relation) bool {
	return rel.Kind == catalog.View || rel.Kind == catalog.MaterializedView
}

// whyNothing gives a reason why columns are refused.
func (t *template) whyNothing() string {
	for _, c := range t.columns {
		if c.treatment.Because != "" {
			return c.treatment.Because
		}
	}
	return t.access.Because
}

func refuseRelation(what, relation, because string) *Refusal {
	if because == "" {
		because = "ask for a role that may"
	}
	return refuse(because, "your roles may not %s %s", what, relation)
}

// use decides one use of one column.
func (c *planner) use(u resolve.Use, v *view) error {
	if v.plain {
		return nil
	}
	if v.target && u.As == resolve.UseWrite {
		return nil // decided with the statement that writes
	}
	rel := u.Ref.Relation
	t := v.columns[u.Column].treatment
	name := rel.QualifiedName() + "." + rel.Columns[u.Column].Name
	if !t.Visible() {
		return c.useHidden(u, v, t, name)
	}
	if v.target && u.Node == nil && !u.Derived && u.As != resolve.UseInfer && u.As != resolve.UseStar && t.Show != policy.ShowClear {
		// Nothing stands there that a mask could replace.
		return refuseUnsupported("name the columns", "the whole row of %s cannot be used so while it is written", rel.QualifiedName())
	}
	if rel.Governed() && !isTemporary(rel) {
		c.plan.addColumn(ColumnUse{Name: name, Class: t.Class, Show: showName(t), Rule: t.Rule, Because: t.Because})
	}
	if t.Show == policy.ShowClear {
		return nil
	}
	c.plan.Decision = Masked
	c.plan.addReason(t.Rule)
	return c.useMasked(u, v, t, name)
}

func (c *planner) useMasked(u resolve.Use, v *view, t policy.Treatment, name string) error {
	switch {
	case u.As == resolve.UseEquality && t.Match == policy.MatchEquality && !(u.Match.Nullable && t.Mask.Kind == policy.MaskNull):
		v.matches = append(v.matches, u)
		c.plan.Guesses = true
	case (u.As == resolve.UseFilter || u.As == resolve.UseEquality) && t.Match == policy.MatchRefuse:
		return c.refuseColumn(name, "used in a condition", t)
	}
	return nil
}

func (c *planner) refuseColumn(name, how string, t policy.Treatment) *Refusal {
	r := refuse(t.Because, "column %s may not be %s", name, how)
	r.Rule = t.Rule
	c.plan.addColumn(ColumnUse{Name: name, Class: t.Class, Show: "refuse", Rule: t.Rule, Because: t.Because})
	return r
}

func showName(t policy.Treatment) string {
	if t.Show == policy.ShowMasked && t.Mask.Kind == 0 {
		return "by row" // roles with different row filters show it differently
	}
	return t.Shown()
}
