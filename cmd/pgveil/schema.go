package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// runSchema runs "pgveil schema".
func runSchema(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("schema", "",
		"Prints the statements that make pgveil's own tables in the governed database, in\na schema of their own: elevations, second factors, the access log if it is to be\nthere, and the ledgers of the policy, which can be read by the roles that read what\nthey filter. What is there already\nstays. With --apply it runs them, in one transaction, as the server.login of the\nconfiguration, which then owns the schema and must be able to create one.\n\nRun it again when a subject gets a ledger, or a role is granted more tables. With\n--verify it runs nothing, but follows the chain of what was written into ledgers.",
		"pgveil schema --policy policy/ --dsn 'host=db.internal dbname=crm' | psql crm",
		"pgveil schema --config /etc/pgveil/pgveil.yaml --apply",
		"pgveil schema --config /etc/pgveil/pgveil.yaml --verify")
	var path string
	var s policySource
	s.flags(c)
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with, for --apply and --verify")
	apply := c.flags.Bool("apply", false, "run the statements")
	verify := c.flags.Bool("verify", false, "check the ledgers' events")
	log := c.flags.Bool("access-log", false, "print the statements for the access log's table as well; with --apply, audit.table of the configuration says so")
	var auditors []string
	c.flags.Func("auditor", "a `role` of the database that may read that table; may be given again", func(s string) error {
		auditors = append(auditors, s)
		return nil
	})
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if s.policy+s.schema+s.dsn != "" && (s.missing() != "" || *apply || *verify) || *apply && *verify {
		return c.misused(stderr, "give --policy with --schema or --dsn, or --apply, or --verify")
	}
	if (*apply || *verify) && *log || len(auditors) > 0 && !*log {
		return c.misused(stderr, "--access-log is for printing, and --auditor goes with it")
	}
	var err error
	switch {
	case *apply:
		err = withOwn(ctx, path, func(cfg *config.Config, conn *pgx.Conn) error { return applySchema(ctx, cfg, conn, stdout) })
	case *verify:
		err = withOwn(ctx, path, func(_ *config.Config, conn *pgx.Conn) error { return verifyEvents(ctx, conn, stdout) })
	case s.policy == "":
		fmt.Fprint(stdout, "-- No --policy was given: the tables of ledgers are not among these.\n"+state.Schema())
	default:
		err = printSchema(ctx, s, stdout)
	}
	if err != nil {
		return c.failed(stderr, err)
	}
	if *log {
		fmt.Fprint(stdout, state.AccessLogSchema(auditors))
	}
	return 0
}

// withOwn calls f with a connection of pgveil's own.
func withOwn(ctx context.Context, path string, f func(*config.Config, *pgx.Conn) error) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	d, err := newDialer(cfg)
	if err != nil {
		return err
	}
	conn, err := d.open(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// Once more: the tables may be there only now.
	return errors.Join(f(cfg, conn), d.say(ctx, conn), conn.Close(ctx))
}

func printSchema(ctx context.Context, s policySource, stdout io.Writer) error {
	doc, err := policy.Load(s.policy)
	if err != nil {
		return err
	}
	cat, err := s.catalog(ctx)
	if err != nil {
		return err
	}
	text, err := schemaFor(doc, cat)
	fmt.Fprint(stdout, text)
	return err
}

// schemaFor gives the statements for a policy.
func schemaFor(doc *policy.Document, cat *catalog.Snapshot) (string, error) {
	set, err := policy.Compile(doc, policy.Implied(doc, cat))
	if err != nil {
		return "", err
	}
	return state.Schema(dsar.Ledgers(set)...), nil
}

func applySchema(ctx context.Context, cfg *config.Config, conn *pgx.Conn, stdout io.Writer) error {
	doc, err := policy.Load(cfg.Policy)
	if err != nil {
		return err
	}
	cat, err := pgload.Load(ctx, conn)
	if err != nil {
		return fmt.Errorf("load catalog: %w", err)
	}
	text, err := schemaFor(doc, cat)
	if err != nil {
		return err
	}
	if t := cfg.Audit.Table; t != nil {
		text += state.AccessLogSchema(t.Auditors)
	}
	// One text of several statements is one transaction.
	if _, err := conn.Exec(ctx, text); err != nil {
		return fmt.Errorf("%w; the login %s must own the schema pgveil, or be able to create it: GRANT CREATE ON DATABASE %s TO %s",
			err, cfg.Server.Login, cfg.Database, cfg.Server.Login)
	}
	fmt.Fprintln(stdout, "the schema pgveil is as it must be")
	return nil
}

func verifyEvents(ctx context.Context, conn *pgx.Conn, stdout io.Writer) error {
	n, last, err := state.VerifyEvents(ctx, conn)
	if err != nil {
		return fmt.Errorf("verify the ledgers' events: %w", err)
	}
	fmt.Fprintf(stdout, "%d events, the last with digest %x: compare it with the access log's last record of one\n", n, last)
	return nil
}
