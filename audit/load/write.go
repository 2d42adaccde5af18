package load

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/pgveil/pgveil/audit"
)

// errMoved says that another process has loaded the log meanwhile.
var errMoved = errors.New("another process loads the log as well")

// Setup sets a connection up as a Loader needs it: Use must hand out no other.
func Setup(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, settings)
	return err
}

// settings make text what COPY gives and takes, and keep the planner from
// reading parts of the table that it knows nothing of yet as a whole. A commit is
// waited for until the server's own disk has it: what is loaded need not stay in
// the log. Standbys are not waited for.
const settings = `SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex';
	SET client_encoding = 'UTF8'; SET synchronous_commit = local; SET lock_timeout = '5s'; SET statement_timeout = '50s';
	SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off`

// resume reads what the database knows of a log, and enters the log where it is
// new. first is the first record that there is.
func (l *Loader) resume(ctx context.Context, c *pgx.Conn, first *audit.Leaf) (*state, error) {
	if err := takesWrites(ctx, c); err != nil {
		return nil, err
	}
	id := identify(l.Name, first)
	if _, err := c.Exec(ctx, `INSERT INTO pgveil.access_loads (log, first, records, last, loaded_at)
		SELECT $1, $2, 0, $2, now() WHERE NOT EXISTS (SELECT FROM pgveil.access_loads WHERE first = $2) ON CONFLICT DO NOTHING`, id.name, id.first); err != nil {
		return nil, err
	}
	e, err := id.find(ctx, c)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("another log is in the table as %s: give this one a name of its own, audit.table.name", id.name)
	} else if err != nil {
		return nil, err
	}
	s := &state{encoder: e.encoder, joiner: newJoiner(), next: e.records, parts: map[time.Time]bool{}}
	s.since = e.since
	if err := l.same(s, e.last); err != nil {
		return nil, err
	}
	if s.next < first.Seq {
		l.Log.Warn("records of the access log were removed before they were in its table", "dir", l.Dir, "from", s.next, "to", first.Seq)
	}
	rows, err := c.Query(ctx, `SELECT seq, at FROM pgveil.access_log
		WHERE log = $1 AND kind = 'statement' AND outcome IS NULL AND decision IS DISTINCT FROM 'refuse'`, s.log)
	if err != nil {
		return nil, err
	}
	var seq uint64
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&seq, &at}, func() error { s.open[seq] = at; return nil })
	return s, err
}

// identity is what a log is known by in the table: its first record or, where that
// was retired, its name.
type identity struct {
	name    string
	first   []byte
	retired bool // the first record
}

func identify(name string, first *audit.Leaf) identity {
	id := identity{name: name, first: first.Hash[:], retired: first.Seq > 0}
	if id.retired {
		id.first = fmt.Appendf(nil, "record 0 of %s was retired", name) // no log that has one begins so
	}
	if name == "" {
		id.name = ID(first.Hash)
	}
	return id
}

// entry is what the database knows of a log.
type entry struct {
	encoder
	records uint64
	last    []byte
	since   time.Time
}

// querier is a connection, or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// find reads what the database knows of a log; pgx.ErrNoRows where it knows none.
func (id identity) find(ctx context.Context, c querier) (entry, error) {
	var e entry
	var encoding string
	var since *time.Time
	err := c.QueryRow(ctx, `SELECT log, records, last, getdatabaseencoding(), (SELECT since FROM pgveil.access_kept)
		FROM pgveil.access_loads WHERE first = $1 OR $2 AND log = $3`, id.first, id.retired, id.name).Scan(&e.log, &e.records, &e.last, &encoding, &since)
	if since != nil {
		e.since = *since
	}
	e.ascii = encoding != "UTF8" && encoding != "SQL_ASCII"
	return e, err
}

// same checks that the log is the one that is in the table, as far as it is.
func (l *Loader) same(s *state, last []byte) error {
	if s.next == 0 {
		return nil
	}
	hash, err := audit.LeafHash(l.Dir, s.next-1)
	if errors.Is(err, audit.ErrRetired) {
		return nil // what comes is checked against the log's own checkpoints
	}
	if err == nil && !bytes.Equal(hash[:], last) {
		err = errors.New("it is another record than the one that is in the table")
	}
	if err != nil {
		return fmt.Errorf("the log in %s does not go on where the table ends, after record %d of %s; was it cut short, or is it an older copy? %w", l.Dir, s.next-1, s.log, err)
	}
	return nil
}

// ID is the name of a log that has no other: it is made of its first record.
func ID(first tlog.Hash) string { return fmt.Sprintf("log-%x", first[:8]) }

func takesWrites(ctx context.Context, c *pgx.Conn) error {
	var readOnly bool
	err := c.QueryRow(ctx, "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean").Scan(&readOnly)
	if err == nil && readOnly {
		err = errReadOnly
	}
	return err
}

var errReadOnly = errors.New("the database takes no writes: it is a standby, or read-only")

// ahead is for how many days the table's parts are made beforehand.
const ahead = 2

// due tells whether it is time to tend the table again.
func (s *state) due(now time.Time) bool {
	return now.Sub(s.tended).Abs() >= time.Hour || !day(now).Equal(day(s.tended))
}

// tend makes parts of the table for the days to come, and drops those of days
// that are not kept.
func (l *Loader) tend(ctx context.Context, c *pgx.Conn, s *state) error {
	now := l.Now()
	if !s.due(now) {
		return nil
	}
	today := day(now)
	if _, err := c.Exec(ctx, "SELECT pgveil.access_log_days($1::date, $2::date)", today, today.AddDate(0, 0, ahead)); err != nil {
		return err
	}
	s.tended = now
	return l.drop(ctx, c, s, today.AddDate(0, 0, -l.Keep))
}

// drop drops the parts from before a day. What keeps it from that is tried again
// with the next tending: the loading goes on.
func (l *Loader) drop(ctx context.Context, c *pgx.Conn, s *state, first time.Time) error {
	for dropped := -1; dropped != 0; {
		err := c.QueryRow(ctx, "SELECT pgveil.access_log_keep($1::date)", first).Scan(&dropped)
		var e *pgconn.PgError
		if errors.As(err, &e) && e.Code != noFunction {
			l.Log.Warn("old days of the access log's table are dropped later: somebody may be reading them", "err", err)
			return nil
		}
		if err != nil {
			return err
		}
		if s.since.Before(first) {
			s.since = first
		}
		if dropped > 0 {
			l.Log.Info("old days of the access log's table were dropped", "before", first.Format(time.DateOnly), "parts", dropped)
		}
	}
	return nil
}

// write loads a batch, in one transaction. A batch without rows still moves on
// what is known of the log.
func (l *Loader) write(ctx context.Context, c *pgx.Conn, b *batch) error {
	if err := l.tend(ctx, c, l.state); err != nil {
		return err
	}
	if b.last == nil {
		return nil
	}
	if err := l.partition(ctx, c, b); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return b.write(ctx, tx, copyInto) })
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == uniqueViolation {
		// Somebody has meddled with how far the log is loaded.
		err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return b.write(ctx, tx, mergeInto) })
	}
	return err
}

// partition makes the parts that a batch needs: a clock may be anywhere.
func (l *Loader) partition(ctx context.Context, c *pgx.Conn, b *batch) error {
	for d := range b.days {
		if l.parts[d] {
			continue
		}
		if _, err := c.Exec(ctx, "SELECT pgveil.access_log_days($1::date, $1::date)", d); err != nil {
			return err
		}
		l.parts[d] = true
	}
	return nil
}

// write writes a batch, unless another process has.
func (b *batch) write(ctx context.Context, tx pgx.Tx, into func(context.Context, pgx.Tx, string, string, []byte) error) error {
	var records uint64
	if err := tx.QueryRow(ctx, "SELECT records FROM pgveil.access_loads WHERE log = $1 FOR UPDATE", b.log).Scan(&records); err != nil {
		return err
	}
	if records != b.from {
		return errMoved
	}
	if err := into(ctx, tx, "access_log", recordColumns+", "+outcomeColumns, b.text()); err != nil {
		return err
	}
	if err := into(ctx, tx, "access_subjects", subjectColumns, b.subjects); err != nil {
		return err
	}
	if err := b.end(ctx, tx); err != nil {
		return err
	}
	if err := b.tally(ctx, tx); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE pgveil.access_loads SET records = $2, last = $3, newest = $4, loaded_at = now() WHERE log = $1`,
		b.log, b.next, b.last.Hash[:], b.last.Time)
	return err
}

func copyInto(ctx context.Context, tx pgx.Tx, table, columns string, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(text), fmt.Sprintf("COPY pgveil.%s (%s) FROM STDIN", table, columns))
	return err
}

// mergeInto is copyInto for rows of which some may be there.
func mergeInto(ctx context.Context, tx pgx.Tx, table, columns string, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE merged_%s ON COMMIT DROP AS SELECT * FROM pgveil.%[1]s WITH NO DATA", table)); err != nil {
		return err
	}
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(text), fmt.Sprintf("COPY pg_temp.merged_%s (%s) FROM STDIN", table, columns)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, fmt.Sprintf("INSERT INTO pgveil.%s (%s) SELECT %[2]s FROM pg_temp.merged_%[1]s ON CONFLICT DO NOTHING", table, columns))
	return err
}

// end gives statements that are in the table their outcomes.
func (b *batch) end(ctx context.Context, tx pgx.Tx) error {
	if len(b.ended) == 0 {
		return nil
	}
	var c struct {
		seq, outcome, rows, bytes          []uint64
		at, ended                          []time.Time
		tag, sqlstate, took, message, hash []string
	}
	for _, e := range b.ended {
		o := e.outcome
		c.seq, c.outcome = append(c.seq, o.Ref), append(c.outcome, o.Seq)
		c.at, c.ended = append(c.at, e.at.Truncate(time.Microsecond)), append(c.ended, o.Time.Truncate(time.Microsecond))
		c.rows, c.bytes = append(c.rows, uint64(o.Rows)), append(c.bytes, uint64(o.Bytes))
		c.tag, c.sqlstate, c.message = append(c.tag, b.storable(o.Tag)), append(c.sqlstate, b.storable(o.SQLState)), append(c.message, b.storable(o.Message))
		c.took, c.hash = append(c.took, string(appendInterval(nil, o.Duration))), append(c.hash, hex.EncodeToString(o.Hash[:]))
	}
	_, err := tx.Exec(ctx, `UPDATE pgveil.access_log AS a SET outcome = e.outcome, ended_at = e.ended, rows = e.rows, bytes = e.bytes,
			tag = nullif(e.tag, ''), sqlstate = nullif(e.sqlstate, ''), took = e.took::interval,
			outcome_message = nullif(e.message, ''), outcome_hash = decode(e.hash, 'hex')
		FROM unnest($4::bigint[], $5::timestamptz[], $6::bigint[], $7::timestamptz[], $8::bigint[], $9::bigint[], $10::text[], $11::text[],
			$12::text[], $13::text[], $14::text[]) AS e (seq, at, outcome, ended, rows, bytes, tag, sqlstate, took, message, hash)
		WHERE a.log = $1 AND a.seq = e.seq AND a.at = e.at AND a.at >= $2 AND a.at <= $3`,
		b.log, slices.MinFunc(c.at, time.Time.Compare), slices.MaxFunc(c.at, time.Time.Compare),
		c.seq, c.at, c.outcome, c.ended, c.rows, c.bytes, c.tag, c.sqlstate, c.took, c.message, c.hash)
	return err
}

// tally adds up what auditors look for by user.
func (b *batch) tally(ctx context.Context, tx pgx.Tx) error {
	var queue pgx.Batch
	for _, k := range b.firstKeys() {
		r := b.firsts[k]
		queue.Queue(`INSERT INTO pgveil.access_firsts AS f (username, what, name, at, log, seq) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (username, what, name) DO UPDATE SET at = excluded.at, log = excluded.log, seq = excluded.seq WHERE excluded.at < f.at`,
			k.user, k.what, k.name, r.Time, b.log, r.Seq)
	}
	for _, k := range b.hourKeys() {
		n := b.hours[k]
		queue.Queue(`INSERT INTO pgveil.access_hours AS h (username, hour, statements, classified, refused) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (username, hour) DO UPDATE SET statements = h.statements + excluded.statements,
				classified = h.classified + excluded.classified, refused = h.refused + excluded.refused`,
			k.user, k.at, n.statements, n.classified, n.refused)
	}
	if queue.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &queue).Close()
}
