package policy

import (
	"fmt"
	"maps"
	"slices"
)

// Processing is what a policy says of the processing as such: for a record of
// it (GDPR, Article 30(1)).
type Processing struct {
	Purposes []PurposeItem
	Classes  []Class
	Kinds    map[string][]string // of data subjects whose rows a relation holds, by its qualified name
	Factor   bool                // something needs a second factor
}

// PurposeItem is a purpose.
type PurposeItem struct {
	Named
	Within, Basis, Consent, About, Means string // what it does not say itself it has from what it is within
	DirectMarketing                      bool
	Limits                               Limits // of those who act for it
}

// Processing gives what the policy says of the processing.
func (s *Set) Processing() Processing {
	f := s.doc.factor
	p := Processing{Classes: s.doc.Classes(), Kinds: map[string][]string{}, Factor: len(f.roles)+len(f.classes)+len(f.privacy) > 0}
	for _, name := range slices.Sorted(maps.Keys(s.doc.purposes)) {
		u := s.doc.purposes[name]
		item := PurposeItem{Named: u.name.item(), Within: u.within.text, Consent: u.consent, About: u.about, Means: u.means.text, DirectMarketing: u.directMarketing, Limits: u.limits}
		if u.basis > 0 {
			item.Basis = basisNames[u.basis-1]
		}
		p.Purposes = append(p.Purposes, item)
	}
	for r, chains := range s.belongs {
		for _, c := range chains {
			if !slices.Contains(p.Kinds[r.QualifiedName()], c.subject.Name) {
				p.Kinds[r.QualifiedName()] = append(p.Kinds[r.QualifiedName()], c.subject.Name)
			}
		}
	}
	for _, kinds := range p.Kinds {
		slices.Sort(kinds)
	}
	return p
}

// Classes gives the classes by name.
func (d *Document) Classes() []Class {
	var list []Class
	for _, name := range slices.Sorted(maps.Keys(d.classes)) {
		list = append(list, d.classes[name].compiled())
	}
	return list
}

func (c *class) compiled() Class {
	return Class{Name: c.name.text, Special: c.special, Sealing: c.seal, About: c.about, Erase: c.erase.Erasing, Provided: c.provided}
}

// String writes a time to keep as a policy does, or as several parts.
func (k Keep) String() string {
	text := ""
	for _, part := range []struct {
		n    int
		unit string
	}{{k.Years, "y"}, {k.Months, "m"}, {k.Days, "d"}} {
		if part.n > 0 {
			text += fmt.Sprint(part.n, part.unit)
		}
	}
	return text
}
