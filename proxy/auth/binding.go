package auth

import (
	"crypto"
	_ "crypto/sha256" // the hashes that end-point bindings use
	_ "crypto/sha512"
	"crypto/x509"
	"fmt"
	"net"
)

// ChannelBinding is the tls-server-end-point of a TLS connection (RFC 5929): a
// hash of the server's certificate. With it a login cannot be relayed by someone
// who holds another certificate. Empty means that there is none.
type ChannelBinding []byte

// EndPoint computes the channel binding of a server certificate. It is empty
// where RFC 5929 defines none (Ed25519), so that SCRAM-SHA-256-PLUS is then
// neither offered nor chosen, as clients could not compute it either.
func EndPoint(cert *x509.Certificate) ChannelBinding {
	h := bindingHash(cert.SignatureAlgorithm)
	if h == 0 {
		return nil
	}
	sum := h.New()
	sum.Write(cert.Raw)
	return sum.Sum(nil)
}

// bindingHash is the hash of the certificate's signature, except that MD5 and
// SHA-1 give way to SHA-256 (RFC 5929, section 4.1).
func bindingHash(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		return crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	default:
		return 0
	}
}

// TrustAllowed returns nil when a client at addr may be let in without a proof:
// only from this machine, by TCP loopback or a Unix socket. A relay on this
// machine (a load balancer, a tunnel) makes everybody look local, so a listener
// behind one must not be configured for trust.
func TrustAllowed(addr net.Addr) error {
	switch a := addr.(type) {
	case *net.UnixAddr:
		if a != nil {
			return nil
		}
	case *net.TCPAddr:
		if a != nil && a.IP.IsLoopback() {
			return nil
		}
	}
	return &LoginError{Code: codeRefused, Message: "login without a password is allowed from this machine only",
		cause: fmt.Errorf("client address %v", addr)}
}
