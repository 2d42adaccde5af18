package twins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// batchSize is how many statements share a caller, settings and sessions.
const batchSize = 50

// Runner runs statements on fixtures and their twins.
type Runner struct {
	Fixtures []*Fixture
	Seed     uint64
	Report   io.Writer // findings, as they are made
	Tally    Tally
}

// Source gives the texts of a batch; ok is false when there are no more.
type Source func() (s Statement, ok bool)

// batch is what is the same for some statements.
type batch struct {
	*Runner
	number   int
	fixture  *Fixture
	caller   Caller
	settings map[string]string
	sessions pair // the caller's
	free     pair // a superuser's
}

// settings are planner settings: other plans evaluate other things first.
var settings = []map[string]string{
	{},
	{"enable_nestloop": "off"},
	{"enable_hashjoin": "off", "enable_mergejoin": "off"},
	{"enable_seqscan": "off"},
	{"enable_nestloop": "off", "enable_hashjoin": "off", "enable_hashagg": "off"},
	{"enable_sort": "off", "enable_material": "off", "join_collapse_limit": "1"},
	{"work_mem": "64kB", "enable_hashagg": "off"},
	{"plan_cache_mode": "force_generic_plan", "from_collapse_limit": "1"},
	{"enable_indexscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off"},
}

// Run runs so many generated statements, from one batch on, and says which batch
// is next.
func (r *Runner) Run(ctx context.Context, batch, statements int) (next int, err error) {
	until := r.Tally.Total().Made + statements
	for made := r.Tally.Total().Made; made < until; made = r.Tally.Total().Made {
		if err := r.Batch(ctx, batch, min(until-made, batchSize)); err != nil {
			return batch, err
		}
		batch++
	}
	return batch, nil
}

// Batch runs the first statements of one batch.
func (r *Runner) Batch(ctx context.Context, number, n int) error {
	b, err := r.batch(number)
	if err != nil {
		return err
	}
	g := b.fixture.generate(b.caller, r.Seed, uint64(number))
	return b.run(ctx, func() (Statement, bool) {
		n--
		return g.next(), n >= 0
	})
}

// Feed runs statements from elsewhere on one fixture, each for all its callers:
// who made them did not know what anybody may do.
func (r *Runner) Feed(ctx context.Context, f *Fixture, next Source) error {
	for number, more := 0, true; more; number++ {
		var texts []Statement
		for more && len(texts) < batchSize {
			var s Statement
			if s, more = next(); more {
				texts = append(texts, s)
			}
		}
		for _, c := range f.callers(number%2 == 0) {
			b := &batch{Runner: r, number: number, fixture: f, caller: c, settings: settings[number%len(settings)]}
			rest := texts
			err := b.run(ctx, func() (s Statement, ok bool) {
				if len(rest) == 0 {
					return s, false
				}
				s, rest = rest[0], rest[1:]
				return s, true
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// batch decides what a batch is about.
func (r *Runner) batch(number int) (*batch, error) {
	rng := rand.New(rand.NewPCG(r.Seed, uint64(number)))
	b := &batch{Runner: r, number: number, fixture: r.Fixtures[number%len(r.Fixtures)]}
	b.settings = pick(rng, settings)
	var err error
	b.caller, err = b.fixture.caller(rng)
	return b, err
}

// callers gives the users with restrictions, each with each of its purposes.
func (f *Fixture) callers(strict bool) (callers []Caller) {
	engine := f.Engine
	if strict {
		engine = f.Strict
	}
	for _, u := range engine.Policy.Users() {
		access, err := engine.Policy.Access(u.Name, "")
		if err != nil || access.Unrestricted {
			continue
		}
		for _, purpose := range access.Purposes {
			c := Caller{User: u.Name, Purpose: purpose, Strict: strict, engine: engine}
			if access, err = engine.Policy.Access(u.Name, purpose); err != nil {
				continue
			}
			if c.session, err = engine.Session(access, ""); err == nil {
				callers = append(callers, c)
			}
		}
	}
	return callers
}

// caller chooses a caller and a search path.
func (f *Fixture) caller(rng *rand.Rand) (Caller, error) {
	c := pick(rng, f.callers(rng.IntN(2) == 0))
	if schemas := f.schemas(); !slices.Contains(schemas, "public") && rng.IntN(3) > 0 {
		c.Path = schemas[0]
	}
	var err error
	c.session, err = c.engine.Session(c.session.Access, c.Path)
	return c, err
}

// schemas gives the schemas that the policy is about.
func (f *Fixture) schemas() (schemas []string) {
	for _, r := range f.Catalog.Relations() {
		if r.Governed() && !slices.Contains(schemas, r.Schema) {
			schemas = append(schemas, r.Schema)
		}
	}
	return schemas
}

// run runs the texts of a batch in new sessions.
func (b *batch) run(ctx context.Context, next Source) (err error) {
	b.free = b.fixture.free
	if err := b.free.exec(ctx, restart); err != nil {
		return err
	}
	if b.sessions, err = b.fixture.connect(ctx, b.caller, b.settings); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sessions.close(ctx)) }()
	for i := 0; ; i++ {
		s, ok := next()
		if !ok {
			return nil
		}
		if err := b.one(ctx, i, s); errors.Is(err, errTimedOut) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %s: %w", b.place(i), s.SQL, err)
		}
	}
}

// errTimedOut ends a batch: one server may have got further with the statement
// than the other, and what it left behind decides where rows are put from now on.
var errTimedOut = errors.New("timed out")

// restart sets generated keys back to where they were, far from keys that rows have.
const restart = `SELECT setval(seqrelid::regclass, 5000) FROM pg_sequence ORDER BY seqrelid`

// place says where a statement comes from, so that it can be made again.
func (b *batch) place(i int) string {
	return fmt.Sprintf("seed %d batch %d statement %d", b.Seed, b.number, i)
}

// one plans one text, runs it on both and judges what came of it.
func (b *batch) one(ctx context.Context, i int, s Statement) error {
	count := b.Tally.of(s.Kind)
	count.Made++
	plan, err := b.plan(s.SQL)
	var refusal *rewrite.Refusal
	if errors.As(err, &refusal) {
		count.Refused++
		b.Tally.Refusals[class(refusal.Code, refusal.Message)]++
		if refusal.Code[:2] != "42" || refusal.Code == "42501" {
			return nil
		}
		return b.fidelity(ctx, i, s, "misread", refusal.Code, refusal.Message)
	}
	if err != nil {
		count.Internal++
		return b.internal(i, s, err)
	}
	o, err := b.sessions.run(ctx, plan)
	if err != nil {
		return err
	}
	switch {
	case o[0].timedOut() || o[1].timedOut():
		count.TimedOut++
		return errTimedOut
	case o[0].err != nil:
		count.Failed++
		b.Tally.Errors[o[0].err.Code]++
	default:
		count.Fine++
	}
	if !slices.Equal(o[0].all(), o[1].all()) {
		count.Differ++
		return b.differs(ctx, i, s)
	}
	if o[0].rejected() && !s.several() && !b.sessions.understands(ctx, plan.SQL) {
		if err := b.sessions.exec(ctx, "ROLLBACK; BEGIN"); err != nil {
			return err
		}
		return b.fidelity(ctx, i, s, "rejected", o[0].err.Code, o[0].err.Message, "sent: "+plan.SQL)
	}
	return nil
}

// internal reports a bug in the engine, in a text as small as can be.
func (b *batch) internal(i int, s Statement, bug error) (err error) {
	key := class("XX000", bug.Error())
	if !b.Tally.known("internal", key) {
		s.SQL, err = reduce(s.SQL, func(sql string) (bool, error) {
			_, err := b.plan(sql)
			return err != nil && class("XX000", err.Error()) == key, nil
		})
	}
	b.found(i, s, "internal", key, bug.Error())
	return err
}

// plan plans a text. A panic is a bug, and found as one.
func (b *batch) plan(sql string) (p *rewrite.Plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return b.caller.engine.Plan(b.caller.session, sql)
}

// fidelity looks whether the server understands a text that did not pass.
// Where some statements make one text, what the later ones mean is not known
// before the first have run.
func (b *batch) fidelity(ctx context.Context, i int, s Statement, what, code, message string, more ...string) error {
	key := class(code, message)
	if b.Tally.known(what, key) || s.several() {
		return nil
	}
	begin := "BEGIN"
	if b.caller.Path != "" {
		begin += "; SET LOCAL search_path = " + b.caller.Path
	}
	if err := b.free.exec(ctx, begin); err != nil {
		return err
	}
	if b.free.understands(ctx, s.SQL) {
		b.found(i, s, what, key, strings.Join(append([]string{code + " " + message}, more...), "\n"))
	}
	return b.free.exec(ctx, "ROLLBACK")
}

// differs reports a difference, as small as it can be made.
func (b *batch) differs(ctx context.Context, i int, s Statement) error {
	small, err := reduce(s.SQL, func(sql string) (bool, error) {
		_, o, err := b.again(ctx, sql)
		return o[0] != nil && !slices.Equal(o[0].all(), o[1].all()), err
	})
	if err != nil {
		return err
	}
	plan, o, err := b.again(ctx, small)
	if err != nil || o[0] == nil {
		return errors.Join(err, b.free.exec(ctx, restart))
	}
	what, lines := "leak", [2][]string{o[0].all(), o[1].all()}
	if slices.Equal(slices.Sorted(slices.Values(lines[0])), slices.Sorted(slices.Values(lines[1]))) {
		what = "order"
	}
	_, key, err := parse.Shape(small)
	b.found(i, Statement{Kind: s.Kind, SQL: small}, what, key, fmt.Sprintf("sent: %s\n%s", plan.SQL, strings.Join(difference(lines), "\n")))
	return errors.Join(err, b.free.exec(ctx, restart))
}

// again runs a text under the same conditions as the first time. There are no
// outcomes when it does not run, or takes too long.
func (b *batch) again(ctx context.Context, sql string) (*rewrite.Plan, [2]*outcome, error) {
	plan, err := b.plan(sql)
	if err != nil {
		return nil, [2]*outcome{}, nil // refused: then it shows nothing
	}
	if err := b.free.exec(ctx, restart); err != nil {
		return nil, [2]*outcome{}, err
	}
	o, err := b.sessions.run(ctx, plan)
	if err != nil || o[0].timedOut() || o[1].timedOut() {
		return nil, [2]*outcome{}, err
	}
	return plan, o, nil
}

// difference gives the lines that only one of two outcomes has.
func difference(lines [2][]string) (diff []string) {
	for i, mark := range []string{"- fixture: ", "+ twin:    "} {
		for j, line := range lines[i] {
			if other := lines[1-i]; j >= len(other) || other[j] != line {
				diff = append(diff, mark+line)
			}
		}
	}
	return diff
}

// found reports something, unless its like was found before.
func (b *batch) found(i int, s Statement, what, key, why string) {
	if b.Tally.known(what, key) {
		b.Tally.Found[what][key]++
		return
	}
	b.Tally.note(what, key)
	policy := ""
	if b.caller.Strict {
		policy = ", its policy without match: equality"
	}
	as := b.caller.User + " purpose=" + b.caller.Purpose
	if b.caller.Path != "" {
		as += "\nset search_path " + b.caller.Path
	}
	fmt.Fprintf(b.Report, "# %s: %s%s, %v\nuse %s\nas %s\n\nrows\n%s\n----\n\n%s\n\n", what, b.place(i), policy, b.settings, b.fixture.Name, as, s.SQL, why)
}
