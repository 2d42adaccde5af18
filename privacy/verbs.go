package privacy

import (
	"strings"
	"time"
)

// Verb is what a command asks for. The zero Verb asks for nothing.
type Verb uint8

// The verbs, by who decides whether a caller may ask for them: what is about data
// subjects, or about other users, needs a right that a role has (Command.Right); the rest are about the
// caller's own session, or as the policy's elevations say.
const (
	VerbHelp Verb = iota + 1
	VerbExport
	VerbErase
	VerbMFA        // a second factor for the session
	VerbAccess     // what the session may do now, and why
	VerbLimits     // how the caller's limits stand
	VerbElevate    // a purpose for a time
	VerbApprove    // another's elevation
	VerbDeny       // another's elevation, before it is in force
	VerbRevoke     // an elevation in force, another's or one's own
	VerbReview     // an elevation that was in force before anybody looked at it
	VerbElevations // that the caller asked for, or may decide

	VerbConsent         // write down that a subject gave or withdrew one
	VerbConsents        // show what a subject said
	VerbRestrict        // keep a subject's data from purposes (GDPR, Article 18)
	VerbObject          // write down that a subject objected (GDPR, Article 21)
	VerbLiftRestriction // end a restriction
	VerbLiftObjection   // take an objection back
	VerbRestrictions    // list what is restricted or objected to
	VerbWhoSaw          // list the statements that touched a subject's rows, or may have

	VerbQuarantine  // keep somebody out
	VerbRelease     // let them in again
	VerbQuarantines // list who is kept out, and who was
	VerbSessions    // list the sessions of all proxies
	VerbKill        // end a session, or all of a user's

	VerbRectify         // change what is held on a subject
	VerbOpen            // a data subject request
	VerbVerify          // that the data subject asks
	VerbPlan            // what answering a request would do
	VerbApproveRequest  // by a second person
	VerbDenyRequest     // with a reason
	VerbCancelRequest   // which the data subject took back
	VerbExtendRequest   // its time, once
	VerbRunRequest      // answer it
	VerbShowRequest     // one, and what happened to it
	VerbShowRequests    // all that the caller may serve
	VerbShowCertificate // of what was done
	VerbHold            // keep rows from being erased
	VerbLiftHold        // let them go again
	VerbShowHolds       // those in force
	VerbExplain         // where the data of a kind of subject lies
)

// entry says how a verb is written, and what it needs.
type entry struct {
	verb  Verb
	words string
	right string                 // that the caller must have: to serve data subjects, or to contain users
	rest  func(p *parser) *Error // reads what follows the words
	last  string                 // what may still follow: a hint for what does not
	help  [][2]string            // how it is written, and what it does
}

// verbs is every command there is. Those that begin with one word stand
// together.
var verbs = []entry{
	{verb: VerbExport, words: "EXPORT", right: "export", rest: (*parser).export, last: "only PRETTY may follow the key", help: [][2]string{
		{"PRIVACY EXPORT subject key [PRETTY]", "everything that is held on one subject, as one JSON document"},
		{"PRIVACY EXPORT subject WHERE column = value [PRETTY]", "the same, by a column of the subject's find_by"},
	}},
	{verb: VerbErase, words: "ERASE", right: "erase", rest: (*parser).eraseNow, last: "DRY RUN may follow the key, or what PRIVACY HELP says", help: [][2]string{
		{"PRIVACY ERASE subject key DRY RUN", "what an erasure would do, table by table"},
		{"PRIVACY ERASE subject key [VERIFIED BY 'account' [EVIDENCE 'text']] [REGIME 'gdpr'] [RECEIVED '2026-05-03'] [CHANNEL 'mail'] BECAUSE 'reason'", "open a request for erasure, and run it as soon as it has what the policy asks for"},
	}},
	{verb: VerbRectify, words: "RECTIFY", right: "rectify", rest: (*parser).rectify, last: "VERIFIED BY, REGIME, RECEIVED, CHANNEL and BECAUSE may follow, in this order", help: [][2]string{
		{"PRIVACY RECTIFY subject key [IN schema.table row] SET column = 'value' [, …] [VERIFIED BY 'account'] BECAUSE 'reason'", "correct what is held on a subject"},
	}},
	{verb: VerbOpen, words: "OPEN", rest: (*parser).open, last: "VERIFIED BY, REGIME, RECEIVED, CHANNEL and BECAUSE may follow, in this order", help: [][2]string{
		{"PRIVACY OPEN access|portability|rectification|erasure|restriction|objection subject key … [BECAUSE 'reason']", "write down that a data subject asks for something; the words are those of ERASE, RECTIFY, RESTRICT and OBJECT"},
	}},
	{verb: VerbVerify, words: "VERIFY REQUEST", rest: (*parser).verify, last: "only EVIDENCE 'text' may follow", help: [][2]string{
		{"PRIVACY VERIFY REQUEST number BY 'contact'|'account'|'document' [EVIDENCE 'text']", "write down how it was checked that the data subject asks"},
	}},
	{verb: VerbPlan, words: "PLAN REQUEST", rest: (*parser).requestNumber, last: "nothing follows the number", help: [][2]string{
		{"PRIVACY PLAN REQUEST number", "what answering it would do, which is what is approved"},
	}},
	{verb: VerbCancelRequest, words: "CANCEL REQUEST", rest: (*parser).judgeRequest, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY CANCEL REQUEST number BECAUSE 'reason'", "the data subject took it back"},
	}},
	{verb: VerbExtendRequest, words: "EXTEND REQUEST", rest: (*parser).judgeRequest, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY EXTEND REQUEST number BECAUSE 'reason'", "take the extension that the law allows; the data subject is told why"},
	}},
	{verb: VerbRunRequest, words: "RUN REQUEST", rest: (*parser).runRequest, last: "only DESPITE 'reason' may follow", help: [][2]string{
		{"PRIVACY RUN REQUEST number [DESPITE 'reason']", "do what was planned, or go on; DESPITE ends an erasure though something is left"},
	}},
	{verb: VerbHold, words: "HOLD", right: "hold", rest: (*parser).hold, last: "UNTIL and BECAUSE may follow, in this order", help: [][2]string{
		{"PRIVACY HOLD subject key | TABLE schema.table [UNTIL '2028-01-01'] BECAUSE 'matter'", "keep rows from being erased"},
	}},
	{verb: VerbLiftHold, words: "LIFT HOLD", right: "hold", rest: (*parser).liftHold, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY LIFT HOLD number BECAUSE 'reason'", "end a hold"},
	}},
	{verb: VerbExplain, words: "EXPLAIN", right: "export", rest: (*parser).explain, last: "only AS TEXT, DOT or SVG may follow", help: [][2]string{
		{"PRIVACY EXPLAIN subject [AS TEXT|DOT|SVG]", "in which tables the data of a kind of subject lies, and what becomes of it"},
	}},
	{verb: VerbMFA, words: "MFA", rest: (*parser).mfa, last: "nothing follows the code", help: [][2]string{
		{"PRIVACY MFA code", "give a second factor for this session; the same as SELECT pgveil.mfa('code')"},
	}},
	{verb: VerbElevate, words: "ELEVATE", rest: (*parser).elevate, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY ELEVATE TO purpose FOR 30m BECAUSE 'reason'", "work for another purpose for a time, as far as the policy's elevations say"},
	}},
	{verb: VerbApproveRequest, words: "APPROVE REQUEST", rest: (*parser).judgeRequest, last: "only PLAN 'hash' and BECAUSE 'reason' may follow the number", help: [][2]string{
		{"PRIVACY APPROVE REQUEST number [PLAN 'hash'] [BECAUSE 'reason']", "a second person agrees to what was planned; PLAN says to which plan, by eight digits of its hash or more"},
	}},
	{verb: VerbApprove, words: "APPROVE", rest: (*parser).judge, last: "only BECAUSE 'reason' may follow the number", help: [][2]string{
		{"PRIVACY APPROVE number [BECAUSE 'reason']", "put an elevation that somebody asked for in force"},
	}},
	{verb: VerbDenyRequest, words: "DENY REQUEST", rest: (*parser).denyRequest, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY DENY REQUEST number CODE code BECAUSE 'reason'", "refuse it; the codes are those of the Data Rights Protocol"},
	}},
	{verb: VerbDeny, words: "DENY", rest: (*parser).judge, last: "only BECAUSE 'reason' may follow the number", help: [][2]string{
		{"PRIVACY DENY number [BECAUSE 'reason']", "refuse an elevation that somebody asked for"},
	}},
	{verb: VerbRevoke, words: "REVOKE", rest: (*parser).judge, last: "only BECAUSE 'reason' may follow the number", help: [][2]string{
		{"PRIVACY REVOKE number [BECAUSE 'reason']", "end an elevation that is in force"},
	}},
	{verb: VerbReview, words: "REVIEW", rest: (*parser).review, last: "nothing follows what was found", help: [][2]string{
		{"PRIVACY REVIEW number BECAUSE 'finding'", "sign off an elevation that was in force without approval"},
	}},
	{verb: VerbConsent, words: "CONSENT", right: "consent", rest: (*parser).consent, last: "BY, WORDING, LANGUAGE, JURISDICTION, UNTIL and BECAUSE may follow, in this order", help: [][2]string{
		{"PRIVACY CONSENT subject key GIVE consent [BY 'how'] [WORDING 'text'] [LANGUAGE 'en'] [JURISDICTION 'IE'] [UNTIL '2027-01-01']", "write down that a subject consented"},
		{"PRIVACY CONSENT subject key WITHDRAW consent [BY 'how'] [BECAUSE 'reason']", "write down that a subject consents no more"},
	}},
	{verb: VerbRestrict, words: "RESTRICT", right: "restrict", rest: (*parser).restrict, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY RESTRICT subject key [FOR purpose] BECAUSE 'reason'", "keep a subject's data from one purpose, or from all"},
	}},
	{verb: VerbObject, words: "OBJECT", right: "restrict", rest: (*parser).object, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY OBJECT subject key TO purpose BECAUSE 'reason'", "write down that a subject objects to a purpose"},
	}},
	{verb: VerbLiftRestriction, words: "LIFT RESTRICTION", right: "restrict", rest: (*parser).restrict, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY LIFT RESTRICTION subject key [FOR purpose] BECAUSE 'reason'", "end a restriction"},
	}},
	{verb: VerbLiftObjection, words: "LIFT OBJECTION", right: "restrict", rest: (*parser).object, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY LIFT OBJECTION subject key TO purpose BECAUSE 'reason'", "write down that a subject objects no more"},
	}},
	{verb: VerbQuarantine, words: "QUARANTINE", right: "contain", rest: (*parser).quarantine, last: "nothing follows the reason", help: [][2]string{
		{"PRIVACY QUARANTINE user [FOR '24h'] BECAUSE 'reason'", "end a user's sessions and let them in no more, on all proxies"},
		{"PRIVACY QUARANTINE LOGIN name [FOR '24h'] BECAUSE 'reason'", "the same for whoever comes by a login"},
		{"PRIVACY QUARANTINE ADDRESS '10.0.0.0/24' [FOR '24h'] BECAUSE 'reason'", "the same for whoever comes from an address or network"},
	}},
	{verb: VerbRelease, words: "RELEASE", right: "contain", rest: (*parser).release, last: "only BECAUSE 'reason' may follow", help: [][2]string{
		{"PRIVACY RELEASE user | LOGIN name | ADDRESS '10.0.0.7' [BECAUSE 'reason']", "end a quarantine"},
	}},
	{verb: VerbKill, words: "KILL", right: "contain", rest: (*parser).kill, last: "only BECAUSE 'reason' may follow", help: [][2]string{
		{"PRIVACY KILL session [BECAUSE 'reason']", "end a session, at whichever proxy it is, and what the server does for it"},
		{"PRIVACY KILL USER name [BECAUSE 'reason']", "end all sessions of a user"},
	}},
	{verb: VerbAccess, words: "SHOW ACCESS", rest: nothing, last: "nothing follows SHOW ACCESS", help: [][2]string{
		{"PRIVACY SHOW ACCESS", "who you are here, for what, until when, and why"},
	}},
	{verb: VerbLimits, words: "SHOW LIMITS", rest: nothing, last: "nothing follows SHOW LIMITS", help: [][2]string{
		{"PRIVACY SHOW LIMITS", "what your limits leave you, and when some of it is free again"},
	}},
	{verb: VerbElevations, words: "SHOW ELEVATIONS", rest: nothing, last: "nothing follows SHOW ELEVATIONS", help: [][2]string{
		{"PRIVACY SHOW ELEVATIONS", "your elevations, and those that you may decide"},
	}},
	{verb: VerbQuarantines, words: "SHOW QUARANTINES", right: "contain", rest: nothing, last: "nothing follows SHOW QUARANTINES", help: [][2]string{
		{"PRIVACY SHOW QUARANTINES", "who is kept out, until when and why, and who was"},
	}},
	{verb: VerbSessions, words: "SHOW SESSIONS", right: "contain", rest: nothing, last: "nothing follows SHOW SESSIONS", help: [][2]string{
		{"PRIVACY SHOW SESSIONS", "the sessions of all proxies, and what they do"},
	}},
	{verb: VerbConsents, words: "SHOW CONSENT", right: "consent", rest: (*parser).whom, last: "nothing follows the key", help: [][2]string{
		{"PRIVACY SHOW CONSENT subject key", "what a subject consented to, restricted and objected to, event by event"},
	}},
	{verb: VerbRestrictions, words: "SHOW RESTRICTIONS", right: "restrict", rest: (*parser).restrictions, last: "nothing follows the key", help: [][2]string{
		{"PRIVACY SHOW RESTRICTIONS [subject [key]]", "the restrictions and objections in force"},
	}},
	{verb: VerbShowRequests, words: "SHOW REQUESTS", rest: (*parser).showRequests, last: "only OPEN, DUE, FAILED, DONE or ALL may follow", help: [][2]string{
		{"PRIVACY SHOW REQUESTS [OPEN|DUE|FAILED|DONE|ALL]", "the requests that you may serve, the most urgent first"},
	}},
	{verb: VerbShowRequest, words: "SHOW REQUEST", rest: (*parser).requestNumber, last: "nothing follows the number", help: [][2]string{
		{"PRIVACY SHOW REQUEST number", "how a request stands, and what happened to it"},
	}},
	{verb: VerbShowCertificate, words: "SHOW CERTIFICATE", rest: (*parser).requestNumber, last: "nothing follows the number", help: [][2]string{
		{"PRIVACY SHOW CERTIFICATE number", "the signed certificate of what was done"},
	}},
	{verb: VerbShowHolds, words: "SHOW HOLDS", right: "hold", rest: nothing, last: "nothing follows SHOW HOLDS", help: [][2]string{
		{"PRIVACY SHOW HOLDS", "the holds in force"},
	}},
	{verb: VerbWhoSaw, words: "WHO SAW", right: "audit", rest: (*parser).whoSaw, last: "SINCE and UNTIL may follow the key, in this order", help: [][2]string{
		{"PRIVACY WHO SAW subject key [SINCE '2026-01-01'] [UNTIL '2026-02-01']", "the statements that returned or changed a subject's rows, and those that may have"},
	}},
	{verb: VerbHelp, words: "HELP", rest: nothing, last: "nothing follows HELP", help: [][2]string{
		{"PRIVACY HELP", "this list"},
	}},
}

// entry gives what is known of a verb; of the zero Verb, nothing.
func (v Verb) entry() entry {
	for _, e := range verbs {
		if e.verb == v {
			return e
		}
	}
	return entry{}
}

// Tag is the command tag of a verb's answer.
func (v Verb) Tag() string { return keyword + " " + v.entry().words }

// Help gives how every command is written, and what it does.
func Help() [][2]string {
	var lines [][2]string
	for _, e := range verbs {
		lines = append(lines, e.help...)
	}
	return lines
}

func nothing(*parser) *Error { return nil }

func (p *parser) export() *Error {
	if err := p.whom(); err != nil {
		return err
	}
	var err *Error
	p.cmd.Pretty, err = p.accept("PRETTY")
	return err
}

func (p *parser) whoSaw() *Error {
	if err := p.whom(); err != nil {
		return err
	}
	return p.options([]option{{"SINCE", &p.cmd.Since, maxTag}, {"UNTIL", &p.cmd.Before, maxTag}})
}

func (p *parser) elevate() *Error {
	const hint = "as in PRIVACY ELEVATE TO billing FOR 30m BECAUSE 'ticket 4711'"
	if err := p.expect("TO", hint); err != nil {
		return err
	}
	name, ok := p.peek.name()
	if !ok {
		return syntax(p.peek.at, "expected a purpose", hint)
	}
	p.cmd.Purpose = name
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expect("FOR", hint); err != nil {
		return err
	}
	long, err := time.ParseDuration(p.peek.text)
	if p.peek.kind != tokenWord && p.peek.kind != tokenString || err != nil || long < time.Second {
		return syntax(p.peek.at, "expected how long it is needed", "write minutes or hours, as in 30m or 2h")
	}
	p.cmd.For = long
	if err := p.advance(); err != nil {
		return err
	}
	return p.because(hint)
}

// judge reads which elevation is meant, and perhaps a reason.
func (p *parser) judge() *Error {
	if err := p.number(); err != nil || !p.peek.is("BECAUSE") {
		return err
	}
	return p.because("")
}

func (p *parser) review() *Error {
	if err := p.number(); err != nil {
		return err
	}
	return p.because("say what you found, as in PRIVACY REVIEW 17 BECAUSE 'needed for ticket 4711'")
}

func (p *parser) number() *Error {
	return p.numberOf("an elevation", "PRIVACY SHOW ELEVATIONS lists them")
}

func (p *parser) numberOf(what, hint string) *Error {
	id := p.peek.text
	if p.peek.kind != tokenWord || len(id) > 18 || strings.Trim(id, "0123456789") != "" {
		return syntax(p.peek.at, "expected the number of "+what, hint)
	}
	p.cmd.ID = id
	return p.advance()
}

// maxReason bounds reasons, in bytes: they are for people to read.
const maxReason = 1000

func (p *parser) because(hint string) *Error {
	if err := p.expect("BECAUSE", hint); err != nil {
		return err
	}
	reason := p.peek.text
	if p.peek.kind != tokenString || strings.TrimSpace(reason) == "" || len(reason) > maxReason {
		return syntax(p.peek.at, "expected a reason", "write it in single quotes, in 1000 bytes at most")
	}
	p.cmd.Because = reason
	return p.advance()
}

// whom reads which data subject is meant.
func (p *parser) whom() *Error {
	if err := p.subject(); err != nil {
		return err
	}
	return p.key()
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
	p.cmd.Key.Values, err = p.values()
	return err
}

// values reads values with commas between them.
func (p *parser) values() (all []string, err *Error) {
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
		if !p.peek.symbol(",") {
			return all, nil
		}
		if err := p.advance(); err != nil {
			return nil, err
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
	value, err := p.value()
	p.cmd.Key.Values = []string{value}
	return err
}

func (p *parser) value() (string, *Error) {
	if p.peek.kind != tokenString && !p.peek.integer() && !p.peek.uuid() {
		return "", syntax(p.peek.at, "expected a value", "write an integer, a uuid, or a string in single quotes")
	}
	value := p.peek.text
	return value, p.advance()
}
