package twins

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/rewrite"
)

// TestNaming runs statements as they are sent where the access log names data
// subjects, and as they are sent where it does not: less the columns that are
// there for naming alone, both must come to the same.
func TestNaming(t *testing.T) {
	unseen(t, 20, func(e *rewrite.Engine) error { e.NameSubjects(); return nil })
}

// TestImages does the same where it has images of all changed rows.
func TestImages(t *testing.T) {
	unseen(t, 40, func(e *rewrite.Engine) error { return e.KeepImages([]string{"*.*"}) })
}

// unseen compares statements with columns that an engine adds to those without.
// One of so many at least must have some.
func unseen(t *testing.T, oneOf int, add func(*rewrite.Engine) error) {
	t.Helper()
	r := newRunner(t)
	var made, compared int
	for i := 0; made < *statementsFlag/2; i++ {
		f := r.Fixtures[i%len(r.Fixtures)]
		files, err := policyFiles(filepath.Join("../../testdata/fixtures", f.Name))
		if err != nil {
			t.Fatal(err)
		}
		named, err := f.engine(files)
		if err != nil {
			t.Fatal(err)
		}
		if err := add(named); err != nil {
			t.Fatal(err)
		}
		c, err := f.caller(rand.New(rand.NewPCG(*seedFlag, uint64(i))))
		if err != nil || c.Strict {
			continue
		}
		access, err := named.Policy.Access(c.User, c.Purpose)
		if err != nil {
			t.Fatal(err)
		}
		session, err := named.Session(access, c.Path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := f.connect(t.Context(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		g := f.generate(c, *seedFlag, uint64(i))
		for range batchSize {
			s := g.next()
			want, err := c.engine.Plan(c.session, s.SQL)
			got, gotErr := named.Plan(session, s.SQL)
			if fmt.Sprint(err) != fmt.Sprint(gotErr) {
				t.Errorf("%s: %v without naming, %v with it", s.SQL, err, gotErr)
			}
			made++
			if err != nil || gotErr != nil || got.SQL == want.SQL || unsteady.MatchString(s.SQL) || inPlace.MatchString(s.SQL) {
				continue
			}
			compared++
			a, b := sent(t, f, p, want), sent(t, f, p, got)
			if slices.Sort(a); !slices.Equal(a, b) {
				slices.Sort(b)
				if !slices.Equal(a, b) && !slices.ContainsFunc(slices.Concat(a, b), func(line string) bool { return timedOut.MatchString(line) }) {
					t.Errorf("%s, %s: %s\nsent %s\nsent %s\n%v", f.Name, c.User, s.SQL, want.SQL, got.SQL, difference([2][]string{a, b}))
				}
			}
		}
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	t.Logf("of %d statements %d were compared: they have columns for the access log", made, compared)
	if compared*oneOf < made {
		t.Errorf("%d of %d statements have columns for the access log, want many", compared, made)
	}
}

// inPlace names what tells where rows are, which the first of two runs changes,
// or which of several that are as good come.
var inPlace = regexp.MustCompile(`(?i)\b(ctid|limit|fetch first|offset|distinct on|row_number|lag|lead|ntile|first_value|last_value|nth_value|tablesample|array|array_agg|string_agg|json\w*agg|rows between|explain|cursor|returning xmax)\b`)

var timedOut = regexp.MustCompile(`^error 57014`)

// sent sends a plan and gives what the client gets of the answer.
func sent(t *testing.T, f *Fixture, p pair, plan *rewrite.Plan) []string {
	t.Helper()
	ctx := context.Background()
	o := &outcome{}
	p[0].CustomData()["outcome"] = o
	if len(plan.Steps) == 1 && plan.Steps[0].Command == "COPY" {
		if err := o.send(ctx, p[0], plan.SQL, true); err != nil {
			t.Fatal(err)
		}
	} else if err := o.named(ctx, p[0], plan); err != nil {
		t.Fatal(err)
	}
	o.redact(plan)
	p[0].CustomData()["outcome"] = &outcome{}
	if err := errors.Join(p[0].Exec(ctx, "ROLLBACK; DEALLOCATE ALL; BEGIN").Close(), f.free.exec(ctx, restart)); err != nil {
		t.Fatal(err)
	}
	return o.all()
}

// named runs a plan and leaves out what is there for naming.
func (o *outcome) named(ctx context.Context, c *pgconn.PgConn, plan *rewrite.Plan) error {
	results := c.Exec(ctx, plan.SQL)
	for step := 0; results.NextResult(); step++ {
		n := plan.Naming(step)
		r := results.ResultReader()
		fields := r.FieldDescriptions()
		fields = fields[:len(fields)-min(len(fields), n.Hidden())]
		var columns []string
		for _, f := range fields {
			columns = append(columns, fmt.Sprintf("%s:%d:%d", f.Name, f.DataTypeOID, f.TypeModifier))
		}
		o.lines = append(o.lines, fmt.Sprint(columns))
		for r.NextRow() {
			if !n.Silent {
				o.lines = append(o.lines, row(r.Values()[:len(fields)]))
			}
		}
		tag, err := r.Close()
		if err != nil {
			break // the same as Close gives
		}
		o.lines = append(o.lines, tag.String())
	}
	if err := results.Close(); err != nil && !errors.As(err, &o.err) {
		return err
	}
	return nil
}
