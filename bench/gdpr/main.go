// Command gdpr measures what the work of data subjects' rights costs, after
// GDPRbench (Shastri et al., VLDB 2020): a customer, a controller, a processor and
// a regulator, each with a mix of operations, through pgveil and, by hand in SQL,
// on a database without it.
//
//	go run ./bench/gdpr                            the four roles, about three minutes
//	go run ./bench/gdpr --only customer --seconds 30
//	go run ./bench/gdpr --measure night --requests 10000
//	go run ./bench/gdpr --measure big --requests 1000000
//
// Every operation is done on both sides before the next one, and their answers are
// compared; at the end so are the databases. An answer that differs fails the run.
// docs/benchmarks.md says how, and holds the last figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	binary                             string
	customers, rows, requests, workers int
	serving                            int           // of the workers, those of serve
	seconds                            time.Duration // of each role
	only                               *regexp.Regexp
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gdpr:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var o options
	name := flag.String("measure", "roles", "`what`: roles, night (many erasures) or big (one subject with many rows)")
	flag.StringVar(&o.binary, "pgveil", "", "`program` to measure; else it is built")
	flag.IntVar(&o.customers, "customers", 100_000, "customers")
	flag.IntVar(&o.rows, "rows", 1_000_000, "rows of the other tables")
	flag.IntVar(&o.requests, "requests", 10_000, "of night: how many erasures; of big: the subject's rows")
	flag.IntVar(&o.workers, "workers", 2, "workers on requests")
	seconds := flag.Int("seconds", 25, "how long each role works")
	only := flag.String("only", "", "`pattern` of the roles that work")
	flag.Parse()
	if o.seconds = time.Duration(*seconds) * time.Second; o.customers < 1000 || o.rows < 10 || o.requests < 1 || o.requests > 1000*o.customers || o.workers < 1 {
		return errors.New("at least 1000 customers, 10 rows, a request and a worker")
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	what := measures[*name]
	if what == nil {
		return fmt.Errorf("--measure %s: there are roles, night and big", *name)
	}
	return perform(ctx, o, *name, what)
}

// measure does something on a stage, prints what it took, and fails when the
// outcome is not as it must be.
type measure func(ctx context.Context, s *stage, o options) error

var measures = map[string]measure{"roles": roles, "night": night, "big": big}

func perform(ctx context.Context, o options, name string, what measure) (err error) {
	if name != "night" { // whose workers are a process of their own
		o.serving = o.workers
	}
	s, err := build(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return what(ctx, s, o)
}
