package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
)

func TestParseVerifier(t *testing.T) {
	const (
		salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
		key  = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
	)
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"as stored", "SCRAM-SHA-256$4096:" + salt + "$" + key + ":" + key, true},
		{"one iteration", "SCRAM-SHA-256$1:" + salt + "$" + key + ":" + key, true},
		{"empty", "", false},
		{"MD5", "md5" + strings.Repeat("0", 32), false},
		{"a password in clear", "pencil", false},
		{"SHA-1", "SCRAM-SHA-1$4096:" + salt + "$" + key + ":" + key, false},
		{"no iterations", "SCRAM-SHA-256$0:" + salt + "$" + key + ":" + key, false},
		{"negative iterations", "SCRAM-SHA-256$-1:" + salt + "$" + key + ":" + key, false},
		{"signed iterations", "SCRAM-SHA-256$+1:" + salt + "$" + key + ":" + key, false},
		{"a million iterations", "SCRAM-SHA-256$1000000:" + salt + "$" + key + ":" + key, true},
		{"more iterations", "SCRAM-SHA-256$1000001:" + salt + "$" + key + ":" + key, false},
		{"iterations over 31 bits", "SCRAM-SHA-256$2147483648:" + salt + "$" + key + ":" + key, false},
		{"no salt", "SCRAM-SHA-256$4096:$" + key + ":" + key, false},
		{"endless salt", "SCRAM-SHA-256$4096:" + strings.Repeat("AAAA", 100) + "$" + key + ":" + key, false},
		{"salt left out", "SCRAM-SHA-256$4096$" + key + ":" + key, false},
		{"server key left out", "SCRAM-SHA-256$4096:" + salt + "$" + key, false},
		{"short stored key", "SCRAM-SHA-256$4096:" + salt + "$AAAA:" + key, false},
		{"base64 with other last bits", "SCRAM-SHA-256$4096:" + salt + "$" + key[:42] + "Z=:" + key, false},
		{"line break", "SCRAM-SHA-256$4096:" + salt + "$" + key + "\n:" + key, false},
		{"trailing text", "SCRAM-SHA-256$4096:" + salt + "$" + key + ":" + key + ":x", false},
		{"another part", "SCRAM-SHA-256$4096:" + salt + "$" + key + ":" + key + "$x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := ParseVerifier(tt.text)
			if (err == nil) != tt.ok || v.usable() != tt.ok {
				t.Errorf("ParseVerifier(%q) = usable %v, %v, want %v", tt.text, v.usable(), err, tt.ok)
			}
			if err != nil && tt.text != "" && strings.Contains(err.Error(), tt.text) {
				t.Errorf("ParseVerifier quotes the verifier: %v", err)
			}
		})
	}
}

func TestEndPointOfEd25519(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if got := EndPoint(cert); got != nil {
		t.Errorf("EndPoint(Ed25519) = %x, want none", got)
	}
}

func TestTrustAllowed(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		want bool
	}{
		{&net.UnixAddr{Name: "@", Net: "unix"}, true},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, true},
		{&net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}, true},
		{&net.TCPAddr{IP: net.ParseIP("::1")}, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")}, true},
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, false},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "lo"}, false},
		{&net.TCPAddr{IP: net.IPv4zero}, false},
		{&net.TCPAddr{}, false},
		{&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, false},
		{(*net.TCPAddr)(nil), false},
		{(*net.UnixAddr)(nil), false},
		{nil, false},
	} {
		if err := TrustAllowed(tt.addr); (err == nil) != tt.want {
			t.Errorf("TrustAllowed(%T %v) = %v, want allowed %v", tt.addr, tt.addr, err, tt.want)
		}
	}
}
