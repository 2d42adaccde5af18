package privacy

import (
	"strings"
	"unicode/utf8"
)

// Consent is what a VerbConsent says of one.
type Consent struct {
	Name         string // as a purpose of the policy names it
	Withdraw     bool   // it is not given, but withdrawn
	Method       string // by which it was collected, or withdrawn
	Wording      string // what was agreed to, and its version
	Language     string
	Jurisdiction string
	Until        string // when it lapses
}

// shape gives the words of a consent without its values.
func (c Consent) shape() []string {
	if c.Name == "" {
		return nil
	}
	words := []string{"GIVE", quoteWord(c.Name)}
	if c.Withdraw {
		words[0] = "WITHDRAW"
	}
	for _, o := range []struct{ word, value string }{
		{"BY", c.Method}, {"WORDING", c.Wording}, {"LANGUAGE", c.Language}, {"JURISDICTION", c.Jurisdiction}, {"UNTIL", c.Until},
	} {
		if o.value != "" {
			words = append(words, o.word, "?")
		}
	}
	return words
}

// towards is the word before the purpose.
func (c Command) towards() string {
	if c.Verb == VerbRestrict || c.Verb == VerbLiftRestriction {
		return "FOR"
	}
	return "TO"
}

// Changes tells whether the command writes something down.
func (c Command) Changes() bool {
	switch c.Verb {
	case VerbConsent, VerbRestrict, VerbObject, VerbLiftRestriction, VerbLiftObjection,
		VerbRectify, VerbOpen, VerbVerify, VerbPlan, VerbApproveRequest, VerbDenyRequest, VerbCancelRequest, VerbExtendRequest, VerbRunRequest,
		VerbHold, VerbLiftHold:
		return true
	case VerbErase:
		return !c.DryRun
	default:
		return false
	}
}

// maxWording bounds what was agreed to, and maxTag languages, jurisdictions and
// moments, in bytes.
const (
	maxWording = 10000
	maxTag     = 40
)

// Bounded refuses texts of a command that was not parsed: those that a parsed one
// could not have, or that the database cannot hold.
func (c Command) Bounded() error {
	if c.Because == "" && c.Verb != VerbConsent {
		return Fail(Syntax, "say why", "a reason is missing")
	}
	if c.Consent.Name == "" && c.Verb == VerbConsent {
		return Fail(Syntax, "name it as a purpose of the policy does", "the consent is missing")
	}
	for _, t := range []struct {
		text    string
		longest int
	}{
		{c.Because, maxReason}, {c.Purpose, maxReason}, {c.Consent.Name, maxReason}, {c.Consent.Method, maxReason}, {c.Consent.Wording, maxWording},
		{c.Consent.Language, maxTag}, {c.Consent.Jurisdiction, maxTag}, {c.Consent.Until, maxTag}, {strings.Join(c.Key.Values, ""), maxWording},
	} {
		if len(t.text) > t.longest || strings.ContainsRune(t.text, 0) || !utf8.ValidString(t.text) {
			return Fail(Syntax, "", "a text is too long, or is not one")
		}
	}
	return nil
}

func (p *parser) consent() *Error {
	if err := p.whom(); err != nil {
		return err
	}
	c := &p.cmd.Consent
	given, err := p.accept("GIVE")
	if err != nil {
		return err
	}
	if !given {
		if err := p.expect("WITHDRAW", "write GIVE or WITHDRAW after the key"); err != nil {
			return err
		}
	}
	c.Withdraw = !given
	if c.Name, err = p.named("a consent", "name it as a purpose of the policy does, as in GIVE newsletter"); err != nil {
		return err
	}
	options := []option{{"BY", &c.Method, maxReason}}
	if given {
		options = append(options, option{"WORDING", &c.Wording, maxWording}, option{"LANGUAGE", &c.Language, maxTag},
			option{"JURISDICTION", &c.Jurisdiction, maxTag}, option{"UNTIL", &c.Until, maxTag})
	}
	if err := p.options(options); err != nil || given || !p.peek.is("BECAUSE") {
		return err
	}
	return p.because("")
}

// option is a keyword with a string after it, which may be left out.
type option struct {
	keyword string
	into    *string
	longest int
}

func (p *parser) options(all []option) *Error {
	for _, o := range all {
		there, err := p.accept(o.keyword)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if p.peek.kind != tokenString || p.peek.text == "" || len(p.peek.text) > o.longest {
			return syntax(p.peek.at, "expected a text after "+o.keyword, "write it in single quotes, not too long")
		}
		*o.into = p.peek.text
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) named(what, hint string) (string, *Error) {
	name, ok := p.peek.name()
	if !ok {
		return "", syntax(p.peek.at, "expected "+what, hint)
	}
	return name, p.advance()
}

func (p *parser) restrict() *Error {
	if err := p.whom(); err != nil {
		return err
	}
	one, err := p.accept("FOR")
	if err == nil && one {
		p.cmd.Purpose, err = p.named("a purpose", "without FOR it is restricted for every purpose")
	}
	if err != nil {
		return err
	}
	return p.because("say why, as in BECAUSE 'accuracy contested, ticket 4711'")
}

func (p *parser) object() *Error {
	if err := p.whom(); err != nil {
		return err
	}
	err := p.expect("TO", "an objection is to a purpose, as in TO marketing")
	if err == nil {
		p.cmd.Purpose, err = p.named("a purpose", "an objection is to a purpose, as in TO marketing")
	}
	if err != nil {
		return err
	}
	return p.because("say why, as in BECAUSE 'letter of 3 May'")
}

// restrictions reads whose are to be listed: everybody's, those of a kind of
// subject, or those of one.
func (p *parser) restrictions() *Error {
	if _, ok := p.peek.name(); !ok {
		return nil
	}
	if err := p.subject(); err != nil || p.peek.kind == tokenEnd || p.peek.kind == tokenSymbol {
		return err
	}
	return p.key()
}
