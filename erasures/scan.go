package erasures

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

// settings make the text of a value depend on the value alone: what is hashed
// today must be hashed alike after a restore. With row_security off the server
// refuses what a row policy would leave out in silence.
const settings = `
	SET LOCAL search_path = pg_catalog;
	SET LOCAL row_security = off;
	SET LOCAL client_encoding = 'UTF8';
	SET LOCAL DateStyle = 'ISO, YMD';
	SET LOCAL IntervalStyle = 'iso_8601';
	SET LOCAL TimeZone = 'UTC';
	SET LOCAL bytea_output = 'hex';
	SET LOCAL extra_float_digits = 1;
	SET LOCAL lc_monetary = 'C'`

// row is what a subject's row says of who it is, as text.
type row struct {
	key         string    // of the column that the policy names
	whole       string    // of all that tells it from others: the key, or an array of the primary key that it is a part of
	identifiers []*string // nil where there is none
}

// Opening gives the value of what stands in a column of a subject's own table, as text: that
// itself where the column is not sealed, and nil where it cannot be opened. What is hashed
// must not depend on keys, which change.
type Opening func(ctx context.Context, r *catalog.Relation, column, text string) (*string, error)

// scan hands over every subject of a kind, row by row. A row must not be kept.
func scan(ctx context.Context, conn *pgx.Conn, s policy.Subject, open Opening, each func(row) error) error {
	return scanWhere(ctx, conn, s, open, nil, each)
}

// scanWhere is scan of those with a key: a value of the policy's, or one for each
// column of the whole.
func scanWhere(ctx context.Context, conn *pgx.Conn, s policy.Subject, open Opening, key []string, each func(row) error) error {
	sql, args, err := scanSQL(s, key)
	if err != nil {
		return err
	}
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var has, whole *string
		identifiers := make([]*string, len(s.FindBy))
		into := []any{&has, &whole}
		for i := range identifiers {
			into = append(into, &identifiers[i])
		}
		_, err = pgx.ForEachRow(rows, into, func() error {
			if has == nil {
				return nil // a row without a key is nobody's that was erased
			}
			for i, text := range identifiers {
				if open == nil || text == nil {
					continue
				}
				if identifiers[i], err = open(ctx, s.Relation, s.FindBy[i], *text); err != nil {
					return err
				}
			}
			return each(row{*has, *whole, identifiers})
		})
		return err
	})
	return withoutValues(err)
}

// wholeKey gives the columns that tell a subject from all others: the policy's
// key, or the primary key that it is a part of. Another tenant's 42 is another
// person.
func wholeKey(s policy.Subject) []string {
	primary := s.Relation.PrimaryKey
	if len(primary) < 2 || !slices.Contains(primary, s.Relation.ColumnIndex(s.Key)) {
		return []string{s.Key}
	}
	names := make([]string, len(primary))
	for i, at := range primary {
		names[i] = s.Relation.Columns[at].Name
	}
	return names
}

func asText(column string) string {
	return "CAST(c." + pgx.Identifier{column}.Sanitize() + " AS pg_catalog.text)"
}

// scanSQL is the statement of scanWhere. A table stands for what inherits from it,
// too: a subject may lie there.
func scanSQL(s policy.Subject, key []string) (sql string, args []any, err error) {
	by := wholeKey(s)
	whole := make([]string, len(by))
	for i, name := range by {
		whole[i] = asText(name)
	}
	columns := []string{asText(s.Key), whole[0]}
	if len(by) > 1 {
		columns[1] = "CAST(ARRAY[" + strings.Join(whole, ", ") + "] AS pg_catalog.text)"
	}
	for _, name := range s.FindBy {
		columns = append(columns, asText(name))
	}
	sql = fmt.Sprintf("SELECT %s FROM %s AS c", strings.Join(columns, ", "), pgx.Identifier{s.Relation.Schema, s.Relation.Name}.Sanitize())
	switch len(key) {
	case 0:
		return sql, nil, nil
	case len(by):
	case 1:
		by = []string{s.Key}
	default:
		return "", nil, fmt.Errorf("the key has one value for each of %s", strings.Join(by, ", "))
	}
	var where []string
	for i, name := range by {
		column, _ := s.Relation.Column(name)
		// The value is cast, not the column, so that an index serves.
		where = append(where, fmt.Sprintf("c.%s OPERATOR(%s.=) CAST($%d::pg_catalog.text AS %s)", pgx.Identifier{name}.Sanitize(),
			pgx.Identifier{operatorSchema(column.Type)}.Sanitize(), i+1, pgx.Identifier{column.Type.Schema, column.Type.Name}.Sanitize()))
		args = append(args, key[i])
	}
	return sql + " WHERE " + strings.Join(where, " AND "), args, nil
}

// operatorSchema gives the schema of a type's own operator =: that of a base
// type from an extension lies beside the type; all others are the system's.
func operatorSchema(t catalog.Type) string {
	if t.Kind == 'b' && t.Elem == 0 && t.Schema != "" {
		return t.Schema
	}
	return "pg_catalog"
}

// withoutValues takes the text off the server's errors about data, which quotes
// the value that does not fit.
func withoutValues(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) || !strings.HasPrefix(e.Code, "22") && !strings.HasPrefix(e.Code, "23") {
		return err
	}
	return fmt.Errorf("the server answered SQLSTATE %s", e.Code)
}
