package twins

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

// from makes a FROM clause and puts what it offers into the scope.
func (g *generator) from(s *scope, depth int) string {
	n := 1
	for n < 3 && g.chance(35) {
		n++
	}
	start := len(s.items) // from where on a join's condition may look
	sql := g.fromItem(s, depth)
	for range n - 1 {
		if g.chance(20) {
			start = len(s.items)
			sql += ", " + g.fromItem(s, depth)
		} else {
			sql += g.join(s, start, depth)
		}
	}
	return sql
}

// join adds one more item.
func (g *generator) join(all *scope, start, depth int) string {
	right := g.fromItem(all, depth)
	s := &scope{items: all.items[start:], outer: all.outer}
	before := len(s.items) - 1
	kind := pick(g.Rand, []string{"JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"})
	if strings.HasPrefix(right, "LATERAL") && (kind == "RIGHT JOIN" || kind == "FULL JOIN") {
		kind = "LEFT JOIN"
	}
	if kind == "CROSS JOIN" {
		return " CROSS JOIN " + right
	}
	if shared := commonColumn(s.items[:before], s.items[before]); shared != "" && g.chance(25) {
		if g.chance(25) {
			return " NATURAL " + kind + " " + right
		}
		using := " " + kind + " " + right + " USING (" + identifier(shared) + ")"
		if g.chance(15) {
			using += " AS " + g.alias("u")
		}
		return using
	}
	return " " + kind + " " + right + " ON " + g.condition(s, before, kind, depth)
}

// condition joins the last item with one before it, on columns of one kind, or
// on whatever.
func (g *generator) condition(s *scope, before int, kind string, depth int) string {
	last := &scope{items: s.items[before:]}
	if c, at := g.column(last, func(c column) bool { return true }); at != nil && (g.chance(70) || kind == "FULL JOIN") {
		if d, there := g.column(&scope{items: s.items[:before]}, func(d column) bool { return d.kind == c.kind }); there != nil {
			sql := fmt.Sprintf("%s.%s = %s.%s", identifier(at.alias), identifier(c.name), identifier(there.alias), identifier(d.name))
			if g.chance(20) && kind != "FULL JOIN" {
				sql += " AND " + g.expr(boolean, s, depth-1)
			}
			return sql
		}
	}
	if kind == "FULL JOIN" {
		return "true"
	}
	return g.expr(boolean, s, depth-1)
}

func commonColumn(left []*item, right *item) string {
	for _, c := range right.cols {
		n := 0
		for _, it := range left {
			for _, d := range it.cols {
				if d.name == c.name && d.kind == c.kind {
					n++
				}
			}
		}
		if n == 1 {
			return c.name
		}
	}
	return ""
}

// sources are what may stand in FROM.
var sources = []weight{{"table", 70}, {"query", 8}, {"lateral", 6}, {"values", 3}, {"function", 6}, {"cte", 8}, {"system", 3}}

func (g *generator) fromItem(s *scope, depth int) string {
	source := g.weighted(sources)
	if depth <= 0 && (source == "query" || source == "lateral") || source == "cte" && len(g.ctes) == 0 {
		source = "table"
	}
	var sql string
	it := &item{alias: g.alias("t")}
	switch source {
	case "table":
		return g.tableItem(s)
	case "query":
		sql, it.cols = g.query(s.outer, depth-1, nil)
		sql = "(" + sql + ") AS " + it.alias
	case "lateral":
		sql, it.cols = g.query(s, depth-1, nil)
		sql = "LATERAL (" + sql + ") AS " + it.alias
	case "values":
		sql = fmt.Sprintf("(VALUES (%s, %s), (%s, %s)) AS %s (a, b)", g.constant(integer), g.constant(text), g.constant(integer), g.constant(text), it.alias)
		it.cols = []column{{name: "a", kind: integer}, {name: "b", kind: text}}
	case "function":
		sql = g.functionItem(it, s, depth)
	case "cte":
		cte := pick(g.Rand, g.ctes)
		sql, it.cols = cte.alias+" AS "+it.alias, cte.cols
	default:
		t := pick(g.Rand, g.system)
		sql, it.cols = t.rel.QualifiedName()+" AS "+it.alias, t.cols
	}
	s.items = append(s.items, it)
	return sql
}

// tableItem makes a reference to a table, mostly one that the caller may read.
func (g *generator) tableItem(s *scope) string {
	t := g.chooseTable(policy.Select)
	it := &item{alias: t.rel.Name, cols: t.cols, schema: t.rel.Schema}
	sql := g.tableName(t)
	if g.chance(8) {
		sql = "ONLY " + sql
	}
	taken := it.alias == g.target || slices.ContainsFunc(s.items, func(there *item) bool { return there.alias == it.alias })
	if taken || g.chance(50) {
		it.alias, it.schema = g.alias("t"), ""
		sql += " AS " + it.alias
		if g.chance(6) {
			sql += g.renamed(it)
		}
	}
	if g.chance(3) {
		sql += pick(g.Rand, []string{" TABLESAMPLE BERNOULLI (100)", " TABLESAMPLE SYSTEM (100)", " TABLESAMPLE BERNOULLI (50) REPEATABLE (1)"})
	}
	s.items = append(s.items, it)
	return sql
}

// renamed gives the first columns of an item other names.
func (g *generator) renamed(it *item) string {
	cols := append([]column{}, it.cols...)
	n := 1 + g.IntN(min(3, len(cols)))
	list := make([]string, n)
	for i := range list {
		list[i] = pick(g.Rand, []string{"a", "b", "c", "email", "id", "ssn"}) + fmt.Sprint(i)
		cols[i].name = list[i]
	}
	it.cols = cols
	return " (" + strings.Join(list, ", ") + ")"
}

// chooseTable chooses a table that the caller may do something to, seldom
// another.
func (g *generator) chooseTable(op policy.Ops) *table {
	var may []*table
	for _, t := range g.tables {
		if !t.ops.Has(op) && !g.chance(1) {
			continue
		}
		may = append(may, t)
		for _, c := range t.cols {
			if c.class && !c.refused {
				may = append(may, t) // those in which there is something to find
			}
		}
	}
	if len(may) == 0 {
		return pick(g.Rand, g.tables)
	}
	return pick(g.Rand, may)
}

func (g *generator) tableName(t *table) string {
	visible := t.rel.Schema == "public" && g.caller.Path == "" || t.rel.Schema == g.caller.Path
	if visible && g.chance(80) {
		return identifier(t.rel.Name)
	}
	return identifier(t.rel.Schema) + "." + identifier(t.rel.Name)
}

// functions are what may stand in FROM with a call; one column each, or those
// that the call says.
var functions = []struct {
	call string
	cols []column
}{
	{"generate_series(1, $i % 4) AS %s (n)", []column{{name: "n", kind: integer}}},
	{"unnest(ARRAY[$t, $t]) WITH ORDINALITY AS %s (v, n)", []column{{name: "v", kind: text}, {name: "n", kind: integer}}},
	{"regexp_split_to_table($t, '[@ ]') AS %s (v)", []column{{name: "v", kind: text}}},
	{"jsonb_each_text(to_jsonb($R)) AS %s (k, v)", []column{{name: "k", kind: text}, {name: "v", kind: text}}},
	{"jsonb_to_record(to_jsonb($R)) AS %s (id int, email text, card text)", []column{{name: "id", kind: integer}, {name: "email", kind: text}, {name: "card", kind: text}}},
	{"ROWS FROM (unnest($a), generate_series(1, 2)) AS %s (v, n)", []column{{name: "v", kind: text}, {name: "n", kind: integer}}},
	{"jsonb_array_elements_text(jsonb_build_array($x, $R)) AS %s (v)", []column{{name: "v", kind: text}}},
	{"unnest($a) AS %s", nil},
	{"length($t) AS %s (v)", []column{{name: "v", kind: integer}}},
}

// functionItem makes a call in FROM; its arguments may name what stands left of
// it.
func (g *generator) functionItem(it *item, s *scope, depth int) string {
	f := pick(g.Rand, functions)
	it.cols = f.cols
	call, alias, _ := strings.Cut(f.call, "%s")
	return "LATERAL " + g.fill(call, s, depth) + it.alias + alias
}
