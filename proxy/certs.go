package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"net"
	"slices"
)

// Certs says what clients under TLS must show of a certificate. The chain of
// one that is shown is verified in any case.
type Certs uint8

// The demands, after the clientcert option of PostgreSQL's pg_hba.conf.
const (
	CertsOptional Certs = iota // nothing; the login proves who it is
	CertsOfCA                  // a certificate besides
	CertsOfLogin               // one of the login besides
)

// CertName is a name in a certificate. The zero CertName is in none.
type CertName struct {
	Kind CertKind
	Name string
}

// CertKind says where in a certificate a name stands.
type CertKind uint8

// The kinds of name. The last three are subject alternative names, and the
// numbers their tags in RFC 5280, section 4.2.1.6.
const (
	Email      CertKind = 1
	DNSName    CertKind = 2
	URI        CertKind = 6
	CommonName CertKind = 255
)

// CertUser lets whoever has a name in its certificate log in as a user.
type CertUser struct {
	CertName
	User string
}

// certs is what a rule asks of certificates. Where they are all the proof
// there is, one must be the login's.
func (r *Rule) certs() Certs {
	if r.Method == Cert {
		return CertsOfLogin
	}
	return r.Certs
}

// checkCert holds a client's certificate against its login. Where it is the
// proof, it counts as one.
func (srv *Server) checkCert(s *session, want Certs) error {
	err := s.holdCert(want)
	if s.method == Cert {
		return srv.judge(s, err)
	}
	return err
}

// holdCert leaves unix sockets, which know no certificates, alone where there is
// another proof.
func (s *session) holdCert(want Certs) error {
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
	case want == CertsOfLogin && s.srv.doors.Load().owns(shown, s.login):
		return nil
	default:
		return othersCert(s.login, errOthersCert)
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

// owns tells whether a certificate is a login's: its common name is the login
// or, where there is a list of who is who, one of its names is on it for that
// login. Names are compared byte by byte.
func (d *doors) owns(cert *x509.Certificate, login string) bool {
	names := certNames(cert)
	if d.certUsers == nil {
		return slices.Contains(names, CertName{CommonName, login})
	}
	return slices.ContainsFunc(d.certUsers, func(u CertUser) bool {
		return u.User == login && slices.Contains(names, u.CertName)
	})
}

// OwnerOf gives the user whose a certificate is, by its common name or, where
// there is a list of who is who, by its names on that: "" where it is nobody's, or
// the list says so of several.
func OwnerOf(cert *x509.Certificate, users []CertUser) (owner string) {
	names := certNames(cert)
	if users == nil {
		for _, n := range names {
			if n.Kind == CommonName {
				return n.Name
			}
		}
		return ""
	}
	for _, u := range users {
		if !slices.Contains(names, u.CertName) || u.User == owner {
			continue
		}
		if owner != "" {
			return ""
		}
		owner = u.User
	}
	return owner
}

var (
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidAltNames   = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// certNames gives the names in a certificate, as they stand there. A subject
// with several common names has none: which one counts is disputed.
func certNames(cert *x509.Certificate) (names []CertName) {
	common := 0
	for _, n := range cert.Subject.Names {
		if n.Type.Equal(oidCommonName) {
			common++
		}
	}
	if common == 1 {
		names = append(names, CertName{CommonName, cert.Subject.CommonName})
	}
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidAltNames) {
			names = append(names, altNames(e.Value)...)
		}
	}
	return names
}

// altNames reads what x509 has parsed already, for the bytes of it.
func altNames(der []byte) (names []CertName) {
	var all []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &all); err != nil || len(rest) > 0 {
		return nil
	}
	for _, v := range all {
		if v.Class != asn1.ClassContextSpecific || v.IsCompound {
			continue
		}
		switch kind := CertKind(v.Tag); kind {
		case Email, DNSName, URI:
			names = append(names, CertName{kind, string(v.Bytes)})
		}
	}
	return names
}
