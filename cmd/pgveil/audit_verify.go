package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgveil/pgveil/audit"
)

// verify checks the log, and the chain beside it where there is one. Heads that
// were remembered are those of the log itself; checkpoints name the chain.
func (c *auditCommand) verify(ctx context.Context) error {
	if c.table {
		return c.verifyTable(ctx)
	}
	return c.verifyLog(ctx)
}

func (c *auditCommand) verifyLog(ctx context.Context) error {
	beside := c.beside()
	first := audit.Check{Heads: c.heads, Keys: c.keys}
	second := audit.Check{Keys: besideKeys(c.keys)}
	for _, k := range c.kept {
		switch {
		case hasOrigin(second.Keys, k):
			second.Kept = append(second.Kept, k)
		default:
			first.Kept = append(first.Kept, k)
		}
	}
	if beside == "" && len(second.Kept) > 0 {
		return fmt.Errorf("THE LOG IS NOT GOOD\n  there is a checkpoint of %s, and the folder %s is missing", second.Kept[0].Origin, besideDir)
	}
	err := c.verifyChain(ctx, c.dir, first)
	if err != nil || beside == "" {
		return err
	}
	if _, err := fmt.Fprintf(c.stdout, "beside, %s: ", beside); err != nil {
		return err
	}
	return c.verifyChain(ctx, beside, second)
}

func hasOrigin(keys []audit.PublicKey, c audit.Checkpoint) bool {
	return slices.ContainsFunc(keys, func(k audit.PublicKey) bool { return k.Origin() == c.Origin })
}

// beside gives the folder of the log's second chain, "" where there is none.
func (c *auditCommand) beside() string {
	dir := filepath.Join(c.dir, besideDir)
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

func (c *auditCommand) verifyChain(ctx context.Context, dir string, check audit.Check) error {
	start := time.Now()
	show, clear := verifyProgress(c.stderr)
	check.Progress = show
	var rep audit.Report
	done := make(chan error, 1)
	go func() {
		var err error
		rep, err = check.Verify(dir)
		done <- err
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		clear()
		if errors.As(err, new(*audit.Fault)) {
			return fmt.Errorf("THE LOG IS NOT GOOD\n  %w\n  good before that: %d records, head %s%s", err, rep.Head.Count, rep.Head, goodUnder(check, rep))
		} else if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.stdout, "good: %d records in %d segments, %.1f MB checked in %s\nhead: %s\n", rep.Head.Count, rep.Segments,
		float64(rep.Bytes)/1e6, time.Since(start).Round(time.Millisecond), rep.Head)
	if t := rep.Retired; err == nil && t.Records > 0 {
		_, err = fmt.Fprintf(c.stdout, "retired: records 0 to %d, at %s, %s; the last of them was of %s\n", t.Records-1,
			t.At.Format(time.RFC3339), t.Why, t.Last.Format(time.RFC3339))
	}
	if err == nil && rep.Retired.Records > 0 && len(check.Keys) == 0 {
		_, err = fmt.Fprintln(c.stdout, "note: who signed that was not looked at; give the public key with --key")
	}
	if err == nil {
		err = c.tellSigned(dir, check, rep)
	}
	if err == nil && rep.Unfinished > 0 {
		_, err = fmt.Fprintf(c.stdout, "note: behind the last record stand %d bytes of an unfinished one. Either it is being written now, or a crash\n"+
			"      cut it short; then the next start removes it and records that.\n", rep.Unfinished)
	}
	return err
}

// goodUnder says how much of a log that is not good a checkpoint vouches for:
// of the records that are "good before that", only those.
func goodUnder(check audit.Check, rep audit.Report) string {
	if len(check.Keys) == 0 {
		return ""
	}
	return fmt.Sprintf("\n  under a signed checkpoint, and as they were signed: the first %d", rep.Signed)
}

// tellSigned says what the signatures cover, and what they do not.
func (c *auditCommand) tellSigned(dir string, check audit.Check, rep audit.Report) error {
	if len(check.Keys) == 0 {
		if _, err := os.Stat(filepath.Join(dir, "checkpoint")); err != nil {
			return nil
		}
		_, err := fmt.Fprintln(c.stdout, "note: the signed checkpoints were not looked at; give the public key with --key")
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "signed: %d records, by %s; %d checkpoints\n", rep.Signed, rep.Signer, rep.Checkpoints)
	if n := rep.Head.Count - rep.Signed; err == nil && n > 0 {
		_, err = fmt.Fprintf(c.stdout, "note: the last %d records are not signed yet\n", n)
	}
	if err == nil && rep.Unknown > 0 {
		_, err = fmt.Fprintf(c.stdout, "note: %d older checkpoints fit, and are by keys that were not given\n", rep.Unknown)
	}
	if err == nil && rep.BadHashes {
		_, err = fmt.Fprintln(c.stdout, "note: the records are good, but hashes.dat is not of them; when pgveil starts without that file it makes it anew")
	}
	return err
}
