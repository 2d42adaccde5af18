package twins

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

var (
	statementsFlag = flag.Int("statements", 3000, "how many `statements` to generate")
	seedFlag       = flag.Uint64("seed", 1, "what they are generated from")
	smithFlag      = flag.Int("sqlsmith", 0, "how many statements sqlsmith makes")
	batchFlag      = flag.Int("batch", -1, "run this `batch` alone")
)

var fixtures = []string{"../../testdata/fixtures/shop", "../../testdata/fixtures/crm", "../../testdata/fixtures/odd", "../../testdata/fixtures/ledger"}

// newRunner starts a server for the fixtures and a copy of it for their twins.
func newRunner(t *testing.T) *Runner {
	dirs := [2]string{filepath.Join(t.TempDir(), "fixtures"), filepath.Join(t.TempDir(), "twins")}
	for _, dir := range dirs { // the server's account must get to its folder
		if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	first, server := startServer(t, dirs[0])
	for _, dir := range fixtures {
		if err := Create(t.Context(), dir, server); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(first.Stop(), os.CopyFS(dirs[1], os.DirFS(dirs[0])), os.Chmod(dirs[1], 0o700)); err != nil {
		t.Fatal(err)
	}
	var pair [2]Server
	for i, dir := range dirs {
		s, server := startServer(t, dir)
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
		pair[i] = server
	}
	r := &Runner{Seed: *seedFlag, Report: os.Stdout, Tally: NewTally()}
	for _, dir := range fixtures {
		f, err := Load(t.Context(), dir, pair)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		r.Fixtures = append(r.Fixtures, f)
	}
	return r
}

func startServer(t *testing.T, dir string) (*pgserver.Server, Server) {
	s, err := pgserver.Start(t.Context(), pgserver.Options{
		BinDir: os.Getenv(pgtest.EnvBin), Dir: dir, FastUnsafe: true,
		Settings: map[string]string{"statement_timeout": "2s", "jit": "off", "synchronize_seqscans": "off", "max_parallel_workers_per_gather": "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, func(database string) string { return s.DSN(database, pgserver.Superuser) }
}

// perServer is how many statements run on one pair of servers. What rolled-back
// writes leave in the files is not alike for ever.
const perServer = 10000

// TestTwins runs statements of our own making.
func TestTwins(t *testing.T) {
	tally := NewTally()
	start := time.Now()
	if *batchFlag >= 0 {
		r := newRunner(t)
		r.Tally = tally
		if err := r.Batch(t.Context(), *batchFlag, batchSize); err != nil {
			t.Fatal(err)
		}
		judge(t, tally, time.Since(start))
		return
	}
	next := 0
	for left := *statementsFlag; left > 0 && !t.Failed(); left -= perServer {
		t.Run(fmt.Sprintf("from batch %d", next), func(t *testing.T) {
			r := newRunner(t)
			everythingShows(t, r.Fixtures[0])
			r.Tally = tally
			var err error
			if next, err = r.Run(t.Context(), next, min(left, perServer)); err != nil {
				t.Fatal(err)
			}
		})
	}
	judge(t, tally, time.Since(start))
	if total := tally.Total(); total.Fine*2 < total.Made {
		t.Errorf("%d of %d statements ran without an error, want more than half", total.Fine, total.Made)
	}
}

// everythingShows runs the statements of an agent as somebody from whom nothing
// is hidden: if they found no difference then, they would never.
func everythingShows(t *testing.T, f *Fixture) {
	var report strings.Builder
	r := &Runner{Fixtures: []*Fixture{f}, Seed: *seedFlag, Report: &report, Tally: NewTally()}
	callers := f.callers(false)
	agent := callers[slices.IndexFunc(callers, func(c Caller) bool { return c.User == "alice" })]
	access, err := f.Engine.Policy.Access("dora", "")
	if err != nil {
		t.Fatal(err)
	}
	dora := Caller{User: "dora", engine: f.Engine}
	if dora.session, err = f.Engine.Session(access, ""); err != nil {
		t.Fatal(err)
	}
	g, n := f.generate(agent, *seedFlag, 0), 100
	b := &batch{Runner: r, fixture: f, caller: dora}
	err = b.run(t.Context(), func() (Statement, bool) {
		n--
		return g.next(), n >= 0
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Tally.Total().Differ; n < 10 || !strings.Contains(report.String(), "# leak") {
		t.Errorf("%d of 100 statements differ, want many\n%s", n, report.String())
	}
}

// TestSmith runs statements that sqlsmith makes, which knows nothing of pgveil.
func TestSmith(t *testing.T) {
	if *smithFlag == 0 {
		t.Skip("-sqlsmith=N runs N of its statements")
	}
	r := newRunner(t)
	start := time.Now()
	dropped := 0
	for i, f := range r.Fixtures {
		cmd := exec.CommandContext(t.Context(), "sqlsmith", "--target="+f.dsns[0], "--dry-run", "--exclude-catalog",
			fmt.Sprintf("--max-queries=%d", *smithFlag/len(r.Fixtures)), fmt.Sprintf("--seed=%d", *seedFlag+uint64(i)))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatalf("%v; it is in Debian: apt-get install sqlsmith", err)
		}
		if err := r.Feed(t.Context(), f, Smith(out, &dropped)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d statements left out, which do not come out alike twice", dropped)
	judge(t, r.Tally, time.Since(start))
}

// judge prints the figures and fails where something was found that a caller
// could learn from, or that is a bug in any case.
func judge(t *testing.T, tally Tally, took time.Duration) {
	t.Helper()
	var figures strings.Builder
	if err := tally.Print(&figures); err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %.0f statements a second\n%s", *seedFlag, float64(tally.Total().Made)/took.Seconds(), figures.String())
	for _, what := range []string{"leak", "internal"} {
		if n := tally.Findings(what); n > 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}
