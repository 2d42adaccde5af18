package unused

import (
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
)

// Period is what is asked: From <= a statement's time < To.
type Period struct {
	From, To time.Time
	Few      int // users: what fewer used is told, too
}

func (p Period) holds(t time.Time) bool { return !t.Before(p.From) && t.Before(p.To) }

// Tally counts how the items of an inventory are used.
type Tally struct {
	period     Period
	inventory  policy.Inventory
	generation string
	relations  relations

	counts  map[item]*count
	classes map[string]string               // of a column
	rules   map[item]string                 // of a right: the rule that decides it
	gives   map[item][]policy.ElevationItem // of a role and purpose
	known   map[string]bool                 // roles
	blind   map[item]int64                  // of a role and purpose: statements not known in full
	facts   Facts
	record  uint64 // the number of the present one, from 1
}

// item names one thing that is granted. Which fields say something, its kind
// tells.
type item struct {
	kind                Kind
	role, purpose, name string
	op                  policy.Ops
}

// count is how often an item was used.
type count struct {
	statements int64    // in the period
	users      []string // in the period, as many as Few, and then no more
	last       time.Time
	record     uint64 // that was counted last: it counts once
}

// Facts is how far a log tells what was used.
type Facts struct {
	Records     int64     `json:"records"` // read in all
	First       time.Time `json:"first,omitzero"`
	Last        time.Time `json:"last,omitzero"`
	Statements  int64     `json:"statements"`             // in the period, refused ones not among them
	Refused     int64     `json:"refused,omitempty"`      // in the period
	Free        int64     `json:"unrestricted,omitempty"` // of them, of unrestricted callers
	FreeByShape int64     `json:"unrestricted_by_shape,omitempty"`
	Trimmed     int64     `json:"trimmed,omitempty"`
	OtherPolicy int64     `json:"other_policy,omitempty"`
	OtherRoles  int64     `json:"other_roles,omitempty"` // with a role that the policy does not have
}

// New makes a tally of a policy whose generation is given.
func New(inventory policy.Inventory, period Period, generation string) *Tally {
	t := &Tally{
		period: period, inventory: inventory, generation: generation, relations: relationsOf(inventory.Grants),
		counts: map[item]*count{}, classes: map[string]string{}, rules: map[item]string{},
		gives: map[item][]policy.ElevationItem{}, known: map[string]bool{}, blind: map[item]int64{},
	}
	for _, p := range inventory.Purposes {
		t.counts[item{kind: KindPurpose, name: p.Name}] = &count{}
	}
	for _, u := range inventory.Users {
		t.counts[item{kind: KindUser, name: u.Name}] = &count{}
	}
	for _, r := range inventory.Roles {
		t.known[r.Name] = true
		t.counts[item{kind: KindRole, name: r.Name}] = &count{}
		for _, right := range r.Privacy {
			t.counts[item{kind: KindPrivacy, role: r.Name, name: right}] = &count{}
		}
	}
	for _, g := range inventory.Grants {
		for _, op := range operations(g.Ops) {
			t.counts[item{kind: KindGrant, role: g.Role, name: g.Relation.QualifiedName(), op: op}] = &count{}
		}
	}
	t.addRights(inventory.Rights)
	for _, r := range inventory.Rules {
		t.counts[item{kind: KindRule, name: r.At}] = &count{}
	}
	for _, e := range inventory.Elevations {
		t.counts[item{kind: KindElevation, role: e.Role, purpose: e.Purpose}] = &count{}
		for _, p := range e.Gives {
			key := item{role: e.Role, purpose: p}
			t.gives[key] = append(t.gives[key], e)
		}
	}
	return t
}

func (t *Tally) addRights(rights []policy.Right) {
	for _, r := range rights {
		key := item{kind: KindRight, role: r.Role, purpose: r.Purpose, name: r.Treatment.Class}
		t.counts[key], t.rules[key] = &count{}, r.Treatment.Rule
		for _, c := range r.Columns {
			t.counts[item{kind: KindColumn, role: r.Role, purpose: r.Purpose, name: c}] = &count{}
			t.classes[c] = r.Treatment.Class
		}
	}
}

// operations gives each operation of a set by itself.
func operations(ops policy.Ops) []policy.Ops {
	return slices.DeleteFunc([]policy.Ops{policy.Select, policy.Insert, policy.Update, policy.Delete}, func(o policy.Ops) bool { return !ops.Has(o) })
}

// Kinds are the kinds of record that Add looks into; of others it needs no more
// than that there is one. Sessions tell how far a log reaches in which nobody
// asked for anything.
func Kinds() []audit.Kind {
	return []audit.Kind{audit.KindStatement, audit.KindSession, audit.KindPrivacy, audit.KindSystem}
}

// Add counts the next record of the log.
func (t *Tally) Add(r *audit.Record) {
	t.record++
	f := &t.facts
	f.Records++
	if r.Time.IsZero() {
		return
	}
	if f.First.IsZero() || r.Time.Before(f.First) {
		f.First = r.Time
	}
	if r.Time.After(f.Last) {
		f.Last = r.Time
	}
	switch r.Kind {
	case audit.KindStatement:
		t.statement(r)
	case audit.KindPrivacy:
		t.privacy(r)
	case audit.KindOutcome, audit.KindSubjects, audit.KindImages, audit.KindSession, audit.KindSystem: // these use nothing
	}
}

// statement counts what a statement used: all that it named, unless it was
// refused.
func (t *Tally) statement(r *audit.Record) {
	within, f := t.period.holds(r.Time), &t.facts
	if r.Decision == "refuse" {
		if within {
			f.Refused++
		}
		return
	}
	if within {
		t.weigh(r)
	}
	t.use(r, item{kind: KindPurpose, name: r.Purpose})
	t.use(r, item{kind: KindUser, name: r.User})
	t.use(r, item{kind: KindUser, name: r.Login})
	uses := t.relations.used(r)
	for _, role := range r.Roles {
		t.use(r, item{kind: KindRole, name: role})
		for _, e := range t.gives[item{role: role, purpose: r.Purpose}] {
			t.use(r, item{kind: KindElevation, role: e.Role, purpose: e.Purpose})
		}
		for _, u := range uses {
			for _, op := range operations(u.ops) {
				t.use(r, item{kind: KindGrant, role: role, name: u.relation, op: op})
			}
		}
		for _, c := range r.Columns {
			t.column(r, role, c.Name)
		}
	}
}

// weigh notes what a statement in the period leaves open.
func (t *Tally) weigh(r *audit.Record) {
	f := &t.facts
	f.Statements++
	if r.Decision == "unrestricted" {
		f.Free++
		if slices.ContainsFunc(r.Reasons, func(s string) bool { return strings.HasSuffix(s, "recorded by shape only") }) {
			f.FreeByShape++
		}
	}
	if r.Generation != t.generation {
		f.OtherPolicy++
	}
	if slices.ContainsFunc(r.Roles, func(role string) bool { return !t.known[role] }) {
		f.OtherRoles++
	}
	if trimmed(r) {
		f.Trimmed++
		for _, role := range r.Roles {
			t.blind[item{role: role, purpose: r.Purpose}]++
		}
	}
}

// trimmed tells whether a record was too long and lacks some of its columns,
// roles or text. A column's name has dots; the mark of a cut list begins with an
// ellipsis, which no name of the policy does.
func trimmed(r *audit.Record) bool {
	marked := func(s string) bool { return strings.HasPrefix(s, "… (") }
	return slices.ContainsFunc(r.Columns, func(c audit.Column) bool { return marked(c.Name) }) ||
		slices.ContainsFunc(r.Roles, marked) || strings.HasSuffix(r.Shape, " bytes more)") && strings.Contains(r.Shape, "… (")
}

// column counts a column, and with it the class and the rule that show it.
func (t *Tally) column(r *audit.Record, role, column string) {
	if !t.use(r, item{kind: KindColumn, role: role, purpose: r.Purpose, name: column}) {
		return
	}
	right := item{kind: KindRight, role: role, purpose: r.Purpose, name: t.classes[column]}
	t.use(r, right)
	t.use(r, item{kind: KindRule, name: t.rules[right]})
}

// privacy counts a data subject request: PRIVACY EXPORT customer ? uses the
// right to export. Each request has two records.
func (t *Tally) privacy(r *audit.Record) {
	right := rightOf(strings.Fields(strings.ToLower(r.Shape)))
	if right == "" || r.Message != "begun" {
		return
	}
	for _, role := range r.Roles {
		t.use(r, item{kind: KindPrivacy, role: role, name: right})
	}
}

// rightOf names the right of data subjects that a PRIVACY command needs; "" for
// one that is about something else.
func rightOf(words []string) string {
	if len(words) < 3 {
		return ""
	}
	switch verb := words[1]; {
	case verb == "export" || verb == "erase" || verb == "rectify" || verb == "consent" || verb == "restrict":
		return verb
	case verb == "object" || verb == "lift" || verb == "show" && words[2] == "restrictions":
		return "restrict"
	case verb == "show" && words[2] == "consent":
		return "consent"
	case verb == "who":
		return "audit"
	default:
		return ""
	}
}

// use counts an item once for a record, and tells whether the policy has it.
func (t *Tally) use(r *audit.Record, i item) bool {
	c := t.counts[i]
	if c == nil || c.record == t.record {
		return c != nil
	}
	c.record = t.record
	if r.Time.After(c.last) {
		c.last = r.Time
	}
	if !t.period.holds(r.Time) {
		return true
	}
	c.statements++
	user := r.User
	if user == "" {
		user = r.Login
	}
	if len(c.users) < t.period.Few && !slices.Contains(c.users, user) {
		c.users = append(c.users, user)
	}
	return true
}
