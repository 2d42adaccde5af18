package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	var o options
	flag.Float64Var(&o.minutes, "minutes", 30, "how long")
	flag.IntVar(&o.rate, "rate", 300, "what clients do in a second, together")
	flag.StringVar(&o.pgveil, "pgveil", "bin/pgveil", "the `program`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	minutes float64
	rate    int
	pgveil  string
}

// run soaks, and gives what was wrong.
func (o *options) run(ctx context.Context) (err error) {
	s, err := newStage(ctx, o.pgveil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	length := time.Duration(o.minutes * float64(time.Minute))
	loading, enough := context.WithTimeout(ctx, length)
	defer enough()
	l := startLoad(loading, s, o.rate)
	samples, err := s.watch(loading, length, l)
	enough()
	err = errors.Join(err, l.wait(), s.stop(), ctx.Err())
	fmt.Println(l)
	return errors.Join(err, judge(os.Stdout, samples))
}
