package dsar

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/privacy"
)

// definition is a fact about a relation that a Graph rests on: a column, a
// foreign key that it holds (>name) or a table that inherits from it (<OID).
type definition struct {
	relation uint32
	what     string
}

// definitionsSQL lists the definitions that concern relations. Partitions are
// left out where their parent speaks for them, so that one may be added at
// any time.
const definitionsSQL = `
	SELECT attrelid, attname::text
	  FROM pg_attribute
	 WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped
	UNION ALL
	SELECT conrelid, '>' || conname
	  FROM pg_constraint
	 WHERE confrelid = ANY ($1::oid[]) AND contype = 'f' AND conparentid = 0
	UNION ALL
	SELECT inhparent, '<' || inhrelid
	  FROM pg_inherits
	  JOIN pg_class ON pg_class.oid = inhrelid
	 WHERE inhparent = ANY ($1::oid[]) AND NOT relispartition`

// watch notes the definitions that the graph rests on. A partition on another
// server has no rows whose place is known.
func (b *builder) watch() error {
	g := b.graph
	g.known, g.parts = map[definition]bool{}, map[*catalog.Relation][]*catalog.Relation{}
	for _, r := range b.cat.Relations() {
		for _, fk := range r.ForeignKeys {
			g.known[definition{r.OID, ">" + fk.Name}] = true
		}
		for _, parent := range r.Parents {
			g.known[definition{parent, "<" + strconv.FormatUint(uint64(r.OID), 10)}] = true
		}
		if b.byRelation[b.whole(r)] == nil {
			continue
		}
		if r.Kind == catalog.ForeignTable {
			return fmt.Errorf("%s is on another server: not supported", r.QualifiedName())
		}
		g.watched = append(g.watched, r.OID)
		g.parts[b.whole(r)] = append(g.parts[b.whole(r)], r)
		for _, c := range r.Columns {
			g.known[definition{r.OID, c.Name}] = true
		}
	}
	return nil
}

// current makes sure that the snapshot holds nothing that the graph does not
// know: a table that began to refer to a subject a moment ago would be missed,
// a new column shown though nobody classified it.
func (g *Graph) current(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, definitionsSQL, g.watched)
	if err != nil {
		return fmt.Errorf("comparing with the catalog: %w", err)
	}
	var d definition
	_, err = pgx.ForEachRow(rows, []any{&d.relation, &d.what}, func() error {
		if !g.known[d] {
			return privacy.Fail(privacy.SchemaChanged, "try again shortly", "the schema has changed since it was read")
		}
		return nil
	})
	return err
}
