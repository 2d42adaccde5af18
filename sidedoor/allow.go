package sidedoor

import (
	"net/netip"
	"slices"

	"github.com/pgveil/pgveil/state"
)

// Allow is connections that may go around pgveil: those that fit all that is
// said. The zero Allow fits none.
type Allow struct {
	Users     Names
	Databases Names
	Apps      Names
	Unix      bool // from the server's own machine
	Anywhere  bool
	Networks  []netip.Prefix
}

// Names are some names, or all.
type Names struct {
	All bool
	Of  []string
}

func (n Names) fit(name string) bool { return n.All || slices.Contains(n.Of, name) }

// Fits tells whether a connection may be.
func (a *Allow) Fits(d state.Door) bool {
	database := d.Database
	if d.Kind == "walsender" && database == "" {
		database = "replication" // as in pg_hba.conf
	}
	return a.Users.fit(d.Login) && a.Databases.fit(database) && a.Apps.fit(d.App) && a.from(d.Addr)
}

func (a *Allow) from(addr string) bool {
	if a.Anywhere {
		return true
	}
	if addr == "unix" {
		return a.Unix
	}
	ip, err := netip.ParseAddr(addr)
	return err == nil && slices.ContainsFunc(a.Networks, func(n netip.Prefix) bool { return n.Contains(ip.Unmap()) })
}

func allowed(all []Allow, d state.Door) bool {
	return slices.ContainsFunc(all, func(a Allow) bool { return a.Fits(d) })
}

// Unclaimed gives, of the connections of a host, those that no process of pgveil
// says are its own, and of these those that nobody allows.
func Unclaimed(doors []state.Door, proxies []state.Proxy, allow []Allow) (unclaimed, open []state.Door) {
	for _, d := range doors {
		if claimed(proxies, d) {
			continue
		}
		unclaimed = append(unclaimed, d)
		if !allowed(allow, d) {
			open = append(open, d)
		}
	}
	return unclaimed, open
}

func claimed(proxies []state.Proxy, d state.Door) bool {
	return slices.ContainsFunc(proxies, func(p state.Proxy) bool {
		return slices.ContainsFunc(p.Backends, func(b state.Backend) bool { return b.Is(d.PID, d.Began) })
	})
}
