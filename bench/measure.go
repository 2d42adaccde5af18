package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// measure does a whole run and removes everything that it made.
func measure(ctx context.Context, o *options, progress io.Writer) (rep *report, err error) {
	b := &bench{o: o, progress: progress, began: time.Now()}
	defer func() { err = errors.Join(err, b.tearDown()) }()
	if err := b.setUp(ctx); err != nil {
		return nil, err
	}
	if rep, err = b.newReport(ctx); err != nil {
		return nil, err
	}
	for _, w := range b.workloads() {
		if o.only != nil && !o.only.MatchString(w.name) || o.unix && w.tls {
			continue
		}
		if err := b.workload(ctx, rep, w); err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if len(rep.Results) == 0 {
		return nil, fmt.Errorf("no workload matches %q", o.only)
	}
	rep.Seconds = time.Since(b.began).Seconds()
	return rep, b.mergeProfiles(ctx)
}

// foreignWindow is how long others are watched before each workload.
const foreignWindow = 500 * time.Millisecond

// workload runs one workload: every contender in turn, in every round. All are
// started for it and stopped after it, so that none carries over what an
// earlier workload left.
func (b *bench) workload(ctx context.Context, rep *report, w workload) (err error) {
	b.tls = b.o.tls || w.tls
	all, err := b.startAll(ctx, &w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(all)) }()
	foreign, err := foreignLoad(ctx, foreignWindow)
	if err != nil {
		return err
	}
	rep.Foreign = append(rep.Foreign, foreign)
	if w.ready != nil {
		if err := w.ready(ctx, all); err != nil {
			return err
		}
	}
	res := &result{Workload: w.name, Kind: w.kind, Unit: w.unit, Samples: map[string][]sample{}}
	for round := range b.o.rounds {
		if w.once && round > 0 {
			break
		}
		if err := b.round(ctx, res, w, all); err != nil {
			return err
		}
	}
	rep.Results = append(rep.Results, res)
	return nil
}

func (b *bench) round(ctx context.Context, res *result, w workload, all []*running) error {
	var line strings.Builder
	for _, r := range all {
		if w.kind == footprint && r.process == nil {
			continue // the server's own memory is not the question
		}
		s, err := b.profiled(ctx, r, w.run)
		if err != nil {
			return err
		}
		res.Samples[r.name] = append(res.Samples[r.name], s)
		fmt.Fprintf(&line, "  %s %s", r.name, w.kind.brief(s))
	}
	b.say("%s%s", w.name, line.String())
	return nil
}

// newReport notes what was measured, and on what.
func (b *bench) newReport(ctx context.Context) (*report, error) {
	rep := &report{Date: time.Now().UTC().Format(time.DateOnly), CPUs: runtime.NumCPU(), Go: runtime.Version(), Options: b.o.describe(), Absent: b.absent}
	conn, err := pgx.Connect(ctx, b.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return nil, err
	}
	rep.Versions = append(rep.Versions, "PostgreSQL "+strings.Fields(conn.PgConn().ParameterStatus("server_version"))[0])
	if err := conn.Close(ctx); err != nil {
		return nil, err
	}
	for _, c := range b.contenders {
		rep.Contenders = append(rep.Contenders, named{c.name, c.about})
		if c.program == "" {
			continue
		}
		out, err := exec.CommandContext(ctx, findProgram(c.program), map[string]string{"haproxy": "-v", pgbouncer: "--version"}[c.program]).Output()
		if err != nil {
			return nil, fmt.Errorf("version of %s: %w", c.program, err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		version, _, _ := strings.Cut(line, " - ")
		rep.Versions = append(rep.Versions, version)
	}
	return rep, nil
}
