package cloudkms

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Google wraps under a symmetric key of Google Cloud KMS.
type Google struct {
	key         string
	at          *url.URL
	credentials func() (string, error) // nil: the machine's service account
	machine     string                 // where the machine gives tokens of it
	client      *http.Client
	now         func() time.Time
}

// GoogleOptions say which key it is. The zero of each is its default, where there is one.
type GoogleOptions struct {
	Key         string                 // projects/…/locations/…/keyRings/…/cryptoKeys/…
	Endpoint    string                 // https://host; https://cloudkms.googleapis.com
	Credentials func() (string, error) // the JSON of a service account's key; the service account of the machine
}

const googleName = "Google Cloud KMS"

var googleKey = regexp.MustCompile(`^projects/[\w.:-]+/locations/[\w-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+$`)

// NewGoogle checks the options. It asks nobody.
func NewGoogle(o GoogleOptions) (*Google, error) {
	if !googleKey.MatchString(o.Key) {
		return nil, errors.New("Google Cloud KMS: key is not as in projects/P/locations/L/keyRings/R/cryptoKeys/K")
	}
	if o.Endpoint == "" {
		o.Endpoint = "https://cloudkms.googleapis.com"
	}
	at, err := endpoint(googleName, o.Endpoint)
	if err != nil {
		return nil, err
	}
	return &Google{key: o.Key, at: at, credentials: o.Credentials, machine: "http://metadata.google.internal", client: newClient(), now: time.Now}, nil
}

const googlePrefix = "gcp:"

// Wrap has KMS encrypt a key.
func (g *Google) Wrap(ctx context.Context, key []byte) (string, error) {
	var out struct {
		Ciphertext []byte `json:"ciphertext"`
	}
	err := g.ask(ctx, "encrypt", map[string][]byte{"plaintext": key, "additionalAuthenticatedData": []byte(purpose)}, &out)
	if err == nil && len(out.Ciphertext) == 0 {
		err = errors.New("Google Cloud KMS: its answer is not a ciphertext")
	}
	return googlePrefix + base64.StdEncoding.EncodeToString(out.Ciphertext), err
}

// Unwrap has KMS decrypt a key.
func (g *Google) Unwrap(ctx context.Context, wrapped string) ([]byte, error) {
	text, ok := strings.CutPrefix(wrapped, googlePrefix)
	sealed, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, errors.New("it was wrapped by something else than Google Cloud KMS")
	}
	var out struct {
		Plaintext []byte `json:"plaintext"`
	}
	if err := g.ask(ctx, "decrypt", map[string][]byte{"ciphertext": sealed, "additionalAuthenticatedData": []byte(purpose)}, &out); err != nil {
		return nil, err
	}
	if len(out.Plaintext) != keyLen {
		return nil, errors.New("Google Cloud KMS: its answer is not a key")
	}
	return out.Plaintext, nil
}

func (g *Google) ask(ctx context.Context, verb string, in, out any) error {
	token, err := g.token(ctx)
	if err != nil {
		return err
	}
	r, _, err := post(ctx, g.at.JoinPath("v1", g.key+":"+verb), "application/json", in)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	err = askJSON(g.client, googleName, r, out)
	e, ok := asStatus(err)
	if !ok {
		return err
	}
	var said struct {
		Error struct{ Status, Message string }
	}
	_ = json.Unmarshal(e.text, &said) // else it says nothing
	hint := ""
	switch e.status {
	case http.StatusUnauthorized:
		hint = "the token is not taken: is the clock right?"
	case http.StatusForbidden:
		hint = "pgveil needs roles/cloudkms.cryptoKeyEncrypterDecrypter on the key"
	case http.StatusNotFound:
		hint = "there is no such key"
	case http.StatusBadRequest:
		hint = "is this the key that wrapped the file, and is its version enabled?"
	}
	return explained(googleName, e, strings.TrimSpace(said.Error.Status+" "+said.Error.Message), hint)
}

// account is the file of a service account's key.
type account struct {
	Email string `json:"client_email"`
	KeyID string `json:"private_key_id"`
	Key   string `json:"private_key"`
	Token string `json:"token_uri"`
}

// token gives what tells KMS who pgveil is.
func (g *Google) token(ctx context.Context) (string, error) {
	const name = "Google Cloud KMS: the service account"
	r, err := g.tokenRequest(ctx)
	if err != nil {
		return "", err
	}
	var out struct {
		Token string `json:"access_token"`
	}
	err = askJSON(g.client, name, r, &out)
	if e, ok := asStatus(err); ok {
		return "", explained(name, e, "", "it must exist, its key be valid and the clock right")
	}
	if err == nil && out.Token == "" {
		err = fmt.Errorf("%s: it gives no token", name)
	}
	return out.Token, err
}

func (g *Google) tokenRequest(ctx context.Context) (*http.Request, error) {
	if g.credentials == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.machine+"/computeMetadata/v1/instance/service-accounts/default/token", nil)
		if err == nil {
			r.Header.Set("Metadata-Flavor", "Google")
		}
		return r, err
	}
	text, err := g.credentials()
	if err != nil {
		return nil, fmt.Errorf("Google Cloud KMS: reading the credentials: %w", err)
	}
	var a account
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.Email == "" || a.Key == "" {
		return nil, errors.New("Google Cloud KMS: the file of credentials is not the JSON of a service account's key")
	}
	if a.Token == "" {
		a.Token = "https://oauth2.googleapis.com/token"
	}
	at, err := endpoint("Google Cloud KMS: token_uri", a.Token)
	if err != nil {
		return nil, err
	}
	claim, err := a.claim(g.now())
	if err != nil {
		return nil, fmt.Errorf("Google Cloud KMS: the file of credentials: %w", err)
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {claim}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r, err
}

// claim gives a JWT (RS256) by which a service account asks for a token.
func (a account) claim(now time.Time) (string, error) {
	block, _ := pem.Decode([]byte(a.Key))
	if block == nil {
		return "", errors.New("its private_key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return "", errors.New("its private_key is not an RSA key")
	}
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic("cloudkms: " + err.Error()) // it is made of what JSON has
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": a.KeyID}) + "." + part(map[string]any{
		"iss": a.Email, "scope": "https://www.googleapis.com/auth/cloudkms", "aud": a.Token, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), err
}
