package config

import (
	"slices"
	"time"
)

// Where the verifiers of scram are.
const (
	OfFile           = "file"
	OfServer         = "server"
	OfFileThenServer = "file-then-server" // the server is asked for those whom the file does not name
)

// complete says what follows from what the file says.
func (a *Auth) complete() {
	if a.Rules == nil && a.Method == "" {
		a.Method = "scram"
	}
	switch {
	case a.Verifiers != "":
	case a.Users != "":
		a.Verifiers = OfFile
	default:
		a.Verifiers = OfServer
	}
}

// validate checks what auth says by itself.
func (a *Auth) validate(bad func(key, format string, args ...any)) {
	if a.Method != "" && !slices.Contains([]string{"scram", "passthrough", "trust", "oidc", "oauth"}, a.Method) {
		bad("auth.method", "%q is not one of scram, passthrough, trust, oidc, oauth", a.Method)
	}
	switch a.Verifiers {
	case "":
	case OfServer:
		if a.Users != "" {
			bad("auth.users", "is not read while auth.verifiers is server")
		}
	case OfFile, OfFileThenServer:
		if a.Users == "" {
			bad("auth.users", "is missing: auth.verifiers is %s", a.Verifiers)
		}
	default:
		bad("auth.verifiers", "%q is not one of file, server, file-then-server", a.Verifiers)
	}
	passes := func(r Rule) bool { return r.Method == "passthrough" }
	if a.AppendedCode && a.Method != "passthrough" && !slices.ContainsFunc(a.Rules, passes) {
		bad("auth.appended_code", "only passthrough sees passwords, and what is behind them")
	}
	if a.Keep < 0 {
		bad("auth.keep", "must not be negative")
	}
	a.Guard.validate(bad)
}

// Guard says how often logins may fail.
type Guard struct {
	Off     bool          `yaml:"off"`
	Pair    GuardLimit    `yaml:"pair"`    // one login from one address
	Address GuardLimit    `yaml:"address"` // an address, whatever login
	Network GuardLimit    `yaml:"network"` // a network, whatever login
	Login   GuardLimit    `yaml:"login"`   // one login from everywhere: slows
	Slow    time.Duration `yaml:"slow"`    // the longest that it slows
	IPv4    int           `yaml:"ipv4"`    // bits of a network
	IPv6    int           `yaml:"ipv6"`
	Known   time.Duration `yaml:"known"`   // how long a login is known where it got in
	Suspect int           `yaml:"suspect"` // a login that gets in after that many failures is told of; 0: none is
	Entries int           `yaml:"entries"` // kept of each kind
}

// GuardLimit is how many failures there may be, of which one is forgiven every
// so often.
type GuardLimit struct {
	Failures int           `yaml:"failures"` // 0: no limit
	Every    time.Duration `yaml:"every"`
}

func defaultGuard() Guard {
	return Guard{
		Pair: GuardLimit{5, time.Minute}, Address: GuardLimit{30, 30 * time.Second}, Network: GuardLimit{100, 10 * time.Second}, Login: GuardLimit{10, 30 * time.Second},
		Slow: 2 * time.Second, IPv4: 24, IPv6: 64, Known: 30 * 24 * time.Hour, Suspect: 5, Entries: 20_000,
	}
}

// maxEntries keeps what the guard takes of memory below a gigabyte.
const maxEntries = 1_000_000

func (g *Guard) validate(bad func(key, format string, args ...any)) {
	limit := func(key string, l GuardLimit) {
		if l.Failures < 0 {
			bad(key+".failures", "must not be negative")
		}
		if l.Failures > 0 && l.Every <= 0 {
			bad(key+".every", "must be positive")
		}
	}
	limit("auth.guard.pair", g.Pair)
	limit("auth.guard.address", g.Address)
	limit("auth.guard.network", g.Network)
	limit("auth.guard.login", g.Login)
	within := func(key string, n, least, most int) {
		if n < least || n > most {
			bad(key, "%d is not a number from %d to %d", n, least, most)
		}
	}
	within("auth.guard.ipv4", g.IPv4, 8, 32)
	within("auth.guard.ipv6", g.IPv6, 16, 128)
	within("auth.guard.entries", g.Entries, 100, maxEntries)
	within("auth.guard.suspect", g.Suspect, 0, maxEntries)
	if g.Slow < 0 || g.Known < 0 {
		bad("auth.guard", "slow and known must not be negative")
	}
}
