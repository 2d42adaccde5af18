package dsar

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// written counts what the session has written into a table.
type written struct {
	name                      string
	inserts, updates, deletes int64
}

// writtenSQL gives what this session has written since its counts were last
// handed over, which happens between transactions only: the difference between
// two looks in one transaction is what was written in between, by whatever
// trigger. Our own tables are left out.
const writtenSQL = `
	SELECT s.relid, s.schemaname || '.' || s.relname, s.n_tup_ins, s.n_tup_upd, s.n_tup_del
	  FROM pg_stat_xact_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid
	 WHERE s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 AND s.schemaname <> 'pgveil' AND c.relpersistence <> 't'`

func writes(ctx context.Context, tx pgx.Tx) (map[uint32]written, error) {
	rows, err := tx.Query(ctx, writtenSQL)
	if err != nil {
		return nil, err
	}
	all := map[uint32]written{}
	var oid uint32
	var w written
	_, err = pgx.ForEachRow(rows, []any{&oid, &w.name, &w.inserts, &w.updates, &w.deletes}, func() error {
		all[oid] = w
		return nil
	})
	return all, err
}

// elsewhere is what triggers did in a transaction besides what was asked for.
type elsewhere struct {
	inserts []string // tables into which rows were put: they may hold what was erased
	changes []string // tables that nobody asked to write, and whose rows were changed
	beside  []string // tables that were to be written, and in which more rows were changed
}

// since compares with an earlier look in the same transaction.
func (w *work) since(ctx context.Context, tx pgx.Tx, before map[uint32]written) (e elsewhere, err error) {
	after, err := writes(ctx, tx)
	if err != nil {
		return e, err
	}
	mine := w.written()
	for oid, a := range after {
		b := before[oid]
		switch {
		case a.inserts > b.inserts:
			e.inserts = append(e.inserts, a.name)
		case !slices.Contains(mine, oid) && w.tableOf(oid) < 0 && (a.updates > b.updates || a.deletes > b.deletes):
			e.changes = append(e.changes, a.name)
		case a.updates-b.updates+a.deletes-b.deletes > w.wrote[oid]:
			e.beside = append(e.beside, a.name)
		}
	}
	slices.Sort(e.inserts)
	slices.Sort(e.changes)
	slices.Sort(e.beside)
	return e, nil
}
