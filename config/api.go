package config

import (
	"fmt"
	"net"
	"slices"
)

// API is where commands about data subjects and sessions are given over HTTP.
type API struct {
	Listen string `yaml:"listen"` // host:port
	Cert   string `yaml:"cert"`   // PEM; absent: in clear, on the loopback only
	Key    string `yaml:"key"`
	Tokens string `yaml:"tokens_file"` // lines of a policy's user and the SHA-256 of a token

	ClientCA  string     `yaml:"client_ca"`  // PEM file with who signs clients' certificates; absent: none are asked for
	CRL       Words      `yaml:"crl"`        // files of revocation lists; absent: nothing is revoked
	CertUsers []CertUser `yaml:"cert_users"` // whose certificates are; absent: whom the common name says
}

// validate checks that tokens do not travel in clear, and that somebody can ask.
func (a *API) validate(bad func(key, format string, args ...any)) {
	host, _, err := net.SplitHostPort(a.Listen)
	if err != nil {
		bad("api.listen", "%v", err)
	}
	if (a.Cert == "") != (a.Key == "") {
		bad("api.cert", "and api.key go together")
	}
	if ip := net.ParseIP(host); err == nil && a.Cert == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		bad("api.listen", "%s is not on the loopback: give api.cert and api.key", a.Listen)
	}
	if a.Tokens == "" && a.ClientCA == "" {
		bad("api.tokens_file", "is missing, and so is api.client_ca: nobody could ask for anything")
	}
	a.validateCerts(bad)
}

func (a *API) validateCerts(bad func(key, format string, args ...any)) {
	if a.ClientCA != "" && a.Cert == "" {
		bad("api.client_ca", "has no meaning without api.cert: there are no certificates in clear")
	}
	if a.ClientCA == "" && len(a.CRL) > 0 {
		bad("api.crl", "has no meaning without client_ca")
	}
	if slices.Contains(a.CRL, "") {
		bad("api.crl", "names no file")
	}
	if a.CertUsers != nil && len(a.CertUsers) == 0 {
		bad("api.cert_users", "is empty: no certificate would be anybody's")
	}
	if len(a.CertUsers) > 0 && a.ClientCA == "" {
		bad("api.cert_users", "has no meaning without client_ca")
	}
	for i := range a.CertUsers {
		if _, _, err := a.CertUsers[i].Name(); err != nil {
			bad(fmt.Sprintf("api.cert_users[%d].match", i), "%v", err)
		}
		if a.CertUsers[i].User == "" {
			bad(fmt.Sprintf("api.cert_users[%d].user", i), "is missing")
		}
	}
}

func (a *API) paths() []*string {
	all := []*string{&a.Cert, &a.Key, &a.Tokens, &a.ClientCA}
	for i := range a.CRL {
		all = append(all, &a.CRL[i])
	}
	return all
}
