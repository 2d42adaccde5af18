package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

func main() {
	pgveil := flag.String("pgveil", "bin/pgveil", "the binary under test")
	inClear := flag.Bool("clear", false, "no TLS on either side, unless a test wants it")
	flag.Usage = usage
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := newRunner(*pgveil)
	if err == nil {
		r.clear = *inClear
		err = r.runAll(ctx, flag.Args())
	}
	if errors.Is(err, errDiffers) {
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "suites: %v\n", err)
		os.Exit(2)
	}
}

func usage() {
	fmt.Fprintf(flag.CommandLine.Output(), "Usage: suites [-pgveil BINARY] [-clear] SUITE...\n\n")
	for _, s := range suites() {
		fmt.Fprintf(flag.CommandLine.Output(), "  %-10s %s\n", s.name, s.about)
	}
}

// runner runs suites on both ways to a server and compares what they come to.
type runner struct {
	root   string // of this tree
	pgveil string // the binary
	kept   string // folder in which results are kept
	known  known
	clear  bool // connections are in clear
}

func newRunner(pgveil string) (*runner, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	r := &runner{root: root, kept: filepath.Join(root, ".cache", "suites")}
	if r.pgveil, err = filepath.Abs(pgveil); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "suites", "differences.txt"))
	if err != nil {
		return nil, err
	}
	r.known, err = parseKnown(string(text))
	return r, err
}

// errDiffers says that some suite does not give the same through pgveil.
var errDiffers = errors.New("there are differences that are not listed")

// runAll runs the suites of the names, all that it can before it tells of
// differences.
func (r *runner) runAll(ctx context.Context, names []string) error {
	if len(names) == 0 {
		usage()
		return errors.New("no suite is named")
	}
	all := suites()
	for i := range all {
		all[i].clear = all[i].clear || r.clear
	}
	same := true
	for _, name := range names {
		i := slices.IndexFunc(all, func(s suite) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("there is no suite %q", name)
		}
		ok, err := r.compare(ctx, all[i])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		same = same && ok
	}
	if !same {
		return errDiffers
	}
	return nil
}

// compare runs a suite directly and through pgveil, each on a server of its
// own, and tells whether all that differs is listed.
func (r *runner) compare(ctx context.Context, s suite) (bool, error) {
	var both [2]results
	for i, way := range []string{"direct", "pgveil"} {
		start := time.Now()
		got, err := r.run(ctx, s, way)
		if err != nil {
			return false, fmt.Errorf("%s: %w", way, err)
		}
		if !got.passed() { // two runs that never got going are alike, too
			return false, fmt.Errorf("%s: no test passed: %s", way, got.tally())
		}
		fmt.Printf("%-10s %-7s %s in %.0f s\n", s.name, way, got.tally(), time.Since(start).Seconds())
		both[i] = got
	}
	text, same := verdict(s.name, both[0], both[1], r.known)
	fmt.Print(text)
	return same, nil
}

func (r *runner) run(ctx context.Context, s suite, way string) (_ results, err error) {
	keep := filepath.Join(r.kept, s.name, way)
	if err := errors.Join(os.RemoveAll(keep), os.MkdirAll(keep, 0o755)); err != nil {
		return nil, err
	}
	st, err := r.newStage(ctx, s, way, keep)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	got, err := s.run(ctx, st)
	if err != nil {
		return nil, err
	}
	return got, os.WriteFile(filepath.Join(keep, "results"), []byte(got.String()), 0o644)
}
