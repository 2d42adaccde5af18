package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/proxy"
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
	if t.ClientCA != "" {
		if c.ClientCAs, err = readRoots(t.ClientCA); err != nil {
			return nil, fmt.Errorf("tls.client_ca: %w", err)
		}
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return c, nil
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
