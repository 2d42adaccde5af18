package dsar

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

// closure gives the WITH clause in which rN are the places of the subject's
// rows in Tables[N], o and c, each once. $1 and $2 are the place of the
// subject's own row. Rows that belong to somebody else are among them, but not
// what belongs to those rows.
func (g *Graph) closure() string {
	parts := []string{"r0 (o, c) AS (SELECT $1::oid, $2::tid)"}
	for _, group := range g.groups {
		switch {
		case group[0] == 0: // no reference to the subject's own table is followed
		case g.Tables[group[0]].heir:
			parts = append(parts, fmt.Sprintf("r%d (o, c) AS (SELECT o, c FROM r0 WHERE o = %d)", group[0], g.Tables[group[0]].Relation.OID))
		case len(group) > 1 || g.recurs(group[0]):
			parts = append(parts, g.cycle(group)...)
		default:
			parts = append(parts, fmt.Sprintf("r%d (o, c) AS (%s)", group[0], union(g.steps(group[0], edge.follows))))
		}
	}
	return "WITH RECURSIVE " + strings.Join(parts, ",\n")
}

// recurs tells whether rows of a table are followed to others of it.
func (g *Graph) recurs(table int) bool {
	return slices.ContainsFunc(g.links, func(e edge) bool { return e.follows() && e.child == table && e.parent == table })
}

// found names the places of all rows of a table that are found, those that
// refer loosely included.
func (g *Graph) found(table int) string {
	loose := g.steps(table, func(e edge) bool { return e.finds && e.Loose })
	own := fmt.Sprintf("r%d", table)
	if loose == nil {
		return own
	}
	return "(" + union(append(loose, "SELECT o, c FROM "+own)) + ")"
}

func union(selects []string) string {
	if selects == nil {
		return "SELECT NULL::oid, NULL::tid WHERE false"
	}
	return strings.Join(selects, " UNION ")
}

// steps gives a SELECT of the rows of a table for each edge to it that is
// wanted.
func (g *Graph) steps(table int, wanted func(edge) bool) []string {
	var selects []string
	for _, e := range g.links {
		if e.child == table && wanted(e) {
			once := ""
			if e.several {
				once = "DISTINCT "
			}
			selects = append(selects, fmt.Sprintf("SELECT %sc.tableoid AS o, c.ctid AS c FROM r%d AS s JOIN %s ON %s JOIN %s ON %s WHERE %s",
				once, e.parent, as(e.To, "p"), samePlace("p"), as(e.From, "c"), refers(e.Link), g.notShared(e.parent, "p")))
		}
	}
	return selects
}

// cycle finds the rows of tables that lead to each other: a recursion over
// the places of all of them, with the table's number t beside each, and then
// one rN each. It begins with zN: what is found in Tables[N] from without.
func (g *Graph) cycle(group []int) []string {
	name := fmt.Sprintf("k%d", group[0])
	var before, seeds, turns, parts []string
	for _, table := range group {
		outside := g.steps(table, func(e edge) bool { return e.follows() && !slices.Contains(group, e.parent) })
		before = append(before, fmt.Sprintf("z%d (o, c) AS (%s)", table, union(outside)))
		seeds = append(seeds, fmt.Sprintf("SELECT %d, o, c FROM z%[1]d", table))
		for _, e := range g.links {
			if e.child == table && e.follows() && slices.Contains(group, e.parent) {
				turns = append(turns, fmt.Sprintf("SELECT %d, c.tableoid, c.ctid FROM %s JOIN %s ON %s WHERE s.t = %d AND %s AND %s",
					table, as(e.To, "p"), as(e.From, "c"), refers(e.Link), e.parent, samePlace("p"), g.notShared(e.parent, "p")))
			}
		}
		parts = append(parts, fmt.Sprintf("r%d (o, c) AS (SELECT o, c FROM %s WHERE t = %d)", table, name, table))
	}
	found := fmt.Sprintf("%s (t, o, c) AS (SELECT * FROM (%s) AS seeds UNION SELECT n.* FROM %s AS s CROSS JOIN LATERAL (%s) AS n)",
		name, strings.Join(seeds, " UNION ALL "), name, strings.Join(turns, " UNION ALL "))
	return slices.Concat(before, []string{found}, parts)
}

// refers is the condition under which the row c refers to the row p.
func refers(l *Link) string {
	if l.by != nil {
		return l.by.Refers("c", "p")
	}
	conditions := make([]string, len(l.Columns))
	for i := range l.Columns {
		conditions[i] = equal("c", l, i, "p."+quote(l.RefColumns[i]))
	}
	return strings.Join(conditions, " AND ")
}

// equal compares the i-th column of a foreign key with a value of the column that
// it refers to.
func equal(alias string, l *Link, i int, value string) string {
	from, _ := l.From.Column(l.Columns[i])
	return fmt.Sprintf("%s.%s OPERATOR(%s.=) %s", alias, quote(from.Name), quote(operatorSchema(from.Type)), value)
}

// notShared is the condition under which a row of a table belongs to nobody
// but the subject. It may be asked where the tables that lead to it are found.
func (g *Graph) notShared(table int, alias string) string {
	var conditions []string
	for _, c := range g.Tables[table].counterparts {
		if c.owner {
			conditions = append(conditions, "NOT "+namesOther(c, alias))
		}
	}
	for _, j := range g.Tables[table].joints {
		conditions = append(conditions, g.apart(table, j, alias))
	}
	if conditions == nil {
		return "true"
	}
	return strings.Join(conditions, " AND ")
}

// namesOther is the condition under which a row names a counterpart. It is
// never null.
func namesOther(c counterpart, alias string) string {
	if c.by != nil {
		return c.declaredOther(alias)
	}
	conditions := c.present(alias)
	if c.same {
		var same []string
		for i := range c.RefColumns {
			same = append(same, equal(alias, c.Link, i, c.ownValue(i)))
		}
		conditions = append(conditions, "("+strings.Join(same, " AND ")+") IS NOT TRUE")
	}
	return "(" + strings.Join(conditions, " AND ") + ")"
}

// present gives the conditions that a row has values in all of the columns.
func (c counterpart) present(alias string) []string {
	var conditions []string
	for _, name := range c.Columns {
		conditions = append(conditions, alias+"."+quote(name)+" IS NOT NULL")
	}
	return conditions
}

// declaredOther is namesOther of a reference that the policy declares.
func (c counterpart) declaredOther(alias string) string {
	conditions := append(c.present(alias), c.by.Applies(alias))
	switch {
	case c.same:
		own := make([]string, len(c.RefColumns))
		for i := range own {
			own[i] = c.ownValue(i)
		}
		conditions = append(conditions, c.by.Others(alias, own))
	case c.Many():
		conditions = append(conditions, c.by.Others(alias, []string{"NULL"}))
	}
	return "(" + strings.Join(conditions, " AND ") + ")"
}

// ownValue is what the subject's own row has in the i-th column that a reference
// leads to. A declared one leads to rows of what inherits from the table as well.
func (c counterpart) ownValue(i int) string {
	table := as(c.To, "o")
	if c.by != nil {
		table = pgx.Identifier{c.by.To.Schema, c.by.To.Name}.Sanitize() + " AS o"
	}
	return fmt.Sprintf("(SELECT o.%s FROM %s WHERE o.tableoid = $1::oid AND o.ctid = $2::tid)", quote(c.RefColumns[i]), table)
}

// as names a table in FROM. A table that others inherit from stands for its
// own rows only: the heirs are tables of their own.
func as(r *catalog.Relation, alias string) string {
	name := pgx.Identifier{r.Schema, r.Name}.Sanitize() + " AS " + alias
	if r.Kind == catalog.PartitionedTable {
		return name
	}
	return "ONLY " + name
}

// samePlace is the condition under which s is the place of a row.
func samePlace(alias string) string {
	return fmt.Sprintf("%s.tableoid = s.o AND %[1]s.ctid = s.c", alias)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// cast casts to a type without its modifier, which would cut what is too long.
func cast(value string, t catalog.Type) string {
	return fmt.Sprintf("CAST(%s AS %s)", value, pgx.Identifier{t.Schema, t.Name}.Sanitize())
}

// operatorSchema gives the schema of a type's own operator =. That of a base
// type from an extension lies beside the type; all others are the system's.
func operatorSchema(t catalog.Type) string {
	if t.Kind == 'b' && t.Elem == 0 && t.Schema != "" {
		return t.Schema
	}
	return "pg_catalog"
}
