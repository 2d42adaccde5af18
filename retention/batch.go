package retention

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/state"
)

// batchWithin bounds one batch, which ends as it must whether anybody still waits.
const batchWithin = 10 * time.Minute

// places are where the rows of a batch lie, for as long as they are locked.
type places struct {
	tables []uint32
	tuples []string
}

// in is the condition that a row lies at one of the places $1 and $2.
func (p places) in(r *catalog.Relation, alias string) string {
	const tuples = "$2::pg_catalog.text[]::pg_catalog.tid[]"
	is := alias + ".ctid OPERATOR(pg_catalog.=) ANY (" + tuples + ")"
	if r.Kind != catalog.PartitionedTable {
		return is + " AND " + alias + ".tableoid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])"
	}
	return is + fmt.Sprintf(" AND (%s.tableoid, %[1]s.ctid) IN (SELECT p.o, p.c FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest(%s)) AS p (o, c))", alias, tuples)
}

// take takes one batch. It tells how many rows it had picked: some may have turned
// out to be kept by what was committed meanwhile.
func (w *runner) take(ctx context.Context, r *rule) (b Batch, picked int, err error) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), batchWithin)
	defer done()
	b = Batch{Run: w.run, N: w.batch + 1, Rule: r.name}
	err = pgx.BeginTxFunc(ctx, w.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("%s; SET LOCAL lock_timeout = %d", settings, w.LockWait.Milliseconds())); err != nil {
			return err
		}
		rows, n, err := w.lockRows(ctx, tx, r)
		if picked = n; err != nil || len(rows.tuples) == 0 {
			return err
		}
		if b.Took, err = w.remove(ctx, tx, r, rows); err != nil {
			return err
		}
		// What is deferred could fail when it has been recorded that it was done.
		if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return err
		}
		if err := b.write(ctx, tx); err != nil {
			return err
		}
		return w.Record(ctx, b)
	})
	if err != nil {
		return Batch{}, picked, err
	}
	if b.Rows() > 0 {
		w.batch++
	}
	return b, picked, nil
}

// lockRows keeps new holds out, locks rows that can be had and what goes with them,
// and then makes sure, seeing all that was committed until then, that nothing keeps
// them: from here on nobody can add what would.
func (w *runner) lockRows(ctx context.Context, tx pgx.Tx, r *rule) (rows places, picked int, err error) {
	if err := state.LockHolds(ctx, tx); err != nil {
		return rows, 0, err
	}
	if err := r.look(ctx, tx); err != nil {
		return rows, 0, err
	}
	free := []string{r.todo()}
	if awaited := r.awaited(); awaited != "false" {
		free = append(free, "NOT "+awaited)
	}
	if held := r.held(); held != "false" {
		free = append(free, "NOT "+held)
	}
	order := ""
	if r.After != "" {
		order = " ORDER BY " + row + "." + ident(r.After)
	}
	sql := fmt.Sprintf("SELECT %s.tableoid, %[1]s.ctid::pg_catalog.text FROM %s WHERE %s", row, from(r.Relation, row), and(free))
	rows, err = placesOf(ctx, tx, sql+order+" LIMIT $1 FOR UPDATE OF "+row+" SKIP LOCKED", w.Batch)
	if picked = len(rows.tuples); err != nil || picked == 0 {
		return rows, picked, err
	}
	for _, path := range slices.Backward(r.goings()) {
		h := path[len(path)-1]
		lock := "SELECT pg_catalog.count(*) FROM (SELECT FROM " + from(h.child, "pgveil_x") + " WHERE " + r.hangsOn(path, "pgveil_x", rows.in(r.Relation, row)) + " FOR UPDATE OF pgveil_x) AS l"
		if _, err := tx.Exec(ctx, lock, rows.tables, rows.tuples); err != nil {
			return rows, picked, err
		}
	}
	switch changed, err := r.changed(ctx, tx); {
	case err != nil:
		return rows, picked, err
	case len(changed) > 0:
		return rows, picked, fmt.Errorf("%s: %s", r.Relation.QualifiedName(), changed[0])
	}
	rows, err = placesOf(ctx, tx, sql+" AND "+rows.in(r.Relation, row), rows.tables, rows.tuples)
	return rows, picked, err
}

func placesOf(ctx context.Context, tx pgx.Tx, sql string, args ...any) (p places, err error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return p, err
	}
	var table uint32
	var tuple string
	_, err = pgx.ForEachRow(rows, []any{&table, &tuple}, func() error {
		p.tables, p.tuples = append(p.tables, table), append(p.tuples, tuple)
		return nil
	})
	return p, err
}

// remove deletes what hangs on the rows, from the leaves up, and then the rows, or
// makes them tell of nobody.
func (w *runner) remove(ctx context.Context, tx pgx.Tx, r *rule, rows places) (all []Took, err error) {
	if r.anonymises() {
		t, err := w.anonymise(ctx, tx, r, rows)
		return []Took{t}, rows.all(t, err)
	}
	for _, path := range r.goings() {
		h := path[len(path)-1]
		t, err := w.change(ctx, tx, h.child, "delete", "pgveil_x", "DELETE FROM "+from(h.child, "pgveil_x")+" WHERE "+r.hangsOn(path, "pgveil_x", rows.in(r.Relation, row)), "true", rows)
		if err != nil {
			return nil, err
		}
		if t.Rows > 0 {
			all = append(all, t)
		}
	}
	t, err := w.change(ctx, tx, r.Relation, "delete", row, "DELETE FROM "+from(r.Relation, row)+" WHERE "+rows.in(r.Relation, row), "true", rows)
	return append(all, t), rows.all(t, err)
}

// updatedSQL counts the rows of a table that a transaction has updated until now.
const updatedSQL = "SELECT sum(pg_stat_get_xact_tuples_updated(relid))::bigint FROM (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1)) AS p (relid)"

// anonymise makes rows tell of nobody, and makes sure that no trigger keeps a value,
// or writes rows of the table: those would be taken for anonymised.
func (w *runner) anonymise(ctx context.Context, tx pgx.Tx, r *rule, rows places) (t Took, err error) {
	columns, values, err := w.Anonymise(ctx, tx, r.Relation, int64(len(rows.tuples)))
	if err != nil {
		return t, err
	}
	var before, after int64
	if err := tx.QueryRow(ctx, updatedSQL, r.Relation.OID).Scan(&before); err != nil {
		return t, err
	}
	var as, set, same []string
	for i, c := range columns {
		as = append(as, fmt.Sprintf("%s AS v%d", values[i], i))
		set = append(set, fmt.Sprintf("%s = n.v%d", ident(c), i))
		same = append(same, fmt.Sprintf("CAST(o.%s AS pg_catalog.text) IS NOT DISTINCT FROM CAST(n.v%d AS pg_catalog.text)", ident(c), i))
	}
	table, these := from(r.Relation, "o"), rows.in(r.Relation, "o")
	sql := fmt.Sprintf("UPDATE %s SET %s FROM (SELECT o.tableoid AS o, o.ctid AS c, %s FROM %[1]s WHERE %[4]s OFFSET 0) AS n WHERE o.tableoid = n.o AND o.ctid = n.c",
		table, strings.Join(set, ", "), strings.Join(as, ", "), these)
	if t, err = w.change(ctx, tx, r.Relation, "anonymise", "o", sql, and(same), rows); err != nil {
		return t, err
	}
	if err = tx.QueryRow(ctx, updatedSQL, r.Relation.OID).Scan(&after); err == nil && after-before > t.Rows {
		err = fmt.Errorf("%s: a trigger writes rows of it while they are anonymised", t.Relation)
	}
	return t, err
}

// all makes sure that a statement took every row of the places: a trigger may have
// kept some.
func (p places) all(t Took, err error) error {
	if err == nil && t.Rows != int64(len(p.tuples)) {
		err = fmt.Errorf("%s: %d of %d rows were left as they are, by a trigger", t.Relation, int64(len(p.tuples))-t.Rows, len(p.tuples))
	}
	return err
}

// change runs a statement that deletes or updates rows of a table, and gives the
// digest of their keys. said is the condition that a row is as the statement says.
// Triggers find what lies beside their table.
func (w *runner) change(ctx context.Context, tx pgx.Tx, rel *catalog.Relation, action, alias, sql, said string, rows places) (Took, error) {
	t := Took{Relation: rel.QualifiedName(), Action: action}
	if _, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog, "+ident(rel.Schema)+", public"); err != nil {
		return t, err
	}
	sql = "WITH d AS (" + sql + " RETURNING " + keyOf(rel, alias) + " AS k, " + said + ` AS said) SELECT d.k, d.said FROM d ORDER BY d.k COLLATE pg_catalog."C"`
	found, err := tx.Query(ctx, sql, rows.tables, rows.tuples)
	if err != nil {
		return t, err
	}
	d := newDigest(w.Key, t.Relation)
	var key string
	var as bool
	_, err = pgx.ForEachRow(found, []any{&key, &as}, func() error {
		if d.add(key); !as {
			return fmt.Errorf("%s: a trigger does not let it be anonymised", t.Relation)
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	t.Rows, t.Digest = d.rows, d.sum()
	_, err = tx.Exec(ctx, "SET LOCAL search_path = pg_catalog")
	return t, err
}

// digest is HMAC-SHA256 over the name of a table and the keys of rows, each after
// its length: whoever has the key, and the rows from a backup, say, can tell whether
// it was these. Without the key it tells nothing.
type digest struct {
	hash.Hash
	rows int64
}

func newDigest(key []byte, relation string) *digest {
	d := &digest{Hash: hmac.New(sha256.New, key)}
	d.put(relation)
	return d
}

func (d *digest) put(s string) {
	d.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
	d.Write([]byte(s))
}

func (d *digest) add(key string) {
	d.put(key)
	d.rows++
}

func (d *digest) sum() []byte { return d.Sum(nil) }
