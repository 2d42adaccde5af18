package dsar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// rowChange is what changes in one row.
type rowChange struct {
	table   *Table
	row     privacy.Key
	columns []string // in the order in which they were named
	changes map[string]*columnChange

	at     place
	key    []string // values of the primary key, as text
	before string
}

// columnChange is a value that changes. nil stands for NULL.
type columnChange struct {
	column *catalog.Column
	value  *string // as it was given
	write  *string // of a sealed column: what is written into it
	want   *string // as the column would then be read
	was    *string
	sealed *policy.Sealed // nil: it is not
	blind  []byte         // what stands beside it; nil where nothing does, or NULL
}

// set is what is written into the column, as text.
func (c *columnChange) set() *string {
	if c.sealed != nil {
		return c.write
	}
	return c.value
}

// sortChanges puts changes of one row together, and refuses those that no row
// may have.
func (g *Graph) sortChanges(changes []Change) ([]*rowChange, error) {
	if len(changes) == 0 {
		return nil, privacy.Fail(privacy.Syntax, "", "nothing is to be changed")
	}
	var rows []*rowChange
	for i := range changes {
		c := &changes[i]
		t, err := g.tableNamed(c.Table)
		if err != nil {
			return nil, err
		}
		column, err := g.changeable(t, c.Column)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(rows, func(r *rowChange) bool {
			return r.table == t && r.row.Column == c.Row.Column && slices.Equal(r.row.Values, c.Row.Values)
		})
		if at < 0 {
			at = len(rows)
			rows = append(rows, &rowChange{table: t, row: c.Row, changes: map[string]*columnChange{}})
		}
		row := rows[at]
		if row.changes[c.Column] != nil {
			return nil, privacy.Fail(privacy.Syntax, "", "%s.%s is to be changed twice", c.Table, c.Column)
		}
		change := &columnChange{column: column, sealed: g.set.Sealed(t.Relation, column.Name)}
		if !c.Null {
			change.value = &c.Value
		}
		row.columns = append(row.columns, c.Column)
		row.changes[c.Column] = change
	}
	return rows, nil
}

// tableNamed gives the table of a name.
func (g *Graph) tableNamed(name string) (*Table, error) {
	var known []string
	for _, t := range g.Tables {
		if t.Relation.QualifiedName() == name {
			return t, nil
		}
		known = append(known, t.Relation.QualifiedName())
	}
	return nil, privacy.Fail(privacy.NoSubject, privacy.DidYouMean(name, known), "no rows of a %s lie in a table of that name", g.Subject.Name)
}

// changeable gives a column that may be rectified.
func (g *Graph) changeable(t *Table, name string) (*catalog.Column, error) {
	r := t.Relation
	c, ok := r.Column(name)
	if !ok {
		return nil, privacy.Fail(privacy.NoColumn, privacy.DidYouMean(name, shown{columns: r.Columns}.names()), "%s has no column of that name", r.QualifiedName())
	}
	why := ""
	switch _, classified := g.set.Class(r, name); {
	case !classified:
		why = "is in no class of the policy"
	case c.Generated:
		why = "is computed by the server"
	case c.Identity == 'a':
		why = "is numbered by the server"
	case slices.Contains(r.PrimaryKey, r.ColumnIndex(name)) || (t.index == 0 || t.heir) && name == g.Subject.Key:
		why = "is part of a key"
	case g.blind(t, name):
		why = "holds hashes of another, with which it changes"
	case g.refers(t, name):
		why = "says to which other row this one belongs, or is what others refer to"
	default:
		return c, nil
	}
	return nil, privacy.Fail(privacy.NotAllowed, "", "%s.%s cannot be rectified: it %s", r.QualifiedName(), name, why)
}

// refers tells whether a column is one end of a reference, or says whether there
// is one.
func (g *Graph) refers(t *Table, column string) bool {
	for _, fk := range t.Relation.ForeignKeys {
		if slices.Contains(fk.Columns, column) {
			return true
		}
	}
	return slices.ContainsFunc(g.links, func(e edge) bool {
		return e.child == t.index && (slices.Contains(e.Columns, column) || e.dependsOn(column)) || e.parent == t.index && slices.Contains(e.RefColumns, column)
	})
}

// dependsOn tells whether a reference holds for some rows alone, by what a column
// of theirs says.
func (l *Link) dependsOn(column string) bool {
	return l.sometimes() && slices.ContainsFunc(l.by.Where, func(w policy.When) bool { return w.Column == column })
}

// prepare finds the row, locks it, and fits the values to their types.
func (r *rowChange) prepare(ctx context.Context, tx pgx.Tx, g *Graph, s subject) error {
	if err := r.locate(ctx, tx, g, s); err != nil {
		return err
	}
	if err := r.unruled(ctx, tx); err != nil {
		return err
	}
	key := columnNames(r.table.Relation, r.table.Relation.PrimaryKey)
	values, err := r.read(ctx, tx, append(slices.Clone(r.columns), key...), r.place(), " FOR UPDATE", &r.before)
	if err != nil {
		return err
	}
	for i, name := range r.columns {
		r.changes[name].was = values[i]
	}
	r.key = nil
	for _, v := range values[len(r.columns):] {
		r.key = append(r.key, *v) // no part of a primary key is null
	}
	for _, name := range r.columns {
		if err := r.fit(ctx, tx, g, r.changes[name]); err != nil {
			return err
		}
	}
	return nil
}

// locate finds the row among the subject's, and makes sure that it, and what
// changes in it, is nobody else's.
func (r *rowChange) locate(ctx context.Context, tx pgx.Tx, g *Graph, s subject) error {
	where, args, err := r.which(g)
	if err != nil {
		return err
	}
	name := r.table.Relation.QualifiedName()
	mine := fmt.Sprintf("EXISTS (SELECT FROM r%d AS x WHERE x.o = c.tableoid AND x.c = c.ctid) AND %s", r.table.index, g.notShared(r.table.index, "c"))
	others := []string{"false"}
	for _, c := range r.table.counterparts {
		if slices.ContainsFunc(r.columns, c.hides) {
			others = append(others, namesOther(c, "c"))
		}
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("%s SELECT c.tableoid, c.ctid, %s, %s FROM %s AS s JOIN %s ON %s WHERE %s LIMIT 2",
		g.closure(), mine, strings.Join(others, " OR "), g.found(r.table.index), as(r.table.Relation, "c"), samePlace("c"), where),
		append([]any{s.table, s.tuple}, args...)...)
	if err != nil {
		return err
	}
	n := 0
	var own, tells bool
	_, err = pgx.ForEachRow(rows, []any{&r.at.table, &r.at.tuple, &own, &tells}, func() error { n++; return nil })
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && aboutData(refused):
		return privacy.Fail(privacy.BadKey, "", "what names the row of %s does not fit its type", name)
	case err != nil:
		return err
	case n == 0:
		return privacy.Fail(privacy.NotFound, "", "the %s has no such row in %s", g.Subject.Name, name)
	case n > 1:
		return privacy.Fail(privacy.Ambiguous, "say which", "several rows of the %s in %s are meant", g.Subject.Name, name)
	case !own:
		return privacy.Fail(privacy.NotAllowed, "", "the row of %s is not the %s's alone", name, g.Subject.Name)
	case tells:
		return privacy.Fail(privacy.NotAllowed, "", "what is to be changed in the row of %s tells of somebody else", name)
	}
	return nil
}

// which is the condition that a row is the one that is named, with its arguments
// from $3 on.
func (r *rowChange) which(g *Graph) (where string, args []any, err error) {
	t := r.table.Relation
	names := columnNames(t, t.PrimaryKey)
	switch {
	case r.row.Column != "":
		names = []string{r.row.Column}
	case len(r.row.Values) == 0:
		return "true", nil, nil
	}
	if len(names) != len(r.row.Values) {
		return "", nil, privacy.Fail(privacy.Syntax, "", "a row of %s is named by one value for each of: %s", t.QualifiedName(), strings.Join(names, ", "))
	}
	var conditions []string
	for i, name := range names {
		if _, ok := t.Column(name); !ok {
			return "", nil, privacy.Fail(privacy.NoColumn, privacy.DidYouMean(name, shown{columns: t.Columns}.names()), "%s has no column of that name", t.QualifiedName())
		}
		condition, more, err := g.Values.match(g.set, t, name, "c", r.row.Values[i], len(args)+3)
		if err != nil {
			return "", nil, err
		}
		conditions, args = append(conditions, condition), append(args, more...)
	}
	return strings.Join(conditions, " AND "), args, nil
}

// holds is the condition that a column of the row c has a value, given as text.
func holds(c *catalog.Column, parameter string) string {
	return fmt.Sprintf("c.%s OPERATOR(%s.=) %s", quote(c.Name), quote(operatorSchema(c.Type)), cast(parameter+"::pg_catalog.text", c.Type))
}

// unruled makes sure that what is written is what is run.
func (r *rowChange) unruled(ctx context.Context, tx pgx.Tx) error {
	var ruled bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_rewrite WHERE ev_class IN ($1, $2) AND ev_type = '2')", r.table.Relation.OID, r.at.table).Scan(&ruled)
	if err == nil && ruled {
		err = privacy.Fail(privacy.NotAllowed, "drop the rule, or let a trigger do its work", "%s has a rule ON UPDATE, which would run in place of the change", r.table.Relation.QualifiedName())
	}
	return err
}

// fit gives a value the form that the column will have it in.
func (r *rowChange) fit(ctx context.Context, tx pgx.Tx, g *Graph, c *columnChange) error {
	if c.value == nil {
		return nil
	}
	if c.sealed != nil {
		row := rowKey(c.sealed, r.table.Relation, r.key)
		s, err := g.Values.seal(ctx, c.sealed, *c.value, row)
		want := withRow(c.sealed, row, s.text)
		c.write, c.want, c.blind = &s.text, &want, s.blind
		return err
	}
	t := c.column.Type
	err := tx.QueryRow(ctx, fmt.Sprintf("SELECT CAST(CAST(%s AS %s) AS text)", cast("$1::text", t), t.SQL), *c.value).Scan(&c.want)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && aboutData(refused) {
		return privacy.Fail(privacy.BadKey, "", "the value does not fit %s.%s, which is %s", r.table.Relation.QualifiedName(), c.column.Name, t.SQL)
	}
	return err
}

// place is the condition that a row c is where the row was found, under any
// search_path.
func (r *rowChange) place() string {
	return fmt.Sprintf("c.tableoid OPERATOR(pg_catalog.=) %d AND c.ctid OPERATOR(pg_catalog.=) '(%d,%d)'", r.at.table, r.at.tuple.BlockNumber, r.at.tuple.OffsetNumber)
}

// read reads the row, and some of its columns as text.
func (r *rowChange) read(ctx context.Context, tx pgx.Tx, columns []string, where, lock string, row *string, args ...any) ([]*string, error) {
	texts := make([]string, len(columns))
	for i, name := range columns {
		var of *policy.Sealed
		if c := r.changes[name]; c != nil {
			of = c.sealed
		}
		texts[i] = readText(of, "c", name)
	}
	var values []*string
	err := tx.QueryRow(ctx, fmt.Sprintf("SELECT CAST(row_to_json(c.*) AS text), ARRAY[%s] FROM %s WHERE %s%s",
		strings.Join(texts, ", "), as(r.table.Relation, "c"), where, lock), args...).Scan(row, &values)
	if errors.Is(err, pgx.ErrNoRows) {
		err = privacy.Fail(privacy.NotAllowed, "", "a trigger takes the row of %s away when it is changed", r.table.Relation.QualifiedName())
	}
	return values, err
}

// update changes the row. Names are written in full: the search_path is that of
// triggers.
func (r *rowChange) update(ctx context.Context, tx pgx.Tx) error {
	var sets []string
	var args []any
	for _, name := range r.columns {
		c := r.changes[name]
		args = append(args, c.set())
		sets = append(sets, quote(name)+" = "+cast(fmt.Sprintf("$%d::pg_catalog.text", len(args)), c.column.Type))
		if c.sealed != nil && c.sealed.Blind {
			args = append(args, c.blind)
			sets = append(sets, fmt.Sprintf("%s = $%d::pg_catalog.bytea", quote(policy.BlindColumn(name)), len(args)))
		}
	}
	err := tx.QueryRow(ctx, fmt.Sprintf("UPDATE %s SET %s WHERE %s RETURNING c.tableoid, c.ctid",
		as(r.table.Relation, "c"), strings.Join(sets, ", "), r.place()), args...).Scan(&r.at.table, &r.at.tuple)
	if errors.Is(err, pgx.ErrNoRows) {
		err = privacy.Fail(privacy.NotAllowed, "", "a trigger keeps the row of %s as it is", r.table.Relation.QualifiedName())
	}
	return err
}

// became reads the row as it is after all triggers, and compares.
func (r *rowChange) became(ctx context.Context, tx pgx.Tx) (RectifiedRow, error) {
	t := r.table.Relation
	done := RectifiedRow{Table: t.QualifiedName(), Columns: r.columns, key: columnNames(t, t.PrimaryKey), before: []byte(r.before)}
	where, args := r.place(), []any(nil)
	if len(r.key) > 0 {
		var conditions []string
		for i, name := range done.key {
			c, _ := t.Column(name)
			conditions = append(conditions, holds(c, fmt.Sprintf("$%d", i+1)))
			args = append(args, r.key[i])
		}
		where = strings.Join(conditions, " AND ")
	}
	var after string
	is, err := r.read(ctx, tx, r.columns, where, "", &after, args...)
	if err != nil {
		return done, err
	}
	done.after = []byte(after)
	for i, name := range r.columns {
		c := r.changes[name]
		switch {
		case equalText(is[i], c.want):
		case equalText(is[i], c.was):
			return done, privacy.Fail(privacy.NotAllowed, "", "a trigger takes the change of %s.%s back", t.QualifiedName(), name)
		default:
			done.Altered = append(done.Altered, name)
		}
	}
	return done, nil
}

func equalText(a, b *string) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}
