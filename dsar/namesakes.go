package dsar

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// family names the subject's own table in FROM, with all that inherits from it.
func (g *Graph) family(alias string) string {
	root := g.Tables[0].Relation
	return pgx.Identifier{root.Schema, root.Name}.Sanitize() + " AS " + alias
}

// isRoot tells whether the subject's own row may lie in a table.
func (g *Graph) isRoot(table int) bool { return table == 0 || g.Tables[table].heir }

// shared gives the declared references to the subject's own table that may mean
// several of its rows: those to less than its primary key, and all where other
// tables inherit from it, for then no key holds for all rows.
func (g *Graph) shared() []*policy.Reference {
	var all []*policy.Reference
	root := g.Tables[0].Relation
	key := columnNames(root, root.PrimaryKey)
	heirs := slices.ContainsFunc(g.Tables, func(t *Table) bool { return t.heir })
	for _, e := range g.links {
		if e.by == nil || e.by.To != root || e.parent != 0 {
			continue
		}
		whole := key != nil && !slices.ContainsFunc(key, func(k string) bool { return !slices.Contains(e.RefColumns, k) })
		if !whole || heirs || e.by.FoldCase {
			all = append(all, e.by)
		}
	}
	return all
}

// namesakes is an expression for an array: how many rows each of the shared
// references means that means the row alias.
func (g *Graph) namesakes(alias string) string {
	var counts []string
	for _, ref := range g.shared() {
		var same []string
		for _, name := range ref.ToColumns {
			same = append(same, g.sameValue(name, alias, ref.FoldCase))
		}
		counts = append(counts, fmt.Sprintf("(SELECT count(*) FROM %s WHERE %s)", g.family("n"), strings.Join(same, " AND ")))
	}
	return "ARRAY[" + strings.Join(counts, ", ") + "]::bigint[]"
}

// sameValue is the condition that the row n has the value of the row alias in a
// column, and that it is one.
func (g *Graph) sameValue(name, alias string, fold bool) string {
	column, _ := g.Tables[0].Relation.Column(name)
	left, right, schema := "n."+quote(name), alias+"."+quote(name), operatorSchema(column.Type)
	if fold {
		left, right, schema = "lower(CAST("+left+" AS text))", "lower(CAST("+right+" AS text))", "pg_catalog"
	}
	condition := fmt.Sprintf("%s OPERATOR(%s.=) %s", left, quote(schema), right)
	if policy.FamilyOf(column.Type) == policy.FamilyText {
		condition += " AND CAST(" + right + " AS text) <> ''" // what is empty names nobody
	}
	return condition
}

// alone gives an error when some reference means others as well: nobody could
// say whose the rows are.
func (g *Graph) alone(namesakes []int64) error {
	for i, ref := range g.shared() {
		if namesakes[i] > 1 {
			return privacy.Fail(privacy.Ambiguous, "tell them apart first, or take the reference out of the policy",
				"%d of kind %q have this %s, and %s.%s names them by it alone", namesakes[i], g.Subject.Name,
				strings.Join(ref.ToColumns, ", "), ref.Relation.QualifiedName(), strings.Join(ref.Columns, ", "))
		}
	}
	return nil
}
