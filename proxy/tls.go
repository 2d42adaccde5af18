package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/pgveil/pgveil/proxy/auth"
)

// verifyChain checks a server's certificate without its name.
func verifyChain(cs tls.ConnectionState, roots *x509.CertPool) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the server has no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
	return err
}

// alpn is the protocol name of direct TLS, from the protocol's "SSL Session
// Encryption".
const alpn = "postgresql"

// postgresTLS gives a copy of a configuration with what both sides have in
// common.
func postgresTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS12
	c.NextProtos = []string{alpn}
	// Small records at the beginning are for browsers, which can use a part of
	// an answer. Here they made the first 64 KiB take twice as long.
	c.DynamicRecordSizingDisabled = true
	return c
}

// front is TLS towards clients, as it was when their connection began.
type front struct {
	config  *tls.Config
	binding auth.ChannelBinding // of the certificate
}

// newFront completes the configuration towards clients; nil is none.
func newFront(c *tls.Config) *front {
	if c == nil {
		return nil
	}
	f := &front{config: postgresTLS(c)}
	if len(c.Certificates) > 0 && c.Certificates[0].Leaf != nil {
		f.binding = auth.EndPoint(c.Certificates[0].Leaf)
	}
	return f
}

// SetTLS puts other certificates, keys and authorities in force, towards
// clients and towards the server, for connections from now on. TLS itself is
// not switched on or off by it.
func (srv *Server) SetTLS(clients, servers *tls.Config) {
	if clients != nil && srv.front.Load() != nil {
		srv.front.Store(newFront(clients))
	}
	srv.upstream.tls.Store(servers)
}
