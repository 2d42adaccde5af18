package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy"
)

// apiTLS gives what TLS of the api is, which SIGHUP reads again; nil: it is in
// clear.
func (p *process) apiTLS() (*tls.Config, error) {
	if p.cfg.API.Cert == "" {
		return nil, nil
	}
	if err := p.reloadAPI(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return p.apiCerts.Load(), nil },
	}, nil
}

// reloadAPI puts the certificates of the api in force as they now are, for
// connections from now on: all of them, or none.
func (p *process) reloadAPI() error {
	a := p.cfg.API
	if a == nil || a.Cert == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(a.Cert, a.Key)
	if err != nil {
		return fmt.Errorf("api.cert: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if a.ClientCA != "" {
		if err := askForCerts(c, a); err != nil {
			return err
		}
	}
	p.apiCerts.Store(c)
	return nil
}

// askForCerts has clients show certificates, where they have any.
func askForCerts(c *tls.Config, a *config.API) error {
	authorities, err := readCertificates(a.ClientCA)
	if err != nil {
		return fmt.Errorf("api.client_ca: %w", err)
	}
	c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
	for _, authority := range authorities {
		c.ClientCAs.AddCert(authority)
	}
	if len(a.CRL) == 0 {
		return nil
	}
	revoked, err := readRevocations("api.crl", a.CRL, authorities)
	if err != nil {
		return err
	}
	// It is asked when a session of TLS is resumed as well.
	c.VerifyConnection = func(cs tls.ConnectionState) error { return revoked.Check(cs.VerifiedChains, time.Now()) }
	return nil
}

// apiCertUsers gives whose certificates are; nil when the configuration has no
// list of that.
func apiCertUsers(a *config.API) ([]proxy.CertUser, error) { return certOwners("api", a.CertUsers) }

// certUser gives whose certificate a client has shown. shown tells whether it
// has one that an authority vouches for; whose "" is, it is nobody's.
func (a *api) certUser(cs *tls.ConnectionState) (user string, shown bool) {
	if cs == nil || len(cs.VerifiedChains) == 0 {
		return "", false
	}
	return proxy.OwnerOf(cs.VerifiedChains[0][0], a.certs), true
}
