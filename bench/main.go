package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

// options are the flags of one run.
type options struct {
	rounds, seconds, scale, rows, idle int
	tls, unix, install, quick, full    bool
	only, among                        *regexp.Regexp
	json, markdown, profile            string
	pgveil, other                      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run gives the exit status: 1 when the run failed, 2 when the call makes no
// sense, 130 when it was interrupted.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	report, err := measure(ctx, o, stderr)
	if err == nil {
		err = report.deliver(o, stdout)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted")
		return 130
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	default:
		return 0
	}
}

// parseFlags reads the flags. --quick and --full choose other defaults; what
// is set beside them stands.
func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "how often every contender runs every workload")
	flags.IntVar(&o.seconds, "seconds", 10, "how long a timed run takes")
	flags.IntVar(&o.scale, "scale", 5, "pgbench's scale: 100,000 accounts each")
	flags.IntVar(&o.rows, "rows", 2_000_000, "customers to stream")
	flags.IntVar(&o.idle, "idle", 1000, "idle sessions to hold")
	flags.BoolVar(&o.tls, "tls", false, "TLS on both sides of every contender")
	flags.BoolVar(&o.unix, "unix", false, "reach the server by its unix socket; no TLS anywhere")
	flags.BoolVar(&o.install, "install", false, "install contenders that are missing, by apt-get")
	flags.BoolVar(&o.quick, "quick", false, "one short round of some workloads, with fewer rows and sessions")
	flags.BoolVar(&o.full, "full", false, "5000 idle sessions")
	flags.StringVar(&o.json, "json", "", "write every figure to `FILE`")
	flags.StringVar(&o.markdown, "markdown", "", "put the figures in the place kept for them in `FILE`")
	flags.StringVar(&o.profile, "profile", "", "write what pgveil uses processors for, as a profile of pprof, to `FILE`")
	flags.StringVar(&o.pgveil, "pgveil", "", "the pgveil `PROGRAM`; built from this tree when not given")
	flags.StringVar(&o.other, "other", "", "have another pgveil `PROGRAM` contend as well")
	pattern := func(name, usage string, to **regexp.Regexp) {
		flags.Func(name, usage, func(s string) (err error) {
			*to, err = regexp.Compile(s)
			return err
		})
	}
	pattern("only", "run the workloads that match `REGEXP`", &o.only)
	pattern("among", "run the contenders that match `REGEXP`", &o.among)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	set := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { set[f.Name] = true })
	o.preset(set)
	return o, errors.Join(o.check(), o.resolve())
}

// quickWorkloads are those of --quick: enough of each kind to see what moved.
var quickWorkloads = regexp.MustCompile(`^(small/(simple|prepared)/(8|32)|masked/|literals/simple/8|audited/|new/|connections/|rows/(select/masked|copy-out/clear|copy-in)|latency/|idle/|tls/(small/prepared/8|idle/))`)

// preset puts the values of --quick and --full where no flag says otherwise.
func (o *options) preset(set map[string]bool) {
	put := func(name string, to *int, value int) {
		if !set[name] {
			*to = value
		}
	}
	if o.quick {
		put("rounds", &o.rounds, 1)
		put("seconds", &o.seconds, 2)
		put("rows", &o.rows, 400_000)
		put("idle", &o.idle, 100)
		if o.only == nil {
			o.only = quickWorkloads
		}
	}
	if o.full {
		put("idle", &o.idle, 5000)
	}
}

func (o *options) check() error {
	if min(o.rounds, o.seconds, o.scale, o.rows, o.idle) < 1 {
		return errors.New("rounds, seconds, scale, rows and idle must be at least 1")
	}
	if o.unix && o.tls {
		return errors.New("--unix and --tls: a unix socket has no TLS")
	}
	return nil
}

// resolve makes the paths of programs absolute: contenders run in folders of
// their own.
func (o *options) resolve() (err error) {
	for _, path := range []*string{&o.pgveil, &o.other} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}
