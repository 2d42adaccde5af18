package config

import (
	"fmt"
	"slices"
	"strings"
)

// CertUser says who may log in as a user: whoever has the name in its certificate.
type CertUser struct {
	Match string `yaml:"match"` // cn:, dns:, email: or uri:, and the name
	User  string `yaml:"user"`
}

// certKinds are where in a certificate a name may stand.
var certKinds = []string{"cn", "dns", "email", "uri"}

// Name takes Match apart.
func (u *CertUser) Name() (kind, name string, err error) {
	kind, name, _ = strings.Cut(u.Match, ":")
	if !slices.Contains(certKinds, kind) || name == "" {
		return "", "", fmt.Errorf("%q is not a name like cn:Alice, dns:crm.example, email:alice@example.com or uri:spiffe://example/crm", u.Match)
	}
	return kind, name, nil
}

// validate checks what the keys for clients' certificates say together.
func (t *TLS) validate(bad func(key, format string, args ...any)) {
	t.validateUsers(bad)
	if t.ClientCA == "" && len(t.CRL) > 0 {
		bad("tls.crl", "has no meaning without client_ca")
	}
	if slices.Contains(t.CRL, "") {
		bad("tls.crl", "names no file")
	}
	switch t.Clients {
	case "":
		if t.ClientCA != "" {
			bad("tls.client_certs", "is missing: say optional, verify-ca or verify-full beside client_ca")
		}
		return
	case "optional":
	case "verify-ca", "verify-full":
		if t.Optional {
			bad("tls.client_certs", "%s asks nothing of connections in clear: leave tls.optional out", t.Clients)
		}
	default:
		bad("tls.client_certs", "%q is not one of optional, verify-ca, verify-full", t.Clients)
	}
	if t.ClientCA == "" {
		bad("tls.client_ca", "is missing: client_certs needs to know who signs them")
	}
}

func (t *TLS) validateUsers(bad func(key, format string, args ...any)) {
	if t.CertUsers != nil && len(t.CertUsers) == 0 {
		bad("tls.cert_users", "is empty: no certificate would be anybody's")
	}
	if len(t.CertUsers) > 0 && t.ClientCA == "" {
		bad("tls.cert_users", "has no meaning without client_ca")
	}
	for i := range t.CertUsers {
		u := &t.CertUsers[i]
		if _, _, err := u.Name(); err != nil {
			bad(fmt.Sprintf("tls.cert_users[%d].match", i), "%v", err)
		}
		if u.User == "" {
			bad(fmt.Sprintf("tls.cert_users[%d].user", i), "is missing")
		}
	}
}
