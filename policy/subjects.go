package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// Subject is a kind of person that the database holds data on.
type Subject struct {
	Name       string
	Relation   *catalog.Relation
	Key        string        // the column that identifies one
	FindBy     []string      // columns by which one may be looked up
	Consent    *ConsentTable // nil when the database records no consents
	Ledger     *Ledger       // nil when pgveil keeps none
	References []Reference   // columns that hold Key without a foreign key
	Erase      []Handling    // of relations that say so; rows of all others are deleted
}

// ConsentTable says where a subject's consents are recorded.
type ConsentTable struct {
	Relation                           *catalog.Relation
	Subject, Purpose, Given, Withdrawn string
}

// Reference is a column that refers to a subject though no constraint says so.
type Reference struct {
	Relation *catalog.Relation
	Column   string
}

// subjects resolves the subjects.
func (c *compiler) subjects() {
	for _, name := range slices.Sorted(maps.Keys(c.doc.subjects)) {
		s := c.doc.subjects[name]
		r := c.relation(s.table)
		if r == nil {
			continue
		}
		subject := Subject{Name: name, Relation: r, Key: c.column(r, s.key), Consent: c.consent(s)}
		for _, p := range s.findBy {
			subject.FindBy = append(subject.FindBy, c.column(r, p))
		}
		for _, p := range s.references {
			for _, key := range c.columns(p) {
				subject.References = append(subject.References, Reference{key.relation, key.relation.Columns[key.index].Name})
			}
		}
		subject.Erase = c.handlings(s)
		if s.ledger {
			subject.Ledger = c.ledger(s, r)
		}
		c.set.subjects = append(c.set.subjects, subject)
	}
	recorded := slices.ContainsFunc(c.set.subjects, Subject.recordsConsent)
	for _, p := range c.doc.purposes {
		if p.basis == consent && !recorded {
			c.add(p.name.pos, "purpose %q has basis consent, but no subject says where consent is recorded", p.name.text)
		}
	}
}

func (c *compiler) consent(s *subject) *ConsentTable {
	if s.consent == nil {
		return nil
	}
	r := c.relation(s.consent.table)
	if r == nil {
		return nil
	}
	c.moment(r, s.consent.given)
	c.moment(r, s.consent.withdrawn)
	return &ConsentTable{
		Relation:  r,
		Subject:   c.column(r, s.consent.subject),
		Purpose:   c.column(r, s.consent.purpose),
		Given:     c.column(r, s.consent.given),
		Withdrawn: c.column(r, s.consent.withdrawn),
	}
}

// moment checks that a column holds moments, whose presence says that
// something happened. A boolean is present also when it says no.
func (c *compiler) moment(r *catalog.Relation, p pattern) {
	column, ok := r.Column(p.parts[0].text)
	if ok && !slices.Contains([]string{"timestamptz", "timestamp", "date"}, column.Type.Base) {
		c.add(p.pos, "%s.%s is %s; expected a date or timestamp", r.QualifiedName(), column.Name, column.Type.SQL)
	}
}

// step leads from a relation to one that its rows belong to.
type step struct {
	to            *catalog.Relation
	columns, refs []string // columns equal refs, one for one
}

// chain is the way from a relation to a subject: nothing when it is the
// subject's own, else the steps that begin the shortest ways. Where several
// begin one, as in a transfer between two customers, all of them count.
type chain struct {
	subject *Subject
	steps   []step
	ways    int // how many chains there are in all, up to maxWays+1
}

// maxWays bounds the chains that one consent filter, or the search for whose a
// row is, spells out.
const maxWays = 16

// consenting gives the subjects that record consents.
func consenting(subjects []Subject) []Subject {
	return slices.DeleteFunc(slices.Clone(subjects), func(s Subject) bool { return !s.recordsConsent() })
}

func (s Subject) recordsConsent() bool { return s.Consent != nil || s.Ledger != nil }

// reach finds the chains from every relation to the subjects.
func reach(governed []*table, subjects []Subject) map[*catalog.Relation][]chain {
	chains := map[*catalog.Relation][]chain{}
	for i := range subjects {
		subject := &subjects[i]
		steps := stepsTo(governed, subject)
		distance := distances(steps, partsOf(governed, subject.Relation))
		ways := map[*catalog.Relation]int{}
		for _, r := range nearestFirst(distance) {
			d := distance[r]
			c := chain{subject: subject, ways: 1}
			if d > 0 {
				c.steps = slices.DeleteFunc(slices.Clone(steps[r]), func(s step) bool {
					to, reached := distance[s.to]
					return !reached || to != d-1
				})
				c.ways = 0
			}
			for _, s := range c.steps {
				c.ways = min(c.ways+ways[s.to], maxWays+1)
			}
			ways[r] = c.ways
			chains[r] = append(chains[r], c)
		}
	}
	return chains
}

func nearestFirst(distance map[*catalog.Relation]int) []*catalog.Relation {
	return slices.SortedFunc(maps.Keys(distance), func(a, b *catalog.Relation) int {
		return cmp.Compare(distance[a], distance[b])
	})
}

// partsOf gives a relation and what inherits from it, partitions too: a row of
// those is a row of the relation.
func partsOf(governed []*table, whole *catalog.Relation) []*catalog.Relation {
	byOID := map[uint32]*catalog.Relation{}
	for _, t := range governed {
		byOID[t.relation.OID] = t.relation
	}
	parts := []*catalog.Relation{whole}
	for _, t := range governed {
		if t.relation != whole && slices.Contains(ancestry(t.relation, byOID), whole) {
			parts = append(parts, t.relation)
		}
	}
	return parts
}

// stepsTo gives the steps from every relation: its foreign keys, those of what
// it inherits from, and the references that the policy declares to a subject.
func stepsTo(governed []*table, subject *Subject) map[*catalog.Relation][]step {
	steps := map[*catalog.Relation][]step{}
	named := map[catalog.Name]*catalog.Relation{}
	byOID := map[uint32]*catalog.Relation{}
	for _, t := range governed {
		named[catalog.Name{Schema: t.relation.Schema, Name: t.relation.Name}] = t.relation
		byOID[t.relation.OID] = t.relation
	}
	for _, t := range governed {
		for _, from := range ancestry(t.relation, byOID) {
			for _, fk := range from.ForeignKeys {
				to := named[catalog.Name{Schema: fk.RefSchema, Name: fk.RefTable}]
				if to != nil {
					steps[t.relation] = append(steps[t.relation], step{to, fk.Columns, fk.RefColumns})
				}
			}
		}
	}
	for _, ref := range subject.References {
		steps[ref.Relation] = append(steps[ref.Relation], step{subject.Relation, []string{ref.Column}, []string{subject.Key}})
	}
	return steps
}

// ancestry gives a relation and all that it inherits from: an inheritance
// child has its parent's columns but not its parent's constraints.
func ancestry(r *catalog.Relation, byOID map[uint32]*catalog.Relation) []*catalog.Relation {
	line := []*catalog.Relation{r}
	for i := 0; i < len(line); i++ {
		for _, oid := range line[i].Parents {
			if parent := byOID[oid]; parent != nil && !slices.Contains(line, parent) {
				line = append(line, parent)
			}
		}
	}
	return line
}

// distances gives how many steps each relation is from the nearest goal.
func distances(steps map[*catalog.Relation][]step, goals []*catalog.Relation) map[*catalog.Relation]int {
	distance := map[*catalog.Relation]int{}
	for _, goal := range goals {
		distance[goal] = 0
	}
	for frontier := 1; ; frontier++ {
		var next []*catalog.Relation
		for r, ways := range steps {
			_, reached := distance[r]
			near := slices.ContainsFunc(ways, func(s step) bool { d, ok := distance[s.to]; return ok && d == frontier-1 })
			if !reached && near {
				next = append(next, r)
			}
		}
		if len(next) == 0 {
			return distance
		}
		for _, r := range next {
			distance[r] = frontier
		}
	}
}

// consentAlias is the name by which a consent filter calls the relation that
// it filters; pgveil_1, pgveil_2 … and pgveil_c are those within.
const consentAlias = "pgveil_t"

// consent gives the filter that keeps the rows of the subjects who consented,
// as SQL over the relation under the name pgveil_t; "" for a relation that
// reaches no such subject. Where the ways to a subject are too many to spell
// out, no row is known to have consent.
func (s *Set) consent(r *catalog.Relation, p *purpose, f form) string {
	var all []string
	for _, c := range s.reach[r] {
		if c.ways > maxWays {
			return "false"
		}
		if c.subject.Ledger != nil {
			all = append(all, f.when(true, []string{s.via(c, consentAlias, 1, " AND ", f, consentKept(c.subject, p, f))}))
			continue
		}
		all = append(all, s.via(c, consentAlias, 1, " AND ", byJoin, consentGiven(c.subject, p)))
	}
	return strings.Join(all, " AND ")
}

// via follows one chain from the relation called alias, and gives what whose
// says of the subject's key at its end; of all the ways there, joined by and.
func (s *Set) via(c chain, alias string, depth int, and string, f form, whose func(value string) string) string {
	if len(c.steps) == 0 {
		return whose(alias + "." + quoteName(c.subject.Key))
	}
	var all []string
	for _, way := range c.steps {
		next := chainTo(s.belongs[way.to], c.subject.Name)
		if i := slices.Index(way.refs, c.subject.Key); c.subject.Ledger != nil && len(next.steps) == 0 && i >= 0 {
			all = append(all, whose(alias+"."+quoteName(way.columns[i]))) // it holds the key itself
			continue
		}
		inner := fmt.Sprintf("pgveil_%d", depth)
		conditions := make([]string, 0, len(way.columns)+1)
		for i, column := range way.columns {
			conditions = append(conditions, equal(way.to, way.refs[i], inner, alias+"."+quoteName(column)))
		}
		conditions = append(conditions, s.via(next, inner, depth+1, and, f, whose))
		all = append(all, exists(way.to, inner, conditions, f.fence()))
	}
	if and == " OR " && len(all) > 1 {
		return "(" + strings.Join(all, and) + ")"
	}
	return strings.Join(all, and)
}

// chainTo gives, of a relation's chains, the one to a kind of subject.
func chainTo(chains []chain, subject string) chain {
	return chains[slices.IndexFunc(chains, func(c chain) bool { return c.subject.Name == subject })]
}

// consentGiven is the condition that the database's own table holds a consent
// for a purpose.
func consentGiven(s *Subject, p *purpose) func(value string) string {
	const inner = "pgveil_c"
	c := s.Consent
	return func(value string) string {
		return exists(c.Relation, inner, []string{
			equal(c.Relation, c.Subject, inner, value),
			equal(c.Relation, c.Purpose, inner, quoteLiteral(p.consent)),
			inner + "." + quoteName(c.Given) + " IS NOT NULL",
			inner + "." + quoteName(c.Withdrawn) + " IS NULL",
		}, "")
	}
}

func exists(r *catalog.Relation, alias string, conditions []string, fence string) string {
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s.%s AS %s WHERE %s%s)",
		quoteName(r.Schema), quoteName(r.Name), alias, strings.Join(conditions, " AND "), fence)
}

// equal compares a column with something. The operator is named in full, so
// that no search_path chooses another: a base type from an extension brings
// its own beside it, all others are compared by those of the system.
func equal(r *catalog.Relation, column, alias, with string) string {
	schema := "pg_catalog"
	if c, ok := r.Column(column); ok && c.Type.Kind == 'b' && c.Type.Schema != "" && c.Type.Elem == 0 {
		schema = c.Type.Schema
	}
	return fmt.Sprintf("%s.%s OPERATOR(%s.=) %s", alias, quoteName(column), quoteName(schema), with)
}
