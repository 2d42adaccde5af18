package honey

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
)

// Planter makes planted records of one kind of subject.
type Planter struct {
	Subject policy.Subject
	Class   func(column string) (policy.Class, bool)
	Domains []string          // of e-mail addresses
	Fixed   map[string]string // columns whose value is given
}

// attempts is how often a row is made anew that a constraint refuses.
const attempts = 20

// sampled is how many rows are looked at for what rows look like.
const sampled = 200

// Plant inserts one record within a transaction, and gives its key as text.
func (p *Planter) Plant(ctx context.Context, tx pgx.Tx) (key string, err error) {
	samples, err := p.samples(ctx, tx)
	if err != nil {
		return "", err
	}
	fields, err := p.fields(ctx, tx)
	if err != nil {
		return "", err
	}
	for i := range attempts {
		var like []*string
		if len(samples) > 0 {
			like = samples[under(len(samples))]
		}
		sql, args := p.insert(fields, like, i < attempts/2)
		err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return tx.QueryRow(ctx, sql, args...).Scan(&key) })
		if err == nil || !again(err) {
			break
		}
	}
	if err != nil {
		return "", p.explain(err)
	}
	return key, nil
}

// again tells whether a row failed by its values: class 23 is of constraints.
func again(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (strings.HasPrefix(e.Code, "23") && e.Code != "23503" || strings.HasPrefix(e.Code, "22"))
}

// explain says which column to give, without the values that the server names.
func (p *Planter) explain(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return fmt.Errorf("planting a record in %s: %w", p.Subject.Relation.QualifiedName(), err)
	}
	where := ""
	for _, w := range []string{e.ConstraintName, e.ColumnName} {
		if w != "" {
			where += " (" + w + ")"
		}
	}
	return fmt.Errorf("planting a record in %s: %s%s; where a value cannot be guessed, give it: --set column=value",
		p.Subject.Relation.QualifiedName(), e.Message, where)
}

// fields gives the columns that a record has values for.
func (p *Planter) fields(ctx context.Context, tx pgx.Tx) ([]Field, error) {
	r := p.Subject.Relation
	var fields []Field
	for _, c := range r.Columns {
		if _, fixed := p.Fixed[c.Name]; c.Generated || c.HasDefault && !fixed {
			continue
		}
		f := Field{Column: c, IsKey: c.Name == p.Subject.Key}
		f.Refers = slices.ContainsFunc(r.ForeignKeys, func(fk catalog.ForeignKey) bool { return slices.Contains(fk.Columns, c.Name) })
		if class, ok := p.Class(c.Name); ok {
			f.Class, f.Open = class.Name, class.Open()
		}
		if f.IsKey && slices.Contains([]string{"int2", "int4", "int8", "numeric"}, c.Type.Base) {
			sql := fmt.Sprintf("SELECT (coalesce(max(%s), 0) + 1 + $1)::text FROM %s", quote(c.Name), p.table())
			if err := tx.QueryRow(ctx, sql, under(20)).Scan(&f.Next); err != nil {
				return nil, err
			}
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func (p *Planter) table() string {
	return pgx.Identifier{p.Subject.Relation.Schema, p.Subject.Relation.Name}.Sanitize()
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// samples gives some rows as text, by the relation's columns.
func (p *Planter) samples(ctx context.Context, tx pgx.Tx) ([][]*string, error) {
	columns := make([]string, len(p.Subject.Relation.Columns))
	for i, c := range p.Subject.Relation.Columns {
		columns[i] = quote(c.Name) + "::text"
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT ARRAY[%s] FROM %s LIMIT %d", strings.Join(columns, ", "), p.table(), sampled))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]*string])
}

// insert gives the statement for one record that is like a row.
func (p *Planter) insert(fields []Field, like []*string, copies bool) (sql string, args []any) {
	who := newPerson(p.Domains)
	var names, values []string
	for _, f := range fields {
		var sample *string
		if like != nil {
			sample = like[p.Subject.Relation.ColumnIndex(f.Name)]
		}
		value := f.value(who, sample, copies)
		if fixed, ok := p.Fixed[f.Name]; ok {
			value = &fixed
		}
		args = append(args, value)
		names = append(names, quote(f.Name))
		values = append(values, fmt.Sprintf("$%d::text::%s", len(args), f.Type.SQL))
	}
	into := fmt.Sprintf("(%s) VALUES (%s)", strings.Join(names, ", "), strings.Join(values, ", "))
	if len(fields) == 0 {
		into = "DEFAULT VALUES"
	}
	return fmt.Sprintf("INSERT INTO %s %s RETURNING %s::text", p.table(), into, quote(p.Subject.Key)), args
}
