package policy

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pgveil/pgveil/catalog"
)

// Set is a policy compiled against one catalog: every name in it has been
// found. It is safe for concurrent use.
type Set struct {
	doc        *Document
	tables     map[*catalog.Relation]*table
	governed   []*table // in order of qualified names
	roles      map[string]*compiledRole
	subjects   []Subject
	reach      map[*catalog.Relation][]chain // to the subjects that record consents
	belongs    map[*catalog.Relation][]chain // to all subjects
	functions  map[catalog.Name]bool
	extensions map[string]bool
	discloses  map[catalog.Name]bool
	retention  []Retention
	scanned    []string                                // classes
	sealRoots  map[*catalog.Relation]*catalog.Relation // what each is a partition or an heir of, in the end
	expiries   []time.Time                             // when rules expire, sorted
	places     places                                  // that roles and users come from, the narrowest first
	now        func() time.Time
	check      Checker

	mu        sync.RWMutex
	accesses  map[caller]*Access
	decisions map[string]*decisions
}

// table is a governed relation with the class of each of its columns.
type table struct {
	relation *catalog.Relation
	classes  []string // parallel to Columns; "" where there is none
}

// compiledRole is a role with its grants resolved to relations.
type compiledRole struct {
	*role
	grants     map[*catalog.Relation]*entry
	permits    []string // the purposes that it serves, with all that is within them; sorted
	attributes []string // those that its row filters take, sorted
}

// Checker tells what is wrong with a boolean SQL expression over a relation's
// bare column names. Parsing SQL is not this package's business.
type Checker func(expr string, r *catalog.Relation) error

// Option sets something about how a policy is compiled.
type Option func(*Set)

// CheckRows has every row filter checked against every relation it is for.
func CheckRows(c Checker) Option { return func(s *Set) { s.check = c } }

// Clock sets the time by which users lapse and rules expire.
func Clock(now func() time.Time) Option { return func(s *Set) { s.now = now } }

// Compile compares every name of the policy with the catalog and with each
// other. Its error is a Problems that holds everything wrong.
func Compile(d *Document, cat *catalog.Snapshot, options ...Option) (*Set, error) {
	s := &Set{
		doc:        d,
		tables:     map[*catalog.Relation]*table{},
		roles:      map[string]*compiledRole{},
		functions:  map[catalog.Name]bool{},
		extensions: map[string]bool{},
		discloses:  map[catalog.Name]bool{},
		now:        time.Now,
		accesses:   map[caller]*Access{},
		decisions:  map[string]*decisions{},
	}
	for _, o := range options {
		o(s)
	}
	c := &compiler{set: s, doc: d, cat: cat}
	c.tables()
	c.inherit(c.classify())
	c.subjects()
	c.roles()
	c.rules()
	c.erasings()
	c.sealings()
	c.users()
	c.elevations()
	c.factor()
	c.watch()
	c.honey()
	c.functions()
	c.retention()
	c.limits()
	c.scans()
	if err := c.err(); err != nil {
		return nil, err
	}
	s.places = placesOf(d)
	s.reach = reach(s.governed, consenting(s.subjects))
	s.belongs = reach(s.governed, s.subjects)
	return s, nil
}

// compiler fills a Set in and collects what is wrong on the way.
type compiler struct {
	problems
	set   *Set
	doc   *Document
	cat   *catalog.Snapshot
	named []string // the governed relations, for suggestions
}

// tables lists the relations that a policy speaks of: those with rows, outside
// the system's schemas and pgveil's own, which is open to nobody with
// restrictions, whatever a policy says.
func (c *compiler) tables() {
	for _, r := range c.cat.Relations() {
		if !r.Governed() || !hasRows(r.Kind) || r.Schema == OwnSchema {
			continue
		}
		t := &table{r, make([]string, len(r.Columns))}
		c.set.tables[r] = t
		c.set.governed = append(c.set.governed, t)
		c.named = append(c.named, r.QualifiedName())
	}
}

func hasRows(k catalog.RelKind) bool {
	switch k {
	case catalog.Table, catalog.PartitionedTable, catalog.View, catalog.MaterializedView, catalog.ForeignTable:
		return true
	case catalog.Sequence, catalog.CompositeType:
		return false
	default:
		return false
	}
}

// relation finds the relation that a two-part name means, or reports that
// there is none.
func (c *compiler) relation(p pattern) *catalog.Relation {
	name := p.name()
	r, ok := c.cat.Relation(nil, name.Schema, name.Name)
	if ok && c.set.tables[r] != nil {
		return r
	}
	if ok {
		c.add(p.pos, "%s is not a table or view that a policy governs", p.text)
		return nil
	}
	c.unknown(p.pos, "table", p.text, c.named)
	return nil
}

// column checks that a relation has the column that a one-part name means.
func (c *compiler) column(r *catalog.Relation, p pattern) string {
	name := p.parts[0].text
	if _, ok := r.Column(name); !ok {
		c.unknown(p.pos, "column of "+r.QualifiedName(), p.text, columnNames(r))
	}
	return name
}

func columnNames(r *catalog.Relation) []string {
	names := make([]string, len(r.Columns))
	for i, col := range r.Columns {
		names[i] = col.Name
	}
	return names
}

// defined checks that the policy defines what words name.
func defined[T any](c *compiler, what string, words []word, known map[string]T) {
	for _, w := range words {
		if _, ok := known[w.text]; !ok {
			c.unknown(w.pos, what, w.text, slices.Sorted(maps.Keys(known)))
		}
	}
}

// roles resolves what each role may do to which relations.
func (c *compiler) roles() {
	for _, name := range slices.Sorted(maps.Keys(c.doc.roles)) {
		role := &compiledRole{role: c.doc.roles[name], grants: map[*catalog.Relation]*entry{}}
		c.set.roles[name] = role
		c.purposes(role)
		c.requires(role)
		ranks := map[*catalog.Relation]int{}
		for i := range role.tables {
			for _, p := range role.tables[i].on {
				c.grant(role, &role.tables[i], p, ranks)
			}
		}
		for _, e := range role.grants {
			role.attributes = append(role.attributes, e.rows.names...)
		}
		slices.Sort(role.attributes)
		role.attributes = slices.Compact(role.attributes)
		c.filters(role)
	}
}

// grant gives the role the entry's relations. Of two entries for one relation
// the more specific counts, so that an exception can be written beside a
// wildcard.
func (c *compiler) grant(role *compiledRole, e *entry, p pattern, ranks map[*catalog.Relation]int) {
	found := false
	for _, r := range c.matching(p) {
		found = true
		other, had := role.grants[r]
		switch {
		case !had || p.rank() > ranks[r]:
			role.grants[r], ranks[r] = e, p.rank()
		case p.rank() == ranks[r]:
			c.add(p.pos, "role %q grants %s twice; the other is at %s", role.name.text, r.QualifiedName(), other.pos)
		}
	}
	if !found && !p.exact() {
		c.add(p.pos, "%s matches no table", p.text)
	}
}

// matching gives the relations that a two-part pattern matches.
func (c *compiler) matching(p pattern) []*catalog.Relation {
	if p.exact() {
		if r := c.relation(p); r != nil {
			return []*catalog.Relation{r}
		}
		return nil
	}
	var found []*catalog.Relation
	for _, t := range c.set.governed {
		if p.matches(t.relation.Schema, t.relation.Name) {
			found = append(found, t.relation)
		}
	}
	return found
}

// filters checks the row filters of a role: that some user has what they ask
// for, and that they are SQL over the relations they are for.
func (c *compiler) filters(role *compiledRole) {
	if attributes := c.attributes(); len(c.doc.users) > 0 || len(attributes) > 0 {
		for i := range role.tables {
			for _, name := range role.tables[i].rows.names {
				if !slices.Contains(attributes, name) {
					c.unknown(role.tables[i].rows.pos, "attribute", name, attributes)
				}
			}
		}
	}
	if c.set.check == nil {
		return
	}
	for _, t := range c.set.governed {
		e := role.grants[t.relation]
		if e == nil || e.rows.everyRow() {
			continue
		}
		if err := c.openly(e.rows.probe(), t.relation); err != nil {
			c.add(e.rows.pos, "row filter for %s: %v", t.relation.QualifiedName(), err)
		}
	}
}

// requires checks that somebody may have what a role requires.
func (c *compiler) requires(role *compiledRole) {
	attributes := c.attributes()
	for _, w := range role.requires {
		if w.text != "" && !slices.Contains(attributes, w.text+untilSuffix) {
			c.unknown(w.pos, "attribute", w.text+untilSuffix, attributes)
		}
	}
}

// attributes gives every attribute that any user has, or a token may bring.
func (c *compiler) attributes() []string {
	names := texts(c.doc.attributes)
	for _, u := range c.doc.users {
		names = slices.AppendSeq(names, maps.Keys(u.attributes))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// users checks the roles of users and groups. Whoever can claim to be another
// must not gain by it the right to change nothing.
func (c *compiler) users() {
	for _, roles := range c.doc.groups {
		defined(c, "role", roles, c.doc.roles)
	}
	for _, u := range c.doc.users {
		defined(c, "role", u.roles, c.doc.roles)
		defined(c, "role", u.actAs, c.doc.roles)
		for _, w := range u.actAs {
			if r := c.doc.roles[w.text]; r != nil && r.unrestricted {
				c.add(w.pos, "role %q is unrestricted: nobody may act as it", w.text)
			}
		}
	}
}

// functions resolves the functions and views that the policy lets pass.
func (c *compiler) functions() {
	for _, p := range c.doc.functions {
		name := p.name()
		if len(c.cat.Funcs(nil, name.Schema, name.Name)) == 0 {
			c.add(p.pos, "unknown function %q", p.text)
		}
		c.set.functions[name] = true
	}
	for _, w := range c.doc.extensions {
		c.set.extensions[w.text] = true
	}
	for _, p := range c.doc.discloses {
		name := p.name()
		if len(c.cat.Funcs(nil, name.Schema, name.Name)) == 0 && c.relation(p) == nil {
			continue
		}
		c.set.discloses[name] = true
	}
}
