package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

// Sizes of samples: rows that are read, different values that are compared, and
// pages from which rows of a large table are taken.
const (
	sampleRows      = 20_000
	sampleValues    = 1_000
	sampleDocuments = 500
	sampleDocument  = 100_000 // bytes of the longest
	samplePages     = 400
	maxKinds        = 50 // more different values say no kinds
)

// candidate is where a reference may lie.
type candidate struct {
	relation *catalog.Relation
	column   *catalog.Column
	kind     string   // the column that says what kind it refers to; "" for none
	where    []string // its values, which are names of tables
	value    string   // an expression for what a row c refers by, as text
}

// overlap is how many different values a sample has, and how many of them are
// values of a goal: as they are, and in any case of letters.
type overlap struct{ values, found, folded int64 }

func (m overlap) share() float64 {
	if m.values == 0 {
		return 0
	}
	return float64(m.folded) / float64(m.values)
}

// sampled names a table in FROM, or of a large one some pages.
func (s *suggester) sampled(r *catalog.Relation) string {
	from := as(r, "c")
	if pages := s.pages[r.OID]; pages > 2*samplePages {
		from += fmt.Sprintf(" TABLESAMPLE SYSTEM (%.4f) REPEATABLE (1)", 100*samplePages/pages)
	}
	return from
}

// measure compares a sample of values with those of a goal. The values stay with
// the server.
func (s *suggester) measure(ctx context.Context, from candidate, g goal) (m overlap, err error) {
	where := "true"
	if from.where != nil {
		values := make([]string, len(from.where))
		for i, v := range from.where {
			values[i] = literal(v)
		}
		where = fmt.Sprintf("CAST(c.%s AS text) IN (%s)", quote(from.kind), strings.Join(values, ", "))
	}
	sql := fmt.Sprintf(`
		WITH x AS MATERIALIZED (SELECT DISTINCT v FROM (SELECT %s AS v FROM %s WHERE %s LIMIT %d) AS y WHERE v <> '' LIMIT %d),
		     p AS MATERIALIZED (SELECT DISTINCT CAST(p.%s AS text) AS k FROM %s)
		SELECT count(*), count(p.k), count(*) FILTER (WHERE lower(x.v) IN (SELECT lower(k) FROM p)) FROM x LEFT JOIN p ON p.k = x.v`,
		from.value, s.sampled(from.relation), where, sampleRows, sampleValues, quote(g.column.Name), as(g.relation, "p"))
	err = s.tx.QueryRow(ctx, sql).Scan(&m.values, &m.found, &m.folded)
	if !textual(strings.TrimPrefix(from.column.Type.Base, "_")) {
		m.folded = m.found
	}
	return m, err
}

// pairs looks for columns of which one says what kind of thing the other refers to,
// and gives their names.
func (s *suggester) pairs(ctx context.Context, r *catalog.Relation) (paired map[string]bool, err error) {
	paired = map[string]bool{}
	for i := range r.Columns {
		kind := words(r.Columns[i].Name)
		n := len(kind) - 1
		if n < 1 || !slices.Contains(kinds, kind[n]) || !textual(r.Columns[i].Type.Base) && r.Columns[i].Type.Kind != 'e' {
			continue
		}
		for j := range r.Columns {
			stem, ends := stemWords(r.Columns[j].Name)
			if !ends || !slices.Equal(stem, kind[:n]) {
				continue
			}
			paired[r.Columns[i].Name], paired[r.Columns[j].Name] = true, true
			if err := s.pair(ctx, r, r.Columns[i].Name, &r.Columns[j]); err != nil {
				return nil, err
			}
		}
	}
	return paired, nil
}

// pair compares the values of a column of each kind that is the name of a goal.
func (s *suggester) pair(ctx context.Context, r *catalog.Relation, kind string, c *catalog.Column) error {
	rows, err := s.tx.Query(ctx, fmt.Sprintf("SELECT DISTINCT v FROM (SELECT CAST(c.%[1]s AS text) AS v FROM %[2]s WHERE c.%[1]s IS NOT NULL LIMIT %[3]d) AS y ORDER BY v LIMIT %[4]d",
		quote(kind), s.sampled(r), sampleRows, maxKinds+1))
	if err != nil {
		return err
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(values) > maxKinds {
		return err
	}
	for _, g := range s.all {
		from := candidate{relation: r, column: c, kind: kind, value: "CAST(c." + quote(c.Name) + " AS text)"}
		for _, v := range values {
			if g.kindOf(v) && !s.declared(r, c.Name, kind, v) {
				from.where = append(from.where, v)
			}
		}
		if !g.key || from.where == nil || !g.mayBe(c.Type) {
			continue
		}
		m, err := s.measure(ctx, from, g)
		if err != nil {
			return err
		}
		s.judge(from, g, true, m)
	}
	return nil
}

// declared tells whether the policy knows already what rows of a kind refer to.
func (s *suggester) declared(r *catalog.Relation, column, kind, value string) bool {
	return slices.ContainsFunc(s.b.links, func(l *Link) bool {
		if l.by == nil || l.From != r || !slices.Contains(l.Columns, column) {
			return false
		}
		for _, w := range l.by.Where {
			if w.Column == kind && slices.Contains(w.Values, value) {
				return true
			}
		}
		return false
	})
}

// documentSQL takes a sample of JSON apart into members, and compares the values of
// each path with those of a goal. Arrays on the way are gone through. What json may
// hold and jsonb may not, a NUL, is left out.
const documentSQL = `
	WITH RECURSIVE
	     docs AS MATERIALIZED (SELECT CAST(c.%[1]s AS jsonb) AS d FROM %[2]s
	       WHERE pg_column_size(c.%[1]s) < %[6]d AND strpos(CAST(c.%[1]s AS text), '\u0000') = 0 LIMIT %[3]d),
	     w (path, v, depth) AS (
	       SELECT CAST(ARRAY[] AS text[]), d, 0 FROM docs
	        UNION ALL
	       SELECT CASE WHEN e.k IS NULL THEN w.path ELSE w.path || e.k END, e.v, w.depth + 1
	         FROM w CROSS JOIN LATERAL (
	              SELECT key, value FROM jsonb_each(CASE jsonb_typeof(w.v) WHEN 'object' THEN w.v ELSE '{}' END)
	               UNION ALL
	              SELECT NULL, value FROM jsonb_array_elements(CASE jsonb_typeof(w.v) WHEN 'array' THEN w.v ELSE '[]' END)) AS e (k, v)
	        WHERE w.depth < 6),
	     leaves AS (SELECT DISTINCT path, v #>> '{}' AS v FROM w WHERE jsonb_typeof(v) IN ('string', 'number') AND cardinality(path) > 0),
	     p AS MATERIALIZED (SELECT DISTINCT CAST(p.%[4]s AS text) AS k FROM %[5]s)
	SELECT path, count(*), count(p.k) FROM leaves LEFT JOIN p ON p.k = leaves.v
	 GROUP BY path HAVING count(p.k) > 0 ORDER BY path LIMIT 1000`

// document compares the members of a column of JSON with all goals.
func (s *suggester) document(ctx context.Context, r *catalog.Relation, c *catalog.Column) error {
	for _, g := range s.all {
		rows, err := s.tx.Query(ctx, fmt.Sprintf(documentSQL, quote(c.Name), s.sampled(r), sampleDocuments, quote(g.column.Name), as(g.relation, "p"), sampleDocument))
		if err != nil {
			return err
		}
		var path []string
		var m overlap
		_, err = pgx.ForEachRow(rows, []any{&path, &m.values, &m.found}, func() error {
			named := g.named(pathName(path))
			m.folded = m.found
			if plainPath(path) && !s.known(r, c.Name, path) && (named || !g.guessable() && m.found >= 3) {
				s.judge(candidate{relation: r, column: c, value: strings.Join(path, ".")}, g, named, m)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pathName gives the name by which a member says what it refers to: of
// customer.id it is customer_id.
func pathName(path []string) string {
	last := path[len(path)-1]
	if len(path) > 1 && slices.Contains(endings, strings.ToLower(last)) {
		return path[len(path)-2] + "_" + last
	}
	return last
}

// plainPath tells whether a policy can write a path. Others are data themselves, as
// members are that are named by a key.
func plainPath(path []string) bool {
	return !slices.ContainsFunc(path, func(name string) bool {
		return name == "" || len(name) > 63 || strings.IndexFunc(name, func(r rune) bool {
			return r != '_' && r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) >= 0 || strings.IndexFunc(name, func(r rune) bool { return r < '0' || r > '9' }) < 0
	})
}

func (s *suggester) known(r *catalog.Relation, column string, path []string) bool {
	return slices.ContainsFunc(s.b.links, func(l *Link) bool {
		return l.by != nil && l.From == r && l.Columns[0] == column && slices.Equal(l.by.Path, path)
	})
}
