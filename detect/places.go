package detect

import (
	"net/netip"
	"slices"
	"time"
)

// places are the networks, or the applications, that somebody came by lately.
type places []place

type place struct {
	name string
	at   time.Time
}

// maxPlaces bounds how many are remembered: more than any policy counts.
const maxPlaces = 20

// maxPlaceName bounds a name, as the server does that of an application.
const maxPlaceName = 63

// add notes a place, and gives how many there were within a time.
func (p *places) add(name string, at time.Time, within time.Duration) int {
	name = name[:min(len(name), maxPlaceName)]
	*p = slices.DeleteFunc(*p, func(q place) bool { return q.name == name || at.Sub(q.at) > within })
	if len(*p) == maxPlaces {
		*p = slices.Delete(*p, 0, 1)
	}
	*p = append(*p, place{name, at})
	return len(*p)
}

// network gives the network that an address is in; one name for all that is
// local.
func network(addr string) string {
	a, err := netip.ParseAddr(addr)
	a = a.Unmap().WithZone("")
	switch {
	case err != nil || a.IsLoopback():
		return "local"
	case a.Is4():
		return netip.PrefixFrom(a, 24).Masked().String()
	default:
		return netip.PrefixFrom(a, 48).Masked().String()
	}
}
