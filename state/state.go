package state

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/privacy"
)

//go:embed schema.sql
var base string

//go:embed subjects.sql
var subjectsSchema string

//go:embed habits.sql
var habitsSchema string

//go:embed erasures.sql
var erasuresSchema string

// Schema gives the statements that make pgveil's own tables, or what is missing
// of them, those of ledgers included.
func Schema(ledgers ...Ledger) string {
	all := base + subjectsSchema + habitsSchema + honeySchema + doorsSchema + holdsSchema + journalSchema + requestsSchema + erasuresSchema + retentionSchema
	if len(ledgers) == 0 {
		return all
	}
	// Default privileges of the database's may have opened the new table.
	all += eventsSchema + Ledger{}.grants(pgx.Identifier{"pgveil", "consent_events"})
	for _, l := range ledgers {
		all += l.schema()
	}
	return all
}

// Store is the tables at work. It may be used by many goroutines.
type Store struct {
	// Use calls f with a connection of pgveil's own to the database, which f
	// alone has meanwhile.
	Use func(ctx context.Context, f func(*pgx.Conn) error) error

	Key    []byte       // 32 bytes, that second factors are sealed under; without it there are none
	Alerts alert.Raiser // hears what operators must look at; nil: nobody does
}

// SQLSTATEs of a schema that is not there, of a table, and of a column.
const (
	noSchema = "3F000"
	noTable  = "42P01"
	noColumn = "42703"
)

// use calls f, and says what to do where the tables are missing.
func (s *Store) use(ctx context.Context, doing string, f func(*pgx.Conn) error) error {
	return Explain(doing, s.Use(ctx, f))
}

// Explain says what to do about an error where the tables are missing.
func Explain(doing string, err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.Code == noSchema || e.Code == noTable) {
		return privacy.Fail(privacy.NotAvailable, `an operator makes them with "pgveil schema --apply"`, "pgveil's own tables are missing from the database")
	}
	if errors.As(err, &e) && e.Code == noColumn {
		return privacy.Fail(privacy.NotAvailable, `an operator brings them up to date with "pgveil schema --apply"`, "pgveil's own tables are older than it")
	}
	var said *privacy.Error
	if err == nil || errors.As(err, &said) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
