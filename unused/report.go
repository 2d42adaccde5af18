package unused

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// Kind is what an item of a policy is. The zero Kind is none.
type Kind string

// The kinds, in the order of a report.
const (
	KindPurpose   Kind = "purpose"
	KindRole      Kind = "role"
	KindUser      Kind = "user"
	KindRight     Kind = "right"  // a class that a role is shown for a purpose
	KindColumn    Kind = "column" // of a right that is used, but not for this column
	KindGrant     Kind = "grant"  // an operation on a table
	KindRule      Kind = "rule"
	KindElevation Kind = "elevation"
	KindPrivacy   Kind = "privacy" // a right of data subjects that a role serves
)

// Verdict says how far an item was used in the period.
type Verdict string

// The verdicts.
const (
	Unused Verdict = "unused"
	Few    Verdict = "few" // by fewer users than asked
	Used   Verdict = "used"
)

// Item is something that the policy grants, and its use.
type Item struct {
	Kind       Kind      `json:"kind"`
	Role       string    `json:"role,omitempty"`
	Purpose    string    `json:"purpose,omitempty"`
	Name       string    `json:"name,omitempty"` // of the purpose, role, user, class, column, table, or right of data subjects
	Shown      string    `json:"shown,omitempty"`
	Operation  string    `json:"operation,omitempty"`
	At         string    `json:"at,omitempty"` // file:line of the policy
	Verdict    Verdict   `json:"verdict"`
	Statements int64     `json:"statements"`          // in the period
	Users      []string  `json:"users,omitempty"`     // in the period: those of a used item are not all there
	Last       time.Time `json:"last,omitzero"`       // over the whole log; zero: never
	Uncertain  int64     `json:"uncertain,omitempty"` // statements of the role for the purpose whose records lack columns
}

// Report is what a tally comes to.
type Report struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Few     int       `json:"few"`
	Policy  string    `json:"policy"` // its generation
	Log     Facts     `json:"log"`
	Notes   []string  `json:"notes"`
	Items   []Item    `json:"items"`
	Changes []Change  `json:"changes"`
}

// Report gives what was counted so far.
func (t *Tally) Report() Report {
	r := Report{From: t.period.From, To: t.period.To, Few: t.period.Few, Policy: t.generation, Log: t.facts, Notes: t.notes()}
	inv := &t.inventory
	for _, p := range inv.Purposes {
		r.Items = append(r.Items, t.item(item{kind: KindPurpose, name: p.Name}, p.At, ""))
	}
	for _, role := range inv.Roles {
		r.Items = append(r.Items, t.item(item{kind: KindRole, name: role.Name}, role.At, ""))
	}
	for _, u := range inv.Users {
		r.Items = append(r.Items, t.item(item{kind: KindUser, name: u.Name}, u.At, ""))
	}
	for _, right := range inv.Rights {
		r.Items = append(r.Items, t.right(right)...)
	}
	for _, g := range inv.Grants {
		for _, op := range operations(g.Ops) {
			r.Items = append(r.Items, t.item(item{kind: KindGrant, role: g.Role, name: g.Relation.QualifiedName(), op: op}, g.At, ""))
		}
	}
	for _, u := range inv.Rules {
		r.Items = append(r.Items, t.item(item{kind: KindRule, name: u.At}, u.At, u.Shown))
	}
	for _, e := range inv.Elevations {
		r.Items = append(r.Items, t.item(item{kind: KindElevation, role: e.Role, purpose: e.Purpose}, e.At, ""))
	}
	for _, role := range inv.Roles {
		for _, right := range role.Privacy {
			r.Items = append(r.Items, t.item(item{kind: KindPrivacy, role: role.Name, name: right}, role.At, ""))
		}
	}
	r.Changes = t.changes()
	return r
}

// right gives the item of a right; and of one that is used, those of its columns
// that are not.
func (t *Tally) right(r policy.Right) []Item {
	found := []Item{t.item(item{kind: KindRight, role: r.Role, purpose: r.Purpose, name: r.Treatment.Class}, r.Treatment.Rule, r.Treatment.Shown())}
	if found[0].Verdict == Unused {
		return found
	}
	for _, c := range r.Columns {
		if i := t.item(item{kind: KindColumn, role: r.Role, purpose: r.Purpose, name: c}, r.Treatment.Rule, r.Treatment.Shown()); i.Verdict == Unused {
			found = append(found, i)
		}
	}
	return found
}

func (t *Tally) item(key item, at, shown string) Item {
	c := t.counts[key]
	i := Item{
		Kind: key.kind, Role: key.role, Purpose: key.purpose, Name: key.name, Shown: shown, At: at,
		Statements: c.statements, Users: slices.Sorted(slices.Values(c.users)), Last: c.last, Verdict: t.verdict(key.kind, c),
	}
	if key.op != 0 {
		i.Operation = key.op.String()
	}
	if key.kind == KindRight || key.kind == KindColumn {
		i.Uncertain = t.blind[item{role: key.role, purpose: key.purpose}]
	}
	return i
}

func (t *Tally) verdict(k Kind, c *count) Verdict {
	switch {
	case c.statements == 0:
		return Unused
	case len(c.users) < t.period.Few && k != KindUser: // who is one anyhow
		return Few
	default:
		return Used
	}
}

// slack is how much later than the period a log may begin, or earlier it may
// end, without a note: nobody is asked to work at night.
const slack = 24 * time.Hour

// notes says what whoever reads the report must know before believing it.
func (t *Tally) notes() []string {
	f := &t.facts
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	switch {
	case f.Records == 0:
		add("the log is empty: it tells nothing")
	case f.First.After(t.period.To) || f.Last.Before(t.period.From):
		add("the log has no record of the period: it tells nothing")
	default:
		if begins := f.First.Sub(t.period.From); begins > slack {
			add("the log begins %s after the period does: only the rest of it was looked at. What was moved away as an older log is not in it", days(begins))
		}
		if ends := t.period.To.Sub(f.Last); ends > slack {
			add("the log ends %s before the period does", days(ends))
		}
		if f.Statements == 0 {
			add("the period has no statement that was not refused")
		}
	}
	for _, n := range []struct {
		count int64
		text  string
	}{
		{f.Refused, "statements were refused: they used nothing, and count for nothing"},
		{f.Free, "statements are of callers without restrictions: they count for all roles that those have, and need no rule"},
		{f.FreeByShape, "of them were not understood and are recorded by shape only: columns that they used are not known"},
		{f.Trimmed, "records are trimmed: columns or roles are missing in them, and no right is proposed for removal where they may have been used"},
		{f.OtherPolicy, "statements were decided by another policy than this one: a column counts for the class that it has today"},
		{f.OtherRoles, "statements had roles that the policy does not have now"},
	} {
		if n.count > 0 {
			add("%d %s", n.count, n.text)
		}
	}
	return append(notes, "a statement of a user with several roles counts for each; rarely needed is not unneeded: think of year's ends, leave, and emergencies")
}

func days(d time.Duration) string {
	n := int(d / (24 * time.Hour))
	return fmt.Sprintf("%d day%s", n, cmp.Or(map[bool]string{true: "s"}[n != 1], ""))
}
