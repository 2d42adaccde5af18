package dsar

import "strings"

// Verb is what a command asks for. The zero Verb asks for nothing.
type Verb uint8

// The verbs.
const (
	VerbHelp Verb = iota + 1
	VerbExport
	VerbErase
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
	DryRun  bool // of VerbErase
	Pretty  bool // of VerbExport: indented
}

// Right names the right of data subjects that a caller must be able to serve
// (policy.Access.May) before the command may run. It is "" for VerbHelp, which
// tells nothing that is not in the manual, and for the zero Command.
func (c Command) Right() string {
	switch c.Verb {
	case VerbExport:
		return "export"
	case VerbErase:
		return "erase"
	default:
		return ""
	}
}

// Shape gives the command without its values, for the access log.
func (c Command) Shape() string {
	words := []string{"PRIVACY"}
	switch c.Verb {
	case VerbHelp:
		return "PRIVACY HELP"
	case VerbExport:
		words = append(words, "EXPORT")
	case VerbErase:
		words = append(words, "ERASE")
	default:
		return "PRIVACY"
	}
	words = append(words, quoteWord(c.Subject))
	if c.Key.Column != "" {
		words = append(words, "WHERE", quoteWord(c.Key.Column), "=")
	}
	words = append(words, strings.TrimPrefix(strings.Repeat(", ?", len(c.Key.Values)), ", "))
	if c.DryRun {
		words = append(words, "DRY RUN")
	}
	if c.Pretty {
		words = append(words, "PRETTY")
	}
	return strings.Join(words, " ")
}

// ParseCommand reads a PRIVACY command. ok tells whether the text is one at
// all: where it is false the text is for the server; where it is true and err
// is not nil, err is an *Error that says what is allowed. It is asked of every
// statement, and allocates nothing for one that is not a command.
func ParseCommand(sql string) (cmd Command, ok bool, err error) {
	const keyword = "PRIVACY"
	at := skip(sql, 0)
	if len(sql)-at < len(keyword) || !strings.EqualFold(sql[at:at+len(keyword)], keyword) {
		return Command{}, false, nil
	}
	at += len(keyword)
	if at < len(sql) && (letter(sql[at]) || digit(sql[at]) || sql[at] == '$') {
		return Command{}, false, nil
	}
	p := parser{sql: sql, at: at}
	if err := p.command(); err != nil {
		return Command{}, true, err
	}
	return p.cmd, true, nil
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

// command gives a plain error: a nil *Error in one would not be nil.
func (p *parser) command() error {
	for _, step := range []func() *Error{p.advance, p.verb, p.rest, p.finish} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) verb() *Error {
	switch {
	case p.peek.is("EXPORT"):
		p.cmd.Verb = VerbExport
	case p.peek.is("ERASE"):
		p.cmd.Verb = VerbErase
	case p.peek.is("HELP"):
		p.cmd.Verb = VerbHelp
	default:
		return syntax(p.peek.at, "unknown PRIVACY command", didYouMean(p.peek.text, []string{"EXPORT", "ERASE", "HELP"}))
	}
	return p.advance()
}

// rest reads what follows the verb.
func (p *parser) rest() *Error {
	if p.cmd.Verb == VerbHelp {
		return nil
	}
	if err := p.subject(); err != nil {
		return err
	}
	if err := p.key(); err != nil {
		return err
	}
	var err *Error
	if p.cmd.Verb == VerbExport {
		p.cmd.Pretty, err = p.accept("PRETTY")
		return err
	}
	if p.cmd.DryRun, err = p.accept("DRY"); err != nil || !p.cmd.DryRun {
		return err
	}
	if !p.peek.is("RUN") {
		return syntax(p.peek.at, "expected RUN after DRY", "")
	}
	return p.advance()
}

func (p *parser) subject() *Error {
	const hint = `write its name as in the policy's "subjects", as in PRIVACY EXPORT customer 42`
	name, ok := p.peek.name()
	if !ok {
		return syntax(p.peek.at, "expected a kind of subject", hint)
	}
	p.cmd.Subject = name
	return p.advance()
}

func (p *parser) key() *Error {
	where, err := p.accept("WHERE")
	if err != nil {
		return err
	}
	if where {
		return p.condition()
	}
	for {
		if err := p.value(); err != nil {
			return err
		}
		if p.peek.text != "," || p.peek.kind != tokenSymbol {
			return nil
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
}

func (p *parser) condition() *Error {
	name, ok := p.peek.name()
	if !ok {
		return syntax(p.peek.at, "expected a column after WHERE", `name one of the subject's "find_by" in the policy, as in WHERE email = '…'`)
	}
	p.cmd.Key.Column = name
	if err := p.advance(); err != nil {
		return err
	}
	if p.peek.kind != tokenSymbol || p.peek.text != "=" {
		return syntax(p.peek.at, "expected = after the column", "only WHERE column = value is possible")
	}
	if err := p.advance(); err != nil {
		return err
	}
	return p.value()
}

func (p *parser) value() *Error {
	if p.peek.kind != tokenString && !p.peek.integer() && !p.peek.uuid() {
		return syntax(p.peek.at, "expected a value", "write an integer, a uuid, or a string in single quotes")
	}
	p.cmd.Key.Values = append(p.cmd.Key.Values, p.peek.text)
	return p.advance()
}

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
	case p.cmd.Verb == VerbErase:
		return syntax(p.peek.at, "expected the end of the command", "only DRY RUN may follow the key")
	case p.cmd.Verb == VerbExport:
		return syntax(p.peek.at, "expected the end of the command", "only PRETTY may follow the key")
	}
	return syntax(p.peek.at, "expected the end of the command", "nothing follows HELP")
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

// quoteWord quotes a name that is not one without quotes.
func quoteWord(name string) string {
	t, end, err := next(name, 0)
	if folded, ok := t.name(); err == nil && ok && t.kind == tokenWord && end == len(name) && folded == name {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
