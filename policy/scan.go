package policy

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/recognise"
)

// Scan says what is looked for in values, and what is done where it is found: the
// row is refused, what was found is written over, or somebody is told. A kind of
// several counts as the first of them. The zero Scan looks for nothing.
type Scan struct{ Refuse, Scrub, Alert recognise.Set }

// Find gives all that is looked for.
func (s Scan) Find() recognise.Set { return s.Refuse | s.Scrub | s.Alert }

// And gives what is looked for in values of which either may hold.
func (s Scan) And(t Scan) Scan {
	return Scan{s.Refuse | t.Refuse, s.Scrub | t.Scrub, s.Alert | t.Alert}
}

// scan is a Scan as it is written.
type scan struct {
	Scan
	except []word // roles whose holders are not scanned
}

// The words for what is done, of a class and of what is written.
var (
	scanWords  = []string{"scrub", "refuse", "alert"}
	writeWords = []string{"alert", "refuse", "off"}
)

// scan reads the short form, what is done where anything is found, or the long
// form.
func (r *reader) scan(n *yaml.Node, what string, words []string) scan {
	s := scan{}
	find, then := recognise.All, ""
	act := func(n *yaml.Node) {
		if i := r.oneOf(n, what, words...); i >= 0 {
			then = words[i]
		}
	}
	if n.Kind == yaml.MappingNode {
		r.fields(n, what, keys{
			"find":   func(n *yaml.Node) { find = r.kinds(n) },
			"then":   act,
			"except": func(n *yaml.Node) { s.except = r.words(n, "a role") },
		}, "then")
	} else {
		act(n)
	}
	switch then {
	case "refuse":
		s.Refuse = find
	case "scrub":
		s.Scrub = find
	case "alert":
		s.Alert = find
	}
	return s
}

// kinds reads what is to be found.
func (r *reader) kinds(n *yaml.Node) (set recognise.Set) {
	r.list(n, "kinds", func(n *yaml.Node) {
		w := r.text(n, "a kind")
		kinds, err := recognise.Parse(w.text)
		if err != nil && w.text != "" {
			r.add(w.pos, "unknown kind %q%s", w.text, didYouMean(w.text, recognise.Words()))
		}
		set |= kinds
	})
	return set
}

// scans checks the roles that scans leave out, and notes which classes have one.
func (c *compiler) scans() {
	for name, class := range c.doc.classes {
		defined(c, "role", class.scan.except, c.doc.roles)
		if class.scan.Find() != 0 {
			c.set.scanned = append(c.set.scanned, name)
		}
	}
	defined(c, "role", c.doc.scanWrites.except, c.doc.roles)
}

// Scans tells whether the values of any class are scanned.
func (s *Set) Scans() bool { return len(s.scanned) > 0 }

// Scan gives what is looked for in values of a class that the access is to see.
func (a *Access) Scan(class string) Scan {
	if a.decisions == nil {
		return Scan{}
	}
	if c := a.decisions.set.doc.classes[class]; c != nil {
		return a.scanned(c.scan)
	}
	return Scan{}
}

// ScanAll gives what is looked for in values of which nobody knows the class.
func (a *Access) ScanAll() (all Scan) {
	if a.decisions == nil {
		return Scan{}
	}
	for _, class := range a.decisions.set.scanned {
		all = all.And(a.Scan(class))
	}
	return all
}

// ScanWrites gives what is looked for in values that the access is about to write
// into open columns.
func (a *Access) ScanWrites() Scan {
	if a.decisions == nil {
		return Scan{}
	}
	return a.scanned(a.decisions.set.doc.scanWrites)
}

// scanned gives what of a scan is for the access.
func (a *Access) scanned(s scan) Scan {
	if slices.ContainsFunc(a.Roles, func(role string) bool { return named(s.except, role) }) {
		return Scan{}
	}
	return s.Scan
}
