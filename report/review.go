package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/unused"
)

// ReviewSchema names the form of a Review as JSON. Fields may be added to it;
// none changes its meaning.
const ReviewSchema = "pgveil.report.review/1"

// Review is who may see and do what, and whether they did.
type Review struct {
	Schema   string       `json:"schema"`
	Made     time.Time    `json:"made"`
	Zone     string       `json:"zone"`
	From     time.Time    `json:"from"` // what was not used since then, and before To, is unused
	To       time.Time    `json:"to"`
	Policy   string       `json:"policy"` // its generation
	Org      Organisation `json:"organisation"`
	Notes    []string     `json:"notes"`
	Evidence []Evidence   `json:"evidence"`

	Users  []ReviewUser  `json:"users"`
	Rights []ReviewRight `json:"rights"`
	Grants []ReviewGrant `json:"grants"`
	Duties []ReviewDuty  `json:"privacy_rights"`

	Before  *Before  `json:"before"` // nil: this is the first review
	Changes []Change `json:"changes"`
}

// ReviewUser is somebody who may log in.
type ReviewUser struct {
	Name   string    `json:"name"`
	Roles  []string  `json:"roles"`
	ActsAs []string  `json:"acts_as,omitempty"`
	Lapses time.Time `json:"lapses,omitzero"` // from then on there are no roles
	Use
}

// ReviewRight is a class that a user is shown for a purpose by a role.
type ReviewRight struct {
	User     string `json:"user"`
	Role     string `json:"role"`
	Purpose  string `json:"purpose"`
	Class    string `json:"class"` // "" stands for everything, of a role without restrictions
	Special  bool   `json:"special,omitempty"`
	Shown    string `json:"shown"`
	Elevated bool   `json:"elevated,omitempty"` // only for a time, when asked for
	Clearer  bool   `json:"clearer,omitempty"`  // another of the user's roles shows it in clear for the purpose, so that is what counts
	Rule     string `json:"rule,omitempty"`
	Columns  int    `json:"columns"`
	Use
}

// Use is how much something was used in the period, and when last.
type Use struct {
	Statements int64     `json:"statements"`
	Last       time.Time `json:"last,omitzero"` // over the whole log; zero: never
}

func (u *Use) add(t time.Time, within bool) {
	if within {
		u.Statements++
	}
	if t.After(u.Last) {
		u.Last = t
	}
}

// ReviewGrant is an operation on a table that a role may do.
type ReviewGrant struct {
	Role      string `json:"role"`
	Table     string `json:"table"`
	Operation string `json:"operation"`
	Rows      string `json:"rows,omitempty"` // the filter
	Use
}

// ReviewDuty is a right of data subjects that a role serves.
type ReviewDuty struct {
	Role  string `json:"role"`
	Right string `json:"right"`
	Use
}

// Reviewer makes a review from a policy and the records of a log.
type Reviewer struct {
	set     *policy.Set
	period  unused.Period
	tally   *unused.Tally
	users   map[string]*Use
	rights  map[rightKey]*Use
	classes map[string]string // of a column, today
}

type rightKey struct{ user, role, purpose, class string }

// NewReviewer begins a review of a policy over a period.
func NewReviewer(set *policy.Set, from, to time.Time) *Reviewer {
	inv := set.Inventory()
	v := &Reviewer{
		set: set, period: unused.Period{From: from, To: to}, users: map[string]*Use{}, rights: map[rightKey]*Use{}, classes: map[string]string{},
	}
	v.tally = unused.New(inv, v.period, set.Generation())
	for _, u := range set.Users() {
		v.users[u.Name] = &Use{}
	}
	for _, r := range v.all() {
		v.rights[r.key()] = &Use{}
	}
	for _, r := range inv.Rights {
		for _, c := range r.Columns {
			v.classes[c] = r.Treatment.Class
		}
	}
	return v
}

func (r *ReviewRight) key() rightKey { return rightKey{r.User, r.Role, r.Purpose, r.Class} }

// all lists the rights of every user.
func (v *Reviewer) all() []ReviewRight {
	inv := v.set.Inventory()
	special := map[string]bool{}
	for _, c := range v.set.Processing().Classes {
		special[c.Name] = c.Special
	}
	list := []ReviewRight{}
	for _, u := range v.set.Users() {
		for _, role := range inv.Roles {
			if role.Unrestricted && slices.Contains(u.Roles, role.Name) {
				list = append(list, ReviewRight{User: u.Name, Role: role.Name, Shown: "everything, without restrictions"})
			}
		}
		for _, r := range inv.Rights {
			if !slices.Contains(u.Roles, r.Role) {
				continue
			}
			clearer := r.Treatment.Show != policy.ShowClear && slices.ContainsFunc(inv.Rights, func(o policy.Right) bool {
				return slices.Contains(u.Roles, o.Role) && o.Purpose == r.Purpose && o.Treatment.Class == r.Treatment.Class && o.Treatment.Show == policy.ShowClear
			})
			list = append(list, ReviewRight{
				User: u.Name, Role: r.Role, Purpose: r.Purpose, Class: r.Treatment.Class, Special: special[r.Treatment.Class], Shown: r.Treatment.Shown(),
				Elevated: r.Elevated, Clearer: clearer, Rule: r.Treatment.Rule, Columns: len(r.Columns),
			})
		}
	}
	return list
}

// Add takes the next record of a log.
func (v *Reviewer) Add(raw audit.Raw) error {
	r := audit.Record{Seq: raw.Seq, Kind: raw.Kind}
	if slices.Contains(unused.Kinds(), raw.Kind) {
		var err error
		if r, err = raw.Record(); err != nil {
			return err
		}
	}
	v.tally.Add(&r)
	if r.Kind == audit.KindStatement && r.Decision != refused {
		v.use(&r)
	}
	return nil
}

// use counts what a statement used, for the end user and for the login: what
// it named counts though it failed, and for all roles that it had.
func (v *Reviewer) use(r *audit.Record) {
	within := !r.Time.Before(v.period.From) && r.Time.Before(v.period.To)
	who := []string{r.User}
	if r.Login != r.User {
		who = append(who, r.Login)
	}
	counted := map[rightKey]bool{}
	for _, user := range who {
		if u := v.users[user]; u != nil {
			u.add(r.Time, within)
		}
		for _, role := range r.Roles {
			keys := []rightKey{{user: user, role: role}}
			for _, c := range r.Columns {
				keys = append(keys, rightKey{user, role, r.Purpose, cmp.Or(v.classes[c.Name], c.Class)})
			}
			for _, key := range keys {
				if u := v.rights[key]; u != nil && !counted[key] {
					counted[key] = true
					u.add(r.Time, within)
				}
			}
		}
	}
}

// Review gives the review, held to the one before where there is one.
func (v *Reviewer) Review(before *Before, last *Review) Review {
	t := v.tally.Report()
	r := Review{
		Schema: ReviewSchema, From: v.period.From, To: v.period.To, Policy: v.set.Generation(), Notes: t.Notes, Before: before,
		Users: []ReviewUser{}, Rights: v.all(), Grants: []ReviewGrant{}, Duties: []ReviewDuty{}, Changes: []Change{},
	}
	for _, u := range v.set.Users() {
		r.Users = append(r.Users, ReviewUser{u.Name, u.Roles, u.ActAs, u.Lapses, *v.users[u.Name]})
	}
	for i := range r.Rights {
		r.Rights[i].Use = *v.rights[r.Rights[i].key()]
	}
	filters := map[[2]string]string{}
	for _, g := range v.set.Inventory().Grants {
		filters[[2]string{g.Role, g.Relation.QualifiedName()}] = g.Rows
	}
	for _, i := range t.Items {
		use := Use{i.Statements, i.Last}
		switch i.Kind {
		case unused.KindGrant:
			r.Grants = append(r.Grants, ReviewGrant{i.Role, i.Name, i.Operation, filters[[2]string{i.Role, i.Name}], use})
		case unused.KindPrivacy:
			r.Duties = append(r.Duties, ReviewDuty{i.Role, i.Name, use})
		default: // not of a review, or there by user
		}
	}
	if last != nil {
		r.Changes = r.since(last)
	}
	return r
}
