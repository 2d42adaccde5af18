package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("pgveil", "bin/pgveil", "the pgveil `program` to show")
	port := flag.Int("port", 0, "`port` on 127.0.0.1 that pgveil listens on; 0 is any that is free")
	once := flag.Bool("once", false, "end after the last step instead of staying up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code, err := run(ctx, *binary, *port, *once)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	}
	os.Exit(code)
}

// run gives the exit status: 0 if every step kept its promise, 1 if one did
// not, 130 if it was interrupted before that was known.
func run(ctx context.Context, binary string, port int, once bool) (code int, err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return 1, err
	}
	out := newScreen(os.Stdout)
	s := &stand{binary: binary}
	defer func() {
		if closeErr := s.close(); closeErr != nil {
			code, err = max(code, 1), errors.Join(err, closeErr)
		}
	}()
	begun := time.Now()
	if err := s.build(ctx, port, out.progress); err != nil {
		return 1, err
	}
	t := &tour{stand: s, out: out, callers: map[string]*caller{}}
	defer t.hangUp()
	if err := t.cast(ctx); err != nil {
		return 1, err
	}
	t.walk(ctx)
	if ctx.Err() != nil {
		out.note("\ninterrupted")
		return 130, nil
	}
	out.verdict(t.held, t.broken, time.Since(begun))
	if t.broken > 0 {
		code = 1
	}
	if !once {
		t.invite()
		<-ctx.Done()
		out.note("\nstopping")
	}
	return code, nil
}
