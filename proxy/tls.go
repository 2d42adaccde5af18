package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
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

// frontTLS completes the configuration towards clients.
func frontTLS(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS12
	c.NextProtos = []string{alpn}
	return c
}
