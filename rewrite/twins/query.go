package twins

import (
	"fmt"
	"strings"
)

// forms are the forms of a query.
var forms = []weight{{"plain", 50}, {"grouped", 16}, {"window", 8}, {"distinct", 6}, {"set", 10}, {"values", 2}, {"table", 2}, {"recursive", 2}, {"with", 8}}

// query makes a query and says what its columns are. With want, it has just the
// columns of those kinds.
func (g *generator) query(outer *scope, depth int, want []kind) (string, []column) {
	form := g.weighted(forms)
	if depth <= 0 {
		form = "plain"
	}
	switch form {
	case "set":
		return g.setOperation(outer, depth, want)
	case "with":
		return g.with(outer, depth, want)
	case "values", "table", "recursive":
		if want == nil {
			return g.odd(form, outer, depth)
		}
	}
	return g.selects(form, outer, depth, want)
}

// subselect makes a query of one column, mostly of one row.
func (g *generator) subselect(k kind, s *scope, depth int) string {
	sql, _ := g.query(s, depth, []kind{k})
	if g.chance(60) && !strings.Contains(sql, "LIMIT") && !strings.Contains(sql, "FOR ") {
		sql += " LIMIT 1"
	}
	return sql
}

// selects makes a SELECT.
func (g *generator) selects(form string, outer *scope, depth int, want []kind) (string, []column) {
	s := &scope{outer: outer}
	from := g.from(s, depth)
	where := ""
	if g.chance(65) {
		where = " WHERE " + g.conditions(s, depth)
	}
	if form == "grouped" {
		return g.grouped(s, from+where, depth, want)
	}
	outputs, cols := g.outputs(form, s, depth, want)
	sql := "SELECT "
	if form == "distinct" {
		sql += "DISTINCT "
		if want == nil && g.chance(50) {
			key := g.any(s, 0)
			return fmt.Sprintf("SELECT DISTINCT ON (%s) %s FROM %s%s ORDER BY %[1]s, %[5]s", key, strings.Join(outputs, ", "), from, where, g.any(s, 1)), cols
		}
	}
	sql += strings.Join(outputs, ", ") + " FROM " + from + where
	if form == "window" && g.chance(40) {
		sql += " WINDOW w AS " + g.window(s, 0)
	}
	if form == "distinct" {
		return sql + g.limit(30), cols
	}
	return sql + g.orderBy(s, len(cols), depth) + g.limit(20) + g.lock(outer), cols
}

// conditions makes what stands in WHERE: often some terms AND-ed, for that is
// where guesses are looked at most closely.
func (g *generator) conditions(s *scope, depth int) string {
	terms := several(1+g.IntN(3), func() string { return g.expr(boolean, s, depth-1) })
	return strings.Join(terms, " AND ")
}

// outputs makes a select list.
func (g *generator) outputs(form string, s *scope, depth int, want []kind) ([]string, []column) {
	if want == nil && g.chance(18) {
		if it := pick(g.Rand, s.items); it.target && g.chance(80) {
			// a row that is written has masked columns that * cannot replace
		} else if g.chance(50) {
			return []string{identifier(it.alias) + ".*"}, it.cols
		} else if len(s.items) == 1 {
			return []string{"*"}, it.cols
		}
	}
	n := len(want)
	if want == nil {
		n = 1 + g.IntN(4)
	}
	var outputs []string
	var cols []column
	for i := range n {
		var c column
		if want != nil {
			c.kind = want[i]
		} else if col, at := g.column(s, func(c column) bool { return c.kind != other }); at != nil && g.chance(50) {
			outputs, cols = append(outputs, g.reference(col, at, s)), append(cols, col)
			continue
		} else if g.chance(10) {
			outputs = append(outputs, g.row(s)) // a column that nothing names
			continue
		} else {
			c.kind = pick(g.Rand, kinds)
		}
		c.name = g.alias("c")
		outputs, cols = append(outputs, g.output(form, c.kind, s, depth)+" AS "+c.name), append(cols, c)
	}
	return outputs, cols
}

func (g *generator) output(form string, k kind, s *scope, depth int) string {
	if form == "window" && len(windows[k]) > 0 && g.chance(60) {
		return g.fill(pick(g.Rand, windows[k]), s, depth)
	}
	return g.expr(k, s, depth)
}

// window makes what stands behind OVER.
func (g *generator) window(s *scope, depth int) string {
	w := "("
	if g.chance(50) {
		w += "PARTITION BY " + g.any(s, depth) + " "
	}
	w += "ORDER BY " + g.any(s, depth) + g.direction()
	if g.chance(20) {
		w += pick(g.Rand, []string{" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS UNBOUNDED PRECEDING", " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES"})
	}
	return w + ")"
}

func (g *generator) direction() string {
	return pick(g.Rand, []string{"", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"})
}

// grouped makes a SELECT that groups rows.
func (g *generator) grouped(s *scope, rest string, depth int, want []kind) (string, []column) {
	if want == nil && g.chance(12) {
		return g.groupedByKey(s, rest, depth)
	}
	type key struct {
		column
		sql string
	}
	var keys []key
	var texts []string
	for range g.IntN(3) {
		k := column{kind: pick(g.Rand, kinds)}
		sql := g.expr(k.kind, s, g.IntN(2))
		if strings.HasPrefix(sql, "'") || strings.HasPrefix(sql, "NULL") || strings.Trim(sql, "-0123456789") == "" {
			continue // positions and untyped constants are no keys
		}
		keys, texts = append(keys, key{k, sql}), append(texts, sql)
	}
	n := len(want)
	if want == nil {
		n = 1 + g.IntN(3)
	}
	var outputs []string
	var cols []column
	for i := range n {
		var c column
		if want != nil {
			c.kind = want[i]
		} else if len(keys) > 0 && g.chance(40) {
			k := pick(g.Rand, keys)
			c.kind, c.name = k.kind, g.alias("c")
			outputs, cols = append(outputs, k.sql+" AS "+c.name), append(cols, c)
			continue
		} else {
			c.kind = pick(g.Rand, []kind{integer, integer, number, text, text, boolean, date, document, list})
		}
		c.name = g.alias("c")
		outputs, cols = append(outputs, g.aggregate(c.kind, s, depth)+" AS "+c.name), append(cols, c)
	}
	sql := "SELECT " + strings.Join(outputs, ", ") + " FROM " + rest
	if len(texts) > 0 {
		sql += " GROUP BY " + g.groups(texts)
	}
	if g.chance(25) {
		sql += " HAVING " + g.fill(pick(g.Rand, aggregates[boolean]), s, depth-1)
	}
	if want == nil && g.chance(50) {
		sql += " ORDER BY " + fmt.Sprint(1+g.IntN(n)) + g.direction()
	}
	return sql + g.limit(10), cols
}

func (g *generator) aggregate(k kind, s *scope, depth int) string {
	if len(aggregates[k]) == 0 {
		return pick(g.Rand, constants[k]) + "::" + names[k]
	}
	return g.fill(pick(g.Rand, aggregates[k]), s, depth-1)
}

func (g *generator) groups(keys []string) string {
	all := strings.Join(keys, ", ")
	switch n := g.IntN(20); {
	case n == 0:
		return "ROLLUP (" + all + ")"
	case n == 1:
		return "CUBE (" + all + ")"
	case n == 2:
		return "GROUPING SETS ((" + all + "), ())"
	default:
		return all
	}
}

// groupedByKey groups by a primary key, on which the other columns depend.
func (g *generator) groupedByKey(s *scope, rest string, depth int) (string, []column) {
	it := pick(g.Rand, s.items)
	alias := identifier(it.alias)
	c := pick(g.Rand, append(it.cols[:len(it.cols):len(it.cols)], column{name: "id", kind: integer}))
	return fmt.Sprintf("SELECT %s.%s, %s AS n FROM %s GROUP BY %[1]s.id ORDER BY 1", alias, identifier(c.name), g.aggregate(integer, s, depth), rest),
		[]column{c, {name: "n", kind: integer}}
}

func (g *generator) orderBy(s *scope, n, depth int) string {
	switch {
	case g.chance(45):
		return ""
	case g.chance(50) && n > 0:
		return " ORDER BY " + fmt.Sprint(1+g.IntN(n)) + g.direction()
	default:
		return " ORDER BY " + g.any(s, depth-1) + g.direction()
	}
}

func (g *generator) limit(percent int) string {
	if !g.chance(percent) {
		return ""
	}
	return pick(g.Rand, []string{" LIMIT 1", " LIMIT 3", " LIMIT 3 OFFSET 1", " OFFSET 2", " FETCH FIRST 2 ROWS ONLY"})
}

// lock locks rows, in a query that stands for itself.
func (g *generator) lock(outer *scope) string {
	if outer != nil || !g.chance(4) {
		return ""
	}
	return pick(g.Rand, []string{" FOR UPDATE", " FOR SHARE", " FOR NO KEY UPDATE SKIP LOCKED", " FOR KEY SHARE NOWAIT"})
}

// setOperation makes two queries of the same kinds into one.
func (g *generator) setOperation(outer *scope, depth int, want []kind) (string, []column) {
	if want == nil {
		want = make([]kind, 1+g.IntN(3))
		for i := range want {
			want[i] = pick(g.Rand, kinds)
		}
	}
	left, cols := g.selects("plain", outer, depth-1, want)
	right, _ := g.query(outer, depth-1, want)
	op := pick(g.Rand, []string{"UNION", "UNION ALL", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"})
	sql := "(" + left + ") " + op + " (" + right + ")"
	if g.chance(40) {
		sql += " ORDER BY 1" + g.direction()
	}
	return sql + g.limit(15), cols
}

// with puts common table expressions before a query.
func (g *generator) with(outer *scope, depth int, want []kind) (string, []column) {
	known := len(g.ctes)
	var list []string
	for range 1 + g.IntN(2) {
		name := g.alias("w")
		sql, cols := g.query(outer, depth-1, nil)
		list = append(list, name+" AS "+pick(g.Rand, []string{"", "", "MATERIALIZED ", "NOT MATERIALIZED "})+"("+sql+")")
		g.ctes = append(g.ctes, &item{alias: name, cols: cols})
	}
	sql, cols := g.selects(pick(g.Rand, []string{"plain", "grouped", "distinct"}), outer, depth-1, want)
	g.ctes = g.ctes[:known]
	return "WITH " + strings.Join(list, ", ") + " " + sql, cols
}

// odd makes the queries that are no plain SELECT.
func (g *generator) odd(form string, outer *scope, depth int) (string, []column) {
	cols := []column{{name: "column1", kind: integer}, {name: "column2", kind: text}}
	switch form {
	case "values":
		return g.fill("VALUES ($i, $t), ($i, $t)", &scope{outer: outer}, depth), cols
	case "table":
		s := &scope{}
		t := g.chooseTable(1)
		s.items = []*item{{alias: t.rel.Name, cols: t.cols}}
		return "TABLE " + g.tableName(t), t.cols
	default:
		s := &scope{outer: outer}
		from := g.from(s, depth-1)
		cols = []column{{name: "n", kind: integer}, {name: "v", kind: text}}
		name := g.alias("w")
		inner := &scope{items: []*item{{alias: name, cols: cols}}}
		return fmt.Sprintf("WITH RECURSIVE %s (n, v) AS (SELECT 1, %s FROM %s UNION %s SELECT n + 1, %s FROM %[1]s WHERE n < 3) SELECT n, v FROM %[1]s",
			name, g.expr(text, s, depth-1), from, pick(g.Rand, []string{"", "ALL"}), g.expr(text, inner, depth-1)) + g.limit(30), cols
	}
}
