package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

const auditRetireHelp = `Usage: pgveil audit retire --config FILE [--dry-run]

Removes segments of the access log whose last record is older than audit.keep,
and says so in the log and in a signed statement, the file retired. "pgveil serve"
does the same every minute for the chain that it writes: this is for the other
one, and for a log that nobody writes. With --dry-run it removes nothing, says
what would go, and may run beside the proxy.

A file named hold in the folder of the log, or audit.hold, keeps everything.
`

// runAuditRetire runs "pgveil audit retire".
func runAuditRetire(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("retire", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	path := f.String("config", "/etc/pgveil/pgveil.yaml", "")
	dry := f.Bool("dry-run", false, "")
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, auditRetireHelp)
		return 0
	}
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("%q is not a flag; try --help", f.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "pgveil audit retire: %v\n", err)
		return 2
	}
	cfg, err := config.Load(*path)
	if err == nil {
		err = retireChains(ctx, cfg.Audit, *dry, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "pgveil audit retire: %v\n", err)
		return 1
	}
	return 0
}

// retireChains goes through both chains of a log.
func retireChains(ctx context.Context, a config.Audit, dry bool, stdout io.Writer) error {
	if a.Keep == 0 {
		return errors.New("records are kept for ever: audit.keep is not set")
	}
	if _, err := os.Stat(filepath.Join(a.Dir, holdName)); a.Hold || !errors.Is(err, os.ErrNotExist) {
		_, err := fmt.Fprintf(stdout, "there is a hold, by audit.hold or the file %s: nothing is removed\n", filepath.Join(a.Dir, holdName))
		return err
	}
	for _, dir := range []string{a.Dir, filepath.Join(a.Dir, besideDir)} {
		if _, err := os.Stat(dir); dir != a.Dir && errors.Is(err, os.ErrNotExist) {
			continue
		}
		run := retireChain
		if dry {
			run = previewRetirement
		}
		if err := run(ctx, a, dir, stdout); err != nil {
			return err
		}
	}
	return nil
}

func previewRetirement(_ context.Context, a config.Audit, dir string, stdout io.Writer) error {
	before := time.Now().Add(-time.Duration(a.Keep))
	found, err := audit.FindRetirable(dir, before, shipFloor(a, dir))
	if err != nil {
		return err
	}
	if len(found.Firsts) == 0 {
		_, err = fmt.Fprintf(stdout, "%s: no segment has only records from before %s\n", dir, before.UTC().Format(time.RFC3339))
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: records %d to %d would go at first, in %d segments, %.1f MB; the last is of %s\n", dir, found.Firsts[0], found.Cut-1,
		len(found.Firsts), float64(found.Bytes)/1e6, found.Last.Format(time.RFC3339))
	return err
}

func retireChain(ctx context.Context, a config.Audit, dir string, stdout io.Writer) (err error) {
	o, err := logOptions(a)
	if err != nil {
		return err
	}
	if dir != a.Dir {
		besideKeysOf(o)
	}
	o.Retention.Floor = func() uint64 { return shipFloor(a, dir) }
	log, err := audit.Open(dir, o)
	if errors.Is(err, audit.ErrInUse) {
		_, err = fmt.Fprintf(stdout, "%s: pgveil is writing it, and removes old records by itself\n", dir)
		return err
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	before := log.Stats().First
	t, err := log.Retire(ctx)
	if err != nil {
		return err
	}
	if t.Records == before {
		_, err = fmt.Fprintf(stdout, "%s: there is nothing to remove\n", dir)
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: records %d to %d are removed; the last was of %s\n", dir, before, t.Records-1, t.Last.Format(time.RFC3339))
	return err
}
