package cases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// Request is a text that an Executor runs.
type Request struct {
	Fixture    *Fixture
	Claim      policy.Claim
	SearchPath string // "" for the server's default
	SQL        string
	Since      int // the server's major version that it needs; 0 for any
}

// ErrOlder is an Executor's error for a text that needs a newer server.
var ErrOlder = errors.New("the server is older than the case needs")

// Outcome is what the caller gets to see of a text, and what is recorded of it.
type Outcome struct {
	Results []Result // one a statement that ended
	Error   *Error   // of the statement after them; nil when there was none
	Records []audit.Record
}

// Result is what one statement gave. Columns is nil for one that has none.
type Result struct {
	Columns []string
	Rows    [][]*string // as text; nil is NULL
	Tag     string
}

// Error is an error as the caller gets it.
type Error struct{ Code, Message, Detail, Hint string }

// rejects tells whether the error is the server's of a text that it does not
// understand: SQLSTATE class 42 but for missing rights, and what is unsupported.
func (e *Error) rejects() bool {
	return e != nil && (strings.HasPrefix(e.Code, "42") && e.Code != "42501" || strings.HasPrefix(e.Code, "0A"))
}

// Executor runs a text for a caller in a new session on the fixture's database,
// as the fixture made it: what one call changes no other may see. Its error
// says that the text could not be run at all; what the server or pgveil answers
// to it is an Outcome.
type Executor func(context.Context, Request) (Outcome, error)

// Runner runs cases. The zero Runner runs those that need no server, on
// fixtures beside the file.
type Runner struct {
	Fixtures string   // the folder of the fixtures; "" for the one that the case file is in
	Execute  Executor // nil: rows and audit are skipped
	Twin     Executor // the same on the fixtures' twins; nil: nothing is compared
	Rewrite  bool     // write what was found into the files in place of what was expected
	Verbose  bool     // report cases that pass as well

	mu     sync.Mutex
	loaded map[fixtureKey]*Fixture
}

// Tally counts cases.
type Tally struct {
	Passed, Failed, Skipped int
	Older                   int // not run, since the server is older than they need
	Rewritten               int // of those passed
	Compared                int // of those passed, with the twin
}

// Add gives both tallies together.
func (t Tally) Add(u Tally) Tally {
	return Tally{t.Passed + u.Passed, t.Failed + u.Failed, t.Skipped + u.Skipped, t.Older + u.Older, t.Rewritten + u.Rewritten, t.Compared + u.Compared}
}

// verdict is what became of one case.
type verdict struct {
	got      []string // nil when there is nothing to compare with what is expected
	skipped  bool
	older    bool // the server is older than the case needs: it was planned at most
	compared bool
	err      error // why it fails whatever is expected
}

// Run runs the cases of a file and reports those that fail. Its error says
// that a fixture cannot be used, or that the report or the rewritten file could
// not be written.
func (r *Runner) Run(ctx context.Context, f *File, w io.Writer) (Tally, error) {
	var t Tally
	blocks := map[int][]string{}
	for i := range f.Cases {
		c := &f.Cases[i]
		fx, err := r.fixture(f, c)
		if err != nil {
			return t, fmt.Errorf("%s:%d: %w", f.Path, c.Line, err)
		}
		v := r.run(ctx, fx, c)
		word := "ok"
		switch {
		case v.err != nil:
			word = "FAIL"
			t.Failed++
		case v.skipped:
			word = "skipped: no server"
			t.Skipped++
		case v.older && c.Verb != VerbPlan:
			word = "skipped: the server is older"
		case slices.Equal(v.got, c.Want):
			t.Passed++
		case r.Rewrite:
			word = "rewritten"
			blocks[i] = v.got
			t.Passed++
			t.Rewritten++
		default:
			word = "FAIL"
			t.Failed++
		}
		if v.err == nil && v.compared {
			t.Compared++
		}
		if v.err == nil && v.older {
			t.Older++
		}
		if err := r.report(w, f, c, v, word); err != nil {
			return t, err
		}
	}
	if len(blocks) == 0 {
		return t, nil
	}
	return t, os.WriteFile(f.Path, []byte(f.rewritten(blocks)), 0o644)
}

// report writes what became of a case, where anybody wants to know.
func (r *Runner) report(w io.Writer, f *File, c *Case, v verdict, word string) error {
	if word != "FAIL" && word != "rewritten" && !r.Verbose {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s %s\n", f.Path, c.Line, c.Verb, word)
	if word == "FAIL" {
		if c.Comment != "" {
			fmt.Fprintf(&b, "    promise: %s\n", c.Comment)
		}
		fmt.Fprintf(&b, "    as %s: %s\n", c.Who, strings.ReplaceAll(c.SQL, "\n", "\n    "))
	}
	if v.err != nil {
		fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(v.err.Error(), "\n", "\n    "))
	} else if word == "FAIL" {
		b.WriteString("    - expected, + found:\n")
		for _, line := range diff(c.Want, v.got) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Runner) run(ctx context.Context, fx *Fixture, c *Case) verdict {
	if err := errors.Join(fx.checkNames(c), c.check()); err != nil {
		return verdict{err: err}
	}
	plan, planErr := fx.plan(c)
	var v verdict
	switch c.Verb {
	case VerbPlan:
		v = fx.planned(c, plan, planErr)
	case VerbRows, VerbAudit:
		v = r.executed(ctx, fx, c)
	default:
		return verdict{err: fmt.Errorf("internal error: verb %d", c.Verb)}
	}
	if v.err == nil && !v.older {
		v.compared, v.err = r.compare(ctx, fx, c, plan)
		if errors.Is(v.err, ErrOlder) {
			v.older, v.err = true, nil
		}
	}
	return v
}

// check finds what is wrong with a case before it is run.
func (c *Case) check() error {
	kinds := map[Verb][]string{VerbPlan: slices.Concat(decisions, planKinds), VerbAudit: auditKinds}[c.Verb]
	refusal := false
	for _, line := range c.Want {
		kind := kindOf(line)
		refusal = refusal || kind == string(rewrite.Refused) || kind == "error" && c.Verb == VerbRows
		if kinds != nil && !slices.Contains(kinds, kind) {
			return fmt.Errorf("%s does not show lines of the kind %q; there are %s", c.Verb, kind, strings.Join(kinds, ", "))
		}
	}
	if refusal && c.Comment == "" {
		return errors.New("a case that expects a refusal needs a comment above it that says what is promised")
	}
	return nil
}

// fixture gives a case's fixture as of the time that it takes place.
func (r *Runner) fixture(f *File, c *Case) (*Fixture, error) {
	beside := filepath.Dir(f.Path)
	dir := filepath.Join(beside, c.Fixture)
	if !strings.HasPrefix(c.Fixture, ".") && r.Fixtures != "" {
		dir = filepath.Join(r.Fixtures, c.Fixture)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := fixtureKey{dir, c.At.UTC()}
	if fx, ok := r.loaded[key]; ok {
		return fx, nil
	}
	fx, err := LoadFixture(dir, c.At)
	if err != nil {
		return nil, err
	}
	if r.loaded == nil {
		r.loaded = map[fixtureKey]*Fixture{}
	}
	r.loaded[key] = fx
	return fx, nil
}

// fixtureKey names a fixture at a time.
type fixtureKey struct {
	dir string
	at  time.Time
}

func (f *Fixture) plan(c *Case) (*rewrite.Plan, error) {
	s, err := f.session(c.Claim, c.SearchPath)
	if err != nil {
		return nil, err
	}
	return f.Engine.Plan(s, c.SQL)
}

// planned compares a plan with what is expected: always the decision, and of
// the rest the kinds that the case states.
func (f *Fixture) planned(c *Case, p *rewrite.Plan, err error) verdict {
	all, err := f.showPlan(p, err)
	if err != nil {
		return verdict{err: err}
	}
	kinds := append(kindsOf(c.Want, "column"), decisions...)
	return verdict{got: all.only(kinds)}
}

func (r *Runner) executed(ctx context.Context, fx *Fixture, c *Case) verdict {
	if r.Execute == nil {
		return verdict{skipped: true}
	}
	o, err := r.Execute(ctx, c.request(fx))
	if errors.Is(err, ErrOlder) {
		return verdict{older: true}
	}
	if err != nil {
		return verdict{err: err}
	}
	if c.Verb == VerbAudit {
		return verdict{got: showRecords(o.Records).only(kindsOf(c.Want, "decision"))}
	}
	names := len(c.Want) > 0 && kindOf(c.Want[0]) == "columns"
	return verdict{got: o.show(names)}
}

// kindsOf gives the kinds of line that a block states, or what a new block is
// to state when it is empty.
func kindsOf(want []string, otherwise string) []string {
	if len(want) == 0 {
		return []string{otherwise}
	}
	var kinds []string
	for _, line := range want {
		kinds = append(kinds, kindOf(line))
	}
	return kinds
}

func (c *Case) request(fx *Fixture) Request {
	return Request{Fixture: fx, Claim: c.Claim, SearchPath: c.SearchPath, SQL: c.SQL, Since: c.Since}
}

// compare runs a case that is not refused on the fixture and on its twin. A
// caller from whom nothing is hidden sees that they differ.
func (r *Runner) compare(ctx context.Context, fx *Fixture, c *Case, p *rewrite.Plan) (bool, error) {
	if p == nil || p.Decision == rewrite.Unrestricted || p.Decision == rewrite.Observed || r.Execute == nil || r.Twin == nil {
		return false, nil
	}
	one, err := r.Execute(ctx, c.request(fx))
	if err != nil {
		return false, err
	}
	other, err := r.Twin(ctx, c.request(fx))
	if err != nil {
		return false, err
	}
	if c.Verb == VerbPlan && one.Error.rejects() {
		return false, fmt.Errorf("the server rejects what is sent: %s %s\n%s", one.Error.Code, one.Error.Message, p.SQL)
	}
	lines := diff(one.all(), other.all())
	same := !slices.ContainsFunc(lines, func(line string) bool { return line[0] != ' ' })
	switch {
	case same && len(c.Reveals) > 0:
		return false, fmt.Errorf("it says reveals %s, but the twin's outcome is the same: the line can go", strings.Join(c.Reveals, " "))
	case !same && len(c.Reveals) == 0:
		return false, fmt.Errorf("it tells what is hidden: - the fixture's outcome, + its twin's\n%s", strings.Join(lines, "\n"))
	default:
		return true, nil
	}
}
