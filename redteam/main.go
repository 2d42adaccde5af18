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
)

func main() {
	var o options
	flag.StringVar(&o.pgveil, "pgveil", "bin/pgveil", "the `program`")
	flag.Func("only", "try the evasions that match `REGEXP`", pattern(&o.only))
	flag.Func("at", "try them on the arrangements that match `REGEXP`", pattern(&o.at))
	flag.BoolVar(&o.verbose, "v", false, "print what clients are told, of each kind of error the last")
	flag.BoolVar(&o.day, "day", true, "have somebody work for a day as well, who must raise no alert")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "redteam: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	pgveil   string
	verbose  bool
	day      bool
	only, at *regexp.Regexp
}

func pattern(to **regexp.Regexp) func(string) error {
	return func(text string) (err error) {
		*to, err = regexp.Compile(text)
		return err
	}
}

// run tries everything, and gives what was wrong.
func (o *options) run(ctx context.Context) (err error) {
	all := evasions()
	logins := make([]string, len(all)+len(oracles()))
	for i := range logins {
		logins[i] = fmt.Sprintf("thief%03d", i)
	}
	s, err := newStage(ctx, o.pgveil, logins)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	version, err := s.version(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range arrangements(s) {
		if o.at == nil || o.at.MatchString(a.name) {
			errs = append(errs, o.against(ctx, a, all, logins, version))
		}
	}
	if o.day {
		errs = append(errs, s.day(ctx))
	}
	return errors.Join(errs...)
}

// against tries the evasions on one arrangement.
func (o *options) against(ctx context.Context, a *arrangement, all []evasion, logins []string, version int) error {
	if err := a.start(ctx); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", a.name, err), a.stop())
	}
	fmt.Printf("\n%s\n%s\n", a.name, head)
	var errs []error
	for i, e := range all {
		if ctx.Err() != nil {
			break
		}
		if o.only != nil && !o.only.MatchString(e.name) || version/10000 < e.since || e.veiled && a.name == direct {
			continue
		}
		r := e.try(ctx, a, logins[i])
		fmt.Println(r)
		if o.verbose {
			r.explain(os.Stdout)
		}
		if err := r.wrong(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", a.name, e.name, err))
		}
	}
	errs = append(errs, o.bits(ctx, a, logins[len(all):]))
	return errors.Join(errors.Join(errs...), ctx.Err(), a.stop())
}

// bits asks oracles, of one pgveil.
func (o *options) bits(ctx context.Context, a *arrangement, logins []string) error {
	if len(a.proxies) != 1 || o.only != nil && !o.only.MatchString("oracles") {
		return nil
	}
	fmt.Println("\nbit by bit")
	for i, oracle := range oracles() {
		if err := oracle.ask(ctx, a, logins[i]); err != nil {
			return fmt.Errorf("%s: %w", oracle.name, err)
		}
	}
	return nil
}
