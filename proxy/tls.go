package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

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

// Certs says what clients under TLS must show of a certificate. The chain of
// one that is shown is verified in any case.
type Certs uint8

// The demands, after the clientcert option of PostgreSQL's pg_hba.conf.
const (
	CertsOptional Certs = iota // nothing; the login proves who it is
	CertsOfCA                  // a certificate besides
	CertsOfLogin               // one with the login as its common name
)

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

// certs is what a rule asks of certificates. Where they are all the proof
// there is, one must be the login's.
func (r *Rule) certs() Certs {
	if r.Method == Cert {
		return CertsOfLogin
	}
	return r.Certs
}

// checkCert holds a client's certificate against its login. Unix sockets, which
// know no certificates, are exempt where there is another proof.
func (srv *Server) checkCert(s *session, want Certs) error {
	_, unix := s.client.RemoteAddr().(*net.UnixAddr)
	if want == CertsOptional || unix && s.method != Cert {
		return nil
	}
	shown := verified(s.client)
	switch {
	case shown == nil:
		return newFatal("28000", "connection requires a valid client certificate")
	case want == CertsOfCA:
		return nil
	case want == CertsOfLogin && shown.Subject.CommonName == s.login:
		return nil
	default:
		return newFatal("28000", "certificate authentication failed for user %q", s.login)
	}
}

// verified gives the certificate of a client, nil where none was shown that an
// authority vouches for.
func verified(conn net.Conn) *x509.Certificate {
	c, ok := conn.(*tls.Conn)
	if !ok || len(c.ConnectionState().VerifiedChains) == 0 {
		return nil
	}
	return c.ConnectionState().VerifiedChains[0][0]
}
