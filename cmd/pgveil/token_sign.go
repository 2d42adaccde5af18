package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// runTokenSign runs "pgveil token sign".
func runTokenSign(args []string, stdout, stderr io.Writer) int {
	c := newCommand("token sign", "",
		"Prints a signed token. Applications sign theirs with a JWT library of their\nlanguage: docs/end-users.md says what must be in it.",
		"pgveil token sign --key crm.key --issuer crm --user anna --role support --purpose support",
		"pgveil token sign --key ed25519.pem --issuer crm --user anna --attribute region=EU --transaction")
	claims := map[string]any{}
	keyFile, ttl, kid := signFlags(c.flags, claims)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if *keyFile == "" || claims["iss"] == nil || claims["sub"] == nil {
		return c.misused(stderr, "--key, --issuer and --user are needed")
	}
	now := time.Now()
	claims["iat"], claims["exp"] = now.Unix(), now.Add(*ttl).Unix()
	if claims["aud"] == nil {
		claims["aud"] = "pgveil"
	}
	if claims["jti"] == nil {
		claims["jti"] = rand.Text()
	}
	text, err := signToken(*keyFile, *kid, claims)
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintln(stdout, text)
	return 0
}

// signFlags makes the flags of a token's claims.
func signFlags(flags *flag.FlagSet, claims map[string]any) (keyFile *string, ttl *time.Duration, kid *string) {
	keyFile = flags.String("key", "", "the `file` of the key: a secret, or a private key in PEM")
	kid = flags.String("kid", "", "the key's `name` in the issuer's set of keys")
	ttl = flags.Duration("ttl", time.Minute, "how long it is valid, a `time` like 30s")
	for _, f := range []struct{ flag, claim, about string }{
		{"issuer", "iss", "the issuer's `name`"},
		{"audience", "aud", "whom it is meant for, a `name` (default pgveil)"},
		{"user", "sub", "the end user's `name`"},
		{"purpose", "purpose", "what for, a `name` of the policy's"},
		{"ticket", "ticket", "a `text` that the access log shows"},
		{"session", "sid", "the `id` of the only session that may use it"},
		{"id", "jti", "its own `id` (default random)"},
	} {
		flags.Func(f.flag, f.about, func(s string) error { claims[f.claim] = s; return nil })
	}
	for _, f := range []struct{ flag, claim, about string }{
		{"role", "roles", "a `name`; may be given several times"},
		{"group", "groups", "a `name`; may be given several times"},
		{"factor", "amr", "how the end user was authenticated, a `word` like otp; may be given several times"},
	} {
		flags.Func(f.flag, f.about, func(s string) error {
			list, _ := claims[f.claim].([]string)
			claims[f.claim] = append(list, s)
			return nil
		})
	}
	flags.BoolFunc("transaction", "it holds for one transaction only", func(string) error { claims["transaction"] = true; return nil })
	flags.Func("attribute", "`name=value` of the end user; may be given several times", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("not name=value")
		}
		all, _ := claims["attributes"].(map[string]string)
		if all == nil {
			all = map[string]string{}
		}
		all[name] = value
		claims["attributes"] = all
		return nil
	})
	return keyFile, ttl, kid
}

func signToken(keyFile, kid string, claims map[string]any) (string, error) {
	key, err := signingKey(keyFile)
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// signingKey reads a key, and says which algorithm it is for.
func signingKey(path string) (jose.SigningKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return jose.SigningKey{}, err
	}
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		return jose.SigningKey{Algorithm: jose.HS256, Key: bytes.TrimRight(text, "\r\n")}, nil
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return jose.SigningKey{}, fmt.Errorf("%s holds no private key in PKCS #8", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return jose.SigningKey{}, fmt.Errorf("%s: %w", path, err)
	}
	switch k := parsed.(type) {
	case ed25519.PrivateKey:
		return jose.SigningKey{Algorithm: jose.EdDSA, Key: k}, nil
	case *rsa.PrivateKey:
		return jose.SigningKey{Algorithm: jose.RS256, Key: k}, nil
	case *ecdsa.PrivateKey:
		if a, ok := map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[k.Params().BitSize]; ok {
			return jose.SigningKey{Algorithm: a, Key: k}, nil
		}
	}
	return jose.SigningKey{}, fmt.Errorf("%s holds a key that makes no signatures that are known", path)
}

// runTokenKey runs "pgveil token key".
func runTokenKey(args []string, stdout, stderr io.Writer) int {
	c := newCommand("token key", "FILE",
		"Makes a key to sign tokens with and writes it to FILE, readable by its owner\nonly: a secret for HS256, whose text, without the line break, applications and\npgveil share; or with --ed25519 a private key for EdDSA, and FILE.pub beside it,\nwhich is all that pgveil needs. Existing files are left as they are.",
		"pgveil token key /etc/pgveil/crm.key",
		"pgveil token key --ed25519 crm.pem")
	pair := c.flags.Bool("ed25519", false, "a private and a public key, in place of a secret")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 {
		return c.misused(stderr, "one FILE is needed")
	}
	made, err := tokenKey(c.args[0], *pair)
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintf(stdout, "made %s\n", strings.Join(made, " and "))
	return 0
}

func tokenKey(path string, pair bool) (made []string, err error) {
	if !pair {
		secret := make([]byte, 32)
		rand.Read(secret) // never fails
		return []string{path}, writeNew(path, append(hex.AppendEncode(nil, secret), '\n'), 0o600)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	hidden, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	shown, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: hidden}), 0o600); err != nil {
		return nil, err
	}
	return []string{path, path + ".pub"}, writeNew(path+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: shown}), 0o644)
}
