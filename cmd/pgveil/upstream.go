package main

import (
	"crypto/tls"
	"fmt"
	"net"
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
