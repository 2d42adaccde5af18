package policy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pgveil/pgveil/catalog"
)

// claim is the best pattern that wants a column for its class, and another of
// the same rank that wants it for another class.
type claim struct {
	class, rival string
	by, against  pattern
}

// columnKey is a column of a relation, by its index.
type columnKey struct {
	relation *catalog.Relation
	index    int
}

// classify puts every column into the class with the most specific pattern
// for it. Two classes that want a column equally are a problem: which of them
// comes first in a file must not decide what is shown. The claims that won are
// returned.
func (c *compiler) classify() map[columnKey]*claim {
	claims := map[columnKey]*claim{}
	for _, name := range slices.Sorted(maps.Keys(c.doc.classes)) {
		for _, p := range c.doc.classes[name].columns {
			keys := c.columns(p)
			for _, key := range keys {
				c.claim(claims, key, name, p)
			}
		}
	}
	for key, best := range claims {
		column := key.relation.QualifiedName() + "." + key.relation.Columns[key.index].Name
		if best.rival != "" {
			c.add(best.against.pos, "%s is in the classes %q and %q alike; the other is at %s: name the column itself in one of them",
				column, best.class, best.rival, best.by.pos)
		}
		c.set.tables[key.relation].classes[key.index] = best.class
	}
	return claims
}

func (c *compiler) claim(claims map[columnKey]*claim, key columnKey, class string, p pattern) {
	best := claims[key]
	switch {
	case best == nil || p.rank() > best.by.rank():
		claims[key] = &claim{class: class, by: p}
	case p.rank() == best.by.rank() && class != best.class:
		best.rival, best.against = class, p
	}
}

// columns gives the columns that a three-part pattern matches, and reports a
// pattern that matches none.
func (c *compiler) columns(p pattern) []columnKey {
	if exact := (pattern{parts: p.parts[:2]}); exact.exact() {
		exact.text, exact.pos = exact.parts[0].text+"."+exact.parts[1].text, p.pos
		r := c.relation(exact)
		if r == nil {
			return nil
		}
		found := matchColumns(nil, r, p)
		if len(found) == 0 {
			c.unknown(p.pos, "column of "+r.QualifiedName(), p.parts[2].text, columnNames(r))
		}
		return found
	}
	var found []columnKey
	for _, t := range c.set.governed {
		found = matchColumns(found, t.relation, p)
	}
	if len(found) == 0 {
		c.add(p.pos, "%s matches no column", p.text)
	}
	return found
}

func matchColumns(found []columnKey, r *catalog.Relation, p pattern) []columnKey {
	if !p.parts[0].matches(r.Schema) || !p.parts[1].matches(r.Name) {
		return found
	}
	for i := range r.Columns {
		if p.parts[2].matches(r.Columns[i].Name) {
			found = append(found, columnKey{r, i})
		}
	}
	return found
}

// rules checks the names in the rules, and that every mask is defined for the
// columns it may have to mask.
func (c *compiler) rules() {
	classes := maps.Clone(c.doc.classes)
	classes[openClass] = nil
	for _, u := range c.doc.rules {
		defined(c, "role", u.roles.words, c.doc.roles)
		defined(c, "purpose", u.purposes.words, c.doc.purposes)
		defined(c, "class", u.classes.words, classes)
		for _, w := range u.classes.words {
			if w.text == openClass {
				c.add(w.pos, "open columns are shown to everybody: put the column in another class to rule on it")
			}
		}
		c.applies(u)
		if !u.expires.IsZero() && u.state == enforced {
			c.set.expiries = append(c.set.expiries, u.expires)
		}
	}
	slices.SortFunc(c.set.expiries, time.Time.Compare)
}

// applies reports the columns of a rule that what it shows is not defined for:
// the first, and how many more there are.
func (c *compiler) applies(u *rule) {
	var first string
	more := 0
	for _, t := range c.set.governed {
		for i, class := range t.classes {
			if class == "" || class == openClass || !u.classes.matches(class) {
				continue
			}
			column := &t.relation.Columns[i]
			err := u.treatment.appliesTo(c.doc.classes[class], column.Type)
			switch {
			case err == nil:
			case first == "":
				first = fmt.Sprintf("%s.%s of class %q: %v", t.relation.QualifiedName(), column.Name, class, err)
			default:
				more++
			}
		}
	}
	switch {
	case first == "":
	case more == 0:
		c.add(u.pos, "%s", first)
	default:
		c.add(u.pos, "%s (and %d more columns)", first, more)
	}
}
