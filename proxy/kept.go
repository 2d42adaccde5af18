package proxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// The server reads and plans an unnamed statement each time that it is sent, and
// what pgveil makes of one is longer than what the client wrote. So when a
// client with restrictions sends the same text again and again, the server keeps
// it under a name of ours, and further Parse messages of that text need not be
// sent: Bind and Describe name ours where the client names none.
//
// A text is read under settings. When any may have changed, for good or until
// the transaction ends, the server forgets what it keeps, and nothing is kept
// until that is over. The catalog's changes the server follows by itself.

const (
	keptPrefix = "pgveil_kept_"
	maxKept    = 64  // statements that the server keeps for a session
	maxCounted = 256 // texts that are counted
)

// nothing names a statement that nobody makes: to close it is no error.
var nothing = wire.CString("pgveil nothing")

// keeper knows what the server keeps for a session.
type keeper struct {
	texts  map[*rewrite.Plan]*keptText
	named  int
	next   int
	left   string // is kept for the client's unnamed statement only
	shaky  bool   // settings have changed: until the session is idle they may change back
	doubt  bool   // guarded by the session's mutex: an answer said that something kept is not as it was
	server names
}

// keptText is a text that comes again and again.
type keptText struct {
	times  int
	params string // the parameter types of Parse
	name   string // "" until it is kept
}

// keepable tells whether a plan's text may be kept: it is a query that pgveil
// changed, which does nothing to the session.
func keepable(p *rewrite.Plan) bool {
	return p.Changed && !free(p.Access) && len(p.Steps) == 1 && !sealsParams(p) &&
		p.Steps[0].Effect&^(rewrite.Reads|rewrite.Writes|rewrite.Unfiltered) == 0 &&
		(p.Steps[0].Command == "SELECT" || p.Steps[0].Command == "INSERT" || p.Steps[0].Command == "UPDATE" || p.Steps[0].Command == "DELETE")
}

// unsettles tells whether what a plan does may change how texts are read. Who
// asks changes which texts there are.
func unsettles(p *rewrite.Plan) bool {
	if !slices.ContainsFunc(p.Steps, func(s rewrite.Step) bool { return s.Setting == "" }) {
		return false
	}
	const does = rewrite.Reads | rewrite.Writes | rewrite.Unfiltered | rewrite.Begins | rewrite.Ends | rewrite.Copies
	return p.Has(^does)
}

// keep gives the name under which the server keeps an unnamed statement; ""
// when it does not. there tells whether it does so already, else it is to be
// sent under that name.
func (s *session) keep(made *named, params []byte) (name string, there bool) {
	k := &s.keeper
	if s.srv.keepAfter <= 0 || made.sql != nil || made.said != nil || made.privacy != nil || !keepable(made.plan) || !s.steady() {
		return "", false
	}
	text := k.count(made.plan, params, s.srv.keepAfter)
	if text == nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.server.uncertain([]byte(text.name), s.batch) {
		return "", false
	}
	return text.name, k.server.get([]byte(text.name)) != nil
}

// steady tells whether settings are certain to stay as they are.
func (s *session) steady() bool {
	s.mu.Lock()
	idle := s.tx == 'I' && s.queue.n == 0 && !s.extended
	doubt := s.keeper.doubt
	s.keeper.doubt = false
	s.mu.Unlock()
	if doubt {
		s.forgetKept()
	}
	s.keeper.shaky = s.keeper.shaky && !idle
	return !s.keeper.shaky
}

// count notes that a text came once more, and gives it when it is to be kept.
// after is how often it must have come.
func (k *keeper) count(p *rewrite.Plan, params []byte, after int) *keptText {
	text := k.texts[p]
	if text == nil {
		if k.texts == nil || len(k.texts) >= maxCounted && k.named == 0 {
			k.texts = map[*rewrite.Plan]*keptText{}
		}
		if len(k.texts) >= maxCounted {
			return nil
		}
		text = &keptText{params: string(params)}
		k.texts[p] = text
	}
	if text.times++; text.times < after || text.params != string(params) {
		return nil
	}
	if text.name == "" {
		if k.named == maxKept {
			return nil
		}
		k.named++
		k.next++
		text.name = fmt.Sprintf("%s%d", keptPrefix, k.next)
	}
	return text
}

// forgetKept has the server forget what it keeps, but for what the client's
// unnamed statement is: that stays as it was read.
func (s *session) forgetKept() {
	k := &s.keeper
	if len(k.texts) == 0 && k.left == "" {
		return
	}
	inUse := s.keptName(nil)
	if k.left != "" && k.left != inUse {
		s.closeKept(k.left)
		k.left = ""
	}
	for _, text := range k.texts {
		switch text.name {
		case "":
		case inUse:
			k.left = inUse
		default:
			s.closeKept(text.name)
		}
	}
	k.texts, k.named = nil, 0
}

// closeKept closes one statement. Where the server passes over messages it
// stays, and is not used any more.
func (s *session) closeKept(name string) {
	f := s.take(flightClose)
	f.own = true
	f.name(&s.keeper.server, name, nil)
	if s.push(f) != nil {
		s.giveBack(f)
		return
	}
	s.toS.Frame('C', []byte{'S'}, wire.CString(name))
}

// settingsChange is called for what is about to run.
func (s *session) settingsChange(p *rewrite.Plan) {
	if p == nil || free(p.Access) || !unsettles(p) {
		return
	}
	s.forgetKept()
	s.keeper.shaky = true
}

// keptName gives the name under which the server has a client's statement,
// where that is another than the client's.
func (s *session) keptName(name []byte) string {
	if len(name) > 0 {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.statements.get(name); st != nil {
		return st.kept
	}
	return ""
}

// takesUnnamed notes that a Query takes the unnamed statement away, however it
// ends; the server, which has ours instead, does not.
func (s *session) takesUnnamed(f *flight) {
	if s.keeper.next > 0 {
		f.nameAt(beforeAll, &s.statements, "", nil)
	}
}

// ours tells whether a client with restrictions names what only pgveil may.
func (s *session) ours(name []byte) bool {
	return !free(s.plans.Access) && strings.HasPrefix(string(name), keptPrefix)
}

func refuseOurs(name []byte) error {
	return &rewrite.Refusal{Code: "42939", Message: fmt.Sprintf("the name %q is reserved", name), Hint: "take another name"}
}
