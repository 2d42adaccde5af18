package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/state"
)

// Shredder destroys keys that seal one value each. Whoever calls it again with the same
// ids does no harm.
type Shredder interface {
	Destroy(ctx context.Context, ids []seal.DataKeyID) (int64, error)
}

// keyed gives the columns of a relation whose values can have keys of their own.
func (g *Graph) keyed(oid uint32) (all []*policy.Sealed) {
	r, ok := g.catalog.RelationByOID(oid)
	if !ok {
		return nil
	}
	for _, c := range r.Columns {
		if of := g.set.Sealed(r, c.Name); of != nil && of.Mode == policy.SealRandomized {
			all = append(all, of)
		}
	}
	return all
}

// mayShred refuses an erasure that would leave keys behind, since nobody can destroy
// them.
func (e *eraser) mayShred() error {
	for _, t := range e.g.Tables {
		for _, of := range e.g.keyed(t.Relation.OID) {
			if of.Shred && e.o.Shred == nil {
				return privacy.Fail(privacy.NotAvailable, "an operator says where data keys are (sealing.data_keys)", "the keys of %s cannot be destroyed here", of.Column)
			}
		}
	}
	return nil
}

// doom notes the data keys of values that are about to go with a part's rows, in the
// transaction in which they do.
func (w *work) doom(ctx context.Context, tx pgx.Tx, p part) error {
	columns := w.g.keyed(p.oid)
	if p.action == Anonymise {
		set := w.set(p.job)
		columns = slices.DeleteFunc(columns, func(c *policy.Sealed) bool {
			return !slices.ContainsFunc(set, func(b becomes) bool { return b.column == c.Name && b.how != "as it is" })
		})
	}
	if p.action != Anonymise && p.action != Delete || len(columns) == 0 || w.j.table != journalTable {
		return nil
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = fmt.Sprintf("left(CAST(t.%s AS text), 64)", quote(c.Name)) // so much names the key
		if c.Stored == "bytea" {
			heads[i] = fmt.Sprintf("substr(t.%s, 1, 64)", quote(c.Name))
		}
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT %s FROM pg_temp.pgveil_work AS w JOIN ONLY %s AS t ON %s FOR UPDATE OF t",
		strings.Join(heads, ", "), p.name, listed(p.job, p.from, p.to, "t")))
	if err != nil {
		return err
	}
	var ids []seal.DataKeyID
	for rows.Next() {
		for _, head := range rows.RawValues() {
			ids = seal.DataKeysIn(ids, head)
		}
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return err
	}
	numbers := make([]int64, len(ids))
	for i, id := range ids {
		numbers[i] = int64(id)
	}
	_, err = tx.Exec(ctx, "INSERT INTO pgveil.erasure_keys (request, data_key) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING", w.j.request, numbers)
	if err != nil {
		return state.Explain("noting the data keys of what is erased", err)
	}
	return nil
}

// shred destroys the keys of what was erased, once that is certain. It gives how many
// those of the request are, of all its runs.
func (e *eraser) shred(ctx context.Context) (n int64, err error) {
	const left = "SELECT data_key FROM pgveil.erasure_keys WHERE request = $1 AND destroyed_at IS NULL LIMIT 10000"
	for {
		rows, err := e.conn.Query(ctx, left, e.o.Request)
		if err != nil {
			return 0, state.Explain("reading the data keys of what was erased", err)
		}
		numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return 0, state.Explain("reading the data keys of what was erased", err)
		}
		if len(numbers) == 0 {
			break
		}
		if e.o.Shred == nil {
			return 0, privacy.Fail(privacy.NotAvailable, "an operator says where data keys are (sealing.data_keys)", "the keys of what was erased cannot be destroyed here")
		}
		ids := make([]seal.DataKeyID, len(numbers))
		for i, id := range numbers {
			ids[i] = seal.DataKeyID(id)
		}
		if _, err := e.o.Shred.Destroy(ctx, ids); err != nil {
			return 0, err
		}
		if _, err := e.conn.Exec(ctx, "UPDATE pgveil.erasure_keys SET destroyed_at = clock_timestamp() WHERE request = $1 AND data_key = ANY($2)", e.o.Request, numbers); err != nil {
			return 0, state.Explain("noting which data keys were destroyed", err)
		}
	}
	err = e.conn.QueryRow(ctx, "SELECT count(*) FROM pgveil.erasure_keys WHERE request = $1", e.o.Request).Scan(&n)
	return n, err
}
