package token

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Bounds of what a token may say. A name can become a user, role or purpose,
// which are as long as PostgreSQL's names at most.
const (
	maxName       = 63
	maxText       = 255
	maxList       = 200
	maxAttributes = 32
)

// Claims is what a verified token says.
type Claims struct {
	Issuer, Subject string
	User            string // who it is about: the subject, or what another claim of a login token says
	Roles           []string
	Groups          []string
	Purpose, Ticket string
	ID              string            // jti
	Session         string            // sid: the only session that it is for; "": the first that uses it
	Transaction     bool              // it holds for one transaction only
	Attributes      map[string]string // of the end user
	Factors         []string          // amr: how the end user was authenticated
	Issued          time.Time
	NotBefore       time.Time // zero: at once
	Expires         time.Time
	Until           time.Time // from when on it is refused: Expires, and the leeway

	logins []string
}

// PresentedBy tells whether a login may present the token.
func (c *Claims) PresentedBy(login string) bool {
	return len(c.logins) == 0 || slices.Contains(c.logins, login)
}

// payload is a token's claims as they were sent, one by one.
type payload map[string]json.RawMessage

// parsePayload reads claims. A name that is there twice, at any level that is
// looked at, is an error of go-jose's decoder.
func parsePayload(text []byte) (payload, error) {
	var p payload
	if !utf8.Valid(text) || json.Unmarshal(text, &p) != nil || p == nil {
		return nil, refuse(Malformed, "the token's claims are no JSON object, or name one twice")
	}
	return p, nil
}

// reader takes claims out of a payload, and keeps the first thing that is wrong.
type reader struct {
	p   payload
	err *Error
}

func (r *reader) fail(claim, what string) {
	if r.err == nil {
		r.err = refuse(Claim, "the token's claim %q %s", claim, what)
	}
}

// value decodes a claim, and tells whether it is there.
func (r *reader) value(claim string, into any, what string) bool {
	raw, ok := r.p[claim]
	if !ok {
		return false
	}
	if string(raw) == "null" || json.Unmarshal(raw, into) != nil {
		r.fail(claim, what)
		return false
	}
	return true
}

// text reads a claim that is a string; "" when it is not there.
func (r *reader) text(claim string, most int) string {
	var s string
	if r.value(claim, &s, "is not a string") {
		r.check(claim, s, most)
	}
	return s
}

// needed reads a string that must be there.
func (r *reader) needed(claim string, most int) string {
	s := r.text(claim, most)
	if s == "" {
		r.fail(claim, "is missing")
	}
	return s
}

func (r *reader) texts(claim string, most int) []string {
	var list []string
	if r.value(claim, &list, "is not a list of strings") {
		r.checkList(claim, list, most)
	}
	return list
}

func (r *reader) checkList(claim string, list []string, most int) {
	if len(list) > maxList {
		r.fail(claim, "is too long a list")
	}
	for _, s := range list {
		r.check(claim, s, most)
	}
}

// check holds a text against what may become a name or stand in a log. The
// replacement character stands for what was no text.
func (r *reader) check(claim, s string, most int) {
	switch {
	case s == "":
		r.fail(claim, "is empty")
	case len(s) > most:
		r.fail(claim, "is too long")
	case strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) || c == utf8.RuneError }):
		r.fail(claim, "has characters that no name has")
	}
}

// maxDate is the last second of the year 9999.
const maxDate = 253402300799

func (r *reader) date(claim string, needed bool) time.Time {
	var n jwt.NumericDate
	switch ok := r.value(claim, &n, "is not a time"); {
	case !ok && needed:
		r.fail(claim, "is missing")
	case ok && (n <= 0 || n > maxDate):
		r.fail(claim, "is not a time")
	case ok:
		return n.Time()
	}
	return time.Time{}
}

// contextClaims are those of context tokens. Others are refused: whoever sends
// one expects something of it.
var contextClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti",
	"sid", "transaction", "roles", "groups", "purpose", "ticket", "attributes", "amr",
}

// context reads what a context token says beyond what all tokens say.
func (r *reader) context(c *Claims) {
	for name := range r.p {
		if !slices.Contains(contextClaims, name) {
			r.err = refuse(Claim, "the token has a claim that is not known")
		}
	}
	c.Subject = r.needed("sub", maxName)
	c.User = c.Subject
	c.ID = r.needed("jti", maxText)
	c.Session = r.text("sid", maxName)
	c.Roles, c.Groups = r.texts("roles", maxName), r.texts("groups", maxText)
	c.Purpose, c.Ticket = r.text("purpose", maxName), r.text("ticket", maxText)
	r.value("transaction", &c.Transaction, "is neither true nor false")
	c.Attributes = r.attributes()
}

func (r *reader) attributes() map[string]string {
	var sent map[string]*string
	r.value("attributes", &sent, "is not an object of strings")
	if len(sent) > maxAttributes {
		r.fail("attributes", "has too many")
	}
	var all map[string]string
	for name, value := range sent {
		if value == nil {
			r.fail("attributes", "is not an object of strings")
			return nil
		}
		r.check("attributes", name, maxName)
		if *value != "" {
			r.check("attributes", *value, maxText)
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = *value
	}
	return all
}

// notLogins are claims that make a token something else than a proof by itself.
var notLogins = map[string]string{
	"events": "makes it news of something, not a login",        // RFC 8417: that somebody logged out, say
	"cnf":    "binds it to a key, which is not asked for here", // RFC 7800: whoever holds it must prove more
}

// login reads what a login token says. Providers put many claims into theirs;
// those that pgveil is not told to read mean nothing to it.
func (r *reader) login(is *Issuer, c *Claims) {
	for claim, what := range notLogins {
		if _, ok := r.p[claim]; ok {
			r.fail(claim, what)
		}
	}
	c.Subject = r.needed("sub", maxText)
	c.ID = r.text("jti", maxText)
	at := r.at(is.User)
	c.User = at.needed(last(is.User), maxName)
	if last(is.User) == "email" && string(at.p["email_verified"]) != "true" {
		r.fail("email_verified", "is not true, and who has the address is not known") // anybody may claim one
	}
	if name, ok := is.Names[c.User]; ok {
		c.User = name
	} else if is.Names != nil {
		at.fail(is.User, "is nobody who is known here")
	}
	at.done(r)
	at = r.at(is.Groups)
	c.Groups = at.texts(last(is.Groups), maxText)
	at.done(r)
}

// at gives a reader of the object that a path's last claim is in.
func (r *reader) at(path string) *reader {
	in := &reader{p: r.p}
	names := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if !strings.HasPrefix(path, "/") {
		return in
	}
	for _, name := range names[:len(names)-1] {
		var p payload
		if in.value(name, &p, "is not an object"); p == nil {
			p = payload{}
		}
		in.p = p
	}
	return in
}

func (r *reader) done(whole *reader) {
	if whole.err == nil {
		whole.err = r.err
	}
}

func last(path string) string {
	if !strings.HasPrefix(path, "/") {
		return path
	}
	return path[strings.LastIndexByte(path, '/')+1:]
}
