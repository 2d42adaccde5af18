package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/retention"
	"github.com/pgveil/pgveil/rewrite"
)

// retentionVerbs are what "pgveil retention" does.
func retentionVerbs() []verb {
	return []verb{
		{"plan", "say which rows are due, and what keeps them", runRetentionPlan},
		{"run", "remove what is due", runRetentionRun},
		{"report", "say what is kept longer than it needs to be", runRetentionReport},
	}
}

// runRetention runs "pgveil retention".
func runRetention(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, retentionUsage())
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, retentionUsage())
		return 0
	}
	for _, v := range retentionVerbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "pgveil retention: unknown verb %q\n%s", args[0], retentionUsage())
	return 2
}

func retentionUsage() string {
	var b strings.Builder
	b.WriteString("Usage: pgveil retention <verb> [flags]\n\nRemoves rows whose time is over, by the policy's retention rules.\n\n")
	for _, v := range retentionVerbs() {
		fmt.Fprintf(&b, "  %-7s %s\n", v.name, v.about)
	}
	b.WriteString("\n\"pgveil retention <verb> --help\" lists the flags of a verb.\n")
	return b.String()
}

// retaining is one call of "pgveil retention".
type retaining struct {
	config, admin  string
	json, dry      bool
	batch          int
	pause          time.Duration
	stdout, stderr io.Writer
}

func (r *retaining) flags(c *command) {
	c.flags.StringVar(&r.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&r.admin, "admin-url", "", "connection `string` of who may read and delete the rows; else server.login does it")
	c.flags.BoolVar(&r.json, "json", false, "print JSON")
}

// governed is a database with the policy that governs it.
type governed struct {
	cfg    *config.Config
	key    []byte
	engine *rewrite.Engine
	conn   *pgx.Conn
	shred  dsar.Shredder
	values dsar.Values
}

// with calls f with a connection that nobody else uses.
func (r *retaining) with(ctx context.Context, f func(governed) error) (err error) {
	reg, err := openGoverned(r.config, r.admin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reg.process.close()) }()
	key, err := readKey(reg.process.cfg.Key)
	if err != nil {
		return err
	}
	engine, err := reg.process.loadEngine(ctx)
	if err != nil {
		return err
	}
	if err := reg.process.openKeys(ctx); err != nil {
		return err
	}
	conn, err := reg.process.catalog.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		err = errors.Join(err, conn.Close(wait))
	}()
	return f(governed{reg.process.cfg, key, engine, conn, reg.process.shredder(), reg.process.values()})
}

func runRetentionPlan(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("retention plan", "",
		`Counts, for each of the policy's retention rules, the rows that are due, those
that holds keep, and what hangs on them by references, and says what refuses a
rule, and what would make it slow. It changes nothing. Exit status 1 says that some
rule would not be carried out.`,
		"pgveil retention plan --config /etc/pgveil/pgveil.yaml",
		"pgveil retention plan --json | jq '.rules[] | {rule, due, held}'")
	r := retaining{stdout: stdout, stderr: stderr}
	r.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if err := r.with(ctx, func(g governed) error { return r.plan(ctx, g) }); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

// errRefusedRules says that the plan has rules that would not be carried out.
var errRefusedRules = errors.New("some rules are refused: the plan says why")

func (r *retaining) plan(ctx context.Context, g governed) error {
	plan, err := retention.NewPlan(ctx, g.conn, g.engine.Policy, g.engine.Catalog, ableTo(g.engine, retentionRecords{}))
	if err != nil {
		return err
	}
	if err := r.print(plan, func(w io.Writer) error { return printRetentionPlan(w, plan) }); err != nil {
		return err
	}
	for _, p := range plan.Rules {
		if len(p.Refused) > 0 {
			return errRefusedRules
		}
	}
	return nil
}

// print writes an answer as JSON, or as text.
func (r *retaining) print(answer any, text func(io.Writer) error) error {
	if !r.json {
		return text(r.stdout)
	}
	e := json.NewEncoder(r.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(answer)
}

func runRetentionRun(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("retention run", "",
		`Removes the rows that are due, in batches, each a transaction that is in the
access log before it is committed and in pgveil.retention_batches with that. It can
be stopped and begun again at any time; there is one run at a time, whoever began
it. Exit status 1 says that some rule was not carried out, or not to its end.`,
		"pgveil retention run --dry-run",
		"pgveil retention run --config /etc/pgveil/pgveil.yaml --batch 1000 --pause 500ms")
	r := retaining{stdout: stdout, stderr: stderr}
	r.flags(c)
	c.flags.BoolVar(&r.dry, "dry-run", false, "change nothing: the same as retention plan")
	c.flags.IntVar(&r.batch, "batch", 0, "`rows` of one transaction (default that of retention_schedule, or 5000)")
	c.flags.DurationVar(&r.pause, "pause", -1, "`time` between two (default that of retention_schedule, or 100ms)")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if r.batch < 0 {
		return c.misused(stderr, "--batch takes a number above 0")
	}
	act := r.run
	if r.dry {
		act = r.plan
	}
	if err := r.with(ctx, func(g governed) error { return act(ctx, g) }); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func (r *retaining) run(ctx context.Context, g governed) error {
	records := retentionRecords{cfg: g.cfg, shred: g.shred, values: g.values, login: g.conn.Config().User, by: operator(), app: "pgveil retention", generation: g.engine.Policy.Generation(), write: func(ctx context.Context, list ...*audit.Record) error {
		return recordPrivacy(ctx, g.cfg.Audit, list...)
	}}
	o := records.options(g.key, g.engine)
	if r.batch > 0 {
		o.Batch = r.batch
	}
	if r.pause >= 0 {
		o.Pause = r.pause
	}
	meter := progressMeter{w: r.stderr, terminal: isTerminal(r.stderr), last: time.Now()}
	o.Progress = meter.batch
	result, err := records.run(ctx, g.conn, o)
	meter.end()
	if result.Run == 0 {
		return err
	}
	return errors.Join(r.print(result, func(w io.Writer) error { return printRetentionResult(w, result) }), err)
}

// retentionRecords writes into the access log what runs do.
type retentionRecords struct {
	cfg                        *config.Config
	shred                      dsar.Shredder // nil: no keys of single values
	values                     dsar.Values   // opens and seals what is sealed
	login, by, app, generation string        // login is that of the connection to the server
	write                      func(ctx context.Context, list ...*audit.Record) error
}

// options gives what runs have in common, whoever begins them.
func (l retentionRecords) options(key []byte, e *rewrite.Engine) retention.Options {
	s, _ := l.cfg.Schedule()
	return retention.Options{
		Set: e.Policy, Cat: e.Catalog, Able: ableTo(e, l), Key: derive(key, "retention digests"), By: l.by, Batch: s.Batch, Pause: s.Pause, Record: l.batch,
	}
}

func (l retentionRecords) record(shape, message string) *audit.Record {
	return &audit.Record{
		Kind: audit.KindPrivacy, Login: l.login, User: l.by, App: l.app, Database: l.cfg.Database, Command: "PRIVACY",
		Generation: l.generation, Shape: "retention " + shape, Message: message,
	}
}

// batch records what a batch takes, a record for each table.
func (l retentionRecords) batch(ctx context.Context, b retention.Batch) error {
	var list []*audit.Record
	for _, t := range b.Took {
		r := l.record(fmt.Sprintf("run %d, batch %d: %s", b.Run, b.N, b.Rule), t.Action)
		r.Relation, r.Rows, r.Event = t.Relation, t.Rows, hex.EncodeToString(t.Digest)
		list = append(list, r)
	}
	return l.write(ctx, list...)
}

// run carries the rules out between two records of it.
func (l retentionRecords) run(ctx context.Context, conn *pgx.Conn, o retention.Options) (retention.Result, error) {
	if err := l.write(ctx, l.record("run", "begun")); err != nil {
		return retention.Result{}, err
	}
	result, err := retention.Run(ctx, conn, o)
	ended := l.record("run", "not begun: "+fmt.Sprint(err))
	if result.Run > 0 {
		ended = l.record(fmt.Sprintf("run %d", result.Run), result.State)
		ended.Rows = result.Rows()
	}
	for _, n := range result.BrokenOff {
		ended.Reasons = append(ended.Reasons, fmt.Sprintf("run %d had ended without saying so: pgveil.retention_batches has what it took", n))
	}
	return result, errors.Join(err, l.write(context.WithoutCancel(ctx), ended))
}
