package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	auditload "github.com/pgveil/pgveil/audit/load"
	"github.com/pgveil/pgveil/config"
)

// verifyTable checks the log, and then the access log's table against it.
func (c *auditCommand) verifyTable(ctx context.Context) error {
	given := c.dir != defaultAuditDir
	return withOwn(ctx, c.config, func(cfg *config.Config, conn *pgx.Conn) error {
		if !given {
			c.dir = cfg.Audit.Dir
		}
		if err := c.verifyLog(ctx); err != nil {
			return err
		}
		dirs := []string{c.dir}
		if beside := c.beside(); beside != "" {
			dirs = append(dirs, beside)
		}
		var errs []error
		for _, dir := range dirs {
			errs = append(errs, c.verifyChainTable(ctx, conn, dir, tableName(cfg.Audit, dir)))
		}
		strangers, err := auditload.Strangers(ctx, conn)
		if len(strangers) > 0 {
			err = fmt.Errorf("THE TABLE IS NOT GOOD\n  it has rows of logs that nobody loaded: %s", strings.Join(strangers, ", "))
		}
		return errors.Join(append(errs, err)...)
	})
}

// verifyChainTable checks the table against one chain, and says what is wrong.
func (c *auditCommand) verifyChainTable(ctx context.Context, conn *pgx.Conn, dir, name string) error {
	start := time.Now()
	rep, err := auditload.Check(ctx, conn, dir, name)
	if err != nil {
		return err
	}
	if len(rep.Problems) > 0 {
		more := ""
		if rep.More > 0 {
			more = fmt.Sprintf("\n  and %d more", rep.More)
		}
		return fmt.Errorf("THE TABLE IS NOT GOOD: %s\n  %s%s", rep.Log, strings.Join(rep.Problems, "\n  "), more)
	}
	head, err := audit.ReadHead(dir)
	if err != nil {
		return err
	}
	kept := ""
	if !rep.Since.IsZero() {
		kept = " since " + rep.Since.UTC().Format(time.DateOnly)
	}
	_, err = fmt.Fprintf(c.stdout, "table good: %s, %d of %d records loaded, %d rows%s compared in %s\n",
		rep.Log, rep.Records, head.Count, rep.Rows, kept, time.Since(start).Round(time.Millisecond))
	return err
}
