package proxy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// hold is a quarantine, as a proxy knows it.
type hold struct {
	id        int64 // in the database; 0: it is not written there
	written   bool  // it is there, or another that leaves little to it
	who       policy.Target
	name      string       // of the user or login, or the network as text
	network   netip.Prefix // of TargetAddress
	by, why   string
	automatic bool      // pgveil made it, because of what it noticed
	made      time.Time // by our clock
	until     time.Time // zero: until it is released
}

// lasts tells whether a quarantine is not over at a moment.
func (q *hold) lasts(at time.Time) bool { return q.until.IsZero() || at.Before(q.until) }

// same tells whether two quarantines are of the same.
func (q *hold) same(who policy.Target, name string) bool { return q.who == who && q.name == name }

// whom names whom a quarantine keeps out.
func (q *hold) whom() string { return q.who.String() + " " + q.name }

// holds are the quarantines in force. It never changes. A nil holds holds nobody.
type holds struct {
	users, logins map[string][]*hold
	networks      map[netip.Prefix][]*hold
	lengths       []int // of prefixes, each once
	size          int
}

// newHolds gives what to look up; nil when there is nothing.
func newHolds(all []*hold) *holds {
	if len(all) == 0 {
		return nil
	}
	h := &holds{users: map[string][]*hold{}, logins: map[string][]*hold{}, networks: map[netip.Prefix][]*hold{}, size: len(all)}
	for _, q := range all {
		switch q.who {
		case policy.TargetUser:
			h.users[q.name] = append(h.users[q.name], q)
		case policy.TargetLogin:
			h.logins[q.name] = append(h.logins[q.name], q)
		case policy.TargetAddress:
			h.networks[q.network] = append(h.networks[q.network], q)
			if !slices.Contains(h.lengths, q.network.Bits()) {
				h.lengths = append(h.lengths, q.network.Bits())
			}
		}
	}
	return h
}

// suspect is somebody of whom it is asked whether they are in quarantine.
type suspect struct {
	login, user string
	from        netip.Addr
	access      *policy.Access // what they may do; nil: nothing
}

// containRight is the right to put others in quarantine.
const containRight = "contain"

// immune tells whether nothing that pgveil notices keeps somebody out: it could
// be somebody else's doing, so that who may contain others could be locked out by
// those who may not.
func (w suspect) immune() bool {
	return w.access != nil && w.access.Claim.Proven() && w.access.Holds(containRight)
}

// on gives a quarantine that keeps somebody out at a moment; nil when none does.
// A user's is of whoever acts, and of whoever has logged in by that name, for
// whomever they say they act.
func (h *holds) on(w suspect, at time.Time) *hold {
	if h == nil {
		return nil
	}
	immune := w.immune()
	for _, list := range [][]*hold{h.users[w.user], h.users[w.login], h.logins[w.login]} {
		if q := firstOf(list, immune, at); q != nil {
			return q
		}
	}
	return h.onAddress(w.from, immune, at)
}

func (h *holds) onAddress(from netip.Addr, immune bool, at time.Time) *hold {
	if h == nil || !from.IsValid() {
		return nil
	}
	for _, bits := range h.lengths {
		p, err := from.Prefix(bits)
		if err != nil {
			continue // the other kind of address
		}
		if q := firstOf(h.networks[p], immune, at); q != nil {
			return q
		}
	}
	return nil
}

func firstOf(list []*hold, immune bool, at time.Time) *hold {
	for _, q := range list {
		if q.lasts(at) && !(immune && q.automatic) {
			return q
		}
	}
	return nil
}

// refusal is what a statement is told. Why somebody is in quarantine is for those
// who put them there.
func (q *hold) refusal() *rewrite.Refusal {
	return &rewrite.Refusal{Code: "42501", Message: q.whom() + " is in quarantine", Hint: "whoever may contain users can release it: PRIVACY RELEASE"}
}

// farewell ends sessions.
func (q *hold) farewell() error {
	return newFatal("57P01", "terminating connection because %s is in quarantine", q.whom())
}

// canonical gives the network that a text names: an address is one of its own.
func canonical(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		p = netip.PrefixFrom(p.Addr(), p.Bits()).Masked()
		return p, !p.Addr().Is4In6()
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// Network gives the name of the network that a text names.
func Network(text string) (name string, ok bool) {
	p, ok := canonical(text)
	if !ok {
		return "", false
	}
	return nameOf(p), true
}

// networkOf gives the network that answers for an address: in IPv6, whoever has
// one has all that begin alike.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = turnstileIPv6
	}
	return netip.PrefixFrom(a, bits).Masked()
}
