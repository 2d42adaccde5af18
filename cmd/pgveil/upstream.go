package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// The words of the configuration. config has checked them.
var (
	tlsModes = map[string]proxy.TLSMode{
		"verify-full": proxy.VerifyFull, "verify-ca": proxy.VerifyCA, "require": proxy.RequireTLS, "disable": proxy.NoTLS,
	}
	targets = map[string]proxy.Target{
		"any": proxy.AnyServer, "read-write": proxy.ReadWrite, "read-only": proxy.ReadOnly,
		"primary": proxy.Primary, "standby": proxy.Standby, "prefer-standby": proxy.PreferStandby,
	}
)

// upstream gives where the server is, and how it is reached.
func upstream(s *config.Server) (proxy.Upstream, error) {
	u := proxy.Upstream{
		Target: targets[s.Target], Shuffle: s.Balance == "random",
		Mode: tlsModes[s.TLS], Direct: s.Direct, Timeout: s.Timeout,
	}
	hosts, err := s.Hosts()
	if err != nil {
		return u, fmt.Errorf("server.host: %w", err)
	}
	for _, h := range hosts {
		network, address := "tcp", net.JoinHostPort(h.Name, strconv.Itoa(h.Port))
		if path := h.Socket(); path != "" {
			network, address = "unix", path
		}
		u.Hosts = append(u.Hosts, proxy.Host{Network: network, Address: address, Name: h.Name})
	}
	u.TLS, err = serverTLS(s)
	return u, err
}

// serverTLS reads what TLS towards the server needs.
func serverTLS(s *config.Server) (*tls.Config, error) {
	c := &tls.Config{}
	var err error
	if s.CA != "" {
		if c.RootCAs, err = readRoots(s.CA); err != nil {
			return nil, fmt.Errorf("server.ca: %w", err)
		}
	}
	if s.Cert != "" {
		cert, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("server.cert: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// clientsTLS reads what TLS towards clients needs. A client may come without a
// certificate as far as TLS goes: it is told at login, in words that it knows,
// where it must have one.
func clientsTLS(t *config.TLS) (*tls.Config, error) {
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
	revoked, err := readRevocations(t.CRL, authorities)
	// It is asked when a session of TLS is resumed as well.
	c.VerifyConnection = func(cs tls.ConnectionState) error { return revoked.Check(cs.VerifiedChains, time.Now()) }
	return c, err
}

func readRevocations(files []string, authorities []*x509.Certificate) (*auth.Revocations, error) {
	revoked := &auth.Revocations{}
	for _, path := range files {
		file, err := os.ReadFile(path)
		if err == nil {
			err = revoked.Add(file, authorities)
		}
		if err != nil {
			return nil, fmt.Errorf("tls.crl: %s: %w", path, err)
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
	var all []proxy.CertUser
	for i := range t.CertUsers {
		kind, name, err := t.CertUsers[i].Name()
		if err != nil {
			return nil, fmt.Errorf("tls.cert_users[%d].match: %w", i, err)
		}
		all = append(all, proxy.CertUser{CertName: proxy.CertName{Kind: certKinds[kind], Name: name}, User: t.CertUsers[i].User})
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
