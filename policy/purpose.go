package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

func (r *reader) purpose(name word, n *yaml.Node) {
	r.naming(name, "purpose")
	p := &purpose{name: name, pos: r.at(n)}
	r.doc.purposes[name.text] = p
	r.fields(n, "a purpose", keys{
		"within":  func(n *yaml.Node) { p.within = r.text(n, "a purpose") },
		"basis":   func(n *yaml.Node) { p.basis = basis(r.oneOf(n, "basis", basisNames...) + 1) },
		"consent": func(n *yaml.Node) { p.consent = r.text(n, "the consent's name").text },
		"about":   func(n *yaml.Node) { p.about = r.text(n, "a text").text },
		"means":   func(n *yaml.Node) { p.means = r.vocabulary(n) },
		"limits":  func(n *yaml.Node) { p.limits = r.limits(n, OfPurpose, name.text) },

		"direct_marketing":    func(n *yaml.Node) { p.directMarketing = r.truth(n) },
		"despite_restriction": func(n *yaml.Node) { p.despiteRestriction = r.truth(n) },
	})
}

// families gives every purpose what it has from those that it is within, once
// all the files are read.
func (r *reader) families() {
	settled := map[*purpose]bool{}
	for _, name := range slices.Sorted(maps.Keys(r.doc.purposes)) {
		line := r.doc.purposeAndAncestors(r.doc.purposes[name])
		r.root(line)
		for _, p := range slices.Backward(line) {
			if !settled[p] {
				settled[p] = true
				r.inherit(p, r.doc.purposes[p.within.text])
			}
		}
	}
}

// root checks that the line of a purpose ends at one that is within no other.
func (r *reader) root(line []*purpose) {
	p, last := line[0], line[len(line)-1]
	above, known := r.doc.purposes[last.within.text]
	switch {
	case last.within.text == "":
	case !known && p == last:
		r.unknown(p.within.pos, "purpose", p.within.text, slices.Sorted(maps.Keys(r.doc.purposes)))
	case known && above == p:
		var names []string
		for _, q := range append(line, p) {
			names = append(names, q.name.text)
		}
		r.add(p.within.pos, "a purpose is within itself: %s", strings.Join(names, " within "))
	}
}

// inherit settles what a purpose says nothing of itself, and checks that what
// it comes to is whole. The parent is nil where there is none.
func (r *reader) inherit(p, parent *purpose) {
	if parent != nil {
		if p.basis == 0 {
			p.basis = parent.basis
		}
		if p.basis == consent && parent.basis == consent && p.consent == "" {
			p.consent = parent.consent
		}
		if p.about == "" {
			p.about = parent.about
		}
		p.limits = parent.limits.and(p.limits)
		p.directMarketing = p.directMarketing || parent.directMarketing
	}
	switch {
	case p.basis == 0 && p.within.text == "":
		r.add(p.pos, `a purpose needs "basis"`)
	case p.basis == consent && p.consent == "":
		r.add(p.name.pos, `purpose %q has basis consent and needs "consent": what the consent table calls it`, p.name.text)
	case p.basis != consent && p.basis != 0 && p.consent != "":
		r.add(p.name.pos, "purpose %q names a consent, but its basis is %s", p.name.text, basisNames[p.basis-1])
	}
}

// purposeAndAncestors gives a purpose and those that it is within, the nearest
// first; nothing for no purpose.
func (d *Document) purposeAndAncestors(p *purpose) []*purpose {
	var line []*purpose
	for p != nil && !slices.Contains(line, p) {
		line = append(line, p)
		p = d.purposes[p.within.text]
	}
	return line
}

// purposeAndAncestors is that of the set's document.
func (s *Set) purposeAndAncestors(p *purpose) []*purpose { return s.doc.purposeAndAncestors(p) }

// within tells whether a purpose is one of those named, or a part of one.
func (d *Document) within(p *purpose, names []word) bool {
	return slices.ContainsFunc(d.purposeAndAncestors(p), func(q *purpose) bool { return named(names, q.name.text) })
}

// concerns tells whether a rule is for a purpose: for any, for it, or for one
// that it is within. Without a purpose only rules for any are.
func (d *Document) concerns(u *rule, p *purpose) bool {
	return u.purposes.any || d.within(p, u.purposes.words)
}

// names is how specific a rule is: how many of its three names it gives.
func (u *rule) names() int {
	n := 0
	for _, s := range []selector{u.roles, u.purposes, u.classes} {
		if !s.any {
			n++
		}
	}
	return n
}

// nearest leaves out, of rules that give equally many names, those that name a
// purpose farther from p than another of them does.
func (d *Document) nearest(rules []*rule, p *purpose) []*rule {
	for _, q := range d.purposeAndAncestors(p) {
		names := func(u *rule) bool { return named(u.purposes.words, q.name.text) }
		if slices.ContainsFunc(rules, names) {
			return slices.DeleteFunc(rules, func(u *rule) bool { return !u.purposes.any && !names(u) })
		}
	}
	return rules
}

// purposes checks the purposes of a role, and resolves them to all that it
// serves.
func (c *compiler) purposes(role *compiledRole) {
	defined(c, "purpose", slices.Concat(role.purposes, role.not), c.doc.purposes)
	for _, w := range role.purposes {
		if c.doc.within(c.doc.purposes[w.text], role.not) {
			c.add(w.pos, `role %q serves purpose %q, and by "not" it does not`, role.name.text, w.text)
		}
	}
	for _, w := range role.not {
		if p := c.doc.purposes[w.text]; p != nil && !c.doc.within(p, role.purposes) {
			c.add(w.pos, `"not" takes away what is within the role's purposes: %q is not`, w.text)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.doc.purposes)) {
		p := c.doc.purposes[name]
		if c.doc.within(p, role.purposes) && !c.doc.within(p, role.not) {
			role.permits = append(role.permits, name)
		}
	}
}

// choosePurpose settles for what the access is. For a purpose that a role would
// serve which does not count now, there is none meanwhile.
func (s *Set) choosePurpose(a *Access, d *decisions, asked string) error {
	for _, r := range d.roles {
		d.unrestricted = d.unrestricted || r.unrestricted
	}
	a.Purposes = d.permitted()
	if d.unrestricted {
		a.Purposes = slices.Sorted(maps.Keys(s.doc.purposes))
	}
	p := s.doc.purposes[asked]
	elevated := p != nil && slices.ContainsFunc(d.roles, func(r *compiledRole) bool { return d.elevated(r, p) })
	switch {
	case p != nil && d.nothing != "":
		p = nil
	case asked != "" && !slices.Contains(a.Purposes, asked) && !elevated:
		if d.without = d.lostFor(p); d.without == "" {
			return &PurposeError{asked, a.Purposes, d.offered(p)}
		}
		p = nil
	case asked == "" && !d.unrestricted:
		if p = s.implied(a.Purposes); p != nil {
			a.why = append(a.why, fmt.Sprintf("purpose %s is implied: it is the only one that the roles permit", p.name.text))
		}
	}
	d.purpose = p
	return nil
}

// permitted gives the purposes that the roles permit, sorted.
func (d *decisions) permitted() []string {
	var all []string
	for _, r := range d.roles {
		all = append(all, r.permits...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// offered tells whether one of the roles may be elevated to a purpose, or to
// one that it is within.
func (d *decisions) offered(p *purpose) bool {
	return slices.ContainsFunc(d.set.doc.elevations, func(e *offer) bool {
		return d.set.doc.within(p, []word{e.to}) && slices.Contains(d.roles, d.set.roles[e.role.text])
	})
}

// implied gives the one purpose that is not within another of those permitted;
// nil when there is none, or more than one.
func (s *Set) implied(permitted []string) *purpose {
	var only *purpose
	for _, name := range permitted {
		line := s.purposeAndAncestors(s.doc.purposes[name])
		if slices.ContainsFunc(line[1:], func(p *purpose) bool { return slices.Contains(permitted, p.name.text) }) {
			continue
		}
		if only != nil {
			return nil
		}
		only = line[0]
	}
	return only
}

// noPurpose says why nothing but open columns is seen.
func (d *decisions) noPurpose() string {
	permitted := d.permitted()
	if d.without != "" {
		return d.without + ": until then only open columns are shown, or what another purpose permits"
	}
	if len(permitted) == 0 {
		return "the roles permit no purpose, so only open columns are shown"
	}
	return "without a purpose only open columns are shown; set pgveil.purpose to one of " + strings.Join(permitted, ", ")
}

// servable gives the purposes that a role serves or may be elevated to.
func (s *Set) servable(r *compiledRole) []*purpose {
	var found []*purpose
	for name, p := range s.doc.purposes {
		offered := slices.ContainsFunc(s.doc.elevations, func(e *offer) bool {
			return e.role.text == r.name.text && s.doc.within(p, []word{e.to})
		})
		if offered || slices.Contains(r.permits, name) {
			found = append(found, p)
		}
	}
	return found
}
