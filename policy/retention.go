package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/catalog"
)

// Retention is a rule by which rows go: those of a relation when a date in them is
// long past, whole subjects likewise, or rows that were kept for a purpose alone
// whose consent is over.
type Retention struct {
	Relation *catalog.Relation // of Subject: its own table
	Keep     Keep              // of Consent: since that was over; zero: at once
	After    string            // the column with the moment from which it counts; "" with Consent
	Then     string            // delete or anonymise
	Where    string            // a condition on the relation's columns; "": every row
	With     []*catalog.Relation
	Because  string

	Subject string  // the kind whose subjects go as wholes; ""
	Unless  []Newer // of Subject: what keeps one
	Purpose string  // the purpose that rows were kept for alone; ""
	Consent string  // what it rests on

	Place string // in the policy's files
}

// Newer is a table whose rows keep the subject that they belong to for as long as
// they are newer than the rule's time.
type Newer struct {
	Relation *catalog.Relation
	After    string
}

// String names a rule by what it says, which stays when its place in a file does
// not.
func (t Retention) String() string {
	var b strings.Builder
	b.WriteString(t.Relation.QualifiedName())
	switch {
	case t.Subject != "":
		fmt.Fprintf(&b, ": %s each %s %s after %s", t.Then, t.Subject, t.Keep, t.After)
	case t.Purpose == "":
		fmt.Fprintf(&b, ": %s %s after %s", t.Then, t.Keep, t.After)
	case t.Keep == Keep{}:
		fmt.Fprintf(&b, ": %s without consent to %s", t.Then, t.Purpose)
	default:
		fmt.Fprintf(&b, ": %s %s without consent to %s", t.Then, t.Keep, t.Purpose)
	}
	if t.Where != "" {
		b.WriteString(" where " + strings.Join(strings.Fields(t.Where), " "))
	}
	return b.String()
}

// Since says from when on the time counts: a column, or the end of a consent.
func (t Retention) Since() string {
	if t.Purpose != "" {
		return "consent to " + t.Purpose + " was withdrawn"
	}
	return t.After
}

// Takes tells whether a rule takes rows of a table: it is its own, or one whose rows
// go with others, or one with rows of some kinds of subject that go as wholes.
func (t Retention) Takes(table string, kinds []string) bool {
	for _, r := range append([]*catalog.Relation{t.Relation}, t.With...) {
		if r.QualifiedName() == table {
			return true
		}
	}
	return t.Subject != "" && slices.Contains(kinds, t.Subject)
}

// retention is a Retention as it is written.
type retention struct {
	on, with []pattern
	subject  word
	purpose  word
	keep     Keep
	after    pattern
	then     string
	where    filter
	unless   []newer
	because  string
	pos      Pos
}

type newer struct{ on, after pattern }

// fates of rows whose time is over; the first is none.
var retentionFates = []string{"", "delete", "anonymise"}

func (r *reader) retention(n *yaml.Node) {
	t := retention{pos: r.at(n)}
	names := func(to *[]pattern) func(*yaml.Node) {
		return func(n *yaml.Node) {
			r.list(n, "tables", func(n *yaml.Node) { *to = append(*to, r.name(n, "a table", 2)) })
		}
	}
	then := func(what string) func(*yaml.Node) {
		return func(n *yaml.Node) { t.then = retentionFates[r.oneOf(n, what, retentionFates[1:]...)+1] }
	}
	withdrawn := false
	r.fields(n, "a retention rule", keys{
		"on":      names(&t.on),
		"with":    names(&t.with),
		"subject": func(n *yaml.Node) { t.subject = r.text(n, "a subject") },
		"purpose": func(n *yaml.Node) { t.purpose = r.text(n, "a purpose") },
		"keep":    func(n *yaml.Node) { t.keep = r.keep(n) },
		"after":   func(n *yaml.Node) { t.after = r.name(n, "a column", 1) },
		"then":    then("then"),
		"consent_withdrawn": func(n *yaml.Node) {
			withdrawn = true
			then("consent_withdrawn")(n)
		},
		"where": func(n *yaml.Node) { t.where = r.filter(n) },
		"unless": func(n *yaml.Node) {
			r.items(n, "tables", func(n *yaml.Node) { t.unless = append(t.unless, r.newer(n)) })
		},
		"because": func(n *yaml.Node) { t.because = r.text(n, "a text").text },
	})
	r.retentionForm(n, t, withdrawn)
	r.doc.retention = append(r.doc.retention, t)
}

func (r *reader) newer(n *yaml.Node) (u newer) {
	r.fields(n, "what keeps a subject", keys{
		"on":    func(n *yaml.Node) { u.on = r.name(n, "a table", 2) },
		"after": func(n *yaml.Node) { u.after = r.name(n, "a column", 1) },
	}, "on", "after")
	return u
}

// retentionForm checks that a rule says what a rule of its form needs, and no more.
func (r *reader) retentionForm(n *yaml.Node, t retention, withdrawn bool) {
	says := map[string]bool{}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		says[n.Content[i].Value] = true
	}
	form, needs, refuses := "a retention rule", []string{"on", "keep", "after", "then"}, []string{"purpose", "unless"}
	switch {
	case withdrawn:
		form, needs, refuses = "a rule about consent", []string{"on", "purpose"}, []string{"after", "then", "subject", "unless"}
	case says["subject"]:
		if t.then == "anonymise" {
			r.add(t.pos, `a subject goes as its "erase" says, table by table: say "then: delete" here, and "do: anonymise" there`)
		}
		form, needs, refuses = "a rule about subjects", []string{"keep", "after", "then"}, []string{"on", "with", "purpose"}
	}
	for _, key := range needs {
		if !says[key] {
			r.add(t.pos, "%s needs %q", form, key)
		}
	}
	for _, key := range refuses {
		if says[key] {
			r.add(t.pos, "%s has no %q", form, key)
		}
	}
	if len(t.where.names) > 0 {
		r.add(t.where.pos, "nobody asks for a retention rule: it has no attributes, such as :%s", t.where.names[0])
	}
}

// keep reads how long rows are kept.
func (r *reader) keep(n *yaml.Node) Keep {
	w := r.text(n, "a time")
	keep, err := parseKeep(w.text)
	if err != nil && w.text != "" {
		r.add(w.pos, "%v", err)
	}
	return keep
}

// retention resolves the rules, one for each table.
func (c *compiler) retention() {
	for _, t := range c.doc.retention {
		done := Retention{Keep: t.keep, Then: t.then, Where: t.where.probe(), Because: t.because, Place: t.pos.line()}
		for _, p := range t.with {
			if r := c.kept(p); r != nil {
				done.With = append(done.With, r)
			}
		}
		switch {
		case t.subject.text != "":
			c.subjectRetention(t, done)
		case t.purpose.text != "":
			c.consentRetention(t, done)
		default:
			c.tableRetention(t, done)
		}
	}
}

// kept finds a table whose rows a rule may take.
func (c *compiler) kept(p pattern) *catalog.Relation {
	r := c.relation(p)
	switch {
	case r == nil:
	case r.Kind != catalog.Table && r.Kind != catalog.PartitionedTable:
		c.add(p.pos, "%s is no table of this database: nothing can be deleted from it", p.text)
		return nil
	case r.Partition:
		c.add(p.pos, "%s is a partition: name the table that it is part of", p.text)
		return nil
	}
	return r
}

func (c *compiler) tableRetention(t retention, done Retention) {
	for _, p := range t.on {
		if done.Relation = c.kept(p); done.Relation == nil {
			continue
		}
		done.After = c.since(done.Relation, t.after)
		c.addRetention(t, done)
	}
}

// since resolves the column from which a time counts.
func (c *compiler) since(r *catalog.Relation, p pattern) string {
	if len(p.parts) == 0 {
		return "" // reported already
	}
	c.moment(r, p)
	return c.column(r, p)
}

func (c *compiler) subjectRetention(t retention, done Retention) {
	i := slices.IndexFunc(c.set.subjects, func(s Subject) bool { return s.Name == t.subject.text })
	if i < 0 {
		defined(c, "subject", []word{t.subject}, c.doc.subjects)
		return
	}
	done.Subject, done.Relation = t.subject.text, c.set.subjects[i].Relation
	done.After = c.since(done.Relation, t.after)
	for _, u := range t.unless {
		if r := c.relation(u.on); r != nil {
			done.Unless = append(done.Unless, Newer{r, c.since(r, u.after)})
		}
	}
	c.addRetention(t, done)
}

// consentRetention takes rows of those who had consented to a purpose.
func (c *compiler) consentRetention(t retention, done Retention) {
	p := c.doc.purposes[t.purpose.text]
	switch {
	case p == nil:
		defined(c, "purpose", []word{t.purpose}, c.doc.purposes)
		return
	case p.basis != consent:
		c.add(t.purpose.pos, "purpose %q does not rest on consent: it cannot be withdrawn", p.name.text)
		return
	}
	done.Purpose, done.Consent = p.name.text, p.consent
	for _, on := range t.on {
		if done.Relation = c.kept(on); done.Relation != nil {
			c.addRetention(t, done)
		}
	}
}

func (c *compiler) addRetention(t retention, done Retention) {
	if done.Where != "" && c.set.check != nil {
		if err := c.openly(done.Where, done.Relation); err != nil {
			c.add(t.where.pos, "condition for %s: %v", done.Relation.QualifiedName(), err)
		}
	}
	for _, other := range c.set.retention {
		if other.String() == done.String() {
			c.add(t.pos, "this rule is there twice; the other is at %s", other.Place)
			return
		}
	}
	c.set.retention = append(c.set.retention, done)
}
