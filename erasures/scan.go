package erasures

import (
	"context"
	"errors"
	"fmt"
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

// scan hands over the key and the identifiers of every subject of a kind, as
// text, row by row. An identifier is nil where there is none.
func scan(ctx context.Context, conn *pgx.Conn, s policy.Subject, each func(key string, identifiers []*string) error) error {
	return scanWhere(ctx, conn, s, nil, each)
}

// scanWhere is scan of those with a key.
func scanWhere(ctx context.Context, conn *pgx.Conn, s policy.Subject, key *string, each func(key string, identifiers []*string) error) error {
	sql, args := scanSQL(s, key)
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var has *string
		identifiers := make([]*string, len(s.FindBy))
		into := []any{&has}
		for i := range identifiers {
			into = append(into, &identifiers[i])
		}
		_, err = pgx.ForEachRow(rows, into, func() error {
			if has == nil {
				return nil // a row without a key is nobody's that was erased
			}
			return each(*has, identifiers)
		})
		return err
	})
	return withoutValues(err)
}

// scanSQL is the statement of scanWhere. A table that others inherit from stands
// for its own rows; a partitioned one for those of its partitions.
func scanSQL(s policy.Subject, key *string) (sql string, args []any) {
	columns := make([]string, 0, 1+len(s.FindBy))
	for _, name := range append([]string{s.Key}, s.FindBy...) {
		columns = append(columns, fmt.Sprintf("CAST(c.%s AS pg_catalog.text)", pgx.Identifier{name}.Sanitize()))
	}
	only := "ONLY "
	if s.Relation.Kind == catalog.PartitionedTable {
		only = ""
	}
	sql = fmt.Sprintf("SELECT %s FROM %s%s AS c", strings.Join(columns, ", "), only, pgx.Identifier{s.Relation.Schema, s.Relation.Name}.Sanitize())
	if key == nil {
		return sql, nil
	}
	column, _ := s.Relation.Column(s.Key)
	// The value is cast, not the column, so that an index serves.
	return fmt.Sprintf("%s WHERE c.%s OPERATOR(%s.=) CAST($1::pg_catalog.text AS %s)", sql, pgx.Identifier{s.Key}.Sanitize(),
		pgx.Identifier{operatorSchema(column.Type)}.Sanitize(), pgx.Identifier{column.Type.Schema, column.Type.Name}.Sanitize()), []any{*key}
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
