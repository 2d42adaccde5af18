package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/datamap"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
)

// scanning is one call of "pgveil scan".
type scanning struct {
	config, dsn, ddl string
	policy, out      string
	diff, json, all  bool
	format           string
	accept           []string
	options          datamap.Options
	stdout, stderr   io.Writer
}

// Exit statuses of scan. That something could not be looked at is no less than
// an error: it must not pass for nothing found.
const (
	scanNothing   = 0
	scanDifferent = 1
	scanError     = 2
)

func runScan(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("scan", "",
		"Samples the tables of a database and says which columns hold personal data, how\nsurely, and why; never what is in them. With --out it writes a policy to begin\nwith. With --diff it compares a policy with what it finds: status 1 when a column\nis in no class, when a class contradicts what is in its columns, or when the\npolicy speaks of what is not there. Status 2 when something could not be done or\nlooked at.\n\nIt reads as server.login of the configuration, or by --dsn: each table in a\nread-only transaction of its own, some rows of it.",
		"pgveil scan --config /etc/pgveil/pgveil.yaml",
		"pgveil scan --dsn 'host=db.internal dbname=crm user=pgveil_catalog' --out policy/",
		"pgveil scan --dsn postgres:///crm --diff --policy policy/ --format github      in CI",
		"pgveil scan --ddl schema.sql --diff --policy policy/                           without a database")
	s := &scanning{stdout: stdout, stderr: stderr}
	s.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if wrong := s.misused(); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	code, err := s.run(ctx)
	if err != nil {
		c.failed(stderr, err)
		return scanError
	}
	return code
}

func (s *scanning) flags(c *command) {
	c.flags.StringVar(&s.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&s.dsn, "dsn", "", "`connection` string of the database, instead of what the configuration says")
	c.flags.StringVar(&s.ddl, "ddl", "", "`file` of CREATE statements: judge by names and types alone")
	c.flags.StringVar(&s.policy, "policy", "", "the policy to compare with: its directory, or `file` (default: the configuration's)")
	c.flags.StringVar(&s.out, "out", "", "write the proposed policy into this `directory`")
	c.flags.BoolVar(&s.diff, "diff", false, "compare a policy with what is found")
	c.flags.BoolVar(&s.json, "json", false, "print all that was found as JSON")
	c.flags.BoolVar(&s.all, "all", false, "print open columns as well")
	c.flags.StringVar(&s.format, "format", "text", "how differences are printed: text, or `github` for annotations")
	c.flags.Func("accept", "a `table or column` whose differences are known, as crm.users.email or crm.log_*; may be given again", func(v string) error {
		s.accept = append(s.accept, v)
		_, err := path.Match(v, "")
		return err
	})
	c.flags.IntVar(&s.options.Rows, "rows", 1000, "how many rows of a table are sampled, at most; a `number`")
	c.flags.IntVar(&s.options.Bytes, "bytes", 1<<20, "how much of a column is read, at most; a `number`")
	c.flags.DurationVar(&s.options.Timeout, "timeout", 30*time.Second, "how long a statement may take; a `time`")
}

// misused says what makes no sense in a call.
func (s *scanning) misused() string {
	switch {
	case s.dsn != "" && s.ddl != "":
		return "--dsn and --ddl say the same: give one of them"
	case s.diff && s.out != "":
		return "--diff compares and --out writes: give one of them"
	case !s.diff && (s.policy != "" || s.format != "text" || s.accept != nil):
		return "--policy, --format and --accept go with --diff"
	case s.format != "text" && s.format != "github":
		return fmt.Sprintf("unknown format %q: text or github", s.format)
	case s.format == "github" && s.json:
		return "--json and --format github say the same: give one of them"
	case s.options.Rows < 1 || s.options.Bytes < 1 || s.options.Timeout < time.Millisecond:
		return "--rows, --bytes and --timeout are more than nothing"
	case s.diff && s.policy == "" && (s.dsn != "" || s.ddl != ""):
		return "--diff needs --policy, or a configuration"
	default:
		return ""
	}
}

func (s *scanning) run(ctx context.Context) (int, error) {
	m, cat, err := s.scan(ctx)
	if err != nil {
		return scanError, err
	}
	code := scanNothing
	switch {
	case s.diff:
		code, err = s.compare(m, cat)
	case s.json:
		err = writeJSON(s.stdout, m)
	default:
		err = s.print(m)
	}
	if err == nil && s.out != "" {
		err = s.write(m, cat)
	}
	if err != nil {
		return scanError, err
	}
	if len(m.Unread) > 0 {
		for _, u := range m.Unread {
			fmt.Fprintf(s.stderr, "pgveil scan: %s\n", unread(u))
		}
		return scanError, nil
	}
	return code, nil
}

// scan finds out what there is, by the way that the call names.
func (s *scanning) scan(ctx context.Context) (m *datamap.Map, cat *catalog.Snapshot, err error) {
	scan := func(conn *pgx.Conn) error {
		if cat, err = pgload.Load(ctx, conn); err != nil {
			return err
		}
		if m, err = datamap.Scan(ctx, conn, cat, s.options); err != nil || s.diff || len(m.Unread) > 0 {
			return err
		}
		return s.refer(ctx, conn, m, cat)
	}
	s.options.Progress = s.progress()
	switch {
	case s.ddl != "":
		var text []byte
		if text, err = os.ReadFile(s.ddl); err != nil {
			return nil, nil, fmt.Errorf("reading the schema: %w", err)
		}
		if cat, err = ddl.Parse(string(text)); err != nil {
			return nil, nil, fmt.Errorf("reading the schema: %s: %w", s.ddl, err)
		}
		return datamap.Read(cat), cat, nil
	case s.dsn != "":
		conn, err := pgx.Connect(ctx, s.dsn)
		if err != nil {
			return nil, nil, fmt.Errorf("connecting: %w", err)
		}
		err = errors.Join(scan(conn), conn.Close(context.WithoutCancel(ctx)))
		return m, cat, err
	default:
		err = withOwn(ctx, s.config, func(cfg *config.Config, conn *pgx.Conn) error {
			if s.policy == "" {
				s.policy = cfg.Policy
			}
			return scan(conn)
		})
		return m, cat, err
	}
}

// refer has the values of columns compared with what subjects are known by, in the
// place of what their names alone say.
func (s *scanning) refer(ctx context.Context, conn *pgx.Conn, m *datamap.Map, cat *catalog.Snapshot) error {
	m.References = nil
	set, err := proposed(m, cat)
	if err != nil || len(set.Subjects()) == 0 {
		return err
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("SET statement_timeout = %d", s.options.Timeout.Milliseconds())); err != nil {
		return err
	}
	all, err := dsar.Suggest(ctx, conn, set, cat)
	for _, found := range all {
		m.References = append(m.References, datamap.Reference{
			Subject: found.Subject, From: found.From, Item: found.Reference, Confidence: found.Confidence, Why: strings.Join(found.Evidence, "; "),
		})
	}
	return err
}

// proposed compiles the proposed policy, as serve would.
func proposed(m *datamap.Map, cat *catalog.Snapshot) (*policy.Set, error) {
	doc, err := policy.Parse(m.Policy()...)
	if err != nil {
		return nil, fmt.Errorf("the proposed policy cannot be read: %w", err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		return nil, fmt.Errorf("the proposed policy does not fit the schema: %w", err)
	}
	return set, nil
}

// progress tells now and then how far a scan is.
func (s *scanning) progress() func(string, int, int) {
	last := time.Now()
	return func(_ string, done, of int) {
		if time.Since(last) >= 2*time.Second {
			last = time.Now()
			fmt.Fprintf(s.stderr, "%d of %d tables\n", done, of)
		}
	}
}

// compare prints in what a policy differs.
func (s *scanning) compare(m *datamap.Map, cat *catalog.Snapshot) (int, error) {
	doc, err := policy.Load(s.policy)
	if err != nil {
		return scanError, err
	}
	if s.ddl != "" {
		cat = policy.Implied(doc, cat)
	}
	all, err := m.Diff(doc, cat)
	if err != nil {
		return scanError, err
	}
	all = slices.DeleteFunc(all, func(d datamap.Difference) bool { return d.Table != "" && s.accepted(&d) })
	if err := s.printDiff(all); err != nil {
		return scanError, err
	}
	same, of := m.Agreement(doc, cat)
	fmt.Fprintf(s.stderr, "policy and scan agree on %d of %d columns whether they are open\n", same, of)
	if len(all) > 0 {
		return scanDifferent, nil
	}
	return scanNothing, nil
}

func (s *scanning) accepted(d *datamap.Difference) bool {
	return slices.ContainsFunc(s.accept, func(pattern string) bool {
		ok, err := path.Match(pattern, d.Name())
		return err == nil && ok // a bad pattern was refused before
	})
}

// write puts the proposed policy into a directory, over no file that is there.
// It is read and compiled first, as serve would.
func (s *scanning) write(m *datamap.Map, cat *catalog.Snapshot) error {
	if _, err := proposed(m, cat); err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	for _, f := range m.Policy() {
		if err := writeNew(filepath.Join(s.out, f.Name), []byte(f.Text), 0o644); err != nil {
			return fmt.Errorf("writing the policy: %w", err)
		}
		fmt.Fprintln(s.stderr, "wrote", filepath.Join(s.out, f.Name))
	}
	return nil
}
