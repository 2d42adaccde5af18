package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Unix is where a connection comes from that came through a socket of this
// machine. No connection over a network has this address.
func Unix() netip.Addr { return unix }

var unix = netip.IPv6Unspecified().WithZone(unixWord)

// unixWord stands for Unix in a policy.
const unixWord = "unix"

// ParseFrom reads an address, or unix.
func ParseFrom(text string) (netip.Addr, error) {
	if text == unixWord {
		return unix, nil
	}
	return netip.ParseAddr(text)
}

// place is where a connection may come from: a network, or a socket of this
// machine. The zero place is nowhere.
type place struct {
	network netip.Prefix
	unix    bool
}

// has tells whether an address is in the place. An unknown address is nowhere.
// How a socket for both kinds of addresses writes those of the older kind does
// not matter, nor does by which interface a connection came.
func (p place) has(from netip.Addr) bool {
	if from == unix {
		return p.unix
	}
	return p.network.Contains(from.Unmap().WithZone(""))
}

func (p place) String() string {
	if p.unix {
		return unixWord
	}
	return p.network.String()
}

// places are where the connections of a role or a user come from: any of them.
// No places are anywhere.
type places []place

func (p places) have(from netip.Addr) bool {
	return len(p) == 0 || slices.ContainsFunc(p, func(one place) bool { return one.has(from) })
}

func (p places) String() string {
	texts := make([]string, len(p))
	for i, one := range p {
		texts[i] = one.String()
	}
	return strings.Join(texts, ", ")
}

func (r *reader) places(n *yaml.Node) places {
	var all places
	r.list(n, "networks", func(n *yaml.Node) {
		w := r.text(n, "a network, as 10.0.0.0/8, or unix")
		switch p, ok := parsePlace(w.text); {
		case w.text == "":
		case !ok:
			r.add(w.pos, "%q is not a network: write 10.0.0.0/8, 2001:db8::/32, an address, or unix", w.text)
		case p.network != p.network.Masked():
			r.add(w.pos, "%s is an address in a network: write %s for the network", w.text, p.network.Masked())
		default:
			all = append(all, p)
		}
	})
	return all
}

func parsePlace(text string) (p place, ok bool) {
	if text == unixWord {
		return place{unix: true}, true
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return place{network: netip.PrefixFrom(a, a.BitLen())}, a.Zone() == "" && !a.Is4In6()
	}
	network, err := netip.ParsePrefix(text)
	return place{network: network}, err == nil && !network.Addr().Is4In6()
}

// placesOf gives every place that the policy names, the narrowest first. As
// networks are within each other or apart, the first that has an address tells
// which of all have it.
func placesOf(d *Document) places {
	var all places
	for _, r := range d.roles {
		all = append(all, r.from...)
	}
	for _, u := range d.users {
		all = append(all, u.from...)
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.network.Bits(), a.network.Bits()), strings.Compare(a.String(), b.String()))
	})
	return slices.Compact(all)
}

// narrowest gives the narrowest place of the policy that has an address; the
// zero place when none has.
func (p places) narrowest(from netip.Addr) place {
	for _, one := range p {
		if one.has(from) {
			return one
		}
	}
	return place{}
}
