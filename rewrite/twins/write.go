package twins

import (
	"fmt"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

// insert makes an INSERT. With returning, it must give rows back.
func (g *generator) insert(depth int, returning bool) (string, []column) {
	t := g.chooseTable(policy.Insert)
	var cols []column
	for _, c := range t.cols {
		if !c.filled && !g.chance(3) || g.chance(25) && !c.refused && !c.fixed {
			cols = append(cols, c)
		}
	}
	if len(cols) == 0 {
		cols = t.cols[:1]
	}
	list := make([]string, len(cols))
	for i, c := range cols {
		list[i] = identifier(c.name)
	}
	sql := "INSERT INTO " + g.tableName(t)
	alias := t.rel.Name
	if g.chance(20) {
		alias = g.alias("t")
		sql += " AS " + alias
	}
	sql += " (" + strings.Join(list, ", ") + ") " + g.inserted(t, cols, depth)
	s := &scope{items: []*item{{alias: alias, cols: t.cols, target: true}}}
	if g.chance(35) {
		sql += g.onConflict(t, s, depth)
	}
	return g.returning(sql, s, depth, returning)
}

// inserted makes the rows to insert.
func (g *generator) inserted(t *table, cols []column, depth int) string {
	if g.chance(25) {
		s := &scope{}
		from := g.from(s, depth-1)
		outputs := make([]string, len(cols))
		for i, c := range cols {
			if outputs[i] = g.value(t, c); g.chance(50) && c.kind != other {
				outputs[i] = g.expr(c.kind, s, depth-2)
			}
		}
		return "SELECT " + strings.Join(outputs, ", ") + " FROM " + from + " LIMIT 2"
	}
	rows := several(1+g.IntN(2), func() string {
		row := make([]string, len(cols))
		for i, c := range cols {
			row[i] = g.value(t, c)
		}
		return "(" + strings.Join(row, ", ") + ")"
	})
	return "VALUES " + strings.Join(rows, ", ")
}

// value makes a value to write into a column: one that it holds, or for a key
// one that is new.
func (g *generator) value(t *table, c column) string {
	for _, i := range t.rel.PrimaryKey {
		if t.rel.Columns[i].Name == c.name && c.kind == integer && g.chance(75) {
			return fmt.Sprint(2000 + g.IntN(1000))
		}
	}
	if c.typ == "text" && g.chance(40) {
		return quote(fmt.Sprintf("n%d@example.com", g.IntN(100)))
	}
	return g.valueOf(c)
}

func (g *generator) onConflict(t *table, s *scope, depth int) string {
	target := ""
	if len(t.rel.PrimaryKey) > 0 {
		var key []string
		for _, i := range t.rel.PrimaryKey {
			key = append(key, identifier(t.rel.Columns[i].Name))
		}
		target = " (" + strings.Join(key, ", ") + ")"
	}
	if g.chance(10) {
		target = " (" + identifier(pick(g.Rand, t.cols).name) + ")"
	}
	if g.chance(35) {
		return " ON CONFLICT" + pick(g.Rand, []string{"", target}) + " DO NOTHING"
	}
	both := &scope{items: append([]*item{{alias: "excluded", cols: t.cols}}, s.items...)}
	sql := " ON CONFLICT" + target + " DO UPDATE SET " + g.assignments(t, both, depth)
	if g.chance(40) {
		sql += " WHERE " + g.expr(boolean, both, depth-1)
	}
	return sql
}

// assignments makes what stands behind SET.
func (g *generator) assignments(t *table, s *scope, depth int) string {
	var list []string
	seen := map[string]bool{}
	for range 1 + g.IntN(3) {
		c, at := g.column(&scope{items: []*item{{cols: t.cols}}}, func(column) bool { return true })
		if at == nil || seen[c.name] || c.fixed && !g.chance(2) {
			continue
		}
		seen[c.name] = true
		name := identifier(c.name)
		switch n := g.IntN(10); {
		case n < 4:
			list = append(list, name+" = "+g.value(t, c))
		case n < 6:
			if _, at := g.column(s, func(d column) bool { return d.name == c.name }); at != nil {
				list = append(list, name+" = "+identifier(at.alias)+"."+name)
			}
		case n < 9 && c.kind != other:
			list = append(list, name+" = "+g.expr(c.kind, s, depth-2))
		default:
			list = append(list, name+" = DEFAULT")
		}
	}
	if len(list) == 0 {
		name := identifier(t.cols[0].name)
		return name + " = " + name
	}
	return strings.Join(list, ", ")
}

func (g *generator) update(depth int, returning bool) (string, []column) {
	t, s, sql := g.targeted("UPDATE ", policy.Update)
	if g.chance(25) {
		inner := &scope{}
		from := g.from(inner, depth-1)
		s.items = append(s.items, inner.items...)
		sql += " SET " + g.assignments(t, s, depth) + " FROM " + from
	} else {
		sql += " SET " + g.assignments(t, s, depth)
	}
	if g.chance(85) {
		sql += " WHERE " + g.conditions(s, depth)
	}
	return g.returning(sql, s, depth, returning)
}

func (g *generator) delete(depth int, returning bool) (string, []column) {
	_, s, sql := g.targeted("DELETE FROM ", policy.Delete)
	if g.chance(25) {
		inner := &scope{}
		sql += " USING " + g.from(inner, depth-1)
		s.items = append(s.items, inner.items...)
	}
	if g.chance(90) {
		sql += " WHERE " + g.conditions(s, depth)
	}
	return g.returning(sql, s, depth, returning)
}

// targeted begins a statement that changes rows of a table.
func (g *generator) targeted(verb string, op policy.Ops) (*table, *scope, string) {
	t := g.chooseTable(op)
	sql := verb + g.tableName(t)
	it := &item{alias: t.rel.Name, cols: t.cols, target: true, schema: t.rel.Schema}
	if g.chance(40) {
		it.alias, it.schema = g.alias("t"), ""
		sql += " AS " + it.alias
	}
	g.target = it.alias
	return t, &scope{items: []*item{it}}, sql
}

// returning ends a statement that changes rows.
func (g *generator) returning(sql string, s *scope, depth int, must bool) (string, []column) {
	if !must && g.chance(30) {
		return sql, nil
	}
	outputs, cols := g.outputs("plain", s, depth-1, nil)
	return sql + " RETURNING " + strings.Join(outputs, ", "), cols
}

// merge makes a MERGE.
func (g *generator) merge(depth int) string {
	t, target, sql := g.targeted("MERGE INTO ", policy.Update)
	source := &scope{}
	from := g.fromItem(source, depth-1)
	both := &scope{items: append(append([]*item{}, target.items...), source.items...)}
	sql += " USING " + from + " ON " + g.condition(both, 1, "JOIN", depth-1)
	for range 1 + g.IntN(3) {
		when := ""
		if g.chance(40) {
			when = " AND " + g.expr(boolean, both, depth-2)
		}
		sql += pick(g.Rand, []string{
			" WHEN MATCHED" + when + " THEN UPDATE SET " + g.assignments(t, both, depth-1),
			" WHEN MATCHED" + when + " THEN DELETE",
			" WHEN MATCHED" + when + " THEN DO NOTHING",
			" WHEN NOT MATCHED THEN DO NOTHING",
			" WHEN NOT MATCHED THEN " + g.mergeInsert(t, source, depth),
		})
	}
	return sql
}

func (g *generator) mergeInsert(t *table, s *scope, depth int) string {
	var list, values []string
	for _, c := range t.cols {
		if !c.filled || g.chance(20) {
			list = append(list, identifier(c.name))
			values = append(values, g.value(t, c))
		}
	}
	if len(list) == 0 {
		return "INSERT DEFAULT VALUES"
	}
	return "INSERT (" + strings.Join(list, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}
