package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Revocations are the certificates that their authorities have taken back. A
// certificate counts only while its authority's list is current: a list that is
// missing or out of date could hold it. The zero Revocations therefore refuse
// every certificate that is signed by another.
type Revocations struct {
	lists []revocationList
}

// revocationList is one list, whose signature was checked.
type revocationList struct {
	issuer, key []byte // subject and public key of the authority
	from, until time.Time
	serials     map[string]bool
}

// Add takes the lists of a file, PEM or DER, each of which one of the
// authorities must have signed.
func (r *Revocations) Add(file []byte, authorities []*x509.Certificate) error {
	ders, err := splitLists(file)
	if err != nil {
		return err
	}
	for _, der := range ders {
		list, err := readList(der, authorities)
		if err != nil {
			return err
		}
		r.lists = append(r.lists, list)
	}
	return nil
}

// splitLists gives the lists of a file as DER.
func splitLists(file []byte) (ders [][]byte, err error) {
	if !bytes.Contains(file, []byte("-----BEGIN ")) {
		return [][]byte{file}, nil
	}
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("a %s is no revocation list", block.Type)
		}
		ders = append(ders, block.Bytes)
	}
	if len(ders) == 0 {
		return nil, errors.New("no revocation list in it")
	}
	return ders, nil
}

// readList reads one list. What it says beyond serial numbers can change what
// they mean (a part of all certificates, those of others, changes alone): where
// that is critical, it is refused.
func readList(der []byte, authorities []*x509.Certificate) (revocationList, error) {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return revocationList{}, err
	}
	for _, e := range crl.Extensions {
		if e.Critical {
			return revocationList{}, fmt.Errorf("the revocation list has extension %s, which is not understood", e.Id)
		}
	}
	if crl.NextUpdate.IsZero() {
		return revocationList{}, errors.New("the revocation list does not say when the next one comes")
	}
	list := revocationList{from: crl.ThisUpdate, until: crl.NextUpdate, serials: map[string]bool{}}
	for _, entry := range crl.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical {
				return revocationList{}, fmt.Errorf("an entry of the revocation list has extension %s, which is not understood", e.Id)
			}
		}
		list.serials[entry.SerialNumber.String()] = true
	}
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, crl.RawIssuer) && crl.CheckSignatureFrom(a) == nil {
			list.issuer, list.key = a.RawSubject, a.RawSubjectPublicKeyInfo
			return list, nil
		}
	}
	return revocationList{}, errors.New("the revocation list is signed by no authority of clients' certificates")
}

// Until tells when the first of the authorities has no current list any more.
func (r *Revocations) Until() (first time.Time) {
	for _, l := range r.lists {
		last := l.until
		for _, other := range r.lists {
			if bytes.Equal(l.key, other.key) && other.until.After(last) {
				last = other.until
			}
		}
		if first.IsZero() || last.Before(first) {
			first = last
		}
	}
	return first
}

// Check holds a certificate's verified chains against the lists. One chain must
// be good to its end, and none may hold a certificate that was taken back. No
// chain at all is nobody's certificate, and nothing to check.
func (r *Revocations) Check(chains [][]*x509.Certificate, now time.Time) error {
	var unknown error
	good := len(chains) == 0
	for _, chain := range chains {
		known := true
		for i := range len(chain) - 1 {
			revoked, current := r.look(chain[i], chain[i+1], now)
			switch {
			case revoked:
				return fmt.Errorf("certificate %s of %q was revoked", chain[i].SerialNumber, chain[i].Subject)
			case !current:
				known = false
				unknown = fmt.Errorf("no current revocation list of %q", chain[i].Issuer)
			}
		}
		good = good || known
	}
	if !good {
		return unknown
	}
	return nil
}

// look tells what the lists of an authority say of a certificate. What an old
// list holds stays revoked.
func (r *Revocations) look(cert, authority *x509.Certificate, now time.Time) (revoked, current bool) {
	serial := cert.SerialNumber.String()
	for _, l := range r.lists {
		if !bytes.Equal(l.issuer, authority.RawSubject) || !bytes.Equal(l.key, authority.RawSubjectPublicKeyInfo) {
			continue
		}
		revoked = revoked || l.serials[serial]
		current = current || !now.Before(l.from) && now.Before(l.until)
	}
	return revoked, current
}
