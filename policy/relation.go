package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// grant is what one role gives of one relation.
type grant struct {
	role    *compiledRole
	ops     Ops
	rows    string
	columns []Treatment
	serves  bool   // the role serves the purpose
	because string // why the grant is less than the policy says, if it is
}

// decideRelation merges what the caller's roles give of a relation.
func (d *decisions) decideRelation(t *table) *RelationAccess {
	ra := &RelationAccess{Relation: t.relation}
	if d.unrestricted {
		ra.Ops, ra.Views = AllOps, []View{{Columns: clearColumns(t), Ops: AllOps}}
		return ra
	}
	grants := d.grants(t)
	if len(grants) == 0 {
		ra.Because = d.noGrant(t.relation)
		return ra
	}
	if d.purpose != nil && d.purpose.basis == consent {
		if d.consentUnknown(t.relation) {
			ra.Because = fmt.Sprintf("purpose %s rests on consent, and the policy does not say whose data %s shows: name the column under references",
				d.purpose.name.text, t.relation.QualifiedName())
			return ra
		}
		ra.Consent = inForms(func(f form) string { return d.set.consent(t.relation, d.purpose, f) })
	}
	ra.Restriction = inForms(func(f form) string { return d.set.unrestrained(t.relation, d.purpose, f) })
	ra.Views = views(grants)
	ra.Ops = AllOps
	for _, v := range ra.Views {
		ra.Ops &= v.Ops
	}
	for _, g := range grants {
		ra.Ops |= g.ops & Insert // a new row is in no view yet
	}
	ra.Because = limitation(ra, grants)
	return ra
}

func clearColumns(t *table) []Treatment {
	columns := make([]Treatment, len(t.classes))
	for i, class := range t.classes {
		columns[i] = Treatment{Show: ShowClear, Class: class, Because: "the caller is unrestricted"}
	}
	return columns
}

// consentUnknown tells whether a relation shows data of others, which cannot
// be followed to those who consented.
func (d *decisions) consentUnknown(r *catalog.Relation) bool {
	derived := r.Kind == catalog.View || r.Kind == catalog.MaterializedView
	return derived && len(d.set.reach[r]) == 0
}

func (d *decisions) noGrant(r *catalog.Relation) string {
	names := make([]string, len(d.roles))
	for i, role := range d.roles {
		names[i] = role.name.text
	}
	switch {
	case d.nothing != "":
		return d.nothing
	case d.beyond && slices.ContainsFunc(d.roles, func(r *compiledRole) bool { return r.unrestricted }):
		return beyondLimit + ", and nothing is open because of a role that is unrestricted"
	case len(names) == 0:
		return "the caller has no role"
	default:
		return fmt.Sprintf("no tables entry of %s is for %s", strings.Join(names, ", "), r.QualifiedName())
	}
}

// grants gives what each of the caller's roles gives of the relation.
func (d *decisions) grants(t *table) []grant {
	var grants []grant
	for _, role := range d.roles {
		e := role.grants[t.relation]
		if e == nil {
			continue
		}
		g := grant{role: role, ops: e.ops, columns: d.columns(role, t)}
		rows, missing := e.rows.sql(d.attributes)
		g.rows = rows
		if missing != "" {
			g.because = fmt.Sprintf("the row filter at %s needs the attribute %s, which the user does not have: no row satisfies it", e.rows.pos.line(), missing)
		}
		if why := d.notServing(role); why != "" {
			g.ops &= Select
			g.because = why
		} else {
			g.serves = true
		}
		if g.ops != 0 || g.because != "" {
			grants = append(grants, g)
		}
	}
	return serving(grants)
}

// serving leaves out the grants of roles that do not serve the purpose, where
// one that does reaches the relation too: for a purpose one acts in the roles
// that are for it.
func serving(grants []grant) []grant {
	if !slices.ContainsFunc(grants, func(g grant) bool { return g.serves }) {
		return grants
	}
	return slices.DeleteFunc(grants, func(g grant) bool { return !g.serves })
}

// notServing says why a role gives only open columns; "" when it gives more.
func (d *decisions) notServing(role *compiledRole) string {
	switch {
	case d.purpose == nil:
		return d.noPurpose()
	case !d.serves(role, d.purpose):
		return fmt.Sprintf("role %s does not serve purpose %s, so it gives only open columns, to be read", role.name.text, d.purpose.name.text)
	default:
		return ""
	}
}

// columns decides every column of a relation for one role.
func (d *decisions) columns(role *compiledRole, t *table) []Treatment {
	columns := make([]Treatment, len(t.classes))
	made := map[string]Treatment{}
	for i, class := range t.classes {
		treatment, ok := made[class]
		if !ok {
			treatment = d.class(role, class)
			made[class] = treatment
		}
		if class == "" && treatment.Show == ShowMasked && treatment.Mask.Applies(t.relation.Columns[i].Type) != nil {
			treatment = Treatment{Because: "nobody classified it, and " + treatment.Mask.String() + " is not defined for its type"}
		}
		if d.beyond {
			treatment = treatment.hidden(t.relation.Columns[i])
		}
		columns[i] = treatment
	}
	return columns
}

// views gathers the grants by the rows they are for: of the same rows, the
// caller sees each column in the clearest form. Roles that do not read a
// relation add nothing to what is read of it.
func views(grants []grant) []View {
	if reading := slices.DeleteFunc(slices.Clone(grants), func(g grant) bool { return !g.ops.Has(Select) }); len(reading) > 0 {
		grants = reading
	}
	var found []View
	for _, g := range grants {
		i := slices.IndexFunc(found, func(v View) bool { return v.Rows == g.rows })
		if i < 0 {
			found = append(found, View{g.rows, g.columns, g.ops})
			continue
		}
		found[i].Ops |= g.ops
		found[i].Columns = clearest(found[i].Columns, g.columns)
	}
	slices.SortFunc(found, func(a, b View) int { return strings.Compare(a.Rows, b.Rows) })
	return withoutIdle(found)
}

// withoutIdle leaves out the views that add nothing: those of no row, and
// those that show nothing, and permit nothing, that the view of every row
// does not.
func withoutIdle(found []View) []View {
	kept := found[:1]
	for _, v := range found[1:] {
		first := kept[0]
		switch {
		case v.Rows == "false":
		case first.Rows == "false":
			kept[0] = v
		case first.Rows == "" && first.Ops.Has(v.Ops) && noClearer(v.Columns, first.Columns):
		default:
			kept = append(kept, v)
		}
	}
	return kept
}

func clearest(a, b []Treatment) []Treatment {
	merged := slices.Clone(a)
	for i := range b {
		if b[i].compare(merged[i]) > 0 {
			merged[i] = b[i]
		}
	}
	return merged
}

func noClearer(a, b []Treatment) bool {
	for i := range a {
		if a[i].compareShown(b[i]) > 0 {
			return false
		}
	}
	return true
}

// limitation says why the access lacks what it lacks.
func limitation(ra *RelationAccess, grants []grant) string {
	var why []string
	for _, g := range grants {
		if g.because != "" && !slices.Contains(why, g.because) {
			why = append(why, g.because)
		}
	}
	if ra.Ops == AllOps {
		return strings.Join(why, "; ")
	}
	for _, g := range grants {
		why = append(why, fmt.Sprintf("role %s may %s", g.role.name.text, g.ops))
	}
	if len(ra.Views) > 1 {
		why = append(why, "what may be done must hold for every row that the roles together reach")
	}
	return strings.Join(why, "; ")
}

// compareShown orders treatments by how much they show.
func (t Treatment) compareShown(o Treatment) int {
	c := cmp.Compare(t.Show, o.Show)
	if t.Show == ShowAggregate && c == 0 {
		c = cmp.Compare(o.Min, t.Min)
	}
	if t.Show == ShowMasked && c == 0 {
		c = cmp.Or(t.Mask.Compare(o.Mask), cmp.Compare(t.Match, o.Match))
	}
	return c
}

// compare orders treatments totally, so that the order of files and rules
// decides nothing.
func (t Treatment) compare(o Treatment) int {
	return cmp.Or(t.compareShown(o), strings.Compare(t.Rule, o.Rule), strings.Compare(t.Because, o.Because))
}

// stricter gives the narrower of two treatments: the one that shows less, with
// the stricter match of both. Of an aggregate and a mask neither shows less in
// every respect, so that together they show nothing.
func stricter(a, b Treatment) Treatment {
	match := min(a.Match, b.Match)
	if b.compare(a) < 0 {
		a, b = b, a
	}
	switch {
	case a.Show == ShowMasked && b.Show == ShowMasked:
		a.Match = match
	case a.Show == ShowAggregate && b.Show == ShowMasked:
		why := fmt.Sprintf("%s at %s and %s at %s have nothing in common", a.Shown(), a.Rule, b.Shown(), b.Rule)
		return Treatment{Class: a.Class, Rule: a.Rule, Because: why}
	}
	return a
}

// class decides a class for one of the caller's roles.
func (d *decisions) class(role *compiledRole, class string) Treatment {
	if class == openClass {
		return Treatment{Show: ShowClear, Class: class}
	}
	if d.needsFactor(class) {
		return Treatment{Class: class, Because: "class " + class + " needs a second factor: PRIVACY MFA"}
	}
	decided := d.settle(role, class, func(u *rule) bool { return u.state == enforced })
	trial := d.settle(role, class, func(u *rule) bool { return u.state != drafted })
	if trial.compareShown(decided) != 0 {
		decided.Observed = trial.Rule + " would " + trial.verb()
	}
	return decided
}

// settle decides a class for a role by those of the rules that count. A rule
// that has expired gives nothing more, but its end must not give more either:
// what it narrowed stays as narrow.
func (d *decisions) settle(role *compiledRole, class string, counts func(*rule) bool) Treatment {
	now := d.pick(role, class, func(u *rule) bool { return counts(u) && !d.expired(u) })
	before := d.pick(role, class, counts)
	if now.Show == ShowRefuse && before.Show != ShowRefuse {
		now.Because += "; the rule at " + before.Rule + " has expired"
	}
	return stricter(now, before)
}

// verb says what a treatment does to a column.
func (t Treatment) verb() string {
	switch t.Show {
	case ShowClear:
		return "show it"
	case ShowMasked:
		return "mask it with " + t.Mask.String()
	case ShowAggregate:
		return "leave it to " + t.Shown()
	default:
		return "refuse it"
	}
}

func (d *decisions) expired(u *rule) bool { return !u.expires.IsZero() && !d.at.Before(u.expires) }

// pick decides a class for a role by those of the rules that count.
func (d *decisions) pick(role *compiledRole, class string, counts func(*rule) bool) Treatment {
	if refusal := d.refusal(class, counts); refusal != nil {
		return d.treatment(refusal, class)
	}
	if why := d.notServing(role); why != "" {
		return Treatment{Class: class, Because: why}
	}
	if class == "" {
		return d.unclassified()
	}
	best := 0
	var tied []*rule
	for _, u := range d.set.doc.rules {
		if !counts(u) || !u.roles.matches(role.name.text) || !d.set.doc.concerns(u, d.purpose) || !u.classes.matches(class) {
			continue
		}
		switch names := u.names(); {
		case names > best:
			best, tied = names, []*rule{u}
		case names == best:
			tied = append(tied, u)
		}
	}
	if len(tied) == 0 {
		because := fmt.Sprintf("no rule shows class %s to role %s for purpose %s", class, role.name.text, d.purpose.name.text)
		return Treatment{Class: class, Because: because}
	}
	var decided []Treatment
	for _, u := range d.set.doc.nearest(tied, d.purpose) {
		decided = append(decided, d.treatment(u, class))
	}
	return strictest(decided)
}

// strictest gives the narrowest of treatments, in whatever order they come.
func strictest(all []Treatment) Treatment {
	slices.SortFunc(all, Treatment.compare)
	decided := all[0]
	for _, t := range all[1:] {
		decided = stricter(decided, t)
	}
	return decided
}

// refusal finds a rule that refuses a class to any of the caller's roles: such
// a rule wins over all others. Of several, the first place is cited.
func (d *decisions) refusal(class string, counts func(*rule) bool) *rule {
	var found *rule
	for _, u := range d.set.doc.rules {
		if u.treatment.Show != ShowRefuse || !counts(u) || !u.classes.matches(class) || !d.forCaller(u) {
			continue
		}
		if found == nil || u.pos.compare(found.pos) < 0 {
			found = u
		}
	}
	return found
}

// forCaller tells whether a rule is for any of the caller's roles, and for its
// purpose.
func (d *decisions) forCaller(u *rule) bool {
	return d.set.doc.concerns(u, d.purpose) && slices.ContainsFunc(d.roles, func(r *compiledRole) bool { return u.roles.matches(r.name.text) })
}

func (d *decisions) treatment(u *rule, class string) Treatment {
	t := u.treatment
	t.Class = class
	if t.Because == "" && t.Show == ShowRefuse {
		t.Because = "a rule refuses it"
	}
	return t
}

// unclassified is what the policy says of columns that nobody classified.
func (d *decisions) unclassified() Treatment {
	t := d.set.doc.unclassified
	t.Because = "nobody classified it"
	return t
}
