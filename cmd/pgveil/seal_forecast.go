package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/reseal/forecast"
	"github.com/pgveil/pgveil/rewrite"
)

// forecasting says whether and how statements of the log are planned anew.
type forecasting struct {
	on    bool
	since time.Time
	path  string
}

func (f *forecasting) flags(c *command) {
	now := time.Now()
	f.since = now.AddDate(0, 0, -30)
	c.flags.BoolVar(&f.on, "forecast", false, "plan the statements of the access log anew, and tell which would be refused")
	unusedTime(c, "since", "those at or after this `time`: 2026-11-22, or 24h, 90d ago (default 30d)", now, &f.since)
	c.flags.StringVar(&f.path, "path", "", "the search_path of their sessions, which is not in the log, as a `list`")
}

// foretell reads the log.
func (s *sealCall) foretell(ctx context.Context) (*forecast.Report, error) {
	clear, err := s.unsealed()
	if err != nil {
		fmt.Fprintf(s.stderr, "without its sealing the policy does not fit the schema (%v): statements that are refused for something else are told as well\n", err)
	}
	f := forecast.New(s.engine, clear, s.forecast.path)
	dirs := []string{s.reg.process.cfg.Audit.Dir}
	if beside := filepath.Join(dirs[0], besideDir); isDir(beside) {
		dirs = append(dirs, beside)
	}
	for _, dir := range dirs {
		for r, err := range audit.ReadKinds(dir, audit.KindStatement) {
			if err != nil {
				return nil, fmt.Errorf("the access log: %w", err)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if r.Kind == audit.KindStatement && !r.Time.Before(s.forecast.since) {
				f.Add(&r)
			}
		}
	}
	return f.Report(), nil
}

// unsealed makes an engine whose policy does not seal the columns.
func (s *sealCall) unsealed() (*rewrite.Engine, error) {
	doc, err := policy.Load(s.reg.process.cfg.Policy)
	if err != nil {
		return nil, err
	}
	var classes []string
	for _, c := range s.columns {
		if !slices.Contains(classes, c.Class) {
			classes = append(classes, c.Class)
		}
	}
	set, err := policy.Compile(doc.Unsealed(classes...), s.engine.Catalog)
	if err != nil {
		return nil, err
	}
	return rewrite.New(s.engine.Catalog, set, s.reg.process.cfg.Limits.PlanCache), nil
}

// maxForecast is how many forms of statements are printed.
const maxForecast = 100

func (s *sealCall) printForecast(r *forecast.Report) error {
	if r == nil {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "of %d statements since %s, %d would be refused, of %d forms; %d could not be planned without their literals, of %d forms\n",
		r.Statements, s.forecast.since.UTC().Format(time.RFC3339), forecast.Count(r.Refused), len(r.Refused), forecast.Count(r.Unplanned), len(r.Unplanned))
	for _, list := range []struct {
		word string
		all  []*forecast.Statement
	}{{"REFUSED", r.Refused}, {"not planned", r.Unplanned}} {
		for i, one := range list.all {
			if i == maxForecast {
				fmt.Fprintf(&b, "  … and %d forms more: --json of check has them\n", len(list.all)-i)
				break
			}
			fmt.Fprintf(&b, "  %s %d times, %s: %s\n    %s\n", list.word, one.Count, printable(users(one.Users)), printable(one.Why), printable(one.Shape))
		}
	}
	_, err := io.WriteString(s.stdout, b.String())
	return err
}

// users names some of them.
func users(all []string) string {
	const some = 5
	if len(all) > some {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:some], ", "), len(all)-some)
	}
	return strings.Join(all, ", ")
}
