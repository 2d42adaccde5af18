package main

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/report"
)

// reviewAudit is one call of "pgveil audit review".
type reviewAudit struct {
	source   policySource
	config   string
	log      reportLog
	output   reportOutput
	from, to time.Time
	state    string
	org      string
	zone     string
	check    string
	sign     signOffCall
	now      time.Time
	stdout   io.Writer
	stderr   io.Writer
}

func runAuditReview(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("audit review", "",
		`Reports who may see what: for every user, role, purpose and class, how it is
shown, how often that was used in the period, and when last; what each role may
do to which tables; and what is not as it was in the last review that was signed
off.

A review is made, read, signed off and kept:

  1. --out DIR writes it, for people and as JSON.
  2. --sign-off NAME --review FILE.json writes FILE.json.signoff: who read this
     file, of this SHA-256, and what they decided, signed with the log's key
     (--config or --signing-key).
  3. --state DIR holds the next review to the last one signed off there.
  4. --check DIR finds reviews there that are not as they were signed off.

The name is what whoever holds the key says. See docs/reports.md for what this
protects against, and what it does not.`,
		"pgveil audit review --config /etc/pgveil/pgveil.yaml --state /srv/reviews --out /srv/reviews",
		"pgveil audit review --sign-off 'Dora Privacy' --review /srv/reviews/review-20261122T101500Z.json --note 'ticket 4711' --config pgveil.yaml",
		"pgveil audit review --check /srv/reviews --key audit.key.pub",
		"pgveil audit review --policy policy/ --schema schema.sql --dir copy/audit --since 90d --format csv > rights.csv")
	now := time.Now()
	r := reviewAudit{from: now.AddDate(0, 0, -90), to: now, now: now, stdout: stdout, stderr: stderr}
	r.log.stderr = stderr
	r.flags(c)
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

func (r *reviewAudit) flags(c *command) {
	r.source.flags(c)
	c.flags.StringVar(&r.config, "config", "", "the `file` that serve is started with: for the policy, the log, its key and the schema, as far as no flag gives them")
	c.flags.StringVar(&r.log.dir, "dir", "", "`directory` of the log (default that of --config, or /var/lib/pgveil/audit)")
	keyFlag(c, &r.log)
	unusedTime(c, "since", "unused is what was not used since this `time`: 2026-11-22, or 24h, 90d ago (default 90d)", r.now, &r.from)
	unusedTime(c, "until", "and before this `time` (default now)", r.now, &r.to)
	c.flags.StringVar(&r.state, "state", "", "`directory` with the reviews before")
	c.flags.StringVar(&r.org, "organisation", "", "`file` that says who the controller is")
	c.flags.StringVar(&r.zone, "zone", "", "time `zone` of the report, as Europe/Dublin (default that of --organisation, or UTC)")
	c.flags.StringVar(&r.check, "check", "", "check what was signed off in this `directory`, and make no review")
	s := &r.sign
	c.flags.StringVar(&s.reviewer, "sign-off", "", "sign a review off by this `name`, and make no other")
	c.flags.StringVar(&s.file, "review", "", "the JSON `file` that is signed off")
	c.flags.StringVar(&s.decision, "decision", report.Approved, "`decision`: approved or rejected")
	c.flags.StringVar(&s.note, "note", "", "a line of `text` that is signed, too")
	c.flags.StringVar(&s.key, "signing-key", "", "`file` of the private key (default audit.key of --config)")
	r.output.flags(c, "markdown", "html", "json", "csv")
}

func (r *reviewAudit) misuse() string {
	signs := r.sign.reviewer != "" || r.sign.file != ""
	switch {
	case signs && r.check != "":
		return "--check and --sign-off are two things: one after the other"
	case signs && (r.sign.reviewer == "" || r.sign.file == ""):
		return "--sign-off NAME and --review FILE go together"
	case signs || r.check != "":
		return ""
	case !r.from.Before(r.to):
		return "--since must be before --until"
	case r.source.schema != "" && r.source.dsn != "":
		return "--schema and --dsn say the same: give one of them"
	case r.config == "" && r.source.missing() != "":
		return r.source.missing()
	}
	return r.output.misuse()
}

func (r *reviewAudit) run(ctx context.Context) error {
	var cfg *config.Config
	if r.config != "" {
		var err error
		if cfg, err = config.Load(r.config); err != nil {
			return err
		}
		r.log.take(cfg)
	}
	switch {
	case r.check != "":
		return checkSignOffs(r.check, r.log.keys, r.stdout)
	case r.sign.reviewer != "":
		return r.sign.run(cfg, r.now, r.stdout)
	default:
		return r.make(ctx, cfg)
	}
}

// make makes a review.
func (r *reviewAudit) make(ctx context.Context, cfg *config.Config) error {
	org, err := report.LoadOrganisation(r.org)
	if err != nil {
		return err
	}
	r.zone = cmp.Or(r.zone, org.Zone, "UTC")
	if _, err := report.ParseZone(r.zone); err != nil {
		return err
	}
	var before *report.Before
	var last *report.Review
	if r.state != "" {
		if before, last, err = lastSignedOff(r.state, r.log.keys); err != nil {
			return err
		}
	}
	set, err := policyFromConfig(ctx, &r.source, cfg)
	if err != nil {
		return err
	}
	v := report.NewReviewer(set, r.from, r.to)
	evidence, good, err := r.log.readAll(ctx, v.Add, func() {})
	if err != nil {
		return err
	}
	made := v.Review(before, last)
	made.Made, made.Zone, made.Org, made.Evidence = r.now, r.zone, org, evidence
	forms := reportForms(made, made.Document())
	forms["csv"] = made.CSV
	if err := r.output.write(reportName("review", r.now), forms, r.stdout, r.stderr); err != nil {
		return err
	}
	if !good {
		return errNotGood
	}
	return nil
}
