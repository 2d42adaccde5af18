package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
)

// ROPASchema names the form of a ROPA as JSON. Fields may be added to it; none
// changes its meaning.
const ROPASchema = "pgveil.report.ropa/1"

// ROPA is a record of processing activities (GDPR, Article 30(1)): what the
// policy and the organisation declare, held to what the access log shows.
type ROPA struct {
	Schema   string       `json:"schema"`
	Made     time.Time    `json:"made"`
	Zone     string       `json:"zone"`
	From     time.Time    `json:"from"` // observed is what was asked for since then, and before To
	To       time.Time    `json:"to"`
	Policy   string       `json:"policy"` // its generation
	Org      Organisation `json:"organisation"`
	Notes    []string     `json:"notes"`
	Evidence []Evidence   `json:"evidence"`

	Differences []Difference `json:"differences"`
	Activities  []Purpose    `json:"activities"`
	Recipients  []Seen       `json:"recipients_observed"`
	Erasure     []Erasure    `json:"erasure"`
	Measures    []string     `json:"measures_in_policy"`
	Timeline    []Moment     `json:"timeline"`
	Width       string       `json:"timeline_width"`
	Unlisted    int64        `json:"unlisted"` // uses whose application had no room
}

// Difference is one between what is declared and what was observed.
type Difference struct {
	Kind       string    `json:"kind"`
	What       string    `json:"what"`
	Statements int64     `json:"statements"`
	Last       time.Time `json:"last,omitzero"`
}

// The kinds of difference, in the order of a report.
const (
	UndeclaredPurpose   = "purpose observed, not declared"
	NoPurpose           = "personal data observed without a purpose"
	UndeclaredClass     = "class observed for a purpose that no rule shows it for"
	UndeclaredKind      = "data subjects observed for a purpose, not declared for it"
	UndeclaredRecipient = "application observed, named by no recipient"
	UnusedPurpose       = "purpose declared, never observed"
	UnusedClass         = "class declared for a purpose, never observed"
	NoLimit             = "no time limit for erasure"
)

var differenceKinds = []string{
	UndeclaredPurpose, NoPurpose, UndeclaredClass, UndeclaredKind, UndeclaredRecipient, UnusedPurpose, UnusedClass, NoLimit,
}

// Purpose is a processing activity.
type Purpose struct {
	Name    string         `json:"name"`
	About   string         `json:"about,omitempty"`
	Basis   string         `json:"basis,omitempty"`
	Consent string         `json:"consent,omitempty"`
	Within  string         `json:"within,omitempty"`
	Means   string         `json:"means,omitempty"` // of the Data Privacy Vocabulary
	Kinds   []string       `json:"subjects"`        // declared
	Classes []PurposeClass `json:"classes"`
	Roles   []string       `json:"roles"` // that serve it: who sees the data, within the organisation
	Seen
}

// PurposeClass is a category of data under a purpose.
type PurposeClass struct {
	Class    string `json:"class"`
	Special  bool   `json:"special,omitempty"`
	About    string `json:"about,omitempty"`
	Declared bool   `json:"declared"`
	Seen
}

// Seen is what the log shows of something.
type Seen struct {
	Login       string    `json:"login,omitempty"`       // of recipients
	Application string    `json:"application,omitempty"` // of recipients
	Recipient   string    `json:"recipient,omitempty"`   // the declared one that it is
	Statements  int64     `json:"statements"`
	Last        time.Time `json:"last,omitzero"`
}

func (s *Seen) add(t time.Time) {
	if s.Statements++; t.After(s.Last) {
		s.Last = t
	}
}

// Erasure is a time limit.
type Erasure struct {
	Table string `json:"table"`
	Keep  string `json:"keep"`
	After string `json:"after"`
	Then  string `json:"then"`
}

// Registrar makes a record of processing from a policy and the records of a
// log. Its memory depends on the policy, and on no more applications than it is
// given room for.
type Registrar struct {
	set      *policy.Set
	declared policy.Processing
	inv      policy.Inventory
	org      Organisation
	from, to time.Time
	classOf  map[string]string // of a column, today

	purposes   capped[string, Seen]
	classes    capped[[2]string, Seen] // purpose, class
	kinds      capped[[2]string, Seen] // purpose, kind
	recipients capped[[2]string, Seen] // login, application
	timeline   map[int]*Moment
	begin      time.Time
	width      time.Duration
	trimmed    int64
	byShape    int64
}

// Register begins a record of processing.
func Register(set *policy.Set, org Organisation, from, to time.Time, zone *time.Location, listed int) *Registrar {
	g := &Registrar{
		set: set, declared: set.Processing(), inv: set.Inventory(), org: org, from: from, to: to, classOf: map[string]string{},
		purposes: newCapped[string, Seen](listed), classes: newCapped[[2]string, Seen](listed), kinds: newCapped[[2]string, Seen](listed),
		recipients: newCapped[[2]string, Seen](listed), timeline: map[int]*Moment{},
	}
	g.begin, g.width = moments(from.In(zone), to)
	for _, r := range g.inv.Rights {
		for _, c := range r.Columns {
			g.classOf[c] = r.Treatment.Class
		}
	}
	return g
}

// Add takes the next record of a log. A statement counts unless it was refused.
func (g *Registrar) Add(raw audit.Raw) error {
	if raw.Kind != audit.KindStatement {
		return nil
	}
	if t := raw.Time(); t.Before(g.from) || !t.Before(g.to) {
		return nil
	}
	r, err := raw.Record()
	if err != nil || r.Decision == refused || !personal(&r) {
		return err
	}
	g.statement(&r)
	return nil
}

func (g *Registrar) statement(r *audit.Record) {
	see := func(s *Seen) {
		if s != nil {
			s.add(r.Time)
		}
	}
	see(g.purposes.of(r.Purpose))
	counted := map[string]bool{}
	for _, c := range r.Columns {
		class := cmp.Or(g.classOf[c.Name], c.Class)
		if cut(c.Name) {
			g.trimmed++
			continue
		}
		if class != openClass && !counted[class] {
			counted[class] = true
			see(g.classes.of([2]string{r.Purpose, class}))
		}
	}
	if byShape(r) {
		g.byShape++
	}
	for _, k := range r.Kinds {
		see(g.kinds.of([2]string{r.Purpose, k}))
	}
	see(g.recipients.of([2]string{r.Login, r.App}))
	i := max(0, int(r.Time.Sub(g.begin)/g.width))
	if g.timeline[i] == nil {
		g.timeline[i] = &Moment{Begin: g.begin.Add(time.Duration(i) * g.width)}
	}
	g.timeline[i].Statements++
}

// ROPA gives the record.
func (g *Registrar) ROPA() ROPA {
	r := ROPA{
		Schema: ROPASchema, From: g.from, To: g.to, Policy: g.set.Generation(), Org: g.org, Activities: []Purpose{}, Recipients: []Seen{},
		Erasure: []Erasure{}, Measures: g.measures(), Timeline: []Moment{}, Width: g.width.String(),
		Unlisted: g.purposes.more + g.classes.more + g.kinds.more + g.recipients.more,
	}
	for _, p := range g.declared.Purposes {
		r.Activities = append(r.Activities, g.activity(p))
	}
	for key, s := range g.recipients.m {
		s.Login, s.Application, s.Recipient = key[0], key[1], g.recipient(key[0], key[1])
		r.Recipients = append(r.Recipients, *s)
	}
	slices.SortFunc(r.Recipients, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(b.Statements, a.Statements), cmp.Compare(a.Login, b.Login), cmp.Compare(a.Application, b.Application))
	})
	for _, t := range g.set.Retention() {
		r.Erasure = append(r.Erasure, Erasure{t.Relation.QualifiedName(), t.Keep.String(), t.Since(), t.Then})
	}
	if len(g.timeline) > 0 {
		for i := range slices.Max(slices.Collect(maps.Keys(g.timeline))) + 1 {
			m := g.timeline[i]
			if m == nil {
				m = &Moment{Begin: g.begin.Add(time.Duration(i) * g.width)}
			}
			r.Timeline = append(r.Timeline, *m)
		}
	}
	r.Differences = g.differences(&r)
	r.Notes = g.notes()
	return r
}

func (g *Registrar) activity(p policy.PurposeItem) Purpose {
	a := Purpose{
		Name: p.Name, About: p.About, Basis: p.Basis, Consent: p.Consent, Within: p.Within, Means: p.Means,
		Kinds: []string{}, Classes: []PurposeClass{}, Roles: []string{},
	}
	declared, kinds := g.shownFor(p.Name)
	for key := range g.classes.m {
		if key[0] == p.Name && !declared[key[1]] {
			declared[key[1]] = false
		}
	}
	for _, class := range slices.Sorted(maps.Keys(declared)) {
		a.Classes = append(a.Classes, g.category(p.Name, class, declared[class]))
	}
	a.Kinds = slices.AppendSeq(a.Kinds, maps.Keys(kinds))
	slices.Sort(a.Kinds)
	for _, role := range g.inv.Roles {
		if slices.Contains(role.Permits, p.Name) {
			a.Roles = append(a.Roles, role.Name)
		}
	}
	if s := g.purposes.m[p.Name]; s != nil {
		a.Seen = *s
	}
	return a
}

// shownFor gives the classes that rules show for a purpose, and the kinds of
// data subjects whose rows those tables hold.
func (g *Registrar) shownFor(purpose string) (classes, kinds map[string]bool) {
	classes, kinds = map[string]bool{}, map[string]bool{}
	for _, right := range g.inv.Rights {
		if right.Purpose != purpose {
			continue
		}
		classes[right.Treatment.Class] = true
		for _, c := range right.Columns {
			for _, k := range g.declared.Kinds[c[:max(0, strings.LastIndexByte(c, '.'))]] {
				kinds[k] = true
			}
		}
	}
	return classes, kinds
}

func (g *Registrar) category(purpose, class string, declared bool) PurposeClass {
	c := PurposeClass{Class: class, Declared: declared}
	for _, known := range g.declared.Classes {
		if known.Name == class {
			c.Special, c.About = known.Special, known.About
		}
	}
	if s := g.classes.m[[2]string{purpose, class}]; s != nil {
		c.Seen = *s
	}
	return c
}

// recipient gives the declared recipient that a login and application are of.
func (g *Registrar) recipient(login, app string) string {
	for _, r := range g.org.Recipients {
		byLogin, byApp := slices.Contains(r.Logins, login), slices.Contains(r.Applications, app)
		if byLogin && (byApp || len(r.Applications) == 0) || byApp && len(r.Logins) == 0 {
			return r.Name
		}
	}
	return ""
}

// measures are those of Article 32(1) that the policy itself is.
func (g *Registrar) measures() []string {
	list := []string{
		"Access to personal data only through pgveil, by role and purpose, refused where nothing allows it (as far as the database takes no other logins)",
		"Every statement recorded in a chained access log, before its answer leaves",
	}
	masked, rows := map[string]bool{}, 0
	for _, r := range g.inv.Rights {
		if r.Treatment.Show == policy.ShowMasked {
			masked[r.Treatment.Class] = true
		}
	}
	for _, t := range g.inv.Grants {
		if t.Rows != "" {
			rows++
		}
	}
	if len(masked) > 0 {
		list = append(list, "Pseudonymised or shortened for some roles and purposes: "+strings.Join(slices.Sorted(maps.Keys(masked)), ", "))
	}
	if rows > 0 {
		list = append(list, "Limited to some rows: "+count(rows, "grant"))
	}
	if g.declared.Factor {
		list = append(list, "A second factor for some roles, classes or rights of data subjects")
	}
	return list
}
