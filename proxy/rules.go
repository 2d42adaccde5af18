package proxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Rule says how those who come from somewhere log in. The first rule that fits
// a login decides, whatever it then asks for: none is passed over because a
// client comes without TLS or without a certificate. The zero Rule fits nobody.
type Rule struct {
	Anywhere  bool           // from wherever, unix sockets included
	Unix      bool           // from unix sockets
	Networks  []netip.Prefix // from these; IPv4 within IPv6 counts as IPv4
	Users     Names
	Databases Names // replication that is in no database has the name Replication
	ClearToo  bool  // connections in clear are let in as well
	Certs     Certs
	Method    Method
	About     string // for the log: which rule it is, and why it is there
}

// Replication stands for physical replication among the databases of a rule,
// and is not one of all.
const Replication = "replication"

// Names are some names, or all.
type Names struct {
	All bool
	Of  []string
}

func (n Names) fit(name string) bool { return n.All || slices.Contains(n.Of, name) }

// everybody is the rule that a method alone comes to. It leaves it to the
// server's own demand whether there must be TLS.
func everybody(m Method, c Certs) Rule {
	return Rule{Anywhere: true, Users: Names{All: true}, Databases: Names{All: true, Of: []string{Replication}}, ClearToo: true, Certs: c, Method: m, About: "auth.method"}
}

// doors are the ways in.
type doors struct {
	rules     []Rule
	certUsers []CertUser
}

// SetRules puts other rules in force, and who has which certificate, for logins
// from now on. Where rules is nil, the method that the server was made with is
// everybody's; where certUsers is, a certificate is of whom its common name says.
func (srv *Server) SetRules(rules []Rule, certUsers []CertUser) {
	if rules == nil {
		rules = []Rule{srv.everybody}
	}
	srv.doors.Store(&doors{rules, certUsers})
}

// visitor is what rules look at.
type visitor struct {
	addr           netip.Addr // the zero Addr where there is none: a unix socket, or no socket at all
	unix, secured  bool
	user, database string
	replication    bool // physical
}

func newVisitor(st *startup) visitor {
	v := visitor{user: st.get("user"), database: st.get("database")}
	_, v.secured = st.conn.(*tls.Conn)
	v.addr = origin(st.conn.RemoteAddr())
	_, v.unix = st.conn.RemoteAddr().(*net.UnixAddr)
	// Whatever else PostgreSQL takes for true or false: it is no database's.
	mode := st.get("replication")
	v.replication = mode != "" && mode != "database"
	return v
}

// origin gives the address of a client, one for each: IPv4 within IPv6 is
// IPv4, and the zone of a link-local address is left out.
func origin(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func (r *Rule) fits(v visitor) bool {
	return r.from(v) && r.Users.fit(v.user) && r.covers(v)
}

func (r *Rule) from(v visitor) bool {
	switch {
	case r.Anywhere:
		return true
	case v.unix:
		return r.Unix
	default:
		return slices.ContainsFunc(r.Networks, func(n netip.Prefix) bool { return n.Contains(v.addr) })
	}
}

func (r *Rule) covers(v visitor) bool {
	if v.replication {
		return slices.Contains(r.Databases.Of, Replication)
	}
	return r.Databases.fit(v.database)
}

// admit finds the rule for a login. What a client is told when there is none
// depends on nothing but what it said itself.
func (srv *Server) admit(v visitor) (*Rule, error) {
	rules := srv.doors.Load().rules
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.fits(v) })
	switch {
	case i < 0:
		return nil, v.refuse("no rule of pgveil's for %s", "")
	case rules[i].Method == Reject:
		return nil, v.refuse("a rule of pgveil's rejects the connection of %s", rules[i].About)
	case !rules[i].ClearToo && !v.secured && !v.unix:
		return nil, v.refuse("no rule of pgveil's for %s", rules[i].About)
	}
	return &rules[i], nil
}

// refuse says in PostgreSQL's manner who does not get in. Which rule it was is
// for the log alone.
func (v visitor) refuse(format, rule string) error {
	host, encryption := "[local]", "no encryption"
	if !v.unix {
		host = v.addr.String()
	}
	if v.secured {
		encryption = "SSL encryption"
	}
	where := fmt.Sprintf("database %q", v.database)
	if v.replication {
		where = "replication"
	}
	who := fmt.Sprintf("host %q, user %q, %s, %s", host, v.user, where, encryption)
	if rule == "" {
		return newFatal("28000", format, who)
	}
	return newFatal("28000", format+": %w", who, &ruled{rule})
}

// ruled is the rule that refused a login.
type ruled struct{ rule string }

func (r *ruled) Error() string { return r.rule }
