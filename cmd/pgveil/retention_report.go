package main

import (
	"context"
	"io"
	"time"

	"github.com/pgveil/pgveil/report"
	"github.com/pgveil/pgveil/retention"
)

// listedRuns is how many runs a report lists.
const listedRuns = 50

// runRetentionReport runs "pgveil retention report".
func runRetentionReport(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("retention report", "",
		`Writes what is kept longer than it needs to be: rows whose time is over and what
keeps them, tables with personal data that no rule speaks of, data that only
purposes resting on consent are shown, and columns that the policy shows for no
purpose or that no statement in the access log named. It changes nothing.`,
		"pgveil retention report --config /etc/pgveil/pgveil.yaml --since 365d --out retention.html",
		"pgveil retention report --format json | jq '.unused[].column'")
	now := time.Now()
	r := retaining{stdout: stdout, stderr: stderr}
	c.flags.StringVar(&r.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&r.admin, "admin-url", "", "connection `string` of who may read the rows; else server.login does it")
	from := now.AddDate(0, 0, -90)
	unusedTime(c, "since", "used is what a statement named since this `time`: 2026-11-22, or 24h, 90d ago (default 90d)", now, &from)
	log := reportLog{stderr: stderr}
	keyFlag(c, &log)
	var output reportOutput
	output.flags(c, "markdown", "html", "json")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if wrong := output.misuse(); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	if err := r.with(ctx, func(g governed) error { return r.report(ctx, g, log, output, from, now) }); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (r *retaining) report(ctx context.Context, g governed, log reportLog, output reportOutput, from, now time.Time) error {
	log.take(g.cfg)
	m := report.Minimise(g.engine.Policy, from, now)
	evidence, good, err := log.readAll(ctx, m.Add, func() {})
	if err != nil {
		return err
	}
	made := m.Retention()
	made.Made, made.Evidence = now, evidence
	made.Notes = append(report.Lacking(evidence, from), made.Notes...)
	if made.Plan, err = retention.NewPlan(ctx, g.conn, g.engine.Policy, g.engine.Catalog, ableTo(g.engine, retentionRecords{})); err != nil {
		return err
	}
	if made.Runs, err = retention.Lately(ctx, g.conn, listedRuns); err != nil {
		return err
	}
	if err := output.write(reportName("retention", now), reportForms(made, made.Document()), r.stdout, r.stderr); err != nil {
		return err
	}
	if !good {
		return errNotGood
	}
	return nil
}
