package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog"
)

// Options says how a database is looked through. The zero Options look
// everywhere.
type Options struct {
	Except   []string       // relations that are not looked through, as schema.name: Report names them
	First    int            // how many rows of each Hit are named; 0: 10
	Progress func(Progress) // called often; nil: nobody asks
}

// Progress is how far it is.
type Progress struct {
	Relation string
	Done, Of int64 // by the size of the tables on the disk
}

// Report is what was found, and where was looked.
type Report struct {
	Hits        []Hit    `json:"hits"`
	NotSearched []string `json:"not_searched"` // places, and why
	TooShort    []string `json:"too_short"`    // names of needles that not every text was compared with
	Relations   int      `json:"relations"`
	Rows        int64    `json:"rows"`
	Bytes       int64    `json:"bytes"`
}

// ErrSchemaChanged says that the database has tables or columns that the catalog
// lacks, or lost some while it was looked through: their rows may be elsewhere, by
// another name. Reading the catalog again helps.
var ErrSchemaChanged = errors.New("the schema has changed since it was read")

const (
	usualFirst = 10
	cancelWait = 5 * time.Second
)

// settings make names mean the system's own, and values be spelled in one way. No
// row policy leaves out rows in silence, and nobody ends a long statement.
const settings = `
	SET LOCAL search_path = pg_catalog;
	SET LOCAL row_security = off;
	SET LOCAL client_encoding = 'UTF8';
	SET LOCAL standard_conforming_strings = on;
	SET LOCAL bytea_output = 'hex';
	SET LOCAL xmlbinary = 'base64';
	SET LOCAL statement_timeout = 0;
	SET LOCAL idle_in_transaction_session_timeout = 0;
	SET LOCAL jit = off`

// Database looks for needles in every table and materialized view of a database,
// and in the server's statistics. Every table is read in a transaction of its own,
// so that none is long: what other sessions write meanwhile may be seen or not.
// Memory grows with the needles and with the longest row, not with the number of
// rows. An error means that not everything was looked through. Once ctx has ended,
// conn is of no use any more.
func Database(ctx context.Context, conn *pgx.Conn, cat *catalog.Snapshot, needles []Needle, o Options) (Report, error) {
	stop := context.AfterFunc(ctx, func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), cancelWait)
		defer done()
		// Whoever waits gets the error of ctx; a server that cannot be told has
		// lost the connection too.
		_ = conn.PgConn().CancelRequest(wait)
	})
	defer stop()
	report, err := database(ctx, conn, cat, needles, o)
	if ended := ctx.Err(); err != nil && ended != nil {
		err = ended
	}
	if err != nil {
		return Report{}, fmt.Errorf("looking through the database: %w", withoutValues(err))
	}
	return report, nil
}

func database(ctx context.Context, conn *pgx.Conn, cat *catalog.Snapshot, needles []Needle, o Options) (Report, error) {
	if o.First == 0 {
		o.First = usualFirst
	}
	s, short := newScanner(needles)
	found := &hits{needles: needles, keys: o.First, all: map[place]*Hit{}}
	report := Report{TooShort: short}
	targets, err := targetsIn(ctx, conn, cat, s, o)
	if err != nil {
		return Report{}, err
	}
	report.NotSearched = append(report.NotSearched, targets.left...)
	done := Progress{Of: targets.size}
	for _, t := range targets.tables {
		done.Relation = t.name
		r := &reader{scanner: s, hits: found, target: t, report: &report, step: func(part float64) {
			if o.Progress != nil {
				o.Progress(Progress{t.name, done.Done + int64(part*float64(t.size)), done.Of})
			}
		}}
		if err := r.read(ctx, conn); err != nil {
			return Report{}, fmt.Errorf("%s: %w", t.name, moved(err))
		}
		report.Relations++
		done.Done += t.size
	}
	hidden, err := hiddenStatistics(ctx, conn)
	if err != nil {
		return Report{}, fmt.Errorf("statistics: %w", err)
	}
	report.NotSearched = append(report.NotSearched, hidden...)
	if err := statistics(ctx, conn, s, found, o.Except); err != nil {
		return Report{}, fmt.Errorf("statistics: %w", err)
	}
	if o.Progress != nil {
		o.Progress(Progress{Done: done.Of, Of: done.Of})
	}
	report.Hits = found.sorted()
	return report, nil
}

// read reads a table by COPY.
func (r *reader) read(ctx context.Context, conn *pgx.Conn) error {
	return within(ctx, conn, func() error {
		if _, err := conn.PgConn().CopyTo(ctx, r, r.target.sql); err != nil {
			return err
		}
		return r.finish()
	})
}

// moved tells the server's errors about tables, columns and schemas that are there
// no more from all others.
func moved(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && slices.Contains([]string{"42P01", "42703", "3F000"}, e.Code) {
		return ErrSchemaChanged
	}
	return err
}

// within calls f in a transaction that only reads.
func within(ctx context.Context, conn *pgx.Conn, f func() error) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		return f()
	})
}

// withoutValues takes the text off the server's errors about data, which may
// quote it.
func withoutValues(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && (strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23")) {
		return fmt.Errorf("the server answered SQLSTATE %s", e.Code)
	}
	return err
}
