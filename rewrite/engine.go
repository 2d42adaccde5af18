package rewrite

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/injection"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Engine is one generation of enforcement: a policy compiled against a
// catalog. It is immutable but for its caches, and swapped whole.
type Engine struct {
	Catalog *catalog.Snapshot
	Policy  *policy.Set

	seals     *sealing        // nil: no column is sealed
	names     bool            // the access log names data subjects
	imaged    map[uint32]bool // OIDs of the tables of whose rows it keeps images
	keys      map[Origin][]string
	plans     *cache[planned] // by text
	shared    *cache[*shared] // by form; nil for a form that came once
	templates sync.Map        // templateKey → *template
	between   sync.Map        // an access's ID → what leaning gives
}

// planned is what Plan gave for a text.
type planned struct {
	plan *Plan
	err  error
}

// New makes an engine. cacheBytes bounds the statement text and plans that it
// keeps.
func New(cat *catalog.Snapshot, set *policy.Set, cacheBytes int) *Engine {
	e := &Engine{Catalog: cat, Policy: set, seals: newSealing(cat, set), keys: keyColumns(cat, set), plans: newCache[planned](cacheBytes / 2), shared: newCache[*shared](cacheBytes / 2)}
	e.judgeViews()
	return e
}

// NameSubjects makes plans say how the subjects are named whose rows a statement
// returns or changes. Whoever sends them must take off the columns that
// Plan.Subjects tells of. It must be called before anything is planned.
func (e *Engine) NameSubjects() { e.names = len(e.Policy.Subjects()) > 0 }

// Session is what of a session decides how its statements are planned.
type Session struct {
	Access *policy.Access
	Path   []string // current_schemas(true) of the server's session
	// Parameters tells what is known of the types of the text's parameters.
	Parameters resolve.Parameters
	// Temporary are the temporary tables that it made, by their names on the
	// server.
	Temporary []*catalog.Relation
	// Foreign says that the session is in another database than the one whose
	// catalog the engine has. Only callers without restrictions may be there.
	Foreign bool
	// Reshaped says that it has done what Reshapes, and the catalog may be the one
	// before.
	Reshaped bool
	// Altered are names of relations that may mean something else than the catalog
	// says: it changed them itself, and they were not read again.
	Altered []string
}

// Plan is what becomes of one text. It is shared by everyone who sends that
// text with the same access: nobody changes it.
type Plan struct {
	Text        string // what the client sent
	SQL         string // what to send
	Changed     bool   // SQL is not the client's text: positions in it mean nothing to the client
	Governed    bool   // governed relations are touched: error texts may carry their values
	Steps       []Step // one a statement
	Decision    Decision
	Shape       string // the text without literals
	Fingerprint string
	Reasons     []string // the rules that decided, and consent and row filters in words
	Columns     []ColumnUse
	Signs       []injection.Sign // that somebody's input has changed the text
	Guesses     bool             // a condition asks for a hidden value, which its column's rule lets it
	Subjects    []*Naming        // one a step; nil for a step that is about nobody, or where subjects are not named
	Written     []Written        // values that go into open columns, where the policy asks
	Seals       *Seals           // what of the text and of its rows is sealed; nil: nothing
	Unread      bool             // what it reads is not all among the columns
	Unfollowed  bool             // it has names that nobody knows, which may be new ones of what has sealed columns
	Altered     []string         // names of relations with sealed columns that it changes: see Session
	Access      *policy.Access   // that it was made for
	Memo        atomic.Value     // for whoever carries the plan out, to keep what it derives from it
}

// Decision is what the policy said of a text as a whole.
type Decision string

// The decisions. The zero Decision is none of them.
const (
	Allowed      Decision = "allow"        // nothing was hidden
	Masked       Decision = "mask"         // columns were masked or left out, or rows filtered
	Refused      Decision = "refuse"       // nothing was sent
	Unrestricted Decision = "unrestricted" // the caller's role says so
	Observed     Decision = "observe"      // would have been masked or refused
)

// ColumnUse says what became of one classified column that a text uses.
type ColumnUse struct {
	Name    string // schema.table.column
	Class   string
	Show    string // clear, refuse or a mask
	Write   bool
	Rule    string
	Because string
}

// Step is one statement of a text.
type Step struct {
	Command string // SELECT, SET, …
	Effect  Effect
	Name    string // of the prepared statement or cursor that Effect is about
	Setting string // that says who asks, when one is set or reset by SET or RESET
	Value   string // its value, when that is written out
}

// Effect is what a statement does to the session, as far as later statements
// depend on it.
type Effect uint32

// The effects.
const (
	Reads       Effect = 1 << iota // columns of another class than open, or of none
	Writes                         // a relation
	Settings                       // search_path, role or a pgveil setting may change
	Begins                         // a transaction block
	Ends                           // a transaction block, or goes back in it: settings may go back too
	Prepares                       // Name
	Executes                       // Name
	Forgets                        // the prepared statement Name, or all of them
	Declares                       // the cursor Name
	Fetches                        // from the cursor Name
	Copies                         // data in from the client
	Resets                         // everything: DISCARD ALL
	Temporaries                    // temporary tables come or go
	Unfiltered                     // rows come by ways that pass over row filters: disclosed views, functions
	Tunes                          // any run-time parameter may change
	Roles                          // the role becomes the login's own: SET ROLE NONE
	Reshapes                       // sealed columns get other names, by which nothing is known of them yet
)

// Has tells whether any of the given effects is among the plan's.
func (p *Plan) Has(e Effect) bool {
	for _, s := range p.Steps {
		if s.Effect&e != 0 {
			return true
		}
	}
	return false
}

// Plan decides what becomes of a text. The error is a *Refusal, or a bug in
// pgveil; either way the text must not be sent.
func (e *Engine) Plan(s Session, sql string) (*Plan, error) {
	if s.Access == nil {
		return nil, fmt.Errorf("plan: internal error: no access")
	}
	path := s.key()
	if c, ok := e.plans.get(s.Access.ID, path, []byte(sql)); ok {
		return c.plan, c.err
	}
	p, err := e.plan(s, sql)
	e.keep(cacheKey{s.Access.ID, path, sql}, p, err)
	return p, err
}

// keep caches a plan or a refusal. Bugs are not kept: they may pass. Nor is what
// says who asks, which is a secret and comes once.
func (e *Engine) keep(k cacheKey, p *Plan, err error) {
	if p != nil && (p.Unfollowed || slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Value != "" })) {
		return
	}
	if _, refused := err.(*Refusal); err == nil || refused {
		e.plans.put(k, planned{p, err})
	}
}

func (e *Engine) plan(s Session, sql string) (*Plan, error) {
	shape, fingerprint, shapeErr := parse.Shape(sql)
	p := &Plan{Text: sql, SQL: sql, Shape: shape, Fingerprint: fingerprint, Access: s.Access}
	switch {
	case s.Access.Unrestricted:
		p.Decision = Unrestricted
		if !s.Foreign {
			e.describe(s, sql, p)
		}
		if err := e.sealRest(s, sql, p); err != nil {
			return nil, refused(err, p)
		}
		return p, nil
	case s.Foreign:
		return nil, fmt.Errorf("plan: internal error: a caller with restrictions in a database without a policy")
	case s.Access.Observe:
		if err := e.sealRest(s, sql, e.observe(s, sql, p)); err != nil {
			return nil, refused(err, p)
		}
		return p, nil
	case shapeErr != nil:
		return nil, refused(asRefusal(shapeErr, sql), p)
	}
	if err := e.enforce(s, sql, p); err != nil {
		return nil, refused(err, p)
	}
	return p, nil
}

// refused notes with a refusal what is known of the text, for the access log.
func refused(err error, p *Plan) error {
	if r, ok := err.(*Refusal); ok {
		p.Decision = Refused
		r.Plan = p
	}
	return err
}

// enforce plans every statement of the text for a caller with restrictions.
func (e *Engine) enforce(s Session, sql string, p *Plan) error {
	stmts, err := parse.Parse(sql)
	if err != nil {
		return asRefusal(err, sql)
	}
	p.Signs = injection.Signs(sql, stmts)
	p.Decision = Allowed
	texts := make([]string, len(stmts))
	local, changed := s, false // what the statements before leave behind
	for i, st := range stmts {
		c := &planner{stages: stages, engine: e, session: local, plan: p}
		node, err := c.statement(st.Node)
		if err != nil {
			if len(p.Steps) == i {
				c.step(commandName(st.Node), 0, "") // for the access log
			}
			return asRefusal(err, sql)
		}
		texts[i] = st.Text
		if c.changed {
			if texts[i], err = c.finish(node); err != nil {
				return err
			}
			if texts[i], err = c.addColumns(texts[i]); err != nil {
				return err
			}
			p.Changed = true
		}
		if e.names || e.imaged != nil {
			p.Subjects = append(p.Subjects, c.named(st.Node))
		}
		if p.Naming(i).Hidden() != len(c.added) { // nobody would take them off
			return fmt.Errorf("rewrite: internal error: columns that name subjects are not told of")
		}
		step := p.Steps[i]
		if changed && step.Effect&(Prepares|Executes|Declares|Fetches) != 0 {
			return refuseSeparately(Step{Command: "a change of settings"})
		}
		if i+1 == len(stmts) {
			break
		}
		if changed && step.Effect&Ends != 0 {
			return refuseSeparately(step)
		}
		if local, err = e.after(local, st.Node, step); err != nil {
			return err
		}
		changed = changed || step.Effect&(Settings|Resets) != 0
	}
	if p.Changed {
		p.SQL = strings.Join(texts, "; ")
	}
	p.cutHoles()
	return nil
}

// observe plans as if it enforced, records what would have happened, and lets
// the text through as it is.
func (e *Engine) observe(s Session, sql string, p *Plan) *Plan {
	would := &Plan{Text: sql, Shape: p.Shape, Fingerprint: p.Fingerprint, Access: s.Access}
	err := e.enforce(s, sql, would)
	p.Steps, p.Columns, p.Reasons = would.Steps, would.Columns, would.Reasons
	p.Signs, p.Guesses = would.Signs, would.Guesses
	e.describeSubjects(s, sql, p)
	e.describeWritten(s, sql, p)
	if err != nil {
		p.Unread = true
		p.Reasons = append(p.Reasons, "would refuse: "+err.Error())
	} else if would.Decision == Masked {
		p.Reasons = append(p.Reasons, "would mask")
	}
	p.Decision = Observed
	return p
}

// describe notes, for the access log, which classified columns an unrestricted
// caller's text uses, as far as it can be understood.
func (e *Engine) describe(s Session, sql string, p *Plan) {
	stmts, err := parse.Parse(sql)
	if err != nil {
		p.Reasons, p.Unread = append(p.Reasons, "not understood: recorded by shape only"), true
		e.describeWritten(s, sql, p)
		return
	}
	p.Signs = injection.Signs(sql, stmts)
	for _, st := range stmts {
		step := Step{Command: commandName(st.Node)}
		if cp := st.Node.GetCopyStmt(); cp.GetRelation() != nil && !cp.IsFrom {
			step.Effect = e.describeCopy(s, cp, p)
		}
		p.Unread = p.Unread || returnsUnread(st.Node)
		if n := queryOf(st.Node); n != nil {
			q, err := e.guess(s, n, nil)
			if err != nil {
				p.Reasons, p.Unread = append(p.Reasons, "not resolved: recorded by shape only"), true
			} else {
				step.Effect = e.describeUses(q, p)
			}
		}
		p.Steps = append(p.Steps, step)
	}
	e.describeSubjects(s, sql, p)
	e.describeWritten(s, sql, p)
}

func (e *Engine) describeUses(q *resolve.Query, p *Plan) (effect Effect) {
	for _, u := range q.Uses {
		if !u.Ref.Relation.Governed() {
			continue
		}
		use := ColumnUse{
			Name:  u.Ref.Relation.QualifiedName() + "." + u.Ref.Relation.Columns[u.Column].Name,
			Class: e.class(u),
			Show:  "clear",
			Write: u.As == resolve.UseWrite,
		}
		if use.Class != openClass {
			effect |= Reads
		}
		if use.Write {
			effect |= Writes
		}
		p.addColumn(use)
	}
	return effect
}

// openClass is the class of columns that need no rule to be shown.
const openClass = "open"

func (e *Engine) class(u resolve.Use) string {
	if isTemporary(u.Ref.Relation) {
		return openClass
	}
	c, _ := e.Policy.Class(u.Ref.Relation, u.Ref.Relation.Columns[u.Column].Name)
	return c.Name
}

func (p *Plan) addColumn(use ColumnUse) {
	for _, c := range p.Columns {
		if c.Name == use.Name && c.Write == use.Write {
			return
		}
	}
	p.Columns = append(p.Columns, use)
}

func (p *Plan) addReason(reason string) {
	if reason == "" {
		return
	}
	for _, r := range p.Reasons {
		if r == reason {
			return
		}
	}
	p.Reasons = append(p.Reasons, reason)
}

// queryOf gives the query that a statement runs, nil when it runs none.
func queryOf(n *pg_query.Node) *pg_query.Node {
	switch v := n.Node.(type) {
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt,
		*pg_query.Node_MergeStmt:
		return n
	case *pg_query.Node_DeclareCursorStmt:
		return v.DeclareCursorStmt.Query
	case *pg_query.Node_ExplainStmt:
		return v.ExplainStmt.Query
	case *pg_query.Node_CopyStmt:
		return v.CopyStmt.Query
	case *pg_query.Node_PrepareStmt:
		return v.PrepareStmt.Query
	default:
		return nil
	}
}
