package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/report"
)

// breachAudit is one call of "pgveil audit breach".
type breachAudit struct {
	scope    report.Scope
	limits   report.Limits
	list     int
	log      reportLog
	output   reportOutput
	config   string
	policy   string
	regimes  string
	only     string
	org      string
	zone     string
	aware    time.Time
	subjects string
	identify bool
	dsn      string
	now      time.Time
	stdout   io.Writer
	stderr   io.Writer
}

func runAuditBreach(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("audit breach", "",
		`Says what somebody got and changed in a period, from the access log: which data
subjects (those that the log names, and how many more there may be), which
classes of data, in clear or masked, how much, when, by which ways and what for;
what was refused, what the log shows of containment, who has to be told by when,
and a draft of the notification of Article 33(3) GDPR. What pgveil cannot know is
left open, and marked.

Subjects are tokens. --identify asks the database whose they are: the report then
says so, and so does the log of the PostgreSQL server.

Exit status 0 says that the report was made and the log is good; 1, that it could
not be made, or that the log is not good, and the report says where.`,
		"pgveil audit breach --user alice --from 2026-11-20 --to 2026-11-22 --dir audit",
		"pgveil audit breach --login crm_app --client 10.0.3.0/24 --from 7d --key audit.key.pub --aware 2026-11-22T08:15:00Z --out report.html",
		"pgveil audit breach --user alice --from 30d --config pgveil.yaml --organisation acme.yaml --zone Europe/Dublin --out reports/",
		"pgveil audit breach --user alice --from 30d --config pgveil.yaml --identify --subjects affected.csv --out breach.json")
	now := time.Now()
	b := breachAudit{limits: report.Limits{Subjects: 5_000_000, Listed: 10_000}, list: 1000, now: now, stdout: stdout, stderr: stderr}
	b.scope.To, b.log.stderr = now, stderr
	b.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if wrong := b.misuse(); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	good, err := b.run(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	if !good {
		return c.failed(stderr, errNotGood)
	}
	return 0
}

func (b *breachAudit) flags(c *command) {
	s := &b.scope
	c.flags.StringVar(&s.User, "user", "", "`name` of who is looked into, as login or as end user")
	c.flags.StringVar(&s.Login, "login", "", "`name` that logged in")
	c.flags.StringVar(&s.EndUser, "end-user", "", "`name` of the end user behind a login")
	c.flags.StringVar(&s.Session, "session", "", "`id` of a session")
	c.flags.StringVar(&s.Client, "client", "", "`address` that it came from, or network, as 10.0.3.0/24")
	c.flags.BoolVar(&s.Everyone, "everyone", false, "look into all statements")
	unusedTime(c, "from", "at or after this `time`: 2026-11-22T15:04:05Z, 2026-11-22, or 24h, 7d ago; needed", b.now, &s.From)
	unusedTime(c, "to", "before this `time` (default now)", b.now, &s.To)
	unusedTime(c, "aware", "`time` since when the breach is known: the clocks begin then (default now, and said so)", b.now, &b.aware)
	c.flags.StringVar(&b.log.dir, "dir", "", "`directory` of the log (default that of --config, or /var/lib/pgveil/audit)")
	keyFlag(c, &b.log)
	c.flags.StringVar(&b.config, "config", "", "the `file` that serve is started with: for the log, its key, the policy and the database")
	c.flags.StringVar(&b.policy, "policy", "", "the policy's directory, or `file`: which classes are special categories")
	c.flags.StringVar(&b.org, "organisation", "", "`file` that says who the controller is, and whom to ask")
	c.flags.StringVar(&b.regimes, "regimes", "", "`file` of laws and their clocks, in place of those that come with pgveil")
	c.flags.StringVar(&b.only, "regime", "", "`ids` of those that apply, with commas between (default all)")
	c.flags.StringVar(&b.zone, "zone", "", "time `zone` of the report, as Europe/Dublin (default that of --organisation, or UTC)")
	c.flags.IntVar(&b.list, "list", b.list, "list at most so many subjects in the report, `N`")
	c.flags.StringVar(&b.subjects, "subjects", "", "write all subjects that the log names to a new `file`, as CSV")
	c.flags.IntVar(&b.limits.Subjects, "max-subjects", b.limits.Subjects, "tell at most `N` subjects apart: about 150 bytes of memory each")
	c.flags.BoolVar(&b.identify, "identify", false, "ask the database whose the tokens are")
	c.flags.StringVar(&b.dsn, "dsn", "", "`connection` string of that database (default that of --config)")
	b.output.flags(c, "markdown", "html", "json")
}

// keyFlag adds the flag that names public keys.
func keyFlag(c *command, l *reportLog) {
	c.flags.Func("key", "a public `key` of those that sign checkpoints, or a file with it; may be given again", func(s string) error {
		k, err := publicKey(s)
		l.keys, l.whose = append(l.keys, k), "given with --key"
		return err
	})
}

func (b *breachAudit) misuse() string {
	switch err := b.scope.Check(); {
	case b.scope.From.IsZero():
		return "--from is needed"
	case err != nil:
		return err.Error()
	case b.limits.Subjects < 1 || b.list < 0:
		return "--max-subjects takes a number above zero, --list one that is not below"
	case b.identify && b.dsn == "" && b.config == "":
		return "--identify needs --dsn or --config"
	case b.dsn != "" && !b.identify:
		return "--dsn is for --identify"
	case b.aware.After(b.now):
		return "--aware is in the future"
	}
	return b.output.misuse()
}

// run makes the report, and tells whether the log is good.
func (b *breachAudit) run(ctx context.Context) (good bool, err error) {
	var cfg *config.Config
	if b.config != "" {
		if cfg, err = config.Load(b.config); err != nil {
			return false, err
		}
		b.log.take(cfg)
		b.policy = cmp.Or(b.policy, cfg.Policy)
	}
	org, err := report.LoadOrganisation(b.org)
	if err != nil {
		return false, err
	}
	b.zone = cmp.Or(b.zone, org.Zone, "UTC")
	zone, err := report.ParseZone(b.zone)
	if err != nil {
		return false, err
	}
	clocks, err := b.clocks(org, zone)
	if err != nil {
		return false, err
	}
	found, made, good, err := b.investigate(ctx, zone)
	if err != nil {
		return false, err
	}
	made.Made, made.Zone, made.Org, made.Clocks = b.now, b.zone, org, clocks
	if err := b.nameSubjects(ctx, cfg, found, &made); err != nil {
		return false, err
	}
	return good, b.output.write(reportName("breach", b.now), reportForms(made, made.Document()), b.stdout, b.stderr)
}

// investigate reads the log, and says what it shows.
func (b *breachAudit) investigate(ctx context.Context, zone *time.Location) (v *report.Investigation, made report.Breach, good bool, err error) {
	special, err := specialClasses(b.policy)
	if err != nil {
		return nil, made, false, err
	}
	if v, err = report.Investigate(b.scope, b.limits, zone); err != nil {
		return nil, made, false, err
	}
	evidence, good, err := b.log.readAll(ctx, v.Add, v.EndLog)
	if err != nil {
		return nil, made, false, err
	}
	made = v.Findings(b.list)
	made.Evidence, made.Notes = evidence, append(report.Lacking(evidence, b.scope.From), made.Notes...)
	for i, c := range made.Classes {
		made.Classes[i].Special = special[c.Class]
	}
	return v, made, good, nil
}

func (b *breachAudit) clocks(org report.Organisation, zone *time.Location) (report.Clocks, error) {
	regimes, err := report.BuiltinRegimes()
	if b.regimes != "" {
		var text []byte
		if text, err = os.ReadFile(b.regimes); err == nil {
			regimes, err = report.ParseRegimes(text)
		}
	}
	only := org.Regimes
	if b.only != "" {
		only = strings.Split(b.only, ",")
	}
	if err == nil {
		regimes, err = regimes.Only(only)
	}
	if err != nil {
		return report.Clocks{}, err
	}
	aware, assumed := b.aware, b.aware.IsZero()
	if assumed {
		aware = b.now
	}
	return regimes.Clocks(aware.In(zone), b.now, assumed)
}

// specialClasses gives the classes that are special categories, as the policy
// says.
func specialClasses(path string) (map[string]bool, error) {
	special := map[string]bool{}
	if path == "" {
		return special, nil
	}
	doc, err := policy.Load(path)
	if err != nil {
		return nil, err
	}
	for _, c := range doc.Classes() {
		special[c.Name] = c.Special
	}
	return special, nil
}

// nameSubjects writes the list of all subjects, and finds out who those in the
// report are, where that was asked for.
func (b *breachAudit) nameSubjects(ctx context.Context, cfg *config.Config, v *report.Investigation, made *report.Breach) (err error) {
	resolve := func([]report.Subject) error { return nil }
	if b.identify {
		var r *identifier
		if r, err = b.identifier(ctx, cfg, made); err != nil {
			return err
		}
		defer func() {
			made.Identify = r.told()
			err = errors.Join(err, r.close(ctx))
		}()
		resolve = func(list []report.Subject) error { return r.resolve(ctx, list) }
		if err := resolve(made.Subjects); err != nil {
			return err
		}
		if b.subjects != "" {
			r.count = report.Identify{} // they are in that list once more
		}
	}
	if b.subjects == "" {
		return nil
	}
	return writeForm(b.subjects, func(w io.Writer) error { return subjectList(w, v, resolve) }, b.stderr)
}

// subjectBatch is how many subjects are looked up at once.
const subjectBatch = 5000

// subjectList writes all subjects as CSV.
func subjectList(w io.Writer, v *report.Investigation, resolve func([]report.Subject) error) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"kind", "token", "key", "returned", "changed", "clear", "masked"}); err != nil {
		return err
	}
	var batch []report.Subject
	flush := func() error {
		if err := resolve(batch); err != nil {
			return err
		}
		for _, s := range batch {
			row := []string{s.Kind, s.Token, s.Key, fmt.Sprint(s.Returned), fmt.Sprint(s.Changed), strings.Join(s.Clear, " "), strings.Join(s.Masked, " ")}
			if err := out.Write(report.Unformula(row)); err != nil {
				return err
			}
		}
		batch = batch[:0]
		return nil
	}
	for s := range v.Subjects() {
		if batch = append(batch, s); len(batch) == subjectBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	err := flush()
	out.Flush()
	return errors.Join(err, out.Error())
}
