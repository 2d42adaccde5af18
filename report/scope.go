package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// Scope is whose statements are looked into, and when. All that is set must
// match. The zero Scope is none: that everybody is meant has to be said.
type Scope struct {
	User     string    `json:"user,omitempty"`     // as the login or as the end user
	Login    string    `json:"login,omitempty"`    // that connected
	EndUser  string    `json:"end_user,omitempty"` // behind the login
	Session  string    `json:"session,omitempty"`
	Client   string    `json:"client,omitempty"` // an address, or a network as 10.0.0.0/8
	Everyone bool      `json:"everyone,omitempty"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
}

// Check finds what makes no sense.
func (s Scope) Check() error {
	switch {
	case s.From.IsZero():
		return errors.New("the beginning of the period is needed")
	case !s.From.Before(s.To):
		return errors.New("the period must begin before it ends")
	case len(s.texts()) == 0 && s.Client == "" && !s.Everyone:
		return errors.New("whose statements is needed: a user, login, end user, session or client, or that everybody is meant")
	case s.Client == "":
		return nil
	}
	_, err := s.network()
	return err
}

// network gives the addresses that Client names; that of a Unix socket, which
// the log calls "unix", is none.
func (s Scope) network() (netip.Prefix, error) {
	if s.Client == "unix" {
		return netip.Prefix{}, nil
	}
	if strings.Contains(s.Client, "/") {
		p, err := netip.ParsePrefix(s.Client)
		if err != nil {
			return p, fmt.Errorf("client: %w", err)
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s.Client)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("client: %w", err)
	}
	return a.Unmap().Prefix(a.Unmap().BitLen())
}

func (s Scope) texts() []string {
	var set []string
	for _, t := range []string{s.User, s.Login, s.EndUser, s.Session} {
		if t != "" {
			set = append(set, t)
		}
	}
	return set
}

// matcher tells whether a record is in a scope, but for its time.
type matcher struct {
	Scope
	network netip.Prefix
	needles [][]byte // each stands in the payload of a record that matches
}

func (s Scope) matcher() (matcher, error) {
	m := matcher{Scope: s}
	if err := s.Check(); err != nil {
		return m, err
	}
	if s.Client != "" {
		var err error
		if m.network, err = s.network(); err != nil {
			return m, err
		}
	}
	for _, t := range s.texts() {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(t); err != nil {
			return m, err
		}
		m.needles = append(m.needles, bytes.TrimSpace(b.Bytes()))
	}
	return m, nil
}

// maybe tells whether a payload can be of a record that matches: most need not
// be parsed.
func (m *matcher) maybe(payload []byte) bool {
	for _, n := range m.needles {
		if !bytes.Contains(payload, n) {
			return false
		}
	}
	return true
}

func (m *matcher) match(r *audit.Record) bool {
	if m.User != "" && r.User != m.User && r.Login != m.User {
		return false
	}
	for _, f := range [...][2]string{{m.Login, r.Login}, {m.EndUser, r.User}, {m.Session, r.Session}} {
		if f[0] != "" && f[0] != f[1] {
			return false
		}
	}
	return m.Client == "" || m.from(r.Client)
}

func (m *matcher) from(client string) bool {
	if client == m.Client {
		return true
	}
	if host, _, err := netSplit(client); err == nil {
		client = host
	}
	a, err := netip.ParseAddr(client)
	return err == nil && m.network.IsValid() && m.network.Contains(a.Unmap())
}

// netSplit splits host:port, as requests over HTTP are recorded with.
func netSplit(client string) (host string, port uint16, err error) {
	a, err := netip.ParseAddrPort(client)
	return a.Addr().String(), a.Port(), err
}

// String says whose statements are meant.
func (s Scope) String() string {
	var parts []string
	for _, f := range [...][2]string{{"user", s.User}, {"login", s.Login}, {"end user", s.EndUser}, {"session", s.Session}, {"client", s.Client}} {
		if f[1] != "" {
			parts = append(parts, f[0]+" "+f[1])
		}
	}
	if len(parts) == 0 {
		return "everybody"
	}
	return strings.Join(parts, ", ")
}
