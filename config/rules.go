package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Rule says how those who come from somewhere log in, as a line of
// pg_hba.conf does. The first rule that fits a login decides.
type Rule struct {
	From      Words  `yaml:"from"` // addresses, networks, unix, loopback, all
	Users     Words  `yaml:"users"`
	Databases Words  `yaml:"databases"`    // names, replication, all
	TLS       string `yaml:"tls"`          // required or any; absent: required
	Certs     string `yaml:"client_certs"` // absent: tls.client_certs
	Method    string `yaml:"method"`       // scram, passthrough, trust, cert, oidc, oauth or reject
	Because   string `yaml:"because"`      // for whoever reads the file or the access log
}

// The words that stand for many names or places.
const (
	All         = "all"
	Unix        = "unix"
	Loopback    = "loopback"
	Replication = "replication" // physical, which is in no database
)

// Words is a list of words, or one.
type Words []string

// UnmarshalYAML reads a text or a list of texts.
func (w *Words) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode {
		return node.Decode((*[]string)(w))
	}
	var text string
	err := node.Decode(&text)
	*w = Words{text}
	return err
}

// Places are where a rule's logins come from.
type Places struct {
	All, Unix bool
	Networks  []netip.Prefix
}

// loopbacks are the addresses that do not leave the machine.
var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// Places reads From. Names are not known in it: who answers for a name decides
// who gets in.
func (r *Rule) Places() (Places, error) {
	var p Places
	for _, word := range r.From {
		switch word {
		case All:
			p.All, p.Unix = true, true
		case Unix:
			p.Unix = true
		case Loopback:
			p.Networks = append(p.Networks, loopbacks...)
		default:
			network, err := readNetwork(word)
			if err != nil {
				return Places{}, err
			}
			p.Networks = append(p.Networks, network)
		}
	}
	return p, nil
}

// readNetwork reads an address or a network. An IPv4 address has one spelling:
// within IPv6 it would look like a rule of another family and be none.
func readNetwork(word string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(word)
	if err != nil {
		addr, notAddr := netip.ParseAddr(word)
		if notAddr != nil {
			return network, fmt.Errorf("%q is not an address, a network like 10.0.0.0/8, unix, loopback or all", word)
		}
		if addr.Zone() != "" {
			return network, fmt.Errorf("%q has a zone, which rules do not look at", word)
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch addr := network.Addr(); {
	case addr.Is4In6():
		return network, fmt.Errorf("%q is IPv4: write it so", word)
	case network != network.Masked():
		return network, fmt.Errorf("%q is not a network: %s is", word, network.Masked())
	}
	return network, nil
}

// covers tells whether one place holds all of another.
func (p Places) covers(q Places) bool {
	if p.All {
		return true
	}
	within := func(n netip.Prefix) bool {
		return slices.ContainsFunc(p.Networks, func(m netip.Prefix) bool { return m.Bits() <= n.Bits() && m.Contains(n.Addr()) })
	}
	return !q.All && (p.Unix || !q.Unix) && !slices.ContainsFunc(q.Networks, func(n netip.Prefix) bool { return !within(n) })
}

// hold tells whether words hold all of others. All does not hold replication.
func (w Words) hold(others Words) bool {
	return !slices.ContainsFunc(others, func(word string) bool {
		return !slices.Contains(w, word) && (word == Replication || !slices.Contains(w, All))
	})
}

// covers tells whether a rule fits every login that another one fits. Neither
// looks at TLS to see whether it fits.
func (r *Rule) covers(s *Rule) bool {
	p, err := r.Places()
	q, wrong := s.Places()
	return errors.Join(err, wrong) == nil && p.covers(q) && r.Users.hold(s.Users) && r.Databases.hold(s.Databases)
}

// onlyUnix tells whether all logins of a rule come by unix sockets.
func (p Places) onlyUnix() bool { return p.Unix && !p.All && len(p.Networks) == 0 }

// local tells whether all logins of a rule come from this machine.
func (p Places) local() bool {
	return Places{Unix: true, Networks: loopbacks}.covers(p)
}

// validateRules checks every rule by itself, and whether it can ever decide.
func (c *Config) validateRules(bad func(key, format string, args ...any)) {
	if c.Auth.Rules != nil && len(c.Auth.Rules) == 0 {
		bad("auth.rules", "is empty: nobody would get in")
	}
	if c.Auth.Rules != nil && c.Auth.Method != "" {
		bad("auth.method", "has no meaning beside auth.rules: each rule has its own")
	}
	for i := range c.Auth.Rules {
		r := &c.Auth.Rules[i]
		key := fmt.Sprintf("auth.rules[%d]", i)
		r.validate(c.TLS, func(k, format string, args ...any) { bad(key+"."+k, format, args...) })
		for j := range i {
			if c.Auth.Rules[j].covers(r) {
				bad(key, "never decides: auth.rules[%d] fits every login that it fits", j)
				break
			}
		}
	}
}

// validate checks one rule; t is TLS towards clients.
func (r *Rule) validate(t *TLS, bad func(key, format string, args ...any)) {
	named := func(key string, words Words) {
		if len(words) == 0 || slices.Contains(words, "") {
			bad(key, "is missing: say which, or all")
		}
	}
	named("from", r.From)
	named("users", r.Users)
	named("databases", r.Databases)
	places, err := r.Places()
	if err != nil {
		bad("from", "%v", err)
	}
	r.validateTLS(t, places, bad)
	switch r.Method {
	case "scram", "passthrough", "oidc", "oauth", "reject":
	case "trust":
		if err == nil && !places.local() {
			bad("method", "trust is for unix and loopback only")
		}
	case "cert":
		r.validateCert(t, bad)
	default:
		bad("method", "%q is not one of scram, passthrough, trust, cert, oidc, oauth, reject", r.Method)
	}
}

// validateTLS checks what a rule says of TLS against what there is.
func (r *Rule) validateTLS(t *TLS, places Places, bad func(key, format string, args ...any)) {
	exempt := places.onlyUnix() || r.Method == "reject"
	switch r.TLS {
	case "", "required":
		if t == nil && !exempt {
			bad("tls", "is required unless it says any, and there is no tls.cert")
		}
	case "any":
		if t != nil && !t.Optional && !exempt {
			bad("tls", "any lets nobody in in clear, for tls.optional is not set")
		}
	default:
		bad("tls", "%q is not one of required, any", r.TLS)
	}
	switch r.Certs {
	case "":
		return
	case "optional":
	case "verify-ca", "verify-full":
		if r.TLS == "any" {
			bad("client_certs", "%s asks nothing of connections in clear: leave tls: any out", r.Certs)
		}
	default:
		bad("client_certs", "%q is not one of optional, verify-ca, verify-full", r.Certs)
	}
	if t == nil || t.ClientCA == "" {
		bad("client_certs", "needs tls.client_ca, to know who signs them")
	}
}

// validateCert checks what the method cert needs.
func (r *Rule) validateCert(t *TLS, bad func(key, format string, args ...any)) {
	switch {
	case t == nil || t.ClientCA == "":
		bad("method", "cert needs tls.client_ca, to know who signs certificates")
	case r.TLS == "any":
		bad("method", "cert is of TLS: leave tls: any out")
	case slices.Contains(r.From, Unix):
		bad("from", "unix sockets are without TLS, and so without certificates")
	case r.Certs != "":
		bad("client_certs", "has no meaning beside cert, which is as strict as verify-full")
	}
}
