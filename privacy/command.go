package privacy

import (
	"slices"
	"strings"
	"time"
)

// Key says which subject is meant.
type Key struct {
	Column string   // what it is looked up by; "" for the subject's key
	Values []string // as text, one for each column of the key
}

// Command is a PRIVACY command. The zero Command is none.
type Command struct {
	Verb    Verb
	Subject string // the kind of subject, as the policy names it
	Key     Key
	DryRun  bool          // of VerbErase
	Pretty  bool          // of VerbExport: indented
	Purpose string        // of VerbElevate: the one asked for
	For     time.Duration // of VerbElevate: how long it is needed; of VerbQuarantine: how long it lasts, 0 is until released
	Because string        // the reason given
	ID      string        // of the elevation that is meant, in digits
	Whom    Whom          // of VerbQuarantine and VerbRelease; of VerbKill a user, or nobody
	Session string        // of VerbKill: its id, or ""
	Code    string        // of VerbMFA: the one-time code, or a recovery code without its hyphens

	// Parameter says that the code is the statement's parameter $1, and has yet
	// to come: see Bind.
	Parameter bool

	Consent Consent // of VerbConsent
	Request Request // of what is about data subject requests

	Since, Before string // of VerbWhoSaw: times as PostgreSQL reads them; "" for any
}

// Right names the right of data subjects that a caller must be able to serve
// (policy.Access.May) before the command may run. It is "" for commands about
// the caller's own session, and for those of which the policy says more than
// that: see Verb.
func (c Command) Right() string {
	if c.Verb == VerbOpen {
		return c.Request.What.Right()
	}
	return c.Verb.entry().right
}

// Numbered tells whether the command is about a request that is there, or about
// all of them: which right it needs depends on what was asked for.
func (c Command) Numbered() bool {
	switch c.Verb {
	case VerbVerify, VerbPlan, VerbApproveRequest, VerbDenyRequest, VerbCancelRequest, VerbExtendRequest, VerbRunRequest,
		VerbShowRequest, VerbShowRequests, VerbShowCertificate:
		return true
	default:
		return false
	}
}

// Shape gives the command without its values, for the access log.
func (c Command) Shape() string {
	v := c.Verb.entry()
	words := []string{"PRIVACY"}
	add := func(present bool, more ...string) {
		if present {
			words = append(words, more...)
		}
	}
	add(v.words != "", v.words)
	add(c.Request.What != 0, strings.ToUpper(c.Request.What.String()))
	add(c.Subject != "", quoteWord(c.Subject))
	add(c.Key.Column != "", "WHERE", quoteWord(c.Key.Column), "=")
	add(len(c.Key.Values) > 0, strings.TrimPrefix(strings.Repeat(", ?", len(c.Key.Values)), ", "))
	add(c.ID != "", c.ID)
	add(c.Whom.Name != "", c.Whom.shape())
	add(c.Session != "", c.Session)
	add(c.Code != "", "?")
	add(c.Parameter, "$1")
	words = append(words, c.Consent.shape()...)
	words = append(words, c.Request.shape()...)
	add(c.Purpose != "", c.towards(), quoteWord(c.Purpose))
	add(c.For != 0, "FOR", "'"+c.For.String()+"'")
	add(c.Because != "", "BECAUSE ?")
	add(c.Since != "", "SINCE ?")
	add(c.Before != "", "UNTIL ?")
	add(c.DryRun, "DRY RUN")
	add(c.Pretty, "PRETTY")
	return strings.Join(words, " ")
}

// keyword is what every command begins with, but for a call.
const keyword = "PRIVACY"

// ParseCommand reads a PRIVACY command. ok tells whether the text is one at
// all: where it is false the text is for the server; where it is true and err
// is not nil, err is an *Error that says what is allowed. It is asked of every
// statement, and allocates nothing for one that is not a command.
func ParseCommand(sql string) (cmd Command, ok bool, err error) {
	if at, ok := word(sql, 0, keyword); ok {
		return parse(sql, at, (*parser).verb, (*parser).rest)
	}
	if at, ok := call(sql); ok {
		return parse(sql, at, (*parser).argument)
	}
	return Command{}, false, nil
}

// parse reads a command from offset at to its end, step by step.
func parse(sql string, at int, steps ...func(*parser) *Error) (cmd Command, ok bool, err error) {
	p := parser{sql: sql, at: at}
	if err := p.advance(); err != nil {
		return Command{}, true, err
	}
	for _, step := range append(steps, (*parser).finish) {
		if err := step(&p); err != nil {
			return Command{}, true, err
		}
	}
	return p.cmd, true, nil
}

// word passes over white space, comments and a word, name in quotes or symbol,
// where that comes next. A word ends where nothing follows that could be of it.
func word(sql string, at int, word string) (after int, ok bool) {
	at = skip(sql, at)
	if len(sql)-at < len(word) || !strings.EqualFold(sql[at:at+len(word)], word) {
		return at, false
	}
	at += len(word)
	return at, !letter(word[0]) || at == len(sql) || !letter(sql[at]) && !digit(sql[at]) && sql[at] != '$'
}

// parser reads one command. peek is the token that comes next.
type parser struct {
	sql  string
	at   int
	peek token
	cmd  Command
}

func syntax(at int, message, hint string) *Error {
	return &Error{Code: Syntax, Message: message, Hint: hint, Position: at + 1}
}

func (p *parser) advance() *Error {
	var err *Error
	p.peek, p.at, err = next(p.sql, p.at)
	return err
}

// accept passes over a keyword when it comes next.
func (p *parser) accept(keyword string) (bool, *Error) {
	if !p.peek.is(keyword) {
		return false, nil
	}
	return true, p.advance()
}

// expect passes over a keyword that must come next.
func (p *parser) expect(keyword, hint string) *Error {
	if !p.peek.is(keyword) {
		return syntax(p.peek.at, "expected "+keyword, hint)
	}
	return p.advance()
}

// verb reads the words that say what is asked for.
func (p *parser) verb() *Error {
	left := verbs
	for depth := 0; ; depth++ {
		var known []string
		var next []entry
		for _, e := range left {
			words := strings.Fields(e.words)
			if depth == len(words) {
				p.cmd.Verb = e.verb // unless a longer one goes on
				continue
			}
			known = append(known, words[depth])
			if p.peek.is(words[depth]) {
				next = append(next, e)
			}
		}
		if left = next; len(left) > 0 {
			if err := p.advance(); err != nil {
				return err
			}
			continue
		}
		if p.cmd.Verb != 0 {
			return nil
		}
		slices.Sort(known)
		return syntax(p.peek.at, "unknown PRIVACY command", DidYouMean(p.peek.text, slices.Compact(known)))
	}
}

// rest reads what follows the verb.
func (p *parser) rest() *Error { return p.cmd.Verb.entry().rest(p) }

// finish reads the end: nothing, or semicolons and then nothing.
func (p *parser) finish() *Error {
	stop := false
	for p.peek.kind == tokenSymbol && p.peek.text == ";" {
		stop = true
		if err := p.advance(); err != nil {
			return err
		}
	}
	switch {
	case p.peek.kind == tokenEnd:
		return nil
	case stop:
		return syntax(p.peek.at, "a PRIVACY command stands alone", "send what follows it by itself")
	}
	return syntax(p.peek.at, "expected the end of the command", p.cmd.Verb.entry().last)
}

// name gives the name that the token is, folded as PostgreSQL folds it.
func (t token) name() (string, bool) {
	switch {
	case t.kind == tokenName && t.text != "":
		return t.text, true
	case t.kind == tokenWord && letter(t.text[0]):
		return strings.Map(lower, t.text), true
	}
	return "", false
}

func lower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

func (t token) symbol(s string) bool { return t.kind == tokenSymbol && t.text == s }

func (t token) integer() bool {
	return t.kind == tokenWord && strings.Trim(strings.TrimLeft(t.text[:1], "+-")+t.text[1:], "0123456789") == ""
}

// uuid tells whether the token is a uuid as PostgreSQL writes it.
func (t token) uuid() bool {
	if t.kind != tokenWord || len(t.text) != len("00000000-0000-0000-0000-000000000000") {
		return false
	}
	for i := range len(t.text) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (t.text[i] == '-') || !hyphen && !hexadecimal(t.text[i]) {
			return false
		}
	}
	return true
}

// quoteWord quotes a name that is not one without quotes. A question mark stands for
// one that is not told.
func quoteWord(name string) string {
	if name == "?" {
		return name
	}
	t, end, err := next(name, 0)
	if folded, ok := t.name(); err == nil && ok && t.kind == tokenWord && end == len(name) && folded == name {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
