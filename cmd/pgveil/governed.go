package main

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// openGoverned is openRegistry for verbs that do more than pgveil's own login
// may: they come by a connection string of the operator's, unless it is "".
func openGoverned(path, adminURL string) (*registry, error) {
	r, err := openRegistry(path)
	if err != nil || adminURL == "" {
		return r, err
	}
	c, err := pgx.ParseConfig(adminURL)
	if err != nil {
		return nil, err
	}
	c.Database = r.process.cfg.Database // whatever the string says: no other is meant
	c.RuntimeParams["application_name"], c.RuntimeParams["search_path"] = "pgveil", "pg_catalog"
	r.process.catalog = newConnection(func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, c) })
	r.store.Use = r.process.catalog.use
	return r, nil
}
