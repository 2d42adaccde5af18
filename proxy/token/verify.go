package token

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

// MaxLength is the longest token, in bytes.
const MaxLength = 8 << 10

// header is what a token may say of itself. Others are refused: jwk, jku, x5u
// and x5c would bring the key along that they are to be verified by, crit and
// b64 change what is signed. x5t names a certificate, and is not looked at.
type header struct {
	Alg     jose.SignatureAlgorithm `json:"alg"`
	Typ     string                  `json:"typ"`
	Kid     string                  `json:"kid"`
	X5t     string                  `json:"x5t"`
	X5tS256 string                  `json:"x5t#S256"`
}

var headers = []string{"alg", "typ", "kid", "x5t", "x5t#S256"}

// Verify gives what a token says, or an *Error why nothing is known by it.
func (v *Verifier) Verify(text string, now time.Time) (*Claims, error) {
	if v == nil {
		return nil, refuse(UnknownIssuer, "no issuer of tokens is configured")
	}
	h, p, err := take(text)
	if err != nil {
		return nil, err
	}
	r := &reader{p: p}
	is := v.issuers[r.needed("iss", maxText)]
	switch {
	case r.err != nil:
		return nil, r.err
	case is == nil:
		return nil, refuse(UnknownIssuer, "the token's issuer is not configured")
	case !slices.Contains(is.Algorithms, h.Alg):
		return nil, refuse(Algorithm, "the token is not signed with an algorithm that its issuer uses")
	case !is.meant(h.Typ):
		return nil, refuse(Malformed, "the token is of another type")
	}
	keys, err := is.Keys.find(h.Kid, h.Alg, now)
	if err != nil {
		return nil, err
	}
	if err := checkSignature(text, is.Algorithms, keys); err != nil {
		return nil, err
	}
	return is.claims(r, now)
}

// take takes a token apart. Nothing that it gives is verified.
func take(text string) (header, payload, error) {
	if len(text) > MaxLength {
		return header{}, nil, refuse(Malformed, "the token is longer than %d bytes", MaxLength)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return header{}, nil, refuse(Malformed, "the token is not three parts with dots between")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		// The decoder passes over line breaks even when strict.
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return header{}, nil, refuse(Malformed, "the token is not in base64url")
		}
	}
	h, err := parseHeader(decoded[0])
	if err != nil {
		return h, nil, err
	}
	p, err := parsePayload(decoded[1])
	return h, p, err
}

func parseHeader(text []byte) (header, error) {
	var names payload
	var h header
	if !utf8.Valid(text) || json.Unmarshal(text, &names) != nil || json.Unmarshal(text, &h) != nil {
		return h, refuse(Malformed, "the token's header is malformed")
	}
	for name := range names {
		if !slices.Contains(headers, name) {
			return h, refuse(Malformed, "the token's header says more than algorithm, type and key id")
		}
	}
	return h, nil
}

// types are the values of typ, in small letters, that tokens of a use may
// have. A token without one has no type.
var types = map[Use][]string{
	Context: {"", "jwt", "pgveil+jwt"},
	Login:   {"", "jwt", "at+jwt"},
}

// meant holds a token's type against its issuer's use.
func (is *Issuer) meant(typ string) bool {
	return slices.Contains(types[is.Use], strings.TrimPrefix(strings.ToLower(typ), "application/"))
}

// checkSignature verifies a token whose algorithm the keys fit.
func checkSignature(text string, list []jose.SignatureAlgorithm, keys []key) error {
	signed, err := jose.ParseSignedCompact(text, list)
	if err != nil {
		return refuse(Malformed, "the token is malformed")
	}
	for _, k := range keys {
		if _, err := signed.Verify(k.value); err == nil {
			return nil
		}
	}
	return refuse(Forged, "the token's signature is not its issuer's")
}

// claims reads what a token with a good signature says.
func (is *Issuer) claims(r *reader, now time.Time) (*Claims, error) {
	c := &Claims{
		Issuer: is.Name, logins: is.Logins, Factors: r.texts("amr", maxName),
		Issued: r.date("iat", true), NotBefore: r.date("nbf", false), Expires: r.date("exp", true),
	}
	var audience jwt.Audience
	if !r.value("aud", &audience, "is neither a string nor a list of strings") {
		r.fail("aud", "is missing")
	}
	if is.Use == Login {
		r.login(is, c)
	} else {
		r.context(c)
	}
	if r.err != nil {
		return nil, r.err
	}
	if !slices.Contains(audience, is.Audience) {
		return nil, refuse(Elsewhere, "the token is meant for somebody else")
	}
	c.Until = c.Expires.Add(is.Leeway)
	if err := is.checkTimes(c, now); err != nil {
		return nil, err
	}
	return c, nil
}

func (is *Issuer) checkTimes(c *Claims, now time.Time) error {
	latest := now.Add(is.Leeway)
	switch {
	case !c.Expires.After(c.Issued):
		return refuse(Claim, "the token expires before it is issued")
	case c.Expires.Sub(c.Issued) > is.MaxAge:
		return refuse(Claim, "the token is valid for longer than %v", is.MaxAge)
	case c.Issued.After(latest):
		return refuse(Early, "the token is issued in the future")
	case c.NotBefore.After(latest):
		return refuse(Early, "the token is not valid yet")
	case !now.Before(c.Until):
		return refuse(Expired, "the token has expired")
	}
	return nil
}
