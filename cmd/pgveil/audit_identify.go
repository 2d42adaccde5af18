package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/report"
)

// identifier finds out whose tokens are, in the governed database.
type identifier struct {
	conn  *pgx.Conn
	by    string
	at    time.Time
	count report.Identify // of the last list that was resolved
}

// identifyWithin is how long the database may take to connect, or to look up one
// batch of tokens.
const identifyWithin = 30 * time.Second

// identifier connects, and has the server write down that tokens are about to
// be resolved: in its own log, which is not in the hands of who makes a report.
// If that cannot be, nothing is resolved.
func (b *breachAudit) identifier(ctx context.Context, cfg *config.Config, made *report.Breach) (*identifier, error) {
	ctx, cancel := context.WithTimeout(ctx, identifyWithin)
	defer cancel()
	r := &identifier{at: b.now, by: operator()}
	var err error
	if b.dsn != "" {
		r.conn, err = pgx.Connect(ctx, b.dsn)
	} else {
		var d *dialer
		if d, err = newDialer(cfg); err == nil {
			r.conn, err = d.open(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("identify: %w", err)
	}
	said := fmt.Sprintf("pgveil audit breach: %s resolves tokens of %d data subjects of the access log to keys (report on %s)", r.by, made.Named(), made.Scope)
	const witness = `SELECT pg_catalog.set_config('pgveil.identifies', $1, false)`
	const raise = `DO $$ BEGIN RAISE LOG '%', pg_catalog.current_setting('pgveil.identifies'); END $$`
	_, err = r.conn.Exec(ctx, witness, oneLine(said))
	if err == nil {
		_, err = r.conn.Exec(ctx, raise)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("identify: the server's log does not take note of it, so nobody is identified: %w", err), r.close(ctx))
	}
	return r, nil
}

// oneLine keeps a text in a line of a log.
func oneLine(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

// operator says who runs this, as far as the system knows.
func operator() string {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed machine"
	}
	if u, err := user.Current(); err == nil {
		return u.Username + " on " + host
	}
	return fmt.Sprintf("uid %d on %s", os.Getuid(), host)
}

// resolve fills in the keys of subjects. Those that the table does not have
// stay as they are.
func (r *identifier) resolve(ctx context.Context, list []report.Subject) error {
	for len(list) > 0 {
		n := min(len(list), subjectBatch)
		if err := r.lookUp(ctx, list[:n]); err != nil {
			return fmt.Errorf("identify: %w", err)
		}
		for _, s := range list[:n] {
			if s.Key != "" {
				r.count.Resolved++
			} else {
				r.count.Unknown++
			}
		}
		list = list[n:]
	}
	return nil
}

func (r *identifier) lookUp(ctx context.Context, list []report.Subject) error {
	ctx, cancel := context.WithTimeout(ctx, identifyWithin)
	defer cancel()
	at := map[[2]string]*report.Subject{}
	tokens := make([]string, len(list))
	for i := range list {
		at[[2]string{list[i].Kind, list[i].Token}], tokens[i] = &list[i], list[i].Token
	}
	rows, err := r.conn.Query(ctx, `SELECT kind, token, key FROM pgveil.subjects WHERE token OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])`, tokens)
	if err != nil {
		return err
	}
	var kind, token, key string
	_, err = pgx.ForEachRow(rows, []any{&kind, &token, &key}, func() error {
		if s := at[[2]string{kind, token}]; s != nil {
			s.Key = key
		}
		return nil
	})
	return err
}

// told says in the report that it names people: those of the longest list that
// was written, which holds the others.
func (r *identifier) told() *report.Identify {
	i := r.count
	i.By, i.At = r.by, r.at
	return &i
}

func (r *identifier) close(ctx context.Context) error { return r.conn.Close(ctx) }
