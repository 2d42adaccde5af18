package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/ship"
	"github.com/pgveil/pgveil/config"
)

// shipCall is one call of "pgveil audit ship".
type shipCall struct {
	config, sink, dir, from, reset string
	once, forget                   bool
	stdout, stderr                 io.Writer
}

// runAuditShip runs "pgveil audit ship".
func runAuditShip(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("audit ship", "",
		`Ships the access log to one of the sinks of audit.ship, by hand. Without --from
it goes on where the sink is, as the proxy does, which must not run then: it
would wait for the other one to end. With --from it sends what is from there on
once more, to fill a new index for example, and does not touch the sink's cursor;
that may be from a copy of the log, and beside the proxy.`,
		"pgveil audit ship --config pgveil.yaml --sink siem --once",
		"pgveil audit ship --config pgveil.yaml --sink siem --from start --dir /mnt/copy/audit",
		"pgveil audit ship --config pgveil.yaml --sink siem --reset now",
		"pgveil audit ship --config pgveil.yaml --sink gone --forget")
	s := shipCall{stdout: stdout, stderr: stderr}
	c.flags.StringVar(&s.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&s.sink, "sink", "", "`name` of the sink")
	c.flags.BoolVar(&s.once, "once", false, "end at the end of the log, instead of waiting for more")
	c.flags.StringVar(&s.from, "from", "", "send from this `record` on, by its seq, or from start, up to the end of the log")
	c.flags.StringVar(&s.dir, "dir", "", "with --from: `directory` of the log, or of one of its chains, where it is not audit.dir")
	c.flags.StringVar(&s.reset, "reset", "", "send nothing, but have the sink go on at `record`, start or now")
	c.flags.BoolVar(&s.forget, "forget", false, "send nothing, but remove the cursor of a sink that is no more, so that the log may expire")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	switch {
	case s.sink == "":
		return c.misused(stderr, "--sink is needed")
	case s.dir != "" && s.from == "":
		return c.misused(stderr, "--dir goes with --from: a cursor is of the log in audit.dir")
	case s.from != "" && (s.reset != "" || s.forget) || s.reset != "" && s.forget:
		return c.misused(stderr, "--from, --reset and --forget exclude each other")
	}
	if err := s.run(ctx); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (s *shipCall) run(ctx context.Context) error {
	cfg, err := config.Load(s.config)
	if err != nil {
		return err
	}
	o := shipOptions(cfg.Audit, newLogger(cfg.Log, s.stderr))
	if s.forget {
		return ship.Forget(o.Dir, s.sink)
	}
	i := slices.IndexFunc(cfg.Audit.Ship, func(c config.Sink) bool { return c.Name == s.sink })
	if i < 0 {
		return fmt.Errorf("audit.ship has no sink %q", s.sink)
	}
	list, err := sinks(cfg.Audit.Ship[i : i+1])
	if err != nil {
		return err
	}
	switch {
	case s.reset != "":
		return s.move(o)
	case s.from != "":
		return s.backfill(ctx, cfg, list, o)
	default:
		o.Durable = func(ctx context.Context, c ship.Chain, seq uint64) error { return audit.SyncFiles(ctx, c.Dir, seq) }
		return s.ship(ctx, list, o)
	}
}

func (s *shipCall) move(o ship.Options) error {
	switch s.reset {
	case "start":
		return ship.Reset(o, s.sink, false, nil)
	case "now":
		return ship.Reset(o, s.sink, true, nil)
	}
	seq, err := strconv.ParseUint(s.reset, 10, 63)
	if err != nil {
		return fmt.Errorf("--reset takes start, now, or the seq of a record, not %q", s.reset)
	}
	return ship.Reset(o, s.sink, false, &seq)
}

func (s *shipCall) backfill(ctx context.Context, cfg *config.Config, list []ship.Sink, o ship.Options) error {
	if s.dir != "" {
		c := &o.Chains[0]
		c.Dir = s.dir
		if filepath.Base(filepath.Clean(s.dir)) == besideDir {
			c.Log = besideOrigin(shippedAs(cfg.Audit))
		}
	}
	first, err := ship.First(o.Chains[0])
	if err != nil {
		return err
	}
	if s.from != "start" {
		if first, err = strconv.ParseUint(s.from, 10, 63); err != nil {
			return fmt.Errorf("--from takes start, or the seq of a record, not %q", s.from)
		}
	}
	o.From, s.once = &first, true
	return s.ship(ctx, list, o)
}

// ship ships until the end of the log, or until somebody interrupts it; then
// what was taken is remembered.
func (s *shipCall) ship(ctx context.Context, list []ship.Sink, o ship.Options) error {
	shipper, err := ship.Start(list, o)
	if err != nil {
		return err
	}
	if !s.once {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.Background(), shipLast)
		defer cancel()
		ctx = last
	}
	err = shipper.Close(ctx)
	st := shipper.Stats()[0]
	_, werr := fmt.Fprintf(s.stdout, "%d events sent, %d put aside, %d tries failed\n", st.Sent, st.DeadLetters, st.Errors)
	return errors.Join(err, werr)
}

// checkShip finds what is wrong with sinks and anchors: settings, and files with
// secrets and certificates. It sends nothing.
func checkShip(path string, stdout io.Writer) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	list, err := sinks(cfg.Audit.Ship)
	if err != nil {
		return err
	}
	places, err := anchorPlaces(cfg.Audit.Anchors)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %d sinks and %d anchors of the access log can be set up\n", path, len(list), len(places))
	return err
}
