package privacy

import (
	"strings"
	"unicode/utf8"

	"github.com/pgveil/pgveil/policy"
)

// Request is what a command says of a data subject request.
type Request struct {
	What     policy.RequestType // of VerbOpen
	Identity policy.Identity    // how it was checked that the data subject asks
	Evidence string             // of that check: what kind of, and where it lies
	Regime   string             // whose times count; "" is the policy's
	Received string             // a moment; "" is now
	Channel  string             // the way it came
	Code     string             // of VerbDenyRequest: one of DenialCodes
	Despite  string             // of VerbRunRequest: why it is enough, though something is left
	Plan     string             // of VerbApproveRequest: how the hash of what is agreed to begins

	// Of a rectification: the row, and what becomes of it.
	Table   string // schema.table; "" is the subject's own row
	Row     []string
	Changes []Change

	Format string // of VerbExplain: text, dot or svg; of VerbShowRequests: which of them
}

// Change is a column and the value that it gets.
type Change struct {
	Column string
	Value  string
	Null   bool // it gets none
}

// DenialCodes are the reasons why a request may be denied, in the words of the
// Data Rights Protocol 1.0.
var denialCodes = []string{"suspected_fraud", "insuf_verification", "no_match", "claim_not_covered", "outside_jurisdiction", "too_many_requests", "legal_obligation", "other"}

// DenialCodes gives them.
func DenialCodes() []string { return append([]string(nil), denialCodes...) }

// shape gives the words of a request without its values.
func (r Request) shape() []string {
	var words []string
	add := func(present bool, more ...string) {
		if present {
			words = append(words, more...)
		}
	}
	add(r.Table != "", "IN", r.Table)
	add(len(r.Row) > 0, strings.TrimPrefix(strings.Repeat(", ?", len(r.Row)), ", "))
	for i, c := range r.Changes {
		add(i == 0, "SET")
		add(i > 0, ",")
		add(true, quoteWord(c.Column), "=", "?")
	}
	add(r.Identity != 0, "VERIFIED BY '"+r.Identity.String()+"'")
	add(r.Evidence != "", "EVIDENCE ?")
	add(r.Regime != "", "REGIME ?")
	add(r.Received != "", "RECEIVED ?")
	add(r.Channel != "", "CHANNEL ?")
	add(r.Code != "", "CODE", r.Code)
	add(r.Despite != "", "DESPITE ?")
	add(r.Plan != "", "PLAN ?")
	add(r.Format != "", r.Format)
	return words
}

// open reads a new request: what is asked for, by whom, and how it came.
func (p *parser) open() *Error {
	var names []string
	for _, t := range policy.RequestTypes() {
		names = append(names, strings.ToUpper(t.String()))
	}
	what, ok := policy.RequestTypeNamed(p.peek.text)
	if p.peek.kind != tokenWord || !ok {
		return syntax(p.peek.at, "expected what is asked for", DidYouMean(p.peek.text, names))
	}
	p.cmd.Request.What = what
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.whom(); err != nil {
		return err
	}
	if what == policy.Rectification {
		if err := p.changes(); err != nil {
			return err
		}
	}
	return p.circumstances(what == policy.Restriction || what == policy.Objection)
}

// circumstances reads how a request came, each word once and in this order.
func (p *parser) circumstances(reason bool) *Error {
	if p.cmd.Verb == VerbOpen && (p.cmd.Request.What == policy.Restriction || p.cmd.Request.What == policy.Objection) {
		word := "FOR"
		if p.cmd.Request.What == policy.Objection {
			word = "TO"
		}
		there, err := p.accept(word)
		if err == nil && there {
			p.cmd.Purpose, err = p.named("a purpose", "one of the policy's purposes")
		}
		if err != nil {
			return err
		}
	}
	if err := p.verified(false); err != nil {
		return err
	}
	r := &p.cmd.Request
	if err := p.options([]option{{"REGIME", &r.Regime, maxTag}, {"RECEIVED", &r.Received, maxTag}, {"CHANNEL", &r.Channel, maxReason}}); err != nil {
		return err
	}
	if !reason && !p.peek.is("BECAUSE") {
		return nil
	}
	return p.reason("say why, as in BECAUSE 'letter of 3 May'")
}

// verified reads how it was checked that the data subject asks.
func (p *parser) verified(must bool) *Error {
	const hint = "one of 'contact', 'account' and 'document', as in VERIFIED BY 'account' EVIDENCE 'login of 3 May'"
	there, err := p.accept("VERIFIED")
	if err != nil || !there && !must {
		return err
	}
	if err := p.expect("BY", hint); err != nil {
		return err
	}
	level, ok := policy.IdentityNamed(p.peek.text)
	if p.peek.kind != tokenString && p.peek.kind != tokenWord || !ok {
		return syntax(p.peek.at, "expected how the identity was checked", hint)
	}
	p.cmd.Request.Identity = level
	if err := p.advance(); err != nil {
		return err
	}
	return p.options([]option{{"EVIDENCE", &p.cmd.Request.Evidence, maxReason}})
}

// verify reads the check of a request that is there.
func (p *parser) verify() *Error {
	if err := p.requestNumber(); err != nil {
		return err
	}
	return p.verified(true)
}

// eraseNow reads an erasure, or what it would do.
func (p *parser) eraseNow() *Error {
	if err := p.whom(); err != nil {
		return err
	}
	var err *Error
	if p.cmd.DryRun, err = p.accept("DRY"); err != nil {
		return err
	}
	if p.cmd.DryRun {
		return p.expect("RUN", "an erasure that changes nothing is a DRY RUN")
	}
	return p.circumstances(true)
}

func (p *parser) rectify() *Error {
	if err := p.whom(); err != nil {
		return err
	}
	if err := p.changes(); err != nil {
		return err
	}
	return p.circumstances(true)
}

// maxChanges bounds the columns of one rectification.
const maxChanges = 50

// changes reads the row, where it is not the subject's own, and its new values.
func (p *parser) changes() *Error {
	const hint = "as in SET email = 'new@example.com', phone = NULL, or IN crm.orders 17 SET note = 'new'"
	in, err := p.accept("IN")
	if err != nil {
		return err
	}
	if in {
		if p.cmd.Request.Table, err = p.tableName(hint); err != nil {
			return err
		}
		if p.cmd.Request.Row, err = p.values(); err != nil {
			return err
		}
	}
	if err := p.expect("SET", hint); err != nil {
		return err
	}
	for {
		if err := p.change(hint); err != nil {
			return err
		}
		if !p.peek.symbol(",") {
			return nil
		}
		if len(p.cmd.Request.Changes) == maxChanges {
			return syntax(p.peek.at, "too many columns", "change fifty at a time")
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
}

func (p *parser) change(hint string) *Error {
	var c Change
	var err *Error
	if c.Column, err = p.named("a column", hint); err != nil {
		return err
	}
	if !p.peek.symbol("=") {
		return syntax(p.peek.at, "expected = after the column", hint)
	}
	if err := p.advance(); err != nil {
		return err
	}
	switch {
	case p.peek.is("NULL"):
		c.Null = true
	case p.peek.kind == tokenString, p.peek.integer(), p.peek.uuid():
		c.Value = p.peek.text
	default:
		return syntax(p.peek.at, "expected a value", "write NULL, an integer, or a value in single quotes")
	}
	p.cmd.Request.Changes = append(p.cmd.Request.Changes, c)
	return p.advance()
}

// tableName reads schema.table.
func (p *parser) tableName(hint string) (string, *Error) {
	schema, err := p.named("a table", hint)
	if err != nil {
		return "", err
	}
	if !p.peek.symbol(".") {
		return "", syntax(p.peek.at, "expected a schema and a table", hint)
	}
	if err := p.advance(); err != nil {
		return "", err
	}
	table, err := p.named("a table", hint)
	return schema + "." + table, err
}

// hold reads what must not be erased: a subject's rows, or a table's.
func (p *parser) hold() *Error {
	const hint = "as in PRIVACY HOLD customer 42 BECAUSE 'case 7', or PRIVACY HOLD TABLE crm.invoices UNTIL '2028-01-01' BECAUSE 'audit'"
	table, err := p.accept("TABLE")
	if err != nil {
		return err
	}
	if table {
		p.cmd.Request.Table, err = p.tableName(hint)
	} else {
		err = p.whom()
	}
	if err != nil {
		return err
	}
	if err := p.options([]option{{"UNTIL", &p.cmd.Before, maxTag}}); err != nil {
		return err
	}
	return p.reason("name the matter, as in BECAUSE 'case 7'")
}

func (p *parser) liftHold() *Error {
	if err := p.numberOf("a hold", "PRIVACY SHOW HOLDS lists them"); err != nil {
		return err
	}
	return p.reason("say why, as in BECAUSE 'settled'")
}

// requestNumber reads which request is meant.
func (p *parser) requestNumber() *Error {
	return p.numberOf("a request", "PRIVACY SHOW REQUESTS lists them")
}

// judgeRequest reads which request is meant, and why.
func (p *parser) judgeRequest() *Error {
	if err := p.requestNumber(); err != nil {
		return err
	}
	if p.cmd.Verb == VerbApproveRequest {
		if err := p.options([]option{{"PLAN", &p.cmd.Request.Plan, maxTag}}); err != nil {
			return err
		}
		if !p.peek.is("BECAUSE") {
			return nil
		}
	}
	return p.reason("say why")
}

// beginsHash tells whether a text is enough of a SHA-256, in hexadecimal digits,
// to say which one is meant.
func beginsHash(text string) bool {
	return len(text) >= 8 && len(text) <= 64 && strings.Trim(strings.ToLower(text), "0123456789abcdef") == ""
}

func (p *parser) denyRequest() *Error {
	if err := p.requestNumber(); err != nil {
		return err
	}
	if err := p.expect("CODE", "as in CODE no_match BECAUSE 'nobody of that name'"); err != nil {
		return err
	}
	word, _ := p.peek.name()
	for _, code := range denialCodes {
		if word == code {
			p.cmd.Request.Code = code
		}
	}
	if p.cmd.Request.Code == "" {
		return syntax(p.peek.at, "expected why it is denied", DidYouMean(word, denialCodes))
	}
	if err := p.advance(); err != nil {
		return err
	}
	return p.reason("say it in words, too: BECAUSE 'reason'")
}

func (p *parser) runRequest() *Error {
	if err := p.requestNumber(); err != nil {
		return err
	}
	return p.options([]option{{"DESPITE", &p.cmd.Request.Despite, maxReason}})
}

// requestStates are the requests that may be listed.
var requestStates = []string{"OPEN", "DUE", "FAILED", "DONE", "ALL"}

func (p *parser) showRequests() *Error {
	for _, s := range requestStates {
		there, err := p.accept(s)
		if err != nil {
			return err
		}
		if there {
			p.cmd.Request.Format = s
			return nil
		}
	}
	return nil
}

func (p *parser) explain() *Error {
	if err := p.subject(); err != nil {
		return err
	}
	as, err := p.accept("AS")
	if err != nil || !as {
		return err
	}
	for _, f := range []string{"TEXT", "DOT", "SVG"} {
		if there, err := p.accept(f); there || err != nil {
			p.cmd.Request.Format = f
			return err
		}
	}
	return syntax(p.peek.at, "expected TEXT, DOT or SVG", "")
}

// Requested refuses a command about a request that was not parsed, and that no
// parsed one could be.
func (c Command) Requested() error {
	r := c.Request
	all := []string{c.Because, r.Evidence, r.Regime, r.Received, r.Channel, r.Despite, r.Plan, r.Table, c.Before, c.Purpose, c.Subject, c.Key.Column}
	all = append(append(all, c.Key.Values...), r.Row...)
	for _, change := range r.Changes {
		all = append(all, change.Column, change.Value)
	}
	for _, text := range all {
		if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			return Fail(Syntax, "", "what is not text is not a part of any request")
		}
	}
	for _, short := range []string{c.Because, r.Evidence, r.Channel, r.Despite} {
		if len(short) > maxReason {
			return Fail(Syntax, "in 1000 bytes at most", "a text is too long")
		}
	}
	if r.Plan != "" && !beginsHash(r.Plan) {
		return Fail(Syntax, "write its first eight hexadecimal digits or more", "PLAN is not followed by the hash of a plan")
	}
	if len(r.Changes) > maxChanges {
		return Fail(Syntax, "change fifty at a time", "too many columns")
	}
	return nil
}
