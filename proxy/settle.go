package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// errSkipped says that the server passes over what follows, so that nothing
// need be sent.
var errSkipped = errors.New("the server passes over messages until Sync")

// errAborted says that the transaction is aborted: an own question was the first
// to be told, and the server passes over what follows it.
var errAborted = fmt.Errorf("the transaction is aborted: %w", errSkipped)

// errWaits says that a message cannot be acted on without waiting, by somebody
// who must not: nothing has happened yet.
var errWaits = errors.New("the message has to wait")

// errSoon says that all that is waited for is an answer of the server's to a
// question of our own, which has been asked: the message is to be acted on again
// when the server has said something.
var errSoon = fmt.Errorf("the server has been asked: %w", errWaits)

// probe is an own question to the server and its answer.
type probe struct {
	done    bool
	skipped bool             // an error before it, or of its own, kept the server from answering
	failed  bool             // it was its own
	why     *rewrite.Refusal // that error, when it was a cancellation
	inline  bool             // asked amid the client's own messages: no Sync follows
	closes  bool             // it first closes the statement that another has left
	values  []string
}

// probeSQL asks for everything that planning depends on. It names functions
// only, so it runs under any privileges.
const probeSQL = `SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true)), ` +
	`pg_catalog.current_setting('standard_conforming_strings'), ` +
	`pg_catalog.current_setting('` + rewrite.UserSetting + `', true), ` +
	`pg_catalog.current_setting('` + rewrite.PurposeSetting + `', true), ` +
	`pg_catalog.current_setting('` + rewrite.TokenSetting + `', true), ` +
	`pg_catalog.current_setting('` + rewrite.TicketSetting + `', true), ` +
	`(pg_catalog.date_part('epoch', pg_catalog.transaction_timestamp()) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8`

// probed is how many values answer it.
const probed = 7

// temporarySQL asks as well for the temporary tables that the session has made.
const temporarySQL = probeSQL + `, ` + rewrite.TemporarySQL

// probeName is the statement and portal that a probe lives in, for as long as
// it is asked.
var probeName = wire.CString("pgveil probe")

// settle makes sure that the session's engine is the current one, and that
// what is known of the server's settings is so. text is what will be planned or
// run; "" means anything.
func (s *session) settle(ctx context.Context, text string) error {
	// Who has no restrictions neither waits for a fresh catalog, amid a
	// migration say, nor is kept out when the policy does not fit it any more.
	stale := s.srv.enforcer.stale.Load()
	engine := s.srv.enforcer.Engine()
	if stale && !free(s.plans.Access) {
		if s.hurriedC {
			return errWaits
		}
		var err error
		if engine, err = s.srv.enforcer.current(ctx); err != nil {
			return err
		}
	}
	if free(s.plans.Access) && engine.Seals() {
		var err error
		if engine, err = s.settleNames(ctx, engine, stale); err != nil {
			return err
		}
	}
	s.mu.Lock()
	aborted := s.tx == 'E' && s.queue.n == 0 && !s.extended // a ROLLBACK may have been executed, but no Sync
	doubt := s.doubt && !aborted
	s.mu.Unlock()
	if doubt && !s.heedless() && !independent(text) {
		return s.learn(engine)
	}
	held := s.holds != s.srv.containment.now.Load()
	if !held && engine == s.engine && s.elevated == s.srv.elevations.version() && s.masked == s.srv.masked.Load() && (s.until.IsZero() || s.srv.now().Before(s.until)) {
		return nil
	}
	err := s.identify(engine, s.asker)
	if held && err != nil && !ended(err) && independent(text) {
		return nil // nobody asks from here on, who may yet say who does
	}
	return err
}

// settleNames makes sure, for who has no restrictions, that tables with sealed columns
// are known by all their names, or that it is known that they may not be. It does so
// between transactions: amid one the catalog may be locked by the session itself.
func (s *session) settleNames(ctx context.Context, engine *rewrite.Engine, stale bool) (*rewrite.Engine, error) {
	if !s.atRest() {
		return engine, nil
	}
	if stale && s.hurriedC {
		return nil, errWaits
	}
	if stale {
		fresh, err := s.srv.enforcer.current(ctx)
		if stale = err != nil; !stale {
			engine = fresh
		}
	}
	if stale {
		s.altered(true, rewrite.AllAltered)
	} else {
		s.altered(false)
	}
	return engine, nil
}

// alters notes what a plan does to sealed columns and their names, which the engine does
// not know before the transaction is over.
func (s *session) alters(p *rewrite.Plan) {
	if p != nil && (p.Has(rewrite.Reshapes) || len(p.Altered) > 0) {
		s.altered(s.plans.Reshaped || p.Has(rewrite.Reshapes), append(slices.Clip(s.plans.Altered), p.Altered...)...)
	}
}

// altered notes whether sealed columns may have names that the engine does not know, and
// which names may mean something else than it knows.
func (s *session) altered(reshaped bool, names ...string) {
	slices.Sort(names)
	names = slices.Compact(names)
	if s.plans.Reshaped != reshaped || !slices.Equal(s.plans.Altered, names) {
		s.plans.Reshaped, s.plans.Altered = reshaped, names
		s.lookup.Use(s.engine, s.plans)
	}
}

// atRest tells whether no transaction is open and nothing is unanswered.
func (s *session) atRest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tx == 'I' && s.queue.n == 0 && !s.extended
}

// learn asks the server, or takes the answer to what it was asked ahead.
func (s *session) learn(engine *rewrite.Engine) error {
	if s.ahead == nil {
		if s.hurriedC && s.amidBatch() {
			return errWaits // the server may pass over the question, and the message with it
		}
		p, err := s.pushProbe()
		if err != nil {
			return err
		}
		s.sendProbe(p)
		s.ahead = p
	}
	if s.hurriedC && !s.answers(s.ahead) {
		return errSoon
	}
	p := s.ahead
	s.ahead = nil
	if err := s.toS.Flush(); err != nil {
		return err
	}
	answer, err := s.await(p)
	if err != nil {
		return err
	}
	return s.adopt(engine, answer)
}

// amidBatch tells whether an error of what was sent would make the server pass
// over what follows.
func (s *session) amidBatch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extended
}

// answers tells whether a probe needs no waiting for.
func (s *session) answers(p *probe) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.done || s.ended != nil
}

// askAhead asks the server at once what the next statement will need to know,
// when the client has just said who asks. It waits for nothing.
func (s *session) askAhead() {
	if !s.saying || s.fixed() {
		return
	}
	s.saying = false
	p, err := s.pushProbe()
	if err != nil {
		return // the server passes over it: the next statement asks
	}
	s.sendProbe(p)
	s.ahead = p
}

// independent tells whether a text is made of statements whose meaning no
// setting changes. Those need not, and some must not, have a query before them
// in their transaction.
func independent(text string) bool {
	text = strings.Trim(text, "; \t\r\n")
	if text == "" {
		return false
	}
	if strings.IndexByte(text, ';') < 0 {
		return independentWord(text)
	}
	for statement := range strings.SplitSeq(text, ";") {
		if strings.Count(statement, "'")%2 != 0 || strings.ContainsAny(statement, "\"$\\") || strings.Contains(statement, "--") || strings.Contains(statement, "/*") {
			return false // a semicolon may be within something
		}
		if statement = strings.TrimLeft(statement, " \t\r\n"); statement != "" && !independentWord(statement) {
			return false
		}
	}
	return true
}

func independentWord(text string) bool {
	word := text
	if i := strings.IndexAny(text, " \t\r\n;"); i >= 0 {
		word = text[:i]
	}
	switch strings.ToUpper(word) {
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "SET", "RESET", "SHOW", "DISCARD":
		return true
	default:
		return false
	}
}

// ask puts the probe to the server, behind all that was sent, and waits for its
// answer.
func (s *session) ask() ([]string, error) {
	p, err := s.pushProbe()
	if err != nil {
		return nil, err
	}
	s.ahead = nil
	s.sendProbe(p)
	if err := s.toS.Flush(); err != nil {
		return nil, err
	}
	return s.await(p)
}

// sendProbe puts the question to the server. Where no transaction of the client's
// is open it ends with a Sync of our own.
func (s *session) sendProbe(p *probe) {
	sql := probeSQL
	if s.temporaries {
		sql = temporarySQL
	}
	if p.closes {
		s.toS.Frame('C', []byte{'S'}, probeName)
	}
	s.toS.Frame('P', probeName, wire.CString(sql), []byte{0, 0})
	s.toS.Frame('B', probeName, probeName, []byte{0, 0, 0, 0, 0, 0})
	s.toS.Frame('E', probeName, []byte{0, 0, 0, 0})
	s.toS.Frame('C', []byte{'P'}, probeName)
	s.toS.Frame('C', []byte{'S'}, probeName)
	if p.inline {
		s.toS.Frame('H')
	} else {
		s.toS.Frame('S')
	}
}

// pushProbe adds a probe's flights, all or none.
func (s *session) pushProbe() (*probe, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.skipping {
		return nil, errSkipped
	}
	p := &probe{inline: s.extended, closes: s.probeLeft}
	kinds := []flightKind{flightClose, flightParse, flightBind, flightExecute, flightClose, flightClose, flightSync}
	const last = 5
	for i, kind := range kinds {
		if i == 0 && !p.closes || i > last && p.inline {
			continue
		}
		f := s.queue.take(kind)
		f.own, f.probe, f.last = true, p, i == last
		s.queue.push(f)
	}
	return p, nil
}

func (s *session) await(p *probe) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !p.done && s.ended == nil {
		s.settled.Wait()
	}
	switch {
	case s.ended != nil:
		return nil, s.ended
	case p.failed && s.skipping:
		return nil, errAborted
	case p.skipped && s.skipping:
		return nil, errSkipped
	case p.skipped && p.why != nil:
		return nil, p.why
	case p.skipped:
		return nil, &rewrite.Refusal{Code: "25P02", Message: "current transaction is aborted, commands ignored until end of transaction block"}
	}
	s.doubt = false
	return p.values, nil
}

// adopt takes the server's answer over.
func (s *session) adopt(engine *rewrite.Engine, answer []string) error {
	if len(answer) < probed || len(answer) > probed+1 {
		return newFatal("XX000", "internal error: the settings' probe gave %d values", len(answer))
	}
	if len(answer) > probed {
		tables, err := rewrite.ReadTemporary(answer[probed])
		if err != nil {
			return newFatal("XX000", "internal error: %v", err)
		}
		s.plans.Temporary = tables
		s.forgetKept()
	}
	var path []string
	if err := json.Unmarshal([]byte(answer[0]), &path); err != nil {
		return newFatal("XX000", "internal error: the search path is not JSON")
	}
	if answer[1] != "on" {
		return newFatal("42501", "standard_conforming_strings is off, which is not open to callers with restrictions, nor where columns are sealed")
	}
	if !slices.Equal(path, s.plans.Path) {
		s.forgetKept()
	}
	s.plans.Path = path
	s.unsure = false
	if s.fixed() {
		return s.identify(engine, s.asker)
	}
	s.asker = asker{user: answer[2], purpose: answer[3], token: answer[4], ticket: answer[5]}
	if err := s.identify(engine, s.asker); err != nil {
		return err
	}
	if err := s.withinTransaction(s.asker, answer[6]); err != nil {
		s.becomes(engine, party{access: policy.Nobody(s.base)})
		return err
	}
	return nil
}

// identify finds out who asks, and what they may do under an engine.
func (s *session) identify(engine *rewrite.Engine, a asker) error {
	elevated, holds := s.srv.elevations.version(), s.srv.containment.now.Load()
	s.masked = s.srv.masked.Load()
	who, err := s.decide(engine, a)
	if unknown := s.misspoken(); err == nil && unknown != nil {
		who, err = party{access: policy.Nobody(s.base)}, unknown
	}
	if err == nil && s.foreign && !free(who.access) {
		return newFatal("42501", "database %q is not open to callers with restrictions", s.database)
	}
	s.becomes(engine, who)
	s.elevated, s.holds = elevated, holds
	if err != nil {
		s.mu.Lock()
		s.doubt = true // what was in force before is over, and what is now is not known
		s.mu.Unlock()
	}
	return err
}

// becomes puts a party and an engine in force.
func (s *session) becomes(engine *rewrite.Engine, who party) {
	if s.engine != nil && engine != s.engine {
		s.forgetKept()
	}
	s.engine, s.plans.Access, s.ticket = engine, who.access, who.ticket
	s.until = s.ends(who.access)
	s.lookup.Use(engine, s.plans)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = free(who.access)
	s.oneShot = s.asker.token != "" && s.vouched.text == s.asker.token && s.vouched.claims.Transaction
	s.who = who.access
}

// collect takes a DataRow of a probe.
func (p *probe) collect(frame []byte) error {
	b := wire.BodyOf(frame)
	for range b.Int16() {
		n := b.Int32()
		if n < 0 {
			p.values = append(p.values, "")
			continue
		}
		p.values = append(p.values, string(b.Bytes(n)))
	}
	if b.Err() != nil {
		return fmt.Errorf("answer of the settings' probe: %w", b.Err())
	}
	return nil
}
