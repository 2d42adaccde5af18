package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/reseal"
	"github.com/pgveil/pgveil/reseal/forecast"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/seal"
)

// sealVerbs are what "pgveil seal" does.
func sealVerbs() []verb {
	return []verb{
		{"check", "say what would keep columns from being sealed, and what would break", runSealCheck},
		{"migrate", "seal the clear values of columns", runSealMigrate},
		{"unseal", "store the values of columns in clear again", runSealUnseal},
		{"rotate", "seal values again under the primary key", runSealRotate},
		{"status", "count the values of columns by how they are stored", runSealStatus},
	}
}

// runSeal runs "pgveil seal".
func runSeal(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, sealUsage())
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, sealUsage())
		return 0
	}
	for _, v := range sealVerbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "pgveil seal: unknown verb %q\n%s", args[0], sealUsage())
	return 2
}

func sealUsage() string {
	var b strings.Builder
	b.WriteString("Usage: pgveil seal <verb> [flags]\n\nSeals what is in sealed columns already, and seals it again under another key, while\nthe database is in use.\n\n")
	for _, v := range sealVerbs() {
		fmt.Fprintf(&b, "  %-8s %s\n", v.name, v.about)
	}
	b.WriteString("\nExamples:\n  pgveil seal check\n  pgveil seal migrate crm.customers.ssn --wall\n  pgveil seal rotate national_id\n\n\"pgveil seal <verb> --help\" lists the flags of a verb.\n")
	return b.String()
}

// sealCall is one call of "pgveil seal".
type sealCall struct {
	*command
	config, admin    string
	policy           string // instead of the configuration's
	json             bool
	wall, noWall     bool
	dry              bool
	job              reseal.Job
	forecast         forecasting
	stdout, stderr   io.Writer
	engine           *rewrite.Engine
	reg              *registry
	columns, ofClass []*reseal.Column // those that are named; those of the same classes
}

func newSealCall(stdout, stderr io.Writer, name, arguments, about string, examples ...string) *sealCall {
	s := &sealCall{command: newCommand("seal "+name, arguments, about, examples...), stdout: stdout, stderr: stderr}
	s.flags.StringVar(&s.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	s.flags.StringVar(&s.admin, "admin-url", "", "connection `string` of who may read and change the rows, and own the tables for CHECKs; else server.login does it")
	return s
}

// workFlags are those of verbs that change rows.
func (s *sealCall) workFlags() {
	s.flags.IntVar(&s.job.Batch, "batch", 2000, "`rows` of one transaction, at most")
	s.flags.DurationVar(&s.job.Pause, "pause", 0, "`time` between two")
	s.flags.BoolVar(&s.job.WithoutTriggers, "without-triggers", false, "triggers and foreign keys do not see the changes (session_replication_role)")
	s.flags.BoolVar(&s.job.LeaveUnknown, "leave-unknown", false, "go on although there are values whose keys the file of keys does not have")
	s.flags.BoolVar(&s.dry, "dry-run", false, "say what would be done, and change nothing")
}

// run parses the arguments and calls f with a connection that nobody else uses.
func (s *sealCall) run(ctx context.Context, args []string, needs bool, f func(context.Context) error) int {
	if done, code := s.parse(args, s.stdout, s.stderr); done {
		return code
	}
	switch {
	case needs && len(s.args) == 0:
		return s.misused(s.stderr, "name a column as schema.table.column, or a class")
	case s.job.Batch < 0 || s.job.Pause < 0:
		return s.misused(s.stderr, "--batch and --pause are not less than nothing")
	case s.wall && s.noWall:
		return s.misused(s.stderr, "--wall and --no-wall say the opposite: give one of them")
	}
	if err := s.with(ctx, f); err != nil {
		return s.failed(s.stderr, err)
	}
	return 0
}

func (s *sealCall) with(ctx context.Context, f func(context.Context) error) (err error) {
	if s.reg, err = openGoverned(s.config, s.admin); err != nil {
		return err
	}
	p := s.reg.process
	defer func() { err = errors.Join(err, p.close()) }()
	if p.cfg.Sealing == nil {
		return fmt.Errorf("%s has no sealing, which names the file of keys", s.config)
	}
	if s.policy != "" {
		p.cfg.Policy = s.policy
	}
	if s.engine, err = p.loadEngine(ctx); err != nil {
		return err
	}
	if s.columns, err = reseal.Columns(s.engine.Policy, s.engine.Catalog, s.args...); err != nil {
		return err
	}
	var classes []string
	for _, c := range s.columns {
		classes = append(classes, c.Class)
	}
	if len(classes) > 0 {
		if s.ofClass, err = reseal.Columns(s.engine.Policy, s.engine.Catalog, classes...); err != nil {
			return err
		}
	}
	s.job.Ring, s.job.Progress = p.ringAsItIs(), s.meter()
	if s.job.Conn, err = p.catalog.open(ctx); err != nil {
		return err
	}
	defer func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		err = errors.Join(err, s.job.Conn.Close(wait))
	}()
	return f(ctx)
}

// ringAsItIs gives what reads the keys whenever their file has changed.
func (p *process) ringAsItIs() func(context.Context) (*seal.Ring, error) {
	var ring *seal.Ring
	var last os.FileInfo
	return func(ctx context.Context) (*seal.Ring, error) {
		now, err := os.Stat(p.cfg.Sealing.Keys)
		if ring != nil && err == nil && os.SameFile(last, now) && last.ModTime().Equal(now.ModTime()) {
			return ring, nil
		}
		next, err := p.loadRing(ctx)
		if err != nil {
			return nil, err
		}
		ring, last = next, now
		return ring, nil
	}
}

// record writes into the access log what is done to a column.
func (s *sealCall) record(ctx context.Context, c *reseal.Column, rows int64, message string) error {
	return recordPrivacy(ctx, s.reg.process.cfg.Audit, &audit.Record{
		Kind: audit.KindPrivacy, Login: s.job.Conn.Config().User, User: operator(), App: "pgveil " + s.name, Database: s.reg.process.cfg.Database,
		Command: "PRIVACY", Generation: s.engine.Policy.Generation(), Shape: s.name, Relation: c.Column, Rows: rows, Message: message,
	})
}

// work does something to each column, between two records of it, and goes on with the
// next where one fails, unless it was stopped.
func (s *sealCall) work(ctx context.Context, do func(context.Context, *reseal.Column) (*reseal.Result, error)) error {
	if !s.dry && s.policy == "" {
		if err := s.inForce(); err != nil {
			return err
		}
	}
	var errs []error
	for _, c := range s.columns {
		if s.dry {
			errs = append(errs, s.foresee(ctx, c))
			continue
		}
		if err := s.record(ctx, c, 0, "begun"); err != nil {
			return err
		}
		begun := time.Now()
		r, err := do(ctx, c)
		s.endMeter()
		ended, rows := "done", int64(0)
		if err != nil {
			ended = "ended: " + err.Error()
		}
		if r != nil {
			rows = r.Done
			s.printResult(c, r, time.Since(begun))
		}
		errs = append(errs, err, s.record(context.WithoutCancel(ctx), c, rows, ended))
		if errors.Is(err, reseal.ErrStopped) {
			break
		}
	}
	return errors.Join(errs...)
}

func runSealMigrate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := newSealCall(stdout, stderr, "migrate", "TABLE.COLUMN|CLASS ...",
		`Seals the values of columns that are clear, while they are in use: in batches, each
a transaction in which values are read, sealed, written where they still are what
was read, read back, opened and compared. What is done the values themselves tell:
it can be stopped and begun again at any time, and a Ctrl-C ends it after a batch.
The class must say clear: accept meanwhile, and every pgveil that serves must have
taken that over. Exit status 1 says that something is left to do.`,
		"pgveil seal migrate crm.customers.ssn --dry-run",
		"pgveil seal migrate crm.customers.ssn --wall --admin-url postgres://owner@db.internal/crm",
		"pgveil seal migrate national_id birth --batch 500 --pause 100ms")
	s.workFlags()
	s.flags.BoolVar(&s.wall, "wall", false, "then add a CHECK that keeps clear values out")
	s.forecast.flags(s.command)
	return s.run(ctx, args, true, func(ctx context.Context) error {
		if s.forecast.on {
			told, err := s.foretell(ctx)
			if err = errors.Join(err, s.printForecast(told)); err != nil {
				return err
			}
			if len(told.Refused) > 0 {
				return errors.New("nothing was sealed: statements would be refused; without --forecast it is done all the same")
			}
		}
		return s.work(ctx, s.migrate)
	})
}

// migrate seals a column. Values that were written between the last look and the CHECK
// are sealed behind it.
func (s *sealCall) migrate(ctx context.Context, c *reseal.Column) (*reseal.Result, error) {
	r, err := s.job.Migrate(ctx, c)
	if err != nil || !s.wall {
		return r, err
	}
	w, err := s.job.AddWall(ctx, c)
	if err != nil || w.Valid {
		return r, err
	}
	again, err := s.job.Migrate(ctx, c)
	if err != nil {
		return r, err
	}
	r.Done, r.Census = r.Done+again.Done, again.Census
	w, err = s.job.AddWall(ctx, c)
	if err == nil && !w.Valid {
		err = fmt.Errorf("%s: the CHECK %s is there, and clear values still are: the same command goes on", c.Column, w.Name)
	}
	return r, err
}

func runSealUnseal(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := newSealCall(stdout, stderr, "unseal", "TABLE.COLUMN|CLASS ...",
		`Stores the values of columns in clear again, with the same care as migrate seals
them. The class must say clear: accept. Afterwards take the sealing out of the policy,
and call it once more with --policy and the one before: what was written meanwhile is
sealed. Hashes of a blind index stay, for as long as the policy goes by them.`,
		"pgveil seal unseal crm.customers.ssn --drop-wall",
		"pgveil seal unseal crm.customers.ssn --policy before/")
	s.workFlags()
	s.flags.StringVar(&s.policy, "policy", "", "the policy that sealed them, when the one in force does not any more: its directory, or `file`")
	drop := s.flags.Bool("drop-wall", false, "first drop the CHECK that keeps clear values out")
	return s.run(ctx, args, true, func(ctx context.Context) error {
		return s.work(ctx, func(ctx context.Context, c *reseal.Column) (*reseal.Result, error) {
			if *drop && c.Clear {
				if _, err := s.job.DropWall(ctx, c); err != nil {
					return nil, err
				}
			}
			return s.job.Unseal(ctx, c)
		})
	})
}

func runSealRotate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := newSealCall(stdout, stderr, "rotate", "CLASS|TABLE.COLUMN ...",
		`Seals values again under the primary key of their class, and their hashes in a
blind index, in batches as migrate does; both keys open meanwhile. Says then which
keys no value is under. Values whose key is not in the file of keys are counted,
named and left as they are. Exit status 1 says that some are not under the primary
key.`,
		"pgveil keys rotate national_id && pgveil seal rotate national_id",
		"pgveil seal rotate crm.customers.ssn --dry-run")
	s.workFlags()
	return s.run(ctx, args, true, func(ctx context.Context) error {
		err := s.work(ctx, s.job.Rotate)
		if s.dry || errors.Is(err, reseal.ErrStopped) {
			return err
		}
		return errors.Join(err, s.free(ctx))
	})
}

// free says which keys of the classes no value is under.
func (s *sealCall) free(ctx context.Context) error {
	ring, err := s.job.Ring(ctx)
	if err != nil {
		return err
	}
	used, seen, known := map[uint32]int64{}, map[string]bool{}, true
	for _, c := range s.ofClass {
		census, err := reseal.Count(ctx, s.job.Conn, ring, c)
		if err != nil {
			return err
		}
		for _, u := range census.Under {
			used[u.Key] += u.Rows
		}
		known = known && c.Unsupported() == nil
	}
	for _, c := range s.ofClass {
		if seen[c.Class] || !known {
			continue
		}
		seen[c.Class] = true
		for _, key := range ring.KeysOf(c.Class) {
			state := ring.State(c.Class, key)
			switch {
			case state == seal.Primary:
			case used[key] == 0 && state == seal.Disabled:
				fmt.Fprintf(s.stdout, "no value of class %s is under key %08x, which is disabled: it can be destroyed. Backups that have values under it are lost with it\n", c.Class, key)
			case used[key] == 0:
				fmt.Fprintf(s.stdout, "no value of class %s is under key %08x: once every pgveil that serves has the keys as they are now, it can be disabled, and destroyed when that was right. Backups and materialized views may have values under it\n", c.Class, key)
			default:
				fmt.Fprintf(s.stdout, "%d values of class %s are under key %08x, which is %s: it is needed\n", used[key], c.Class, key, state)
			}
		}
	}
	return nil
}

func runSealStatus(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := newSealCall(stdout, stderr, "status", "[TABLE.COLUMN|CLASS ...]",
		`Counts the values of each sealed column: those that are clear, those under each key,
and those that cannot be opened, as their beginnings tell. The whole table is read.`,
		"pgveil seal status",
		"pgveil seal status crm.customers.ssn --json | jq '.[].clear'")
	s.flags.BoolVar(&s.json, "json", false, "print JSON")
	return s.run(ctx, args, false, s.status)
}

func (s *sealCall) status(ctx context.Context) error {
	ring, err := s.job.Ring(ctx)
	if err != nil {
		return err
	}
	if _, err := s.job.Conn.Exec(ctx, "SET row_security = off"); err != nil {
		return err
	}
	var all []printedColumn
	for _, c := range s.columns {
		census, err := reseal.Count(ctx, s.job.Conn, ring, c)
		if err != nil {
			return err
		}
		all = append(all, printedOf(c, census))
	}
	return s.printStatus(all)
}

func runSealCheck(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := newSealCall(stdout, stderr, "check", "[TABLE.COLUMN|CLASS ...]",
		`Says of each sealed column how its values are stored, whether they have room when
they are sealed, and which CHECKs, keys, indexes, triggers and functions of the
database would refuse that or break. It changes nothing, but for the CHECKs of
--wall and --no-wall. Exit status 1 says that a column cannot be sealed as it is.`,
		"pgveil seal check",
		"pgveil seal check crm.customers.ssn --forecast --since 90d",
		"pgveil seal check crm.customers.ssn --wall --admin-url postgres://owner@db.internal/crm")
	s.flags.BoolVar(&s.json, "json", false, "print JSON")
	s.flags.BoolVar(&s.wall, "wall", false, "add a CHECK that keeps clear values out, or have it hold for all rows when none is clear")
	s.flags.BoolVar(&s.noWall, "no-wall", false, "drop that CHECK")
	s.flags.BoolVar(&s.job.WithoutTriggers, "without-triggers", false, "as migrate does it: foreign keys do not count")
	s.forecast.flags(s.command)
	s.flags.StringVar(&s.policy, "policy", "", "look at the columns that this policy seals: its directory, or `file` (default: the configuration's)")
	return s.run(ctx, args, false, s.check)
}

// errCannotSeal says that a check found what keeps columns from being sealed.
var errCannotSeal = errors.New("some columns cannot be sealed as they are")

func (s *sealCall) check(ctx context.Context) (err error) {
	if len(s.columns) == 0 {
		return fmt.Errorf("%s seals no column: --policy names another policy", s.reg.process.cfg.Policy)
	}
	var all []printedColumn
	for _, c := range s.columns {
		if s.wall || s.noWall {
			if err := s.changeWall(ctx, c); err != nil {
				return err
			}
		}
		r, err := s.job.Check(ctx, c)
		if err != nil {
			return err
		}
		all = append(all, printedReport(r))
	}
	var told *forecast.Report
	if s.forecast.on {
		if told, err = s.foretell(ctx); err != nil {
			return err
		}
	}
	if s.json {
		err = writeJSON(s.stdout, printedCheck{append([]printedColumn{}, all...), told})
	} else {
		err = errors.Join(s.printChecks(all), s.printForecast(told))
	}
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.refused() {
			err = errors.Join(err, errCannotSeal)
			break
		}
	}
	return err
}

// changeWall adds or drops the CHECK of a column.
func (s *sealCall) changeWall(ctx context.Context, c *reseal.Column) error {
	what := "add the CHECK"
	if s.noWall {
		what = "drop the CHECK"
	}
	if err := s.record(ctx, c, 0, what); err != nil {
		return err
	}
	if s.noWall {
		_, err := s.job.DropWall(ctx, c)
		return err
	}
	_, err := s.job.AddWall(ctx, c)
	return err
}

// foresee says what a job would do to a column.
func (s *sealCall) foresee(ctx context.Context, c *reseal.Column) error {
	r, err := s.job.Check(ctx, c)
	if err != nil {
		return err
	}
	p := printedReport(r)
	if err := s.printChecks([]printedColumn{p}); err != nil {
		return err
	}
	if p.refused() && s.name == "seal migrate" {
		return errCannotSeal
	}
	return nil
}
