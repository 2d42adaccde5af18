package dsar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/sweep"
)

// maxIdentifiers bounds the values by which one subject is known.
const maxIdentifiers = 10_000

// knownBy is a column with values by which a subject is known.
type knownBy struct {
	table  int
	column string
	in     []sweep.Column // what refers to it
	sealed *policy.Sealed
}

// Identifiers gives the values by which a subject is known: its key, what it may
// be looked up by, what references name it by, and those of classes that identify,
// in all rows that are the subject's alone. They are for a sweep.Database, and are
// collected before an erasure: afterwards nobody knows them any more. tx is left
// as it was.
func (g *Graph) Identifiers(ctx context.Context, tx pgx.Tx, key privacy.Key) (needles []sweep.Needle, err error) {
	// Settings end with the savepoint.
	within, err := tx.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("identifying a %s: %w", g.Subject.Name, err)
	}
	defer func() {
		if err = errors.Join(err, within.Rollback(ctx)); err != nil {
			needles, err = nil, fmt.Errorf("identifying a %s: %w", g.Subject.Name, withoutValues(err))
		}
	}()
	if _, err := within.Exec(ctx, settings); err != nil {
		return nil, err
	}
	s, err := g.find(ctx, within, key)
	if err != nil {
		return nil, err
	}
	return g.needles(ctx, within, s)
}

func (g *Graph) needles(ctx context.Context, tx pgx.Tx, s subject) ([]sweep.Needle, error) {
	all := g.identifiers()
	selects := make([]string, len(all))
	for i, id := range all {
		table, value := g.Tables[id.table], readText(id.sealed, "c", id.column)
		selects[i] = fmt.Sprintf("SELECT DISTINCT %d, %s FROM r%d AS s JOIN %s ON %s WHERE %s AND %[2]s <> ''",
			i, value, id.table, as(table.Relation, "c"), samePlace("c"), g.notShared(id.table, "c"))
	}
	sql := fmt.Sprintf("%s\nSELECT * FROM (%s) AS v (i, value) ORDER BY i, value LIMIT %d", g.closure(), strings.Join(selects, "\nUNION ALL "), maxIdentifiers+1)
	rows, err := tx.Query(ctx, sql, s.table, s.tuple)
	if err != nil {
		return nil, err
	}
	var needles []sweep.Needle
	var i int
	var value string
	_, err = pgx.ForEachRow(rows, []any{&i, &value}, func() error {
		id := all[i]
		needle := sweep.Needle{Name: g.Tables[id.table].Relation.QualifiedName() + "." + id.column, Value: value, In: id.in}
		if id.sealed != nil {
			clear, err := g.clearNeedle(ctx, id.sealed, needle)
			if err != nil {
				return err
			}
			needles = append(needles, clear...)
			needle.Value = storedIn(id.sealed, value)
			if needle.Name += " (sealed)"; id.sealed.Format.Alphabet != "" && id.in == nil {
				return nil // what keeps a format looks like somebody's value
			}
		}
		needles = append(needles, needle)
		return nil
	})
	if err == nil && len(needles) > maxIdentifiers {
		err = fmt.Errorf("it is known by more than %d values: classes that identify are too wide", maxIdentifiers)
	}
	return needles, err
}

// identifiers gives the columns with values by which a subject is known.
func (g *Graph) identifiers() []knownBy {
	var all []knownBy
	for i, t := range g.Tables {
		for _, c := range t.Relation.Columns {
			id := knownBy{table: i, column: c.Name, sealed: g.set.Sealed(t.Relation, c.Name)}
			if id.sealed != nil {
				c.Type = shown{sealed: map[string]*policy.Sealed{c.Name: id.sealed}}.typeOf(c)
			}
			if g.isRoot(i) {
				id.in = g.referringTo(i, c.Name)
			}
			if scalar(c.Type) && (id.in != nil || g.identifies(i, c.Name)) {
				all = append(all, id)
			}
		}
	}
	return all
}

// clearNeedle looks for a sealed value as it is: nowhere may it stand in clear. What
// cannot be opened any more, for its key is gone, is nothing to look for.
func (g *Graph) clearNeedle(ctx context.Context, of *policy.Sealed, stored sweep.Needle) ([]sweep.Needle, error) {
	value, err := g.Values.open(ctx, of, []byte(stored.Value))
	var u *unreadable
	var key *seal.KeyError
	switch {
	case errors.As(err, &u) && (of.Hide || errors.Is(u.why, seal.ErrNoDataKey) || errors.As(u.why, &key) && key.State == seal.Destroyed):
		return nil, nil
	case errors.As(err, &u):
		return nil, u.told()
	case err != nil || len(value) == 0:
		return nil, err
	default:
		return []sweep.Needle{{Name: stored.Name, Value: string(asText(of.Values, value))}}, nil
	}
}

func scalar(t catalog.Type) bool {
	return t.Elem == 0 && (t.Kind == 'b' || t.Kind == 'd') && t.Base != "json" && t.Base != "jsonb" && !strings.HasPrefix(t.Base, "_")
}

// identifies tells whether a subject is known by a column's values. A part of a
// key is known to many: a tenant's number.
func (g *Graph) identifies(table int, column string) bool {
	t := g.Tables[table]
	return g.isRoot(table) && (column == g.Subject.Key && len(g.key) == 1 || slices.Contains(g.Subject.FindBy, column)) || g.set.Identifies(t.Relation, column)
}

// referringTo gives the columns that name the subject by one of its columns and
// nothing else.
func (g *Graph) referringTo(table int, column string) []sweep.Column {
	var all []sweep.Column
	for _, e := range g.links {
		if e.parent != table || len(e.Columns) > 1 || e.RefColumns[0] != column {
			continue
		}
		sql := ""
		if e.by != nil && !e.by.Plain() {
			sql = e.by.Value("c", 0)
		}
		for _, part := range g.parts[g.Tables[e.child].Relation] {
			in := sweep.Column{Relation: part.QualifiedName(), Name: e.Columns[0], SQL: sql}
			if !slices.Contains(all, in) {
				all = append(all, in)
			}
		}
	}
	return all
}
