package main

import (
	"context"
	"fmt"
	"io"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/state"
)

// runSchema runs "pgveil schema".
func runSchema(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("schema", "",
		"Prints the statements that make pgveil's own tables in the governed database, in\na schema of their own: elevations, second factors, consents. What is there\nalready stays. With --apply it runs them, in one transaction, as the server.login\nof the configuration, which then\nowns the schema and must be able to create one.",
		"pgveil schema | psql crm",
		"pgveil schema --config /etc/pgveil/pgveil.yaml --apply")
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	apply := c.flags.Bool("apply", false, "run the statements")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if !*apply {
		fmt.Fprint(stdout, state.Schema())
		return 0
	}
	if err := applySchema(ctx, path); err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintln(stdout, "the schema pgveil is as it must be")
	return 0
}

func applySchema(ctx context.Context, path string) error {
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
	// One text of several statements is one transaction.
	_, err = conn.Exec(ctx, state.Schema())
	if err != nil {
		err = fmt.Errorf("%w; the login %s must own the schema pgveil, or be able to create it: GRANT CREATE ON DATABASE %s TO %s",
			err, cfg.Server.Login, cfg.Database, cfg.Server.Login)
	}
	if closeErr := conn.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}
