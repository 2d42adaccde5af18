package twins

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

// statements are the kinds of statement, and how often each is made.
var statements = []weight{
	{"select", 50}, {"insert", 7}, {"update", 12}, {"delete", 5}, {"modifying", 5}, {"several", 5}, {"cursor", 3},
	{"prepare", 4}, {"copy", 4}, {"explain", 2}, {"merge", 2}, {"system", 1},
}

// writing are those that may write.
var writing = []string{"insert", "update", "delete", "modifying", "several", "cursor", "prepare", "explain", "merge"}

const depth = 3

func (g *generator) statement(kind string) string {
	switch kind {
	case "select":
		return g.top()
	case "insert", "update", "delete":
		sql, _ := g.change(kind, false)
		return sql
	case "modifying":
		return g.modifying()
	case "several":
		return g.several()
	case "cursor":
		return g.cursor()
	case "prepare":
		return g.prepared()
	case "copy":
		return g.copy()
	case "explain":
		return g.explain()
	case "merge":
		return g.merge(depth)
	case "system":
		s := &scope{}
		t := pick(g.Rand, g.system)
		s.items = []*item{{alias: "s", cols: t.cols}}
		return fmt.Sprintf("SELECT %s, s.* FROM %s AS s WHERE %s", g.any(s, 2), t.rel.QualifiedName(), g.conditions(s, 2))
	default:
		panic("twins: internal error: no statement of kind " + kind)
	}
}

// top makes a query that stands for itself.
func (g *generator) top() string {
	sql, _ := g.query(nil, depth-g.IntN(3), nil)
	return sql
}

func (g *generator) change(kind string, returning bool) (string, []column) {
	switch kind {
	case "insert":
		return g.insert(depth, returning)
	case "update":
		return g.update(depth, returning)
	default:
		return g.delete(depth, returning)
	}
}

var changes = []string{"insert", "update", "update", "delete"}

// modifying makes a query over what a statement in WITH returns.
func (g *generator) modifying() string {
	sql, cols := g.change(pick(g.Rand, changes), true)
	name := g.alias("w")
	g.ctes = []*item{{alias: name, cols: cols}}
	main := g.top()
	if g.chance(30) {
		main, _ = g.change(pick(g.Rand, changes), false)
	}
	if strings.HasPrefix(main, "WITH") {
		main = "TABLE " + name
	}
	return "WITH " + name + " AS (" + sql + ") " + main
}

// several makes a text of some statements: what one changed, the next may see.
func (g *generator) several() string {
	var list []string
	for range 1 + g.IntN(2) {
		sql, _ := g.change(pick(g.Rand, changes), false)
		list = append(list, sql)
	}
	list = append(list, g.top())
	if g.chance(20) {
		list = slices.Insert(list, 0, "SAVEPOINT s")
		list = slices.Insert(list, len(list)-1, "ROLLBACK TO s")
	}
	if g.chance(15) {
		list = slices.Insert(list, 0, pick(g.Rand, []string{"SET work_mem = '64kB'", "SET extra_float_digits = 0", "SET datestyle = 'German'", "SET enable_seqscan = off"}))
	}
	return strings.Join(list, "; ")
}

func (g *generator) cursor() string {
	list := []string{"DECLARE c " + pick(g.Rand, []string{"", "SCROLL ", "NO SCROLL ", "INSENSITIVE "}) + "CURSOR FOR " + g.top()}
	for range 1 + g.IntN(3) {
		list = append(list, pick(g.Rand, []string{"FETCH 2 FROM c", "FETCH ALL FROM c", "MOVE 1 IN c", "FETCH NEXT FROM c", "FETCH BACKWARD 1 FROM c", "FETCH ABSOLUTE 2 FROM c"}))
	}
	if g.chance(20) {
		t := g.chooseTable(policy.Update)
		s := &scope{items: []*item{{alias: t.rel.Name, cols: t.cols}}}
		list = append(list, "UPDATE "+g.tableName(t)+" SET "+g.assignments(t, s, 2)+" WHERE CURRENT OF c")
	}
	return strings.Join(append(list, "CLOSE c"), "; ")
}

// prepared makes a statement with parameters and runs it.
func (g *generator) prepared() string {
	s := &scope{}
	from := g.from(s, 1)
	c, at := g.column(s, func(c column) bool { return c.kind != other })
	if at == nil {
		return g.top()
	}
	outputs, _ := g.outputs("plain", s, 2, nil)
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s.%s %s $1", strings.Join(outputs, ", "), from, identifier(at.alias), identifier(c.name), pick(g.Rand, []string{"=", "=", "<>", "<", ">="}))
	if g.chance(40) {
		sql += " AND " + g.expr(boolean, s, 2)
	}
	declared := ""
	if g.chance(50) {
		declared = " (" + names[c.kind] + ")"
	}
	return fmt.Sprintf("PREPARE p%s AS %s; EXECUTE p (%s); EXECUTE p (%s)", declared, sql, g.valueOf(c), g.valueOf(c))
}

func (g *generator) copy() string {
	options := pick(g.Rand, []string{"", " WITH (FORMAT csv, HEADER)", " CSV FORCE QUOTE *"})
	if g.chance(60) {
		return "COPY (" + g.top() + ") TO STDOUT" + options
	}
	t := g.chooseTable(policy.Select)
	columns := ""
	if c, at := g.column(&scope{items: []*item{{cols: t.cols}}}, func(column) bool { return true }); at != nil && g.chance(50) {
		columns = " (" + identifier(c.name) + ")"
	}
	return "COPY " + g.tableName(t) + columns + " TO STDOUT" + options
}

func (g *generator) explain() string {
	sql := g.top()
	if g.chance(25) {
		sql, _ = g.change(pick(g.Rand, changes), false)
	}
	return "EXPLAIN " + pick(g.Rand, []string{"", "(COSTS OFF) ", "(VERBOSE) ", "(FORMAT json) ", "(ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "}) + sql
}
