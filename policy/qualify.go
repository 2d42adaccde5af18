package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// disqualified says what of a claim keeps all roles from its user, if anything
// does: what vouches for it is over, or one of its users does not count.
func (d *decisions) disqualified(c *Claim, who []*user) string {
	if v := c.Vouched; v != nil && !v.Until.IsZero() && !d.at.Before(v.Until) {
		return fmt.Sprintf("what vouched for %s is no longer valid: until there is a new token, %s has no roles", c.user(), c.user())
	}
	for _, u := range who {
		if why := d.lapsed(u); why != "" {
			return why
		}
		if why := d.elsewhen("the roles of "+u.name.text+" count", u.hours, u.from, c); why != "" {
			return why
		}
	}
	return ""
}

// lapsed says which attribute of a user has lapsed, if any has.
func (d *decisions) lapsed(u *user) string {
	for _, e := range u.until {
		switch {
		case d.at.Before(e.lapses):
		case e.lapses.IsZero():
			return fmt.Sprintf("%s of %s is not a date: until it is, %s has no roles", e.attribute, u.name.text, u.name.text)
		default:
			last := e.lapses.AddDate(0, 0, -1).Format(time.DateOnly)
			return fmt.Sprintf("%s of %s was %s: until it is renewed, %s has no roles", e.attribute, u.name.text, last, u.name.text)
		}
	}
	return ""
}

// elsewhen says why something does not count now, or from where the claim
// comes; "" when it does. It says nothing that changes before the answer does:
// what is decided is kept until then.
func (d *decisions) elsewhen(counts string, h hours, from places, c *Claim) string {
	switch {
	case !h.open(d.at):
		return fmt.Sprintf("%s %s%s", counts, h, h.again(d.at))
	case !from.have(c.From):
		return fmt.Sprintf("%s from %s only, and this connection comes from elsewhere", counts, from)
	default:
		return ""
	}
}

// qualify takes the roles away that do not count now, and keeps in mind why.
func (d *decisions) qualify(a *Access, who *user) {
	d.roles = slices.DeleteFunc(d.roles, func(r *compiledRole) bool {
		why := d.unqualified(r, &a.Claim, who)
		if why != "" {
			d.lost = append(d.lost, lost{r, why})
			a.why = append(a.why, why)
		}
		return why != ""
	})
	if len(d.roles) == 0 {
		d.nothing, a.why = strings.Join(a.why, "; "), nil
	}
}

// lost is a role that a caller does not have now.
type lost struct {
	role *compiledRole
	why  string
}

// unqualified says why a role does not count for a user now; "" when it does.
func (d *decisions) unqualified(r *compiledRole, c *Claim, who *user) string {
	name := r.name.text
	if why := d.elsewhen("role "+name+" counts", r.hours, r.from, c); why != "" {
		return why
	}
	for _, w := range r.requires {
		if _, ok := who.attributes[w.text+untilSuffix]; !ok { // one that has lapsed takes all roles
			return fmt.Sprintf("role %s needs %s%s, which %s does not have", name, w.text, untilSuffix, who.name.text)
		}
	}
	if !d.second && named(d.set.doc.factor.roles, name) {
		return fmt.Sprintf("without a second factor %s does not have %s; give it with PRIVACY MFA", who.name.text, name)
	}
	return ""
}

// lostFor says which role would serve a purpose, but does not count now; "" when
// none would.
func (d *decisions) lostFor(p *purpose) string {
	for _, l := range d.lost {
		if p != nil && (l.role.unrestricted || slices.Contains(l.role.permits, p.name.text)) {
			return l.why
		}
	}
	return ""
}

// nextChange gives the first moment at which time alone changes what a claim
// comes to; zero when there is none.
func (d *decisions) nextChange(c *Claim, who []*user) time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if t.After(d.at) {
			next = earlier(next, t)
		}
	}
	for _, e := range d.set.expiries {
		sooner(e)
	}
	for _, u := range who {
		for _, e := range u.until {
			sooner(e.lapses)
		}
		sooner(u.hours.next(d.at))
	}
	for _, r := range d.roles {
		sooner(r.hours.next(d.at))
	}
	if c.Vouched != nil {
		sooner(c.Vouched.Until)
	}
	return next
}
