package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// policySource says where a policy is, and where the schema that it is about.
type policySource struct {
	policy, schema, dsn string
	at                  time.Time // as of when the policy is asked; zero: now
}

// flags adds the flags that name the source.
func (s *policySource) flags(c *command) {
	c.flags.StringVar(&s.policy, "policy", "", "the policy's directory, or `file`")
	c.flags.StringVar(&s.schema, "schema", "", "`file` of CREATE statements: what pg_dump --schema-only writes")
	c.flags.StringVar(&s.dsn, "dsn", "", "`connection` string of a database, to read the schema from it instead")
}

// missing says what of the source is not given; "" when nothing is missing.
func (s *policySource) missing() string {
	switch {
	case s.policy == "":
		return "--policy is needed"
	case s.schema == "" && s.dsn == "":
		return "--schema or --dsn is needed: a policy is about the columns of a database"
	case s.schema != "" && s.dsn != "":
		return "--schema and --dsn say the same: give one of them"
	default:
		return ""
	}
}

// engine compiles the policy against the schema. Its error is a
// policy.Problems when the policy could be read.
func (s *policySource) engine(ctx context.Context) (*rewrite.Engine, error) {
	doc, docErr := policy.Load(s.policy)
	var problems policy.Problems
	if docErr != nil && !errors.As(docErr, &problems) {
		return nil, docErr
	}
	cat, err := s.catalog(ctx)
	if err = errors.Join(docErr, err); err != nil {
		return nil, err
	}
	if s.dsn == "" {
		cat = policy.Implied(doc, cat) // a file may be of before "pgveil schema --apply"
	}
	set, err := policy.Compile(doc, cat, policy.CheckRows(func(expr string, r *catalog.Relation) error {
		return rewrite.CheckFilter(cat, expr, r)
	}), policy.Clock(s.clock))
	if err != nil {
		return nil, err
	}
	e := rewrite.New(cat, set, 1<<20)
	e.NameSubjects()
	return e, nil
}

func (s *policySource) clock() time.Time {
	if s.at.IsZero() {
		return time.Now()
	}
	return s.at
}

func (s *policySource) catalog(ctx context.Context) (*catalog.Snapshot, error) {
	if s.dsn != "" {
		return liveCatalog(ctx, s.dsn)
	}
	text, err := os.ReadFile(s.schema)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	cat, err := ddl.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("read schema: %s: %w", s.schema, err)
	}
	return cat, nil
}

func liveCatalog(ctx context.Context, dsn string) (*catalog.Snapshot, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	cat, err := pgload.Load(ctx, conn)
	return cat, errors.Join(err, conn.Close(ctx))
}

// runCheck runs "pgveil check".
func runCheck(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("check", "",
		"Compares a policy with the schema it is about. Everything wrong is listed, as\nfile:line:column, with exit status 1; otherwise what the policy covers, and what\nin it has no effect.",
		"pgveil check --policy policy/ --schema schema.sql",
		"pgveil check --config /etc/pgveil/pgveil.yaml",
		"pgveil check --policy policy/ --dsn 'host=db.internal dbname=crm user=pgveil_catalog'")
	var s policySource
	var file string
	s.flags(c)
	c.flags.StringVar(&file, "config", "", "also check this `file`, which serve is started with, and the secrets of the access log's sinks and anchors; alone or with a policy, and then the tables that it names")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if file != "" {
		if err := checkShip(file, stdout); err != nil {
			return c.failed(stderr, err)
		}
		if s == (policySource{}) {
			return 0
		}
	}
	if missing := s.missing(); missing != "" {
		return c.misused(stderr, "%s", missing)
	}
	engine, err := s.engine(ctx)
	var problems policy.Problems
	switch {
	case errors.As(err, &problems):
		fmt.Fprintln(stdout, err)
		return 1
	case err != nil:
		return c.failed(stderr, err)
	}
	if file != "" {
		if err := checkImages(engine, file); err != nil {
			return c.failed(stderr, err)
		}
	}
	if err := engine.Policy.Summary(stdout); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

// checkImages finds tables in a configuration that the schema does not have.
func checkImages(e *rewrite.Engine, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	return keepImages(e, cfg.Audit)
}
