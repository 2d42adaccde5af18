package pgload

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/version.sql
var versionSQL string

// Version gives a fingerprint of what Load reads. It costs some milliseconds,
// and some tens in a database of thousands of tables.
//
// It changes with every committed change to what Load reads, also across
// databases and servers. What it could miss is a row of the catalog that is
// replaced under the same OID by a transaction with the same number, which
// takes four billion transactions between two calls, and a collision of 64-bit
// hashes. It may change where Load finds the same: after a GRANT on a column
// or function, say. Temporary relations, TRUNCATE, ANALYZE and VACUUM do not
// change it.
func Version(ctx context.Context, conn *pgx.Conn) (uint64, error) {
	var hash int64
	err := inCatalog(ctx, conn, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, versionSQL).Scan(&hash)
	})
	if err != nil {
		return 0, fmt.Errorf("reading catalog version: %w", err)
	}
	return uint64(hash), nil
}
