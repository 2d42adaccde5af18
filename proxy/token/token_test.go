package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// claims gives those of a good context token, changed; nil takes one away.
func claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": "crm", "sub": "anna", "aud": "pgveil", "jti": "1",
		"iat": start.Unix(), "exp": start.Add(time.Minute).Unix(),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, payload any) string {
	t.Helper()
	text, ok := payload.(string)
	if !ok {
		b, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func hs(t testing.TB, payload any) string {
	return sign(t, jose.HS256, []byte(secret), nil, payload)
}

func keysOf(t testing.TB, set *KeySet, err error) *Keys {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	k := &Keys{}
	k.Put(set, time.Time{})
	return k
}

func publicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// crm is an issuer of context tokens by a shared secret.
func crm(t testing.TB) Issuer {
	set, err := ParseKey([]byte(secret + "\n"))
	return Issuer{Name: "crm", Use: Context, Audience: "pgveil", Algorithms: []jose.SignatureAlgorithm{jose.HS256}, Keys: keysOf(t, set, err)}
}

func verifier(t testing.TB, issuers ...Issuer) *Verifier {
	t.Helper()
	v, err := New(issuers...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func reason(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func TestVerify(t *testing.T) {
	v := verifier(t, crm(t))
	got, err := v.Verify(hs(t, claims(map[string]any{
		"roles": []string{"support"}, "groups": []string{"eu"}, "purpose": "support", "ticket": "T-1", "sid": "s", "amr": []string{"pwd", "otp"},
		"transaction": true, "attributes": map[string]string{"region": "EU", "empty": ""}, "aud": []string{"other", "pgveil"}, "nbf": start.Unix(),
	})), start)
	if err != nil {
		t.Fatal(err)
	}
	want := &Claims{
		Issuer: "crm", Subject: "anna", User: "anna", Roles: []string{"support"}, Groups: []string{"eu"}, Purpose: "support", Ticket: "T-1",
		ID: "1", Session: "s", Transaction: true, Attributes: map[string]string{"region": "EU", "empty": ""}, Factors: []string{"pwd", "otp"},
		Issued: start, NotBefore: start, Expires: start.Add(time.Minute), Until: start.Add(90 * time.Second),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Claims{})); diff != "" {
		t.Error(diff)
	}
}

// TestRefuses holds what RFC 8725 warns of, and every bound, against Verify.
func TestRefuses(t *testing.T) {
	v := verifier(t, crm(t))
	header := func(more map[jose.HeaderKey]any) string {
		return sign(t, jose.HS256, []byte(secret), more, claims(nil))
	}
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	good := hs(t, claims(nil))
	parts := strings.Split(good, ".")
	list := func(n int) []string { return strings.Fields(strings.Repeat("a ", n)) }
	for _, tt := range []struct {
		name, token string
		want        Reason
	}{
		{"nothing", "", Malformed},
		{"two parts", parts[0] + "." + parts[1], Malformed},
		{"four parts", good + ".", Malformed},
		{"longer than the bound", good + strings.Repeat("A", MaxLength), Malformed},
		{"white space around", " " + good, Malformed},
		{"line break within", parts[0] + "\n." + parts[1] + "." + parts[2], Malformed},
		{"padding", good + "=", Malformed},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, Malformed},
		{"alg none, no signature", b64(`{"alg":"none"}`) + "." + parts[1] + ".", Algorithm},
		{"alg none, signature kept", b64(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2], Algorithm},
		{"alg nOnE", b64(`{"alg":"nOnE"}`) + "." + parts[1] + ".", Algorithm},
		{"no alg", b64(`{"typ":"JWT"}`) + "." + parts[1] + "." + parts[2], Algorithm},
		{"alg twice", b64(`{"alg":"none","alg":"HS256"}`) + "." + parts[1] + "." + parts[2], Malformed},
		{"alg in another case of letters", b64(`{"ALG":"none","alg":"HS256"}`) + "." + parts[1] + "." + parts[2], Malformed},
		{"an algorithm that the issuer does not use", sign(t, jose.HS512, []byte(secret), nil, claims(nil)), Algorithm},
		{"header is no object", b64(`[]`) + "." + parts[1] + "." + parts[2], Malformed},
		{"a key in the header", header(map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: []byte("x")}}), Malformed},
		{"a key's address in the header", header(map[jose.HeaderKey]any{"jku": "https://example.org/keys"}), Malformed},
		{"a certificate's address in the header", header(map[jose.HeaderKey]any{"x5u": "https://example.org/cert"}), Malformed},
		{"a certificate in the header", header(map[jose.HeaderKey]any{"x5c": []string{"MII"}}), Malformed},
		{"crit", header(map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}), Malformed},
		{"crit of b64", header(map[jose.HeaderKey]any{"crit": []string{"b64"}, "b64": true}), Malformed},
		{"nested", header(map[jose.HeaderKey]any{"cty": "JWT"}), Malformed},
		{"typ of an access token", header(map[jose.HeaderKey]any{"typ": "at+jwt"}), Malformed},
		{"typ of an event", header(map[jose.HeaderKey]any{"typ": "secevent+jwt"}), Malformed},
		{"payload changed", parts[0] + "." + b64(strings.Replace(string(must(base64.RawURLEncoding.DecodeString(parts[1]))), "anna", "otto", 1)) + "." + parts[2], Forged},
		{"signature cut short", strings.TrimSuffix(good, good[len(good)-3:]), Forged},
		{"signature empty", parts[0] + "." + parts[1] + ".", Forged},
		{"another secret", sign(t, jose.HS256, []byte(strings.Repeat("x", 32)), nil, claims(nil)), Forged},
		{"unknown issuer", hs(t, claims(map[string]any{"iss": "crm2"})), UnknownIssuer},
		{"issuer in other letters", hs(t, claims(map[string]any{"iss": "CRM"})), UnknownIssuer},
		{"no issuer", hs(t, claims(map[string]any{"iss": nil})), Claim},
		{"issuer is a list", hs(t, claims(map[string]any{"iss": []string{"crm"}})), Claim},
		{"no subject", hs(t, claims(map[string]any{"sub": nil})), Claim},
		{"empty subject", hs(t, claims(map[string]any{"sub": ""})), Claim},
		{"subject is a number", hs(t, claims(map[string]any{"sub": 7})), Claim},
		{"long subject", hs(t, claims(map[string]any{"sub": strings.Repeat("a", 64)})), Claim},
		{"NUL in a name", hs(t, claims(map[string]any{"sub": "anna\x00admin"})), Claim},
		{"half a surrogate", hs(t, `{"iss":"crm","sub":"\ud800","aud":"pgveil","jti":"1","iat":1795348800,"exp":1795348860}`), Claim},
		{"no UTF-8", hs(t, "{\"iss\":\"crm\",\"sub\":\"\xff\"}"), Malformed},
		{"a claim twice", hs(t, `{"iss":"crm","sub":"anna","sub":"otto","aud":"pgveil","jti":"1","iat":1795348800,"exp":1795348860}`), Malformed},
		{"a claim twice, once with an escape", hs(t, `{"iss":"crm","sub":"anna","\u0073ub":"otto"}`), Malformed},
		{"claims are a list", hs(t, `[]`), Malformed},
		{"claims are null", hs(t, `null`), Malformed},
		{"something after the claims", hs(t, `{"iss":"crm"} {}`), Malformed},
		{"no audience", hs(t, claims(map[string]any{"aud": nil})), Claim},
		{"another audience", hs(t, claims(map[string]any{"aud": "billing"})), Elsewhere},
		{"other audiences", hs(t, claims(map[string]any{"aud": []string{"billing", "pgveil2"}})), Elsewhere},
		{"audience is a number", hs(t, claims(map[string]any{"aud": 1})), Claim},
		{"no expiry", hs(t, claims(map[string]any{"exp": nil})), Claim},
		{"expiry is a string", hs(t, claims(map[string]any{"exp": "1795348860"})), Claim},
		{"expiry beyond all times", hs(t, claims(map[string]any{"exp": 1e18})), Claim},
		{"negative expiry", hs(t, claims(map[string]any{"exp": -1})), Claim},
		{"no time of issue", hs(t, claims(map[string]any{"iat": nil})), Claim},
		{"valid for too long", hs(t, claims(map[string]any{"exp": start.Add(DefaultContext + time.Second).Unix()})), Claim},
		{"expires as it is issued", hs(t, claims(map[string]any{"exp": start.Unix()})), Claim},
		{"no id", hs(t, claims(map[string]any{"jti": nil})), Claim},
		{"roles are a string", hs(t, claims(map[string]any{"roles": "admin"})), Claim},
		{"an empty role", hs(t, claims(map[string]any{"roles": []any{"a", nil}})), Claim},
		{"a long role", hs(t, claims(map[string]any{"roles": []string{strings.Repeat("r", 64)}})), Claim},
		{"many roles", hs(t, claims(map[string]any{"roles": list(maxList + 1)})), Claim},
		{"null", hs(t, claims(map[string]any{"purpose": json.RawMessage("null")})), Claim},
		{"transaction is a string", hs(t, claims(map[string]any{"transaction": "true"})), Claim},
		{"an attribute is a number", hs(t, claims(map[string]any{"attributes": map[string]any{"a": 1}})), Claim},
		{"an attribute is null", hs(t, claims(map[string]any{"attributes": map[string]any{"a": nil}})), Claim},
		{"an attribute twice", hs(t, `{"iss":"crm","sub":"anna","aud":"pgveil","jti":"1","iat":1795348800,"exp":1795348860,"attributes":{"a":"1","a":"2"}}`), Claim},
		{"a claim that nobody knows", hs(t, claims(map[string]any{"purpuse": "support"})), Claim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := v.Verify(tt.token, start)
			if c != nil || reason(err) != tt.want {
				t.Errorf("Verify = %v, %v, want %s", c, err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "anna") || strings.Contains(err.Error(), "otto")) {
				t.Errorf("the error %q repeats the token", err)
			}
		})
	}
	if _, err := v.Verify(good, start); err != nil {
		t.Errorf("the token that the others were made from is refused as well: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestClocks(t *testing.T) {
	is := crm(t)
	is.Leeway = 10 * time.Second
	strict := crm(t)
	strict.Name, strict.Leeway = "strict", -1
	v := verifier(t, is, strict)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	for _, tt := range []struct {
		name   string
		change map[string]any
		now    time.Time
		want   Reason
	}{
		{"now", nil, at(0), ""},
		{"our clock behind, within the leeway", nil, at(-10 * time.Second), ""},
		{"our clock behind by more", nil, at(-11 * time.Second), Early},
		{"expired, within the leeway", nil, at(69 * time.Second), ""},
		{"expired", nil, at(70 * time.Second), Expired},
		{"not before, within the leeway", map[string]any{"nbf": at(10 * time.Second).Unix()}, at(0), ""},
		{"not before", map[string]any{"nbf": at(11 * time.Second).Unix()}, at(0), Early},
		{"no leeway, now", map[string]any{"iss": "strict"}, at(0), ""},
		{"no leeway, early", map[string]any{"iss": "strict"}, at(-time.Second), Early},
		{"no leeway, the last moment", map[string]any{"iss": "strict"}, at(time.Minute - 1), ""},
		{"no leeway, expired", map[string]any{"iss": "strict"}, at(time.Minute), Expired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := v.Verify(hs(t, claims(tt.change)), tt.now); reason(err) != tt.want {
				t.Errorf("Verify = %v, want reason %q", err, tt.want)
			}
		})
	}
}

// signers are keys of each kind, and what they may sign.
func signers(t testing.TB) map[jose.SignatureAlgorithm]any {
	t.Helper()
	r, e1 := rsa.GenerateKey(rand.Reader, 2048)
	p, e2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, e3 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(e1, e2, e3); err != nil {
		t.Fatal(err)
	}
	return map[jose.SignatureAlgorithm]any{jose.RS256: r, jose.PS256: r, jose.ES256: p, jose.EdDSA: ed, jose.HS256: []byte(secret)}
}

func keyFile(t testing.TB, k any) []byte {
	if s, ok := k.(crypto.Signer); ok {
		return publicPEM(t, s.Public())
	}
	return []byte(secret)
}

// TestConfusion signs with each kind of key, and verifies with each other one.
// The public key as the secret of an HMAC is the classic among them.
func TestConfusion(t *testing.T) {
	keys := signers(t)
	for alg, key := range keys {
		set, err := ParseKey(keyFile(t, key))
		is := Issuer{Name: "crm", Use: Context, Audience: "pgveil", Algorithms: []jose.SignatureAlgorithm{alg}, Keys: keysOf(t, set, err)}
		v := verifier(t, is)
		for other, by := range keys {
			_, err := v.Verify(sign(t, other, by, nil, claims(nil)), start)
			if (err == nil) != (other == alg) {
				t.Errorf("an issuer of %s, a token of %s: %v", alg, other, err)
			}
		}
		public := keyFile(t, key)
		if _, err := v.Verify(sign(t, jose.HS256, public, nil, claims(nil)), start); alg != jose.HS256 && reason(err) != Algorithm {
			t.Errorf("an issuer of %s, signed by HMAC with its public key: %v", alg, err)
		}
	}
}

// TestKeysDecide configures an algorithm that the key is not for: no token can
// then be verified, whatever it is signed with.
func TestKeysDecide(t *testing.T) {
	keys := signers(t)
	for alg := range keys {
		for other, key := range keys {
			set, err := ParseKey(keyFile(t, key))
			if err != nil {
				t.Fatal(err)
			}
			list := []jose.SignatureAlgorithm{alg}
			_, isRSA := key.(*rsa.PrivateKey)
			if want := alg == other || isRSA && (alg == jose.RS256 || alg == jose.PS256); (set.Fits(list) == nil) != want {
				t.Errorf("a key of %s for %s: Fits = %v", other, alg, set.Fits(list))
			}
		}
	}
}

func TestNew(t *testing.T) {
	good := crm(t)
	change := func(f func(*Issuer)) Issuer { is := good; f(&is); return is }
	for _, tt := range []struct {
		name string
		is   Issuer
		want string
	}{
		{"zero", Issuer{}, "has no name"},
		{"no use", change(func(i *Issuer) { i.Use = 0 }), "may sign for no use"},
		{"no audience", change(func(i *Issuer) { i.Audience = "" }), "has no audience"},
		{"no keys", change(func(i *Issuer) { i.Keys = nil }), "has no keys"},
		{"no algorithm", change(func(i *Issuer) { i.Algorithms = nil }), "has no algorithm"},
		{"none", change(func(i *Issuer) { i.Algorithms = []jose.SignatureAlgorithm{"none"} }), "is not one of"},
		{"mixed", change(func(i *Issuer) { i.Algorithms = []jose.SignatureAlgorithm{jose.HS256, jose.RS256} }), "different kinds"},
		{"leeway", change(func(i *Issuer) { i.Leeway = time.Hour }), "leeway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.is); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := New(good, good); err == nil {
		t.Error("an issuer may be there twice")
	}
	var none *Verifier
	if _, err := none.Verify(hs(t, claims(nil)), start); reason(err) != UnknownIssuer {
		t.Errorf("a nil verifier: %v", err)
	}
	if _, err := verifier(t).Verify(hs(t, claims(nil)), start); reason(err) != UnknownIssuer {
		t.Errorf("a verifier without issuers: %v", err)
	}
}

func TestPresentedBy(t *testing.T) {
	is := crm(t)
	is.Logins = []string{"crm_app"}
	c, err := verifier(t, is).Verify(hs(t, claims(nil)), start)
	if err != nil {
		t.Fatal(err)
	}
	if !c.PresentedBy("crm_app") || c.PresentedBy("alice") || c.PresentedBy("") {
		t.Error("a token is not kept to the logins that may present it")
	}
}

func FuzzVerify(f *testing.F) {
	is := crm(f)
	v := verifier(f, is)
	f.Add(hs(f, claims(nil)))
	f.Add(hs(f, claims(map[string]any{"roles": []string{"a"}, "attributes": map[string]string{"a": "b"}})))
	f.Add("..")
	f.Fuzz(func(t *testing.T, payload string) {
		// As a token: nobody else can sign one that is accepted.
		if c, err := v.Verify(payload, start); err == nil && c.ID != "1" {
			t.Errorf("accepted: %+v", c)
		}
		// As the claims of one: what is accepted keeps to the bounds.
		c, err := v.Verify(hs(t, payload), start)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || c != nil {
				t.Errorf("Verify = %v, %v", c, err)
			}
			return
		}
		if c.User == "" || len(c.User) > maxName || strings.ContainsRune(c.User, 0) || c.ID == "" ||
			c.Expires.Sub(c.Issued) > DefaultContext || start.Before(c.Issued.Add(-DefaultLeeway)) || !start.Before(c.Until) {
			t.Errorf("accepted: %+v", c)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for alg, key := range signers(b) {
		set, err := ParseKey(keyFile(b, key))
		v := verifier(b, Issuer{Name: "crm", Use: Context, Audience: "pgveil", Algorithms: []jose.SignatureAlgorithm{alg}, Keys: keysOf(b, set, err)})
		text := sign(b, alg, key, nil, claims(map[string]any{"roles": []string{"support"}, "purpose": "support"}))
		b.Run(string(alg), func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Verify(text, start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
