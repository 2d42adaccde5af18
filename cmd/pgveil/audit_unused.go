package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/unused"
)

// unusedAudit is one call of "pgveil audit unused".
type unusedAudit struct {
	source      policySource
	config, dir string
	period      unused.Period
	format      string
	all         bool
	stdout      io.Writer
	stderr      io.Writer
}

// runAuditUnused runs "pgveil audit unused".
func runAuditUnused(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("audit unused", "",
		`Compares what the policy allows with what the access log shows used: purposes
never stated; roles, users, table operations, rules, elevations and rights of
data subjects never used; classes and columns that a role is shown for a purpose
and that no statement named. Proposes a narrower policy, and changes nothing.

The whole log is read. It may be a copy; then --schema needs no database either.
Columns count for the class that they have today. Exit status 0 says that the
log was read, not that all is used.`,
		"pgveil audit unused --config /etc/pgveil/pgveil.yaml",
		"pgveil audit unused --config pgveil.yaml --since 30d --few 2 --format json",
		"pgveil audit unused --policy policy/ --schema schema.sql --dir /mnt/copy/audit --since 2026-07-01 --until 2026-10-01",
		"pgveil audit unused --config pgveil.yaml --all --format csv > use.csv")
	now := time.Now()
	u := unusedAudit{period: unused.Period{From: now.AddDate(0, 0, -90), To: now, Few: 3}, format: "text", stdout: stdout, stderr: stderr}
	u.source.flags(c)
	c.flags.StringVar(&u.config, "config", "", "the `file` that serve is started with: for the policy, the log and the schema, as far as no flag gives them")
	c.flags.StringVar(&u.dir, "dir", "", "`directory` of the log (default /var/lib/pgveil/audit)")
	unusedTime(c, "since", "at or after this `time`: 2026-11-22, or 24h, 90d ago (default 90d)", now, &u.period.From)
	unusedTime(c, "until", "before this `time` (default now)", now, &u.period.To)
	c.flags.IntVar(&u.period.Few, "few", 3, "also tell what fewer than `N` users used; 0 for none")
	c.flags.StringVar(&u.format, "format", "text", "`form` of the answer: text, json or csv")
	c.flags.BoolVar(&u.all, "all", false, "list what is used, too")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if wrong := u.misuse(); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	if err := u.run(ctx); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func unusedTime(c *command, name, about string, now time.Time, to *time.Time) {
	c.flags.Func(name, about, func(s string) (err error) {
		*to, err = parseAuditTime(s, now)
		return err
	})
}

// misuse says what makes no sense in the flags; "" when nothing does.
func (u *unusedAudit) misuse() string {
	switch {
	case !slices.Contains([]string{"text", "json", "csv"}, u.format):
		return fmt.Sprintf("--format is text, json or csv, not %q", u.format)
	case !u.period.From.Before(u.period.To):
		return "--since must be before --until"
	case u.period.Few < 0 || u.period.Few > 1000:
		return "--few takes 0 to 1000"
	case u.config != "" && u.source.schema != "" && u.source.dsn != "":
		return "--schema and --dsn say the same: give one of them"
	case u.config == "":
		return cmp.Or(u.source.missing(), "")
	default:
		return ""
	}
}

func (u *unusedAudit) run(ctx context.Context) error {
	set, err := u.policy(ctx)
	if err != nil {
		return err
	}
	u.dir = cmp.Or(u.dir, "/var/lib/pgveil/audit")
	report, err := u.count(ctx, set)
	if err != nil {
		return err
	}
	return writeUnused(u.stdout, report, u.format, u.all)
}

// policy compiles the policy, with what the flags leave open from the
// configuration.
func (u *unusedAudit) policy(ctx context.Context) (*policy.Set, error) {
	if u.config == "" {
		return policyFromConfig(ctx, &u.source, nil)
	}
	cfg, err := config.Load(u.config)
	if err != nil {
		return nil, err
	}
	u.dir = cmp.Or(u.dir, cfg.Audit.Dir)
	return policyFromConfig(ctx, &u.source, cfg)
}

// count reads the log, and the chain beside it where there is one.
func (u *unusedAudit) count(ctx context.Context, set *policy.Set) (unused.Report, error) {
	tally := unused.New(set.Inventory(), u.period, set.Generation())
	dirs := []string{u.dir}
	if beside := filepath.Join(u.dir, besideDir); isDir(beside) {
		dirs = append(dirs, beside)
	}
	for _, dir := range dirs {
		if err := u.read(ctx, dir, tally); err != nil {
			return unused.Report{}, err
		}
	}
	return tally.Report(), nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// progressEvery is how many records are read between two looks at the clock,
// and progressAfter how long it takes until somebody at a terminal is told.
const (
	progressEvery = 10_000
	progressAfter = time.Second
)

func (u *unusedAudit) read(ctx context.Context, dir string, tally *unused.Tally) error {
	head, err := audit.ReadHead(dir)
	if err != nil {
		return err
	}
	shown := time.Now()
	told := false
	for r, err := range audit.ReadKinds(dir, unused.Kinds()...) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		tally.Add(&r)
		if r.Seq%progressEvery == 0 && time.Since(shown) > progressAfter && isTerminal(u.stderr) {
			fmt.Fprintf(u.stderr, "\r%d of %d records ", r.Seq, head.Count)
			shown, told = time.Now(), true
		}
	}
	if told {
		fmt.Fprint(u.stderr, "\r\x1b[K")
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
