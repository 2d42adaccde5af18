package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// joint is a reference by which a row may be found through several rows at once,
// as an e-mail is through the rows of a join table that name it: the row is the
// subject's alone only where all of those are.
type joint struct {
	*Link
	parent int // of the graph's Tables; -1 where what it leads to is never the subject's
}

// leadsToSeveral tells whether a reference may lead from one row to several, as
// far as the catalog tells.
func (b *builder) leadsToSeveral(ref *policy.Reference) bool {
	partly := func(at int) bool { return !slices.Contains(ref.ToColumns, ref.To.Columns[at].Name) }
	return ref.To.PrimaryKey == nil || slices.ContainsFunc(ref.To.PrimaryKey, partly) || ref.Many() || ref.FoldCase || len(b.heirs(ref.To)) > 0
}

// joints notes by which references rows of a table may be others' as well.
// Those to subjects themselves are counterparts. A row that cannot be without
// the subject that it names is that one's, whatever else leads to it.
func (b *builder) joints(t *Table) {
	g := b.graph
	if g.isRoot(t.index) || slices.ContainsFunc(t.counterparts, func(c counterpart) bool { return c.owner && c.mandatory() }) {
		return
	}
	for _, l := range t.in {
		if _, toSubject := b.kinds[b.whole(l.To)]; toSubject || !l.several {
			continue
		}
		for _, k := range b.links {
			known := slices.ContainsFunc(t.joints, func(j joint) bool { return j.Link == k })
			if k.by != l.by || known {
				continue
			}
			j := joint{k, -1}
			if slices.Contains(t.in, k) {
				j.parent = b.byRelation[b.whole(k.To)].index
			}
			t.joints = append(t.joints, j)
		}
	}
}

// apart is the condition under which no row that j leads to is somebody else's.
// Among tables that lead to each other it is not known yet which rows are found:
// there only those are the subject's that are found from without, and one that
// alone leads to the row, and so must have been what it was found by.
func (g *Graph) apart(table int, j joint, alias string) string {
	other := alias + "j"
	rows := fmt.Sprintf("SELECT FROM %s WHERE %s", as(j.To, other), j.by.Refers(alias, other))
	none := func(but string) string { return "NOT EXISTS (" + rows + but + ")" }
	within := func(found string) string {
		return none(fmt.Sprintf(" AND ((%s.tableoid, %[1]s.ctid) NOT IN (SELECT o, c FROM %s%d) OR NOT (%s))", other, found, j.parent, g.notShared(j.parent, other)))
	}
	switch {
	case j.parent < 0:
		return none("")
	case !g.mutual(table, j.parent):
		return within("r")
	}
	var either []string
	if len(g.Tables[table].in) == 1 {
		either = append(either, none(" OFFSET 1"))
	}
	if g.Tables[j.parent].joints == nil {
		either = append(either, within("z"))
	}
	if either == nil {
		return none("")
	}
	return "(" + strings.Join(either, " OR ") + ")"
}

// mutual tells whether rows of two tables are found by each other.
func (g *Graph) mutual(a, b int) bool {
	return slices.ContainsFunc(g.groups, func(group []int) bool { return slices.Contains(group, a) && slices.Contains(group, b) })
}

// stands is the condition under which the row c still refers to some row when
// those that are listed for deletion are gone. What holds several references at
// once would keep the ones that end, and is not asked.
func (s *scheme) stands(e edge) string {
	if e.Many() || !slices.ContainsFunc(s.g.Tables[e.child].joints, func(j joint) bool { return j.Link == e.Link }) {
		return "false"
	}
	return fmt.Sprintf("EXISTS (SELECT FROM %s AS q WHERE %s AND (q.tableoid, q.ctid) NOT IN (SELECT y.o, y.c FROM pg_temp.pgveil_work AS y WHERE y.a = %d))",
		pgx.Identifier{e.by.To.Schema, e.by.To.Name}.Sanitize(), e.by.Refers("c", "q"), Delete)
}

const indexedSQL = `
	SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS i
	                WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL
	                  AND (SELECT pg_catalog.array_agg(a.attname::text)
	                         FROM pg_catalog.unnest((pg_catalog.string_to_array(i.indkey::text, ' ')::int2[])[1:cardinality($2::text[])]) AS k (n)
	                         JOIN pg_catalog.pg_attribute AS a ON a.attrelid = $1 AND a.attnum = k.n) @> $2::text[])`

// seek warns of joints whose rows are looked for without an index.
func (s *scheme) seek(ctx context.Context, tx pgx.Tx) error {
	seen := map[string]bool{}
	for _, t := range s.g.Tables {
		for _, j := range t.joints {
			var indexed bool
			to := columnsOf(j.To, j.RefColumns)
			if seen[to] {
				continue
			}
			seen[to] = true
			if err := tx.QueryRow(ctx, indexedSQL, j.To.OID, j.RefColumns).Scan(&indexed); err != nil {
				return fmt.Errorf("looking for an index on %s: %w", to, err)
			}
			if !indexed {
				s.warn("%s has no index: whether rows of %s are others' as well reads all of %s", to, t.Relation.QualifiedName(), j.To.QualifiedName())
			}
		}
	}
	return nil
}

func columnsOf(r *catalog.Relation, names []string) string {
	if len(names) == 1 {
		return r.QualifiedName() + "." + names[0]
	}
	return r.QualifiedName() + ".(" + strings.Join(names, ", ") + ")"
}
