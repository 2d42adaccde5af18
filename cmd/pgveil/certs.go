package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// reloadTLS puts certificates and keys in force as they now are, for
// connections from now on: all of them, or none.
func (p *process) reloadTLS() {
	servers, err := serverTLS(&p.cfg.Server)
	var clients *tls.Config
	if err == nil && p.cfg.TLS != nil {
		clients, err = p.clientsTLS(p.cfg.TLS)
	}
	if err != nil {
		p.log.Error("certificates not reloaded: those in force stay in force", "err", err)
		return
	}
	if err := p.reloadAPI(); err != nil {
		p.log.Error("certificates of the api not reloaded: those in force stay in force", "err", err)
	}
	p.own.setTLS(servers)
	p.server.SetTLS(clients, servers)
	p.log.Info("certificates in force")
}

// clientsTLS reads what TLS towards clients needs. A client may come without a
// certificate as far as TLS goes: it is told at login, in words that it knows,
// where it must have one.
func (p *process) clientsTLS(t *config.TLS) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}}
	if t.ClientCA == "" {
		return c, nil
	}
	authorities, err := readCertificates(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls.client_ca: %w", err)
	}
	c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
	for _, a := range authorities {
		c.ClientCAs.AddCert(a)
	}
	if len(t.CRL) == 0 {
		return c, nil
	}
	revoked, err := readRevocations("tls.crl", t.CRL, authorities)
	if err != nil {
		return nil, err
	}
	p.revocations.Store(revoked)
	// It is asked when a session of TLS is resumed as well.
	c.VerifyConnection = func(cs tls.ConnectionState) error { return revoked.Check(cs.VerifiedChains, time.Now()) }
	return c, nil
}

func readRevocations(key string, files []string, authorities []*x509.Certificate) (*auth.Revocations, error) {
	revoked := &auth.Revocations{}
	for _, path := range files {
		file, err := os.ReadFile(path)
		if err == nil {
			err = revoked.Add(file, authorities)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", key, path, err)
		}
	}
	return revoked, nil
}

// certKinds are the words of tls.cert_users. config has checked them.
var certKinds = map[string]proxy.CertKind{"cn": proxy.CommonName, "dns": proxy.DNSName, "email": proxy.Email, "uri": proxy.URI}

// certUsers gives whose certificates are; nil when the configuration has no
// list of that.
func certUsers(t *config.TLS) ([]proxy.CertUser, error) {
	if t == nil {
		return nil, nil
	}
	return certOwners("tls", t.CertUsers)
}

// certOwners reads a list of whose certificates are, which stands under a key of
// the configuration.
func certOwners(under string, list []config.CertUser) (all []proxy.CertUser, err error) {
	for i := range list {
		kind, name, err := list[i].Name()
		if err != nil {
			return nil, fmt.Errorf("%s.cert_users[%d].match: %w", under, i, err)
		}
		all = append(all, proxy.CertUser{CertName: proxy.CertName{Kind: certKinds[kind], Name: name}, User: list[i].User})
	}
	return all, nil
}

func certs(word string) proxy.Certs {
	switch word {
	case "", "optional":
		return proxy.CertsOptional
	case "verify-ca":
		return proxy.CertsOfCA
	default:
		return proxy.CertsOfLogin
	}
}

func readRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return roots, nil
}

// readCertificates reads a PEM file, all of whose certificates must be sound.
func readCertificates(path string) (all []*x509.Certificate, err error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return all, nil
}

// revocationsUntil tells operators when a list of revoked certificates stops
// counting, and with it the certificates of its authority.
func (p *process) revocationsUntil() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pgveil_revocations_until_seconds", Help: "When the first list of revoked certificates is out of date, as Unix time; 0 without lists.",
	}, func() float64 {
		r := p.revocations.Load()
		if r == nil {
			return 0
		}
		return float64(r.Until().Unix())
	})
}
