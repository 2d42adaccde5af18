package reseal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/seal"
)

// pass goes once through the tables of a column.
type pass struct {
	*Job
	column *Column
	change change
	result *Result
	tell   func()

	ring   *seal.Ring
	with   converter
	done   int64
	unfits int64
	unfit  []Unfit
}

func (p *pass) all(ctx context.Context) error {
	for _, part := range p.column.Parts {
		if err := p.table(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// table goes through the pages of a table, in steps that hold as many rows to change as
// make a batch. Rows that are written behind the last page are left for the next pass.
func (p *pass) table(ctx context.Context, part *catalog.Relation) error {
	var pages int64
	const size = "SELECT pg_catalog.pg_relation_size($1::pg_catalog.oid) / pg_catalog.current_setting('block_size')::bigint"
	if err := p.Conn.QueryRow(ctx, size, part.OID).Scan(&pages); err != nil {
		return err
	}
	step := int64(16)
	for from := int64(0); from < pages; {
		if ctx.Err() != nil {
			return ErrStopped
		}
		to := min(from+step, pages)
		n, err := p.batch(ctx, part, from, to)
		if errors.Is(err, errTooMany) {
			step = max(1, (to-from)/2)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.QualifiedName(), err)
		}
		if from = to; 2*n <= p.batchSize() {
			step = min(2*step, maxStep)
		}
		if n == 0 {
			continue
		}
		p.tell()
		if err := p.wait(ctx, p.Pause); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) batchSize() int {
	if p.Batch > 0 {
		return p.Batch
	}
	return defaultBatch
}

var (
	errTooMany = errors.New("more rows than make a batch")
	errOther   = errors.New("the keys are others now")
	errTrigger = errors.New("a trigger stores something else than was written: --without-triggers, or disable it meanwhile")
)

// batch changes what lies in some pages. Who waits for somebody's lock gives up soon,
// before PostgreSQL looks for a deadlock, and goes on without the rows that are locked.
func (p *pass) batch(ctx context.Context, part *catalog.Relation, from, to int64) (n int, err error) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), batchWithin)
	defer done()
	locking := ""
	for range 5 {
		n, err = p.attempt(ctx, part, from, to, locking)
		var e *pgconn.PgError
		switch {
		case errors.Is(err, errOther):
		case errors.As(err, &e) && (e.Code == "55P03" || e.Code == "40P01" || e.Code == "40001"):
			locking = " FOR UPDATE OF t SKIP LOCKED"
		default:
			return n, explained(err)
		}
	}
	return 0, nil // the next pass comes by again
}

// explained says what to do about an error of the server's.
func explained(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	hint := map[string]string{
		"42501": "name a login that may change the rows by --admin-url",
		"23514": "a CHECK refuses what is to be stored: \"pgveil seal check\" says which",
		"23505": "a value is there twice, clear and sealed: one of the rows was written meanwhile, and has to go",
		"23503": "a foreign key: --without-triggers changes both sides one after the other",
		"22001": "a sealed value is longer than the column takes",
	}[e.Code]
	switch {
	case hint == "" && (strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "P")): // what triggers say can have values
		return fmt.Errorf("the server refuses what is to be stored (SQLSTATE %s), perhaps by a trigger: its log says why", e.Code)
	case hint == "":
		return err
	}
	return fmt.Errorf("%s (SQLSTATE %s): %s", e.Message, e.Code, hint)
}

// settings keep the planner to the pages that are asked for, and are shorter than
// deadlock_timeout.
const settings = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL lock_timeout = '300ms'"

func (p *pass) attempt(ctx context.Context, part *catalog.Relation, from, to int64, locking string) (n int, err error) {
	if err := p.renew(ctx); err != nil {
		return 0, err
	}
	var changed int64
	var unfit []Unfit
	err = pgx.BeginTxFunc(ctx, p.Conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		rows, err := p.read(ctx, tx, part, from, to, locking)
		if err != nil {
			return err
		}
		if n = len(rows); n > p.batchSize() && to-from > 1 {
			return errTooMany
		}
		if rows, unfit = p.convert(part, rows); len(rows) == 0 {
			return nil
		}
		if changed, err = p.write(ctx, tx, part, rows); err != nil {
			return err
		}
		return p.still(ctx)
	})
	if err != nil {
		return n, err
	}
	p.unfits += int64(len(unfit))
	p.unfit = append(p.unfit, unfit[:min(len(unfit), maxUnfit-len(p.unfit))]...)
	p.done += changed
	p.result.Done += changed
	if changed > 0 {
		p.result.Batches++
	}
	return n, nil
}

// renew makes the converter anew when the keys are others.
func (p *pass) renew(ctx context.Context) error {
	ring, err := p.Ring(ctx)
	if err != nil || ring == p.ring {
		return err
	}
	p.with, err = p.change.plan(ring, p.column)
	p.ring = ring
	return err
}

// still makes sure that nothing is committed under keys that are others meanwhile: one
// may have been destroyed.
func (p *pass) still(ctx context.Context) error {
	ring, err := p.Ring(ctx)
	if err == nil && ring != p.ring {
		err = errOther
	}
	return err
}

// read gives the rows to be changed in some pages, one more at most than make a batch.
func (p *pass) read(ctx context.Context, tx pgx.Tx, part *catalog.Relation, from, to int64, locking string) ([]next, error) {
	where := p.change.where
	if more := p.with.where(); more != "" {
		where += " AND " + more
	}
	sql := fmt.Sprintf("SELECT t.ctid::pg_catalog.text, t.xmin::pg_catalog.text, %s, %s FROM ONLY %s AS t WHERE t.ctid >= $1::pg_catalog.text::pg_catalog.tid AND t.ctid < $2::pg_catalog.text::pg_catalog.tid AND %s", p.column.raw(), p.column.key(), ident(part.Schema, part.Name), where)
	if to-from > 1 {
		sql += fmt.Sprintf(" LIMIT %d", p.batchSize()+1)
	}
	found, err := tx.Query(ctx, sql+locking, fmt.Sprintf("(%d,0)", from), fmt.Sprintf("(%d,0)", to))
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []next
	size := 0
	for found.Next() {
		var n next
		if err := found.Scan(&n.at, &n.version, &n.old, &n.row); err != nil {
			return nil, err
		}
		rows = append(rows, n)
		if size += len(n.old); size > maxBytes && to-from > 1 {
			return nil, errTooMany
		}
	}
	return rows, found.Err()
}

// convert gives the rows with what they are to hold, without those that cannot hold it.
func (p *pass) convert(part *catalog.Relation, rows []next) (fit []next, unfit []Unfit) {
	for _, r := range rows {
		n, err := p.with.convert(r.old, r.row)
		if err != nil {
			unfit = append(unfit, Unfit{part.QualifiedName(), r.at, err})
			continue
		}
		n.at, n.version, n.row = r.at, r.version, r.row
		fit = append(fit, n)
	}
	return fit, unfit
}

// write stores what rows are to hold where they are as they were read, and looks at what
// is stored then. They are known by their version: what they held is not sent, for the
// server may log parameters.
func (p *pass) write(ctx context.Context, tx pgx.Tx, part *catalog.Relation, rows []next) (n int64, err error) {
	c := p.column
	typ, to, is := "pg_catalog.bytea", "u.n", c.raw()
	if c.text() {
		typ = "pg_catalog.text"
	}
	if c.Stored == "jsonb" { // which writes documents its own way
		to, is = "u.n::pg_catalog.jsonb", "t."+ident(c.Name)
	}
	set, blind := fmt.Sprintf("%s = u.n::pg_catalog.%s", ident(c.Name), c.Stored), "NULL::pg_catalog.bytea"
	if c.Blind {
		set, blind = set+fmt.Sprintf(", %s = u.b", c.blind()), "t."+c.blind()
	}
	sql := fmt.Sprintf(`UPDATE ONLY %[1]s AS t SET %[2]s
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::%[3]s[]), pg_catalog.unnest($4::pg_catalog.bytea[])) WITH ORDINALITY AS u (c, x, n, b, i)
WHERE t.ctid = u.c::pg_catalog.tid AND t.xmin = u.x::pg_catalog.xid RETURNING u.i, %[4]s, %[5]s, %[6]s = %[7]s`, ident(part.Schema, part.Name), set, typ, c.raw(), blind, is, to)
	at, versions := make([]string, len(rows)), make([]string, len(rows))
	blinds, stored := make([][]byte, len(rows)), make([][]byte, len(rows))
	for i := range rows {
		at[i], versions[i] = rows[i].at, rows[i].version
		blinds[i], stored[i] = rows[i].blindHash, rows[i].stored
	}
	found, err := tx.Query(ctx, sql, at, versions, c.sent(stored), blinds)
	if err != nil {
		return 0, err
	}
	var i int
	var now, hash []byte
	var same bool
	_, err = pgx.ForEachRow(found, []any{&i, &now, &hash, &same}, func() error {
		n++
		if !same {
			return errTrigger
		}
		if err := p.with.same(&rows[i-1], now, hash); err != nil {
			return fmt.Errorf("what was written does not read back as it must: %w", err)
		}
		return nil
	})
	return n, err
}

// sent gives what is stored as the driver takes it.
func (c *Column) sent(stored [][]byte) any {
	if !c.text() {
		return stored
	}
	s := make([]string, len(stored))
	for i := range stored {
		s[i] = string(stored[i])
	}
	return s
}
