package main

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/report"
)

// ropaAudit is one call of "pgveil audit ropa".
type ropaAudit struct {
	source   policySource
	config   string
	log      reportLog
	output   reportOutput
	from, to time.Time
	org      string
	zone     string
	now      time.Time
	stdout   io.Writer
	stderr   io.Writer
}

// ropaListed is how many applications, and the like, are told apart.
const ropaListed = 10_000

func runAuditROPA(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("audit ropa", "",
		`Writes the record of processing activities of Article 30(1) GDPR: what the policy
declares (purposes, legal bases, data subjects, classes of data, roles, time
limits), what a file says of the organisation (controller, data protection
officer, recipients, transfers, further measures), and what the access log shows.
Differences between what is declared and what was observed come first. What
nobody said is left open, and marked.`,
		"pgveil audit ropa --config /etc/pgveil/pgveil.yaml --organisation acme.yaml --out ropa.html",
		"pgveil audit ropa --policy policy/ --schema schema.sql --dir copy/audit --since 365d --format json")
	now := time.Now()
	r := ropaAudit{from: now.AddDate(0, 0, -90), to: now, now: now, stdout: stdout, stderr: stderr}
	r.log.stderr = stderr
	r.source.flags(c)
	c.flags.StringVar(&r.config, "config", "", "the `file` that serve is started with: for the policy, the log, its key and the schema, as far as no flag gives them")
	c.flags.StringVar(&r.log.dir, "dir", "", "`directory` of the log (default that of --config, or /var/lib/pgveil/audit)")
	keyFlag(c, &r.log)
	unusedTime(c, "since", "observed is what was asked for since this `time`: 2026-11-22, or 24h, 90d ago (default 90d)", now, &r.from)
	unusedTime(c, "until", "and before this `time` (default now)", now, &r.to)
	c.flags.StringVar(&r.org, "organisation", "", "`file` that says what the policy cannot know")
	c.flags.StringVar(&r.zone, "zone", "", "time `zone` of the report, as Europe/Dublin (default that of --organisation, or UTC)")
	r.output.flags(c, "markdown", "html", "json")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if wrong := r.misuse(); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	if err := r.run(ctx); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (r *ropaAudit) misuse() string {
	switch {
	case !r.from.Before(r.to):
		return "--since must be before --until"
	case r.source.schema != "" && r.source.dsn != "":
		return "--schema and --dsn say the same: give one of them"
	case r.config == "" && r.source.missing() != "":
		return r.source.missing()
	}
	return r.output.misuse()
}

func (r *ropaAudit) run(ctx context.Context) error {
	var cfg *config.Config
	if r.config != "" {
		var err error
		if cfg, err = config.Load(r.config); err != nil {
			return err
		}
		r.log.take(cfg)
	}
	org, err := report.LoadOrganisation(r.org)
	if err != nil {
		return err
	}
	r.zone = cmp.Or(r.zone, org.Zone, "UTC")
	zone, err := report.ParseZone(r.zone)
	if err != nil {
		return err
	}
	set, err := policyFromConfig(ctx, &r.source, cfg)
	if err != nil {
		return err
	}
	g := report.Register(set, org, r.from, r.to, zone, ropaListed)
	evidence, good, err := r.log.readAll(ctx, g.Add, func() {})
	if err != nil {
		return err
	}
	made := g.ROPA()
	made.Made, made.Zone, made.Evidence = r.now, r.zone, evidence
	made.Notes = append(report.Lacking(evidence, r.from), made.Notes...)
	if err := r.output.write(reportName("ropa", r.now), reportForms(made, made.Document()), r.stdout, r.stderr); err != nil {
		return err
	}
	if !good {
		return errNotGood
	}
	return nil
}
