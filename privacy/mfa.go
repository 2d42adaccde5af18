package privacy

import (
	"slices"
	"strings"
)

// call passes over "SELECT pgveil.mfa(", which is another way to write PRIVACY
// MFA, for tools that send nothing but queries. There is no such function: what
// begins like this is a command, well written or not, so that no code in it
// reaches the server.
func call(sql string) (at int, ok bool) {
	for _, w := range [...][2]string{{"SELECT"}, {"pgveil", `"pgveil"`}, {"."}, {"mfa", `"mfa"`}, {"("}} {
		after, ok := word(sql, at, w[0])
		if !ok && w[1] != "" {
			after, ok = word(sql, at, w[1])
		}
		if !ok {
			return 0, false
		}
		at = after
	}
	return at, true
}

// argument reads the code of a call, and the end of the call.
func (p *parser) argument() *Error {
	p.cmd.Verb = VerbMFA
	if err := p.mfa(); err != nil {
		return err
	}
	if p.peek.kind != tokenSymbol || p.peek.text != ")" {
		return syntax(p.peek.at, "expected ) after the code", mfaHint)
	}
	return p.advance()
}

const mfaHint = "write the digits that your authenticator shows, as in PRIVACY MFA 123456"

// mfa reads a code, or $1 in its place.
func (p *parser) mfa() *Error {
	if dollar := p.peek; dollar.kind == tokenSymbol && dollar.text == "$" {
		if err := p.advance(); err != nil {
			return err
		}
		if p.peek.kind != tokenWord || p.peek.text != "1" || p.peek.at != dollar.at+1 {
			return syntax(dollar.at, "expected a one-time code or $1", mfaHint)
		}
		p.cmd.Parameter = true
		return p.advance()
	}
	code, ok := oneTime(p.peek.text)
	if p.peek.kind != tokenString && p.peek.kind != tokenWord || !ok {
		return syntax(p.peek.at, "expected a one-time code", mfaHint)
	}
	p.cmd.Code = code
	return p.advance()
}

// RecoveryDigits is the length of a recovery code, which is longer than the
// codes of authenticators.
const RecoveryDigits = 16

// oneTime tells whether a text has the form of a one-time code, and gives it as
// digits alone: recovery codes are shown with hyphens.
func oneTime(text string) (code string, ok bool) {
	code = text
	sizes := []int{6, 8}
	if len(text) > 8 {
		code, sizes = strings.ReplaceAll(text, "-", ""), []int{RecoveryDigits}
	}
	return code, slices.Contains(sizes, len(code)) && strings.Trim(code, "0123456789") == ""
}

// Bind gives the command with the value of its parameter. The error is an *Error.
func (c Command) Bind(value string) (Command, error) {
	code, ok := oneTime(value)
	if !c.Parameter || !ok {
		return Command{}, Fail(BadKey, mfaHint, "this is not a one-time code")
	}
	c.Code, c.Parameter = code, false
	return c, nil
}
