package twins

import (
	"fmt"
	"strings"
)

// fill replaces what a template leaves open.
func (g *generator) fill(template string, s *scope, depth int) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(template, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if after == "" || !strings.ContainsRune("intbdzrjuaoxRGQPSFW", rune(after[0])) {
			b.WriteByte('$')
			template = after
			continue
		}
		letter := after[0]
		template = after[1:]
		if letter == 'S' {
			b.WriteString(g.subselect(kind(template[0]), s, depth-1))
			template = template[1:]
			continue
		}
		b.WriteString(g.part(letter, s, depth))
	}
}

// part makes what one letter stands for.
func (g *generator) part(letter byte, s *scope, depth int) string {
	switch letter {
	case 'x':
		return g.any(s, depth-1)
	case 'R':
		return g.row(s)
	case 'G':
		return g.guess(s)
	case 'P':
		return g.pattern(s)
	case 'Q':
		sql, _ := g.query(s, depth-1, nil)
		return sql
	case 'F':
		return g.field(s)
	case 'W':
		return g.window(s, depth-1)
	default:
		return g.expr(kind(letter), s, depth-1)
	}
}

// expr makes an expression of a kind.
func (g *generator) expr(k kind, s *scope, depth int) string {
	if k == other {
		return g.leaf(k, s)
	}
	if depth <= 0 || g.chance(35) {
		return g.leaf(k, s)
	}
	return g.fill(pick(g.Rand, templates[k]), s, depth)
}

// leaf makes a column or a constant; a condition is about a column.
func (g *generator) leaf(k kind, s *scope) string {
	if k == boolean && g.chance(70) {
		return g.guess(s)
	}
	if g.chance(70) {
		if c, at := g.column(s, func(c column) bool { return c.kind == k }); at != nil {
			return g.reference(c, at, s)
		}
		if c, at := g.column(s, func(c column) bool { return true }); at != nil && k == text {
			return g.reference(c, at, s) + "::text"
		}
	}
	return g.constant(k)
}

func (g *generator) constant(k kind) string {
	if len(g.pool[k]) > 0 && g.chance(60) {
		return pick(g.Rand, g.pool[k])
	}
	return pick(g.Rand, constants[k])
}

// any makes an expression of some kind, mostly a column.
func (g *generator) any(s *scope, depth int) string {
	if c, at := g.column(s, func(column) bool { return true }); at != nil && g.chance(70) {
		return g.reference(c, at, s)
	}
	return g.expr(pick(g.Rand, kinds), s, depth)
}

// column chooses a column in scope, those of which something is hidden more
// often than others, and those that may not be named seldom.
func (g *generator) column(s *scope, fits func(column) bool) (column, *item) {
	var cols []column
	var at []*item
	far := g.chance(25)
	for ; s != nil; s = s.outer {
		for _, it := range s.items {
			for _, c := range it.cols {
				if !fits(c) || c.refused && !g.chance(1) {
					continue
				}
				n := 1
				if c.class {
					n = 4
				}
				for range n {
					cols, at = append(cols, c), append(at, it)
				}
			}
		}
		if len(cols) > 0 && !far {
			break
		}
	}
	if len(cols) == 0 {
		return column{}, nil
	}
	i := g.IntN(len(cols))
	return cols[i], at[i]
}

// reference spells a column, in one of the ways that SQL has for it.
func (g *generator) reference(c column, at *item, s *scope) string {
	alias, name := identifier(at.alias), identifier(c.name)
	switch n := g.IntN(100); {
	case n < 15 && (s.unambiguous(c.name) || g.chance(3)):
		return name
	case at.schema != "" && n < 18:
		return identifier(at.schema) + "." + alias + "." + name
	case at.target && n < 98:
		return alias + "." + name
	case n < 21:
		return "(" + alias + ")." + name
	case n < 23:
		return name + "(" + alias + ")"
	default:
		return alias + "." + name
	}
}

// unambiguous tells whether a name alone means one column only.
func (s *scope) unambiguous(name string) bool {
	n := 0
	for ; s != nil && n == 0; s = s.outer {
		for _, it := range s.items {
			for _, c := range it.cols {
				if c.name == name {
					n++
				}
			}
		}
	}
	return n == 1
}

// row names a whole row.
func (g *generator) row(s *scope) string {
	for ; s != nil; s = s.outer {
		if len(s.items) > 0 {
			it := pick(g.Rand, s.items)
			alias := identifier(it.alias)
			if it.target && g.chance(90) {
				return "ROW(" + alias + ".id, 'a')"
			}
			switch n := g.IntN(10); {
			case n < 7:
				return alias
			case n < 9:
				return "ROW(" + alias + ".*)"
			default:
				return "(SELECT q FROM (SELECT " + alias + ".*) AS q)"
			}
		}
	}
	return "ROW(1, 'a')"
}

// field takes a column out of a row that was made of other rows.
func (g *generator) field(s *scope) string {
	c, at := g.column(s, func(column) bool { return true })
	if at == nil {
		return "'none'"
	}
	alias, name := identifier(at.alias), identifier(c.name)
	if at.target && g.chance(90) {
		return alias + "." + name + "::text"
	}
	switch g.IntN(5) {
	case 0:
		return fmt.Sprintf("(to_jsonb(%s) ->> %s)", alias, quote(c.name))
	case 1:
		return fmt.Sprintf("(SELECT q.%s FROM (SELECT %s.*) AS q)::text", name, alias)
	case 2:
		return fmt.Sprintf("((SELECT q FROM (SELECT %s.*) AS q)).%s::text", alias, name)
	case 3:
		return fmt.Sprintf("(SELECT %s FROM (SELECT %s.%[1]s) AS q)::text", name, alias)
	default:
		return fmt.Sprintf("(%s).%s::text", alias, name)
	}
}

// comparisons are the ways to compare a column with one guess; patterns of
// text come on top.
var comparisons = []string{
	"%s = %s", "%s = %s", "%s <> %s", "%s < %s", "%s >= %s", "%s IN (%s)", "%s = ANY (ARRAY[%s])", "%s IS DISTINCT FROM %s", "%[2]s = %[1]s",
	"NOT (%s = %s)", "(%s = %s) IS NOT TRUE", "CASE WHEN %s = %s THEN 1 / 0 = 1 ELSE true END", "(%s = %s OR 1 / 0 = 1)", "nullif(%s, %s) IS NULL",
	"NOT (%s, 1) = (%s, 1)", "%s = (SELECT %s)", "coalesce(%s = %s, false)",
}

// guess compares a column with a value that it may hold.
func (g *generator) guess(s *scope) string {
	c, at := g.column(s, func(c column) bool { return c.kind != other || len(c.values) > 0 })
	if at == nil {
		return pick(g.Rand, constants[boolean])
	}
	ref := g.reference(c, at, s)
	if c.kind == text && g.chance(35) {
		return ref + pick(g.Rand, []string{" LIKE ", " ~ ", " ILIKE ", " ^@ ", " !~~ "}) + g.patternOf(c)
	}
	if g.chance(8) {
		return ref + pick(g.Rand, []string{" IS NULL", " IS NOT NULL"})
	}
	if c.kind == document || c.kind == boolean {
		return fmt.Sprintf("%s = %s", ref, g.valueOf(c))
	}
	return fmt.Sprintf(pick(g.Rand, comparisons), ref, g.valueOf(c))
}

// valueOf makes a constant that a column may hold.
func (g *generator) valueOf(c column) string {
	if len(c.values) > 0 && g.chance(85) {
		if v := pick(g.Rand, c.values); !g.avoid[v.text] {
			return c.literal(v.text)
		}
	}
	return g.constant(c.kind)
}

// pattern makes a pattern, that of a value in scope or any.
func (g *generator) pattern(s *scope) string {
	if c, at := g.column(s, func(c column) bool { return c.kind == text && len(c.values) > 0 }); at != nil && g.chance(60) {
		return g.patternOf(c)
	}
	return pick(g.Rand, patterns)
}

// patternOf makes a pattern of a piece of a value that a column may hold.
func (g *generator) patternOf(c column) string {
	if len(c.values) == 0 {
		return pick(g.Rand, patterns)
	}
	runes := []rune(pick(g.Rand, c.values).text)
	from := g.IntN(len(runes) + 1)
	piece := string(runes[from:min(len(runes), from+1+g.IntN(6))])
	if g.avoid[piece] {
		return pick(g.Rand, patterns)
	}
	return quote(pick(g.Rand, []string{"", "%", "^", ""}) + piece + pick(g.Rand, []string{"", "%", "%", "$"}))
}
