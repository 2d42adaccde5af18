package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Token is an issuer whose signed tokens count.
type Token struct {
	Issuer     string            `yaml:"issuer"`     // its name in the claim iss
	Use        string            `yaml:"use"`        // context, who a shared login works for, or login, who somebody is
	Audience   string            `yaml:"audience"`   // the name in the claim aud that means us
	Algorithms []string          `yaml:"algorithms"` // that it signs with
	KeyFile    string            `yaml:"key_file"`   // one key: the secret of an HMAC, or a public key in PEM
	SetFile    string            `yaml:"jwks_file"`  // several, as a JSON Web Key Set
	SetURL     string            `yaml:"jwks_url"`   // the same, from the network
	Discover   bool              `yaml:"discover"`   // the same, where the OpenID provider says that it is
	CA         string            `yaml:"ca"`         // PEM file: who signs the certificates of jwks_url's host; absent: the system's roots
	MaxAge     time.Duration     `yaml:"max_age"`    // the longest life of a token; 0: five minutes, of a login a day
	Leeway     *time.Duration    `yaml:"leeway"`     // that clocks may differ by; absent: thirty seconds
	Logins     []string          `yaml:"logins"`     // of context: who may present them; absent: those that the policy lets act
	User       string            `yaml:"user_claim"` // of login: the claim with the user's name; absent: sub
	Groups     string            `yaml:"groups_claim"`
	Names      map[string]string `yaml:"user_map"` // of login: what users are called here; absent: as the claim says
	Scope      string            `yaml:"scope"`    // of login: what clients ask the provider for; absent: openid
}

// The words of tokens.
var (
	tokenUses       = []string{"context", "login"}
	tokenAlgorithms = []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}
)

// maxName is as long as PostgreSQL's names are.
const maxName = 63

// maxLeeway is the most that clocks are let differ by.
const maxLeeway = 5 * time.Minute

// validate checks one issuer alone.
func (t *Token) validate(bad func(key, format string, args ...any)) {
	if t.Use == "" {
		t.Use = "context"
	}
	if !slices.Contains(tokenUses, t.Use) {
		bad("use", "%q is not one of %s", t.Use, strings.Join(tokenUses, ", "))
	}
	if t.Issuer == "" {
		bad("issuer", "is missing")
	}
	if t.Audience == "" {
		bad("audience", "is missing: a token for somebody else must not count here")
	}
	if t.MaxAge < 0 {
		bad("max_age", "must not be negative")
	}
	if t.Leeway != nil && (*t.Leeway < 0 || *t.Leeway > maxLeeway) {
		bad("leeway", "is not between 0s and %v", maxLeeway)
	}
	if t.Use == "login" && len(t.Logins) > 0 {
		bad("logins", "is for context tokens: a login token is presented by its user")
	}
	if t.Use == "context" && (t.User != "" || t.Groups != "" || t.Names != nil || t.Scope != "") {
		bad("user_claim", "groups_claim, user_map and scope are for login tokens")
	}
	for of, name := range t.Names {
		if of == "" || name == "" || len(name) > maxName {
			bad("user_map", "%q: %q is no name of a user", of, name)
		}
	}
	if t.Use == "login" && t.Scope == "" {
		t.Scope = "openid"
	}
	t.validateAlgorithms(bad)
	t.validateKeys(bad)
}

func (t *Token) validateAlgorithms(bad func(key, format string, args ...any)) {
	if len(t.Algorithms) == 0 {
		bad("algorithms", "is missing: a token must not choose how it is verified")
	}
	secret := 0
	for _, a := range t.Algorithms {
		if !slices.Contains(tokenAlgorithms, a) {
			bad("algorithms", "%q is not one of %s", a, strings.Join(tokenAlgorithms, ", "))
		}
		if strings.HasPrefix(a, "HS") {
			secret++
		}
	}
	if secret > 0 && secret < len(t.Algorithms) {
		bad("algorithms", "are with a secret (HS…) or with a public key, not both")
	}
	if secret > 0 && (t.SetURL != "" || t.Discover) {
		bad("algorithms", "with a secret (HS…) need a file: what everybody can fetch is no secret")
	}
}

// validateKeys checks that there is one place that keys are from.
func (t *Token) validateKeys(bad func(key, format string, args ...any)) {
	n := 0
	for _, given := range []bool{t.KeyFile != "", t.SetFile != "", t.SetURL != "", t.Discover} {
		if given {
			n++
		}
	}
	if n != 1 {
		bad("key_file", "or one of jwks_file, jwks_url and discover is needed, and only one")
	}
	if t.SetURL != "" {
		if err := CheckURL(t.SetURL); err != nil {
			bad("jwks_url", "%v", err)
		}
	}
	if t.Discover {
		if err := CheckURL(t.Issuer); err != nil {
			bad("discover", "needs an issuer that is an address: %v", err)
		}
	}
	if t.CA != "" && t.SetURL == "" && !t.Discover {
		bad("ca", "is of use with jwks_url or discover only")
	}
}

// CheckURL lets an address be asked for keys or secrets: by HTTPS, or on this
// machine.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not an address", text)
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q is not an address like https://host/path", text)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("%q is not by https", text)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// validateTokens checks all issuers. One name may sign for two uses when the
// audiences tell them apart.
func (c *Config) validateTokens(bad func(key, format string, args ...any)) {
	seen := map[[2]string]bool{}
	for i := range c.Tokens {
		t := &c.Tokens[i]
		t.validate(func(key, format string, args ...any) { bad(fmt.Sprintf("tokens[%d].%s", i, key), format, args...) })
		for _, other := range [][2]string{{"use " + t.Use, t.Issuer}, {"audience " + t.Audience, t.Issuer}} {
			if seen[other] {
				bad(fmt.Sprintf("tokens[%d].issuer", i), "%q is there twice with %s", t.Issuer, other[0])
			}
			seen[other] = true
		}
	}
}

// validateMethods checks that somebody is believed where logins are by tokens.
func (c *Config) validateMethods(bad func(key, format string, args ...any)) {
	if slices.ContainsFunc(c.Tokens, func(t Token) bool { return t.Use == "login" }) {
		return
	}
	methods := []string{c.Auth.Method}
	for _, r := range c.Auth.Rules {
		methods = append(methods, r.Method)
	}
	for _, m := range methods {
		if m == "oidc" || m == "oauth" {
			bad("tokens", "has nobody of use: login, whom the method %s would believe", m)
			return
		}
	}
}

// tokenPaths gives the files of issuers.
func (c *Config) tokenPaths() (paths []*string) {
	for i := range c.Tokens {
		t := &c.Tokens[i]
		paths = append(paths, &t.KeyFile, &t.SetFile, &t.CA)
	}
	return paths
}
