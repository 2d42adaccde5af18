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
	References []Reference   // what refers to it, or to rows that are its, without a foreign key
	Erase      []Handling    // of relations that say so; rows of all others are deleted
}

// ConsentTable says where a subject's consents are recorded.
type ConsentTable struct {
	Relation                           *catalog.Relation
	Subject, Purpose, Given, Withdrawn string
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
		subject.References = c.references(s, subject)
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
	columns, refs []string   // columns equal refs, one for one
	by            *Reference // of the policy; nil for a foreign key
}

// sometimes tells whether only some rows have the step.
func (s step) sometimes() bool { return s.by != nil && s.by.Where != nil }

// holdsKey tells whether what the columns hold can stand for what they refer to.
func (s step) holdsKey() bool {
	if s.by == nil {
		return true
	}
	from, _ := s.by.Relation.Column(s.columns[0])
	to, _ := s.to.Column(s.refs[0])
	return !s.by.Many() && !s.by.FoldCase && from.Type.Base == to.Type.Base
}

// refers gives the conditions under which the row alias takes the step to the row
// inner.
func (s step) refers(alias, inner string) []string {
	if s.by != nil {
		return []string{s.by.Refers(alias, inner)}
	}
	var conditions []string
	for i, column := range s.columns {
		conditions = append(conditions, equal(s.to, s.refs[i], inner, alias+"."+quoteName(column)))
	}
	return conditions
}

// chain is the way from a relation to a subject: nothing when it is the
// subject's own, else the steps that begin the shortest ways. Where several
// begin one, as in a transfer between two customers, all of them count.
type chain struct {
	subject *Subject
	steps   []step
	ways    int  // how many chains there are in all, up to maxWays+1
	vague   bool // one row may lead to several subjects by one step, or to none though it has the step
	partial bool // some step is one that only some rows have
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
		found := map[*catalog.Relation]chain{}
		for _, r := range nearestFirst(distance) {
			found[r] = newChain(subject, r, steps[r], distance, found)
			chains[r] = append(chains[r], found[r])
		}
	}
	return chains
}

// newChain gives the chain of a relation, of which those of all nearer ones are
// known. Steps that only some rows have count beside the shortest.
func newChain(subject *Subject, r *catalog.Relation, all []step, distance map[*catalog.Relation]int, known map[*catalog.Relation]chain) chain {
	c := chain{subject: subject}
	if distance[r] == 0 {
		c.ways = 1
		return c
	}
	nearest := distance[r]
	for _, s := range all {
		if to, reached := distance[s.to]; reached && !s.sometimes() {
			nearest = min(nearest, to)
		}
	}
	for _, s := range all {
		to, reached := distance[s.to]
		switch {
		case !reached || s.to == r || !s.sometimes() && to > nearest:
		case to >= distance[r]:
			c.ways = maxWays + 1 // round in a circle: nobody can say whose the row is
		default:
			next := known[s.to]
			c.steps = append(c.steps, s)
			c.ways = min(c.ways+next.ways, maxWays+1)
			c.vague = c.vague || next.vague || s.by != nil && (s.by.Many() || !s.by.unique(subject))
			c.partial = c.partial || next.partial || s.sometimes()
		}
	}
	return c
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
					steps[t.relation] = append(steps[t.relation], step{to, fk.Columns, fk.RefColumns, nil})
				}
			}
		}
	}
	for i := range subject.References {
		ref := &subject.References[i]
		steps[ref.Relation] = append(steps[ref.Relation], step{ref.To, ref.Columns, ref.ToColumns, ref})
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

// distances gives how many steps each relation is from the nearest goal. One with
// steps that only some of its rows have is farther than all that those lead to,
// so that none of them is left out for another that is shorter.
func distances(steps map[*catalog.Relation][]step, goals []*catalog.Relation) map[*catalog.Relation]int {
	return rounds(steps, goals, rounds(steps, goals, nil))
}

// rounds gives in which round each relation is reached from the goals.
func rounds(steps map[*catalog.Relation][]step, goals []*catalog.Relation, awaited map[*catalog.Relation]int) map[*catalog.Relation]int {
	round := map[*catalog.Relation]int{}
	for _, goal := range goals {
		round[goal] = 0
	}
	for n := 1; ; n++ {
		next := nextRound(steps, round, awaited)
		if next == nil {
			next = nextRound(steps, round, nil) // those that are left wait for each other
		}
		if next == nil {
			return round
		}
		for _, r := range next {
			round[r] = n
		}
	}
}

// nextRound gives the relations with a step to one that is reached, but those
// that wait for another.
func nextRound(steps map[*catalog.Relation][]step, round, awaited map[*catalog.Relation]int) (next []*catalog.Relation) {
	in := func(m map[*catalog.Relation]int, r *catalog.Relation) bool { _, ok := m[r]; return ok }
	for r, ways := range steps {
		near := slices.ContainsFunc(ways, func(s step) bool { return s.to != r && in(round, s.to) })
		waits := slices.ContainsFunc(ways, func(s step) bool { return s.sometimes() && s.to != r && in(awaited, s.to) && !in(round, s.to) })
		if near && !waits && !in(round, r) {
			next = append(next, r)
		}
	}
	return next
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
		if c.ways > maxWays || c.vague {
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
	var all, some []string
	for _, way := range c.steps {
		condition := s.along(c, way, alias, depth, and, f, whose)
		if way.sometimes() {
			applies := way.by.Applies(alias)
			some = append(some, applies)
			if and == " OR " {
				condition = "(" + applies + " AND " + condition + ")"
			} else {
				condition = "(NOT " + applies + " OR " + condition + ")"
			}
		}
		all = append(all, condition)
	}
	if and != " OR " && len(some) == len(all) {
		all = append(all, "("+strings.Join(some, " OR ")+")") // what belongs to nobody is as what has no key
	}
	if and == " OR " && len(all) > 1 {
		return "(" + strings.Join(all, and) + ")"
	}
	return strings.Join(all, and)
}

// along follows one step of a chain.
func (s *Set) along(c chain, way step, alias string, depth int, and string, f form, whose func(value string) string) string {
	next := chainTo(s.belongs[way.to], c.subject.Name)
	i := slices.Index(way.refs, c.subject.Key)
	if c.subject.Ledger != nil && len(next.steps) == 0 && i >= 0 && way.holdsKey() {
		return whose(alias + "." + quoteName(way.columns[i])) // it holds the key itself
	}
	inner := fmt.Sprintf("pgveil_%d", depth)
	conditions := append(way.refers(alias, inner), s.via(next, inner, depth+1, and, f, whose))
	return exists(way.to, inner, conditions, f.fence())
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
