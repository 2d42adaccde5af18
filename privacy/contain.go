package privacy

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgveil/pgveil/policy"
)

// Whom is who is to be kept out, or let in again.
type Whom struct {
	Who  policy.Target
	Name string // of the user or login; an address or network as it was written
}

// maxName bounds names of users, in bytes, and maxKept how long somebody is kept
// out by a time; who is to stay out for longer stays out until released.
const (
	maxName = 256
	maxKept = 366 * 24 * time.Hour
)

// shape gives the words of whom a command is about.
func (w Whom) shape() string {
	name := quoteWord(w.Name)
	if w.Who == policy.TargetAddress {
		name = "'" + strings.ReplaceAll(w.Name, "'", "''") + "'"
	}
	return strings.ToUpper(w.Who.String()) + " " + name
}

const (
	quarantineHint = "as in PRIVACY QUARANTINE alice FOR '24h' BECAUSE 'ticket 4711', QUARANTINE LOGIN crm_app or QUARANTINE ADDRESS '10.0.0.7'"
	sessionLetters = "abcdefghijklmnopqrstuvwxyz234567"
	sessionLength  = 16
)

func (p *parser) quarantine() *Error {
	if err := p.target(); err != nil {
		return err
	}
	timed, err := p.accept("FOR")
	if err != nil {
		return err
	}
	if timed {
		long, bad := time.ParseDuration(p.peek.text)
		if p.peek.kind != tokenWord && p.peek.kind != tokenString || bad != nil || long < time.Second || long > maxKept {
			return syntax(p.peek.at, "expected for how long", "write minutes or hours, as in '30m' or '24h', up to a year; without FOR it is until released")
		}
		p.cmd.For = long
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.reason(quarantineHint)
}

func (p *parser) release() *Error {
	if err := p.target(); err != nil || !p.peek.is("BECAUSE") {
		return err
	}
	return p.reason("")
}

// kill reads a session's id, or USER and a name.
func (p *parser) kill() *Error {
	user, err := p.accept("USER")
	switch {
	case err != nil:
		return err
	case user:
		p.cmd.Whom.Who = policy.TargetUser
		err = p.targetName()
	default:
		id := p.peek.text
		if p.peek.kind != tokenWord && p.peek.kind != tokenString || len(id) != sessionLength || strings.Trim(id, sessionLetters) != "" {
			return syntax(p.peek.at, "expected the id of a session", "PRIVACY SHOW SESSIONS lists them; KILL USER alice ends all of a user's")
		}
		p.cmd.Session = id
		err = p.advance()
	}
	if err != nil || !p.peek.is("BECAUSE") {
		return err
	}
	return p.reason("")
}

// target reads who is meant: a user, unless it says otherwise.
func (p *parser) target() *Error {
	p.cmd.Whom.Who = policy.TargetUser
	for _, t := range []policy.Target{policy.TargetUser, policy.TargetLogin, policy.TargetAddress} {
		is, err := p.accept(strings.ToUpper(t.String()))
		if err != nil {
			return err
		}
		if is {
			p.cmd.Whom.Who = t
			break
		}
	}
	return p.targetName()
}

func (p *parser) targetName() *Error {
	name, ok := p.peek.name()
	what := "expected the name of a " + p.cmd.Whom.Who.String()
	if p.cmd.Whom.Who == policy.TargetAddress {
		what = "expected an address or network in single quotes"
		name, ok = p.peek.text, p.peek.kind == tokenString && p.peek.text != ""
	}
	if !ok || len(name) > maxName || !utf8.ValidString(name) {
		return syntax(p.peek.at, what, quarantineHint)
	}
	p.cmd.Whom.Name = name
	return p.advance()
}

// Contained refuses a command that was not parsed, and that no parsed one could be.
func (c Command) Contained() error {
	for _, t := range []struct {
		text    string
		longest int
	}{{c.Whom.Name, maxName}, {c.Because, maxReason}, {c.Session, sessionLength}} {
		if len(t.text) > t.longest || strings.ContainsRune(t.text, 0) || !utf8.ValidString(t.text) {
			return Fail(Syntax, "", "a text is too long, or is not one")
		}
	}
	switch {
	case (c.Verb == VerbQuarantine || c.Verb == VerbRelease || c.Verb == VerbKill && c.Session == "") && (c.Whom.Name == "" || c.Whom.Who == 0):
		return Fail(Syntax, "name one user, login or address", "it is not said who is meant")
	case c.Verb == VerbQuarantine && strings.TrimSpace(c.Because) == "":
		return Fail(Syntax, "say why", "a reason is missing")
	case c.For != 0 && (c.For < time.Second || c.For > maxKept):
		return Fail(Syntax, "a second to a year; without it, it is until released", "a quarantine is not as long as that")
	default:
		return nil
	}
}

// reason reads a reason that the database can hold.
func (p *parser) reason(hint string) *Error {
	at := p.peek.at
	if err := p.because(hint); err != nil {
		return err
	}
	if !utf8.ValidString(p.cmd.Because) {
		return syntax(at, "the reason is not text", "write it in UTF-8")
	}
	return nil
}
