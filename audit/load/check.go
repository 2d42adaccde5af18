package load

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
)

// Report is what Check found.
type Report struct {
	Log      string
	First    uint64    // record that the log has
	Records  uint64    // of the log, that the table should have
	Since    time.Time // from when on; zero: from the first one on
	Rows     int       // compared, of all tables
	Problems []string  // the first of them
	More     int       // problems beyond those
}

// maxProblems is how many are told one by one.
const maxProblems = 100

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) == maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Check compares the table with the log in dir, which is believed: every row that
// a record should have is there, is as a Loader writes it, and there is no other.
// What the table does not have yet is not missed, nor what is older than what is
// kept in either. It sees one moment of the database and may run beside Loaders.
//
// name is the log's in the table, as in a Loader.
func Check(ctx context.Context, c *pgx.Conn, dir, name string) (Report, error) {
	rep, err := check(ctx, c, dir, name)
	if err != nil {
		return rep, fmt.Errorf("compare the access log's table with the log in %s: %w", dir, err)
	}
	return rep, nil
}

func check(ctx context.Context, c *pgx.Conn, dir, name string) (rep Report, err error) {
	first, err := audit.First(dir)
	if err != nil {
		return rep, err
	}
	rep.First = first.Seq
	if _, err := c.Exec(ctx, settings+`; SET statement_timeout = 0; SET lock_timeout = 0; SET enable_seqscan = on; SET enable_hashjoin = on`); err != nil {
		return rep, err
	}
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, c, options, func(tx pgx.Tx) error {
		e, err := identify(name, &first).find(ctx, tx)
		if errors.Is(err, pgx.ErrNoRows) {
			return errors.New("it was never loaded")
		} else if err != nil {
			return err
		}
		rep.Log, rep.Records, rep.Since = e.log, e.records, e.since
		for _, p := range passes {
			if err := p.run(ctx, tx, e.encoder, dir, &rep); err != nil {
				return err
			}
		}
		return nil
	})
	return rep, err
}

// place is where a row stands in the log: in which record, and there which.
type place [2]uint64

func (p place) compare(q place) int { return cmp.Or(cmp.Compare(p[0], q[0]), cmp.Compare(p[1], q[1])) }

// pass compares one kind of row. Both sides come in the order of their places.
type pass struct {
	what    string
	columns string
	query   string // of the columns; %[1]s is the log, %[2]s from when on, %[3]d from which record
	at      [2]int // columns of the place; the second may be the first
	// lines gives what a record that has a place in the table should have there.
	lines func(e encoder, r *audit.Leaf, seq uint64, at time.Time) []byte
}

var passes = []pass{
	{
		what: "row", columns: recordColumns + ", " + outcomeColumns, at: [2]int{1, 1},
		query: "SELECT " + recordColumns + ", " + whereNone(outcomeColumns) + " FROM pgveil.access_log WHERE log = %[1]s AND at >= %[2]s AND seq >= %[3]d ORDER BY seq, at",
		lines: func(e encoder, r *audit.Leaf, _ uint64, _ time.Time) []byte {
			if r.Kind.Part() {
				return nil
			}
			return append(e.noOutcome(e.record(nil, r), r), '\n')
		},
	},
	{
		what: "outcome", columns: "seq, at, " + outcomeColumns, at: [2]int{2, 2},
		query: "SELECT seq, at, " + outcomeColumns + " FROM pgveil.access_log WHERE log = %[1]s AND at >= %[2]s AND seq >= %[3]d AND outcome IS NOT NULL ORDER BY outcome, seq",
		lines: func(e encoder, r *audit.Leaf, seq uint64, at time.Time) []byte {
			if r.Kind != audit.KindOutcome {
				return nil
			}
			return append(e.outcome(appendTime(fmt.Appendf(nil, "%d\t", seq), at), r), '\n')
		},
	},
	{
		what: "data subject", columns: subjectColumns, at: [2]int{3, 4},
		query: "SELECT " + subjectColumns + " FROM pgveil.access_subjects WHERE log = %[1]s AND at >= %[2]s AND seq >= %[3]d ORDER BY record, n, seq",
		lines: func(e encoder, r *audit.Leaf, seq uint64, at time.Time) []byte { return e.subjects(nil, seq, at, r) },
	},
}

// whereNone gives columns as they are where there is no outcome.
func whereNone(columns string) string {
	var list []string
	for _, c := range strings.Split(columns, ", ") {
		list = append(list, "CASE WHEN outcome IS NULL THEN "+c+" END")
	}
	return strings.Join(list, ", ")
}

// run reads both sides once, side by side.
func (p pass) run(ctx context.Context, tx pgx.Tx, e encoder, dir string, rep *Report) error {
	since := "'-infinity'"
	if !rep.Since.IsZero() {
		since = "'" + string(appendTime(nil, rep.Since)) + "'"
	}
	sql := fmt.Sprintf("COPY ("+p.query+") TO STDOUT", "'"+strings.ReplaceAll(e.log, "'", "''")+"'", since, rep.First)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := tx.Conn().PgConn().CopyTo(ctx, w, sql)
		done <- errors.Join(err, w.CloseWithError(err))
	}()
	table := &lines{pass: &p, src: bufio.NewReaderSize(r, 1<<20)}
	err := p.compare(e, dir, table, rep)
	if err != nil {
		cancel()
		_ = r.CloseWithError(err) // never fails
	}
	return errors.Join(err, <-done)
}

// compare walks over the log, and over the lines of the table beside it.
func (p pass) compare(e encoder, dir string, table *lines, rep *Report) error {
	tail, err := audit.OpenTail(dir, rep.First)
	if err != nil {
		return err
	}
	defer tail.Close()
	j := newJoiner()
	j.since = rep.Since
	if err := table.next(); err != nil {
		return err
	}
	for n := rep.First; n < rep.Records; n++ {
		r, some, err := tail.Next()
		if err == nil && (!some || r.Seq != n) {
			err = fmt.Errorf("record %d, which is in the table, is not in the log any more", n)
		}
		if err != nil {
			return err
		}
		seq, at, ok := j.place(&r)
		if !ok {
			continue
		}
		for line := range bytes.Lines(p.lines(e, &r, seq, at)) {
			if err := p.one(line, table, rep); err != nil {
				return err
			}
		}
	}
	for ; table.line != nil && err == nil; err = table.next() {
		rep.problem("%s at record %d: there is no such in the log", p.what, table.at[0])
	}
	return err
}

// one compares a line that should be there with the table's.
func (p pass) one(want []byte, table *lines, rep *Report) error {
	at, err := p.placeOf(want)
	if err != nil {
		return err
	}
	for table.line != nil && table.at.compare(at) < 0 {
		rep.problem("%s at record %d: there is no such in the log", p.what, table.at[0])
		if err := table.next(); err != nil {
			return err
		}
	}
	rep.Rows++
	if table.line == nil || table.at != at {
		rep.problem("%s of record %d is missing", p.what, at[0])
		return nil
	}
	if !bytes.Equal(want, table.line) {
		rep.problem("%s of record %d is not as in the log: %s", p.what, at[0], p.differing(want, table.line))
	}
	return table.next()
}

// differing names the columns in which two lines differ.
func (p pass) differing(want, got []byte) string {
	names := strings.Split(p.columns, ", ")
	w, g := bytes.Split(want, []byte("\t")), bytes.Split(got, []byte("\t"))
	var list []string
	for i, name := range names {
		if i >= len(w) || i >= len(g) || !bytes.Equal(w[i], g[i]) {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}

func (p pass) placeOf(line []byte) (at place, err error) {
	fields := bytes.Split(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
	if len(fields) <= max(p.at[0], p.at[1]) {
		return at, fmt.Errorf("a line of the table has %d columns", len(fields))
	}
	for i, column := range p.at {
		if at[i], err = strconv.ParseUint(string(fields[column]), 10, 64); err != nil {
			return at, fmt.Errorf("a line of the table has a place that no record can have: %w", err)
		}
	}
	return at, nil
}

// lines are those of the table.
type lines struct {
	pass *pass
	src  *bufio.Reader
	line []byte // nil at the end
	at   place
}

func (l *lines) next() (err error) {
	l.line, err = l.src.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(l.line) == 0 {
		l.line = nil
		return nil
	}
	if err != nil {
		return err
	}
	l.at, err = l.pass.placeOf(l.line)
	return err
}

// Strangers lists the logs of which there are rows in the table though nobody
// loaded them.
func Strangers(ctx context.Context, c *pgx.Conn) ([]string, error) {
	rows, err := c.Query(ctx, `SELECT log FROM pgveil.access_log UNION SELECT log FROM pgveil.access_subjects
		EXCEPT SELECT log FROM pgveil.access_loads ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("look for rows of other logs: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
