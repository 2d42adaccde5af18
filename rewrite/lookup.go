package rewrite

import "github.com/pgveil/pgveil/rewrite/resolve"

// Lookup plans the statements of one session. It is Engine.Plan with memory of
// its own, so that texts that were planned before, or whose form was, cost no
// allocation. It serves one goroutine.
type Lookup struct {
	engine  *Engine
	session Session
	path    string    // the session's key
	keys    [3]string // of the session, for each that may be known of parameters
	lits    literals
	sql     []byte
	holes   []Hole
}

// Ready is a plan and the text to send for it.
type Ready struct {
	Plan *Plan
	// SQL is what to send in place of Plan.SQL, when the plan is shared with
	// texts that hold other literals; else nil. It is valid until the next
	// call of Plan.
	SQL []byte
	// Holes are the places of SQL where values stand once they are sealed, in
	// place of those of Plan.Seals. As long valid.
	Holes []Hole
	// Value is what the text says of who asks, when the plan is shared with
	// texts that say something else: of the only step, whose Value is "".
	Value string
	// Literals are those of a text that shares its plan, as they are written,
	// where Plan.Written speaks of them. They are slices of the text.
	Literals [][]byte
}

// Use sets for which engine and session statements are planned from now on.
func (l *Lookup) Use(e *Engine, s Session) {
	l.engine, l.session = e, s
	for p := range l.keys {
		s.Parameters = resolve.Parameters(p)
		l.keys[p] = s.key()
	}
	l.path = l.keys[l.session.Parameters]
}

// Declare says what is known of the parameters of the texts that are planned
// from now on.
func (l *Lookup) Declare(p resolve.Parameters) { l.session.Parameters, l.path = p, l.keys[p] }

// Key is equal as long as texts are planned for the same session.
func (l *Lookup) Key() string { return l.keys[resolve.ParametersInferred] }

// Known decides what becomes of a text of which that is known already; else
// hit is false. It takes next to no time.
func (l *Lookup) Known(text []byte) (r Ready, hit bool, err error) {
	if beginning, value, plain := says(text); plain {
		return l.said(beginning, value)
	}
	e, id := l.engine, l.session.Access.ID
	if c, ok := e.plans.get(id, l.path, text); ok {
		return Ready{Plan: c.plan}, true, c.err
	}
	if !l.lits.split(text) {
		return Ready{}, false, nil
	}
	if sh, _ := e.shared.get(id, l.path, l.lits.form); sh != nil {
		return l.fill(sh), true, sh.err
	}
	return Ready{}, false, nil
}

// Plan decides what becomes of a text, as Engine.Plan does. hit tells whether
// it was known.
func (l *Lookup) Plan(text []byte) (r Ready, hit bool, err error) {
	if r, hit, err := l.Known(text); hit {
		return r, true, err
	}
	if beginning, value, plain := says(text); plain {
		return l.say(beginning, value)
	}
	e, id := l.engine, l.session.Access.ID
	if !l.lits.split(text) {
		p, err := e.Plan(l.session, string(text))
		return Ready{Plan: p}, false, err
	}
	if _, came := e.shared.get(id, l.path, l.lits.form); came {
		return l.share(string(text))
	}
	e.shared.put(cacheKey{id, l.path, string(l.lits.form)}, nil)
	p, err := e.Plan(l.session, string(text))
	return Ready{Plan: p}, false, err
}

// share plans a text whose form came before, so that the form's other texts
// need not be planned.
func (l *Lookup) share(text string) (Ready, bool, error) {
	e, id := l.engine, l.session.Access.ID
	p, err := e.plan(l.session, text)
	if sh := e.share(l.session, &l.lits, text, p, err); sh != nil {
		e.shared.put(cacheKey{id, l.path, string(l.lits.form)}, sh)
		return Ready{Plan: p}, false, err
	}
	e.keep(cacheKey{id, l.path, text}, p, err)
	return Ready{Plan: p}, false, err
}

func (l *Lookup) fill(sh *shared) Ready {
	r := Ready{Plan: sh.plan}
	if sh.plan != nil && len(sh.plan.Written) > 0 {
		r.Literals = l.lits.lits
	}
	if sh.parts != nil {
		l.sql, l.holes = sh.fill(l.sql[:0], l.holes[:0], l.lits.lits)
		r.SQL, r.Holes = l.sql, l.holes
	}
	return r
}
