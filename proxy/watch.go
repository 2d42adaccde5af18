package proxy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/detect"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// tellForgotten has metrics say how many people were forgotten for want of room.
func tellForgotten(r prometheus.Registerer, d *detect.Detector) {
	if r == nil || d == nil {
		return
	}
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "pgveil_watch_forgotten_total", Help: "Users whose behaviour was forgotten because others came.",
	}, func() float64 { return float64(d.Forgotten()) }))
}

// exempted remembers, for one half of a session, of which signals is not watched
// for.
type exempted struct {
	access *policy.Access
	watch  *policy.Watch
	from   uint32
}

// watches gives what is watched for in what somebody does; ok is false where it
// is nothing, or nobody watches.
func (s *session) watches(e *exempted, a *policy.Access, at time.Time) (w *policy.Watch, who detect.Who, ok bool) {
	if s.srv.watcher == nil || a == nil {
		return nil, who, false
	}
	w = s.srv.enforcer.Engine().Policy.Watch()
	if e.access != a || e.watch != w {
		*e = exempted{a, w, w.Exempt(a.Roles)}
	}
	const all = 1<<policy.Signals - 1<<1
	return w, detect.Who{At: at, User: a.User, Exempt: e.from}, e.from&all != all
}

// noticed tells of what was found, and does about it what the policy says.
func (s *session) noticed(found []detect.Finding) {
	for _, f := range found {
		s.srv.metrics.noticed.WithLabelValues(f.Signal.String()).Inc()
		s.srv.respond(s, f.Event, f.Then)
	}
}

// stopInjected watches for signs of injections in what is about to be sent. The
// error is why it must not be sent, because of what is done about it.
func (s *session) stopInjected(by party, p *rewrite.Plan) error {
	s.watchInjected(by, p)
	if err := s.reason(); err != nil || by.access == nil {
		return err
	}
	return s.barred(by.access.Claim, by.access)
}

// watchInjected watches for signs of injections.
func (s *session) watchInjected(by party, p *rewrite.Plan) {
	w, who, ok := s.watches(&s.exemptC, by.access, s.srv.now())
	if !ok {
		return
	}
	signs := make([]string, len(p.Signs))
	for i, sign := range p.Signs {
		signs[i] = string(sign)
	}
	s.noticed(s.srv.watcher.Injected(w, who, signs))
}

// watchRefused watches for what refusals come to. What fails for a reason that is
// nobody's doing is none.
func (s *session) watchRefused(f *flight) {
	if p := f.refusal.Plan; p != nil && len(p.Signs) > 0 {
		s.watchInjected(f.by, p)
	}
	code := f.refusal.Code
	if len(code) != 5 || slices.Contains([]string{"08", "40", "53", "57", "58"}, code[:2]) {
		return
	}
	if w, who, ok := s.watches(&s.exemptC, f.by.access, s.srv.now()); ok {
		s.noticed(s.srv.watcher.Statement(w, &detect.Statement{Who: who, Refused: true, Code: code}))
	}
}

// watchOutcome watches for what statements come to that were sent.
func (s *session) watchOutcome(f *flight, at time.Time) {
	w, who, ok := s.watches(&s.exemptS, f.by.access, at)
	if !ok || f.plan == nil || f.privacy != nil {
		return
	}
	st := detect.Statement{Who: who, Tables: tablesOf(f.plan), Code: f.state, Guess: f.plan.Guesses, Rows: f.rows}
	if n := f.naming; n != nil && n.met == 1 {
		key, err := strconv.ParseInt(n.only.key, 10, 64)
		st.ByKey, st.Kind, st.Key = err == nil, n.only.kind, key
	}
	s.noticed(s.srv.watcher.Statement(w, &st))
}

// tablesOf gives the tables that a plan reads or writes classified columns of.
func tablesOf(p *rewrite.Plan) []string {
	if said, ok := p.Memo.Load().(*recorded); ok {
		return said.tables
	}
	return nil // EXECUTE and FETCH: those were what made the names
}

// watchMet watches for how many subjects' rows somebody gets.
func (s *session) watchMet(f *flight) {
	n := f.naming
	n.met += len(n.subjects)
	n.only = n.subjects[0]
	w, who, ok := s.watches(&s.exemptS, f.by.access, s.srv.now())
	if !ok {
		return
	}
	s.hashes = s.hashes[:0]
	for _, subject := range n.subjects {
		s.hashes = append(s.hashes, detect.Hash(subject.kind, subject.key))
	}
	s.noticed(s.srv.watcher.Met(w, who, s.hashes))
}

// watchLogin watches for where logins come from that are let in.
func (s *session) watchLogin() {
	a := s.plans.Access
	w, who, ok := s.watches(&s.exemptC, a, s.srv.now())
	if !ok {
		return
	}
	who.User = s.login
	s.noticed(s.srv.watcher.Login(w, &detect.Login{Who: who, Addr: s.addr, App: s.app, Acts: a.ActsForOthers}))
}

// loginsFail does about logins that fail, or that got in after many failures,
// what the policy says.
func (srv *Server) loginsFail(s *session, e alert.Event) {
	t := srv.enforcer.Engine().Policy.Watch()[policy.WatchLoginFailures]
	if t.Off {
		t.Then = policy.Response{}
	}
	srv.respond(s, e, t.Then)
}

// Habits of people are read and written so many at a time.
const habitsAtOnce = 500

// KeepHabits writes down what was seen of people since the last time, and reads
// the histories of those who are new. It is called every minute or so; what could
// not be written is written the next time.
func (srv *Server) KeepHabits(ctx context.Context) error {
	if srv.watcher == nil || srv.habits == nil {
		return nil
	}
	for more := true; more; {
		changes := srv.watcher.Changes(habitsAtOnce)
		more = len(changes) == habitsAtOnce
		if len(changes) == 0 {
			break
		}
		together, err := srv.habits.KeepHabits(ctx, changes)
		if err != nil {
			srv.watcher.Again(changes)
			return fmt.Errorf("habits: %w", err)
		}
		srv.watcher.Merge(together)
	}
	for {
		users, since := srv.watcher.Unread(habitsAtOnce, srv.now())
		if len(users) == 0 {
			return nil
		}
		history, err := srv.habits.Habits(ctx, users, since)
		if err != nil {
			srv.watcher.Unlearned(users)
			return fmt.Errorf("habits: %w", err)
		}
		srv.watcher.Learn(users, history)
	}
}
