package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestParseKey(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	good := string(publicPEM(t, curve.Public()))
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "shorter"},
		{"a short secret", strings.Repeat("x", 31) + "\n", "shorter"},
		{"a weak key", string(publicPEM(t, small.Public())), "1024 bits"},
		{"a private key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), "only whoever signs"},
		{"two keys", good + good, "not one PEM block"},
		{"half a block", good[:60], "not one PEM block"},
		{"no key within", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "public key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if set, err := ParseKey([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseKey = %v, %v, want %q", set, err, tt.want)
			}
		})
	}
	if _, err := ParseKey([]byte(good)); err != nil {
		t.Error(err)
	}
}

func jwks(t testing.TB, keys ...any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParseSet(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKey{Key: curve.Public(), KeyID: "a", Use: "sig"}
	enc := jose.JSONWebKey{Key: curve.Public(), KeyID: "e", Use: "enc"}
	private := jose.JSONWebKey{Key: curve, KeyID: "p"}
	shared := jose.JSONWebKey{Key: []byte(secret), KeyID: "s"}
	unknown := map[string]string{"kty": "XYZ", "kid": "x"}
	for _, tt := range []struct {
		name    string
		text    []byte
		secrets bool
		want    int // keys, or -1
	}{
		{"one", jwks(t, public), false, 1},
		{"others are left out", jwks(t, enc, unknown, public), false, 1},
		{"none that could be used", jwks(t, enc, unknown), false, -1},
		{"a private key", jwks(t, public, private), true, -1},
		{"a secret from the network", jwks(t, public, shared), false, -1},
		{"a secret from a file", jwks(t, shared), true, 1},
		{"too many", jwks(t, make([]any, maxKeys+1)...), false, -1},
		{"no JSON", []byte("<html>"), false, -1},
		{"a list", []byte("[]"), false, -1},
		{"keys twice", []byte(`{"keys":[],"keys":[]}`), false, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := ParseSet(tt.text, tt.secrets)
			if got := count(set); got != tt.want || (err != nil) != (tt.want < 0) {
				t.Errorf("ParseSet = %d keys, %v, want %d", got, err, tt.want)
			}
		})
	}
}

func count(s *KeySet) int {
	if s == nil {
		return -1
	}
	return len(s.keys)
}

func TestWhichKey(t *testing.T) {
	pair := func(id string) (*ecdsa.PrivateKey, jose.JSONWebKey) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k, jose.JSONWebKey{Key: k.Public(), KeyID: id}
	}
	ka, a := pair("a")
	kb, b := pair("b")
	kr, r := pair("r")
	r.Algorithm = "ES384" // says of itself that it is for nothing that we use
	set, err := ParseSet(jwks(t, a, b, r), false)
	keys := keysOf(t, set, err)
	asked := 0
	keys.Wanted(func() { asked++ })
	v := verifier(t, Issuer{Name: "crm", Use: Context, Audience: "pgveil", Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Keys: keys})
	for _, tt := range []struct {
		name, kid string
		key       *ecdsa.PrivateKey
		want      Reason
		asked     int
	}{
		{"its own", "a", ka, "", 0},
		{"another's name", "a", kb, Forged, 0},
		{"no name", "", ka, NoKey, 1},
		{"an unknown name", "c", ka, NoKey, 2},
		{"a key for another algorithm", "r", kr, NoKey, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := map[jose.HeaderKey]any{}
			if tt.kid != "" {
				header["kid"] = tt.kid
			}
			_, err := v.Verify(sign(t, jose.ES256, tt.key, header, claims(nil)), start)
			if reason(err) != tt.want || asked != tt.asked {
				t.Errorf("Verify = %v, asked for keys %d times, want %q, %d", err, asked, tt.want, tt.asked)
			}
		})
	}
}

func TestKeysExpire(t *testing.T) {
	is := crm(t)
	set, err := ParseKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	is.Keys = &Keys{}
	v := verifier(t, is)
	text := hs(t, claims(nil))
	if _, err := v.Verify(text, start); reason(err) != NoKey {
		t.Errorf("before keys were put in force: %v", err)
	}
	is.Keys.Put(set, start.Add(time.Second))
	if _, err := v.Verify(text, start); err != nil {
		t.Errorf("with keys in force: %v", err)
	}
	if _, err := v.Verify(text, start.Add(time.Second)); reason(err) != NoKey {
		t.Errorf("with keys that are too old: %v", err)
	}
}
