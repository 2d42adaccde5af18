package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Use is what a token may be used for. The zero Use is nothing.
type Use uint8

// The uses.
const (
	Context Use = iota + 1 // says which end user a shared login works for
	Login                  // proves a login
)

// Bounds of what is configured.
const (
	MaxLeeway      = 5 * time.Minute
	DefaultLeeway  = 30 * time.Second
	DefaultContext = 5 * time.Minute // longest life of a context token
	DefaultLogin   = 24 * time.Hour  // and of a login token
)

// Issuer is who may sign, and how. The zero Issuer signs nothing.
type Issuer struct {
	Name       string // the claim iss, byte for byte
	Use        Use
	Audience   string // must be in the claim aud
	Algorithms []jose.SignatureAlgorithm
	Keys       *Keys
	MaxAge     time.Duration // longest time between iat and exp; 0: the default of its use
	Leeway     time.Duration // that clocks may differ by; negative: none, 0: DefaultLeeway

	// Logins may present context tokens; empty: the policy alone decides who may.
	Logins []string

	// User and Groups name the claims of a login token. A name that begins with
	// a slash is a path: /realm_access/roles. The defaults are sub and groups.
	User, Groups string

	// Names says what those whom User names are called here. When it is not nil,
	// it names all who may log in.
	Names map[string]string
}

// Verifier knows whose tokens count. It is safe for use by many goroutines, and
// a nil Verifier refuses every token.
type Verifier struct{ issuers map[string]*Issuer }

// New makes a verifier. Issuers of one verifier have different names.
func New(issuers ...Issuer) (*Verifier, error) {
	v := &Verifier{map[string]*Issuer{}}
	var errs []error
	for _, is := range issuers {
		if err := is.complete(); err != nil {
			errs = append(errs, fmt.Errorf("issuer %q: %w", is.Name, err))
		}
		if v.issuers[is.Name] != nil {
			errs = append(errs, fmt.Errorf("issuer %q is there twice", is.Name))
		}
		v.issuers[is.Name] = &is
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

// complete puts the defaults in, and finds what would make an issuer's tokens
// mean too much.
func (is *Issuer) complete() error {
	switch {
	case is.Name == "":
		return errors.New("has no name")
	case is.Use != Context && is.Use != Login:
		return errors.New("may sign for no use")
	case is.Audience == "":
		return errors.New("has no audience")
	case is.Keys == nil:
		return errors.New("has no keys")
	case is.Leeway > MaxLeeway:
		return fmt.Errorf("leeway is more than %v", MaxLeeway)
	case is.MaxAge < 0:
		return errors.New("max age is negative")
	}
	is.Leeway = max(0, orElse(is.Leeway, DefaultLeeway))
	life := DefaultContext
	if is.Use == Login {
		life = DefaultLogin
		is.User, is.Groups = orElse(is.User, "sub"), orElse(is.Groups, "groups")
	}
	is.MaxAge = orElse(is.MaxAge, life)
	return checkAlgorithms(is.Algorithms)
}

func orElse[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// algorithms are those that may be configured. Symmetric and asymmetric ones
// must not meet: a public key would be the secret of the former.
var algorithms = []jose.SignatureAlgorithm{
	jose.HS256, jose.HS384, jose.HS512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

func checkAlgorithms(list []jose.SignatureAlgorithm) error {
	if len(list) == 0 {
		return errors.New("has no algorithm")
	}
	for _, a := range list {
		if !slices.Contains(algorithms, a) {
			return fmt.Errorf("algorithm %q is not one of %s", a, Algorithms())
		}
		if symmetric(a) != symmetric(list[0]) {
			return fmt.Errorf("algorithms %s and %s need different kinds of keys", list[0], a)
		}
	}
	return nil
}

// Algorithms names what may be configured.
func Algorithms() string {
	var names []string
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

func symmetric(a jose.SignatureAlgorithm) bool { return strings.HasPrefix(string(a), "HS") }
