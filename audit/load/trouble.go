package load

import (
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that are dealt with.
const (
	uniqueViolation = "23505"
	readOnly        = "25006"
	noSchema        = "3F000"
	noTable         = "42P01"
	noColumn        = "42703"
	noFunction      = "42883"
)

// trouble says what is wrong, without saying it over and over.
type trouble struct {
	since, told time.Time
	what        string
}

// tellEvery is how often trouble that lasts is told.
const tellEvery = 10 * time.Minute

func (t *trouble) tell(l *Loader, err error) {
	now := l.Now()
	if t.since.IsZero() {
		t.since = now
	}
	what := explain(err)
	if what == t.what && now.Sub(t.told).Abs() < tellEvery {
		return
	}
	t.what, t.told = what, now
	records, _ := l.Loaded()
	l.Log.Error("the access log's table is not loaded; it is tried again", "dir", l.Dir, "loaded", records, "err", err, "because", what)
}

func (t *trouble) over(l *Loader) {
	if !t.since.IsZero() {
		l.Log.Info("the access log's table is loaded again", "dir", l.Dir, "after", l.Now().Sub(t.since).Round(time.Second))
	}
	*t = trouble{}
}

// explain says what to do about an error, in words that stay the same while it
// does.
func explain(err error) string {
	var e *pgconn.PgError
	switch {
	case errors.Is(err, errReadOnly):
		return errReadOnly.Error()
	case !errors.As(err, &e):
		return "no database answers, or the log cannot be read"
	case e.Code == noSchema, e.Code == noTable, e.Code == noColumn, e.Code == noFunction:
		return `the access log's tables are missing from the database: an operator makes them with "pgveil schema --apply"`
	case e.Code == readOnly:
		return errReadOnly.Error()
	default:
		return "the server says " + e.Code
	}
}
