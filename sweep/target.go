package sweep

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
)

// target is a table that is read.
type target struct {
	name    string
	size    int64
	columns []Column
	refers  bool // some column holds references
	sql     string
	key     []string // the columns by which rows are named; nil: by where they lie
}

// targets are all of them, and what is left out.
type targets struct {
	tables []target
	size   int64
	left   []string
}

// presentSQL lists what has rows of its own, column by column.
const presentSQL = `
	SELECT c.oid, c.relkind::text, c.relispopulated, pg_catalog.pg_table_size(c.oid), a.attname::text
	  FROM pg_catalog.pg_class c
	  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	 WHERE c.relkind IN ('r', 'm', 'f') AND c.relpersistence <> 't'
	   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
	 ORDER BY c.oid, a.attnum`

// targetsIn finds what there is to read, and makes sure that the catalog knows it
// all.
func targetsIn(ctx context.Context, conn *pgx.Conn, cat *catalog.Snapshot, s *scanner, o Options) (all targets, err error) {
	present := map[uint32]int64{}
	err = within(ctx, conn, func() error {
		rows, err := conn.Query(ctx, presentSQL)
		if err != nil {
			return err
		}
		var oid uint32
		var kind, column string
		var populated bool
		var size int64
		_, err = pgx.ForEachRow(rows, []any{&oid, &kind, &populated, &size, &column}, func() error {
			r, known := cat.RelationByOID(oid)
			if !known || r.ColumnIndex(column) < 0 {
				return ErrSchemaChanged
			}
			if populated {
				present[oid] = size
			}
			return nil
		})
		return err
	})
	if err != nil {
		return targets{}, err
	}
	for _, r := range cat.Relations() {
		size, ok := present[r.OID]
		switch {
		case !ok:
		case r.Kind == catalog.ForeignTable:
			all.left = append(all.left, r.QualifiedName()+": its rows are on another server")
		case slices.Contains(o.Except, r.QualifiedName()):
			all.left = append(all.left, r.QualifiedName()+": left out as was asked")
		default:
			if t := newTarget(r, s); t.columns != nil {
				t.size = size
				all.tables, all.size = append(all.tables, t), all.size+size
			}
		}
	}
	return all, largeObjects(ctx, conn, &all)
}

// largeObjects says that those are not looked through, if there are any.
func largeObjects(ctx context.Context, conn *pgx.Conn, all *targets) error {
	var n int64
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata").Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		all.left = append(all.left, fmt.Sprintf("%d large objects", n))
	}
	return nil
}

func newTarget(r *catalog.Relation, s *scanner) target {
	t := target{name: r.QualifiedName()}
	var values []string
	for _, c := range r.Columns {
		column := Column{Relation: t.name, Name: c.Name}
		refers := s.words[column] != nil
		if !refers && !mayHoldText(c.Type) {
			continue
		}
		t.columns, t.refers = append(t.columns, column), t.refers || refers
		values = append(values, asText("c."+quote(c.Name), c.Type))
	}
	for _, column := range s.partsOf(t.name) {
		t.columns, t.refers = append(t.columns, column), true
		values = append(values, column.SQL)
	}
	key := "c.ctid"
	if t.key = tellsNothing(r); t.key != nil {
		parts := make([]string, len(t.key))
		for i, name := range t.key {
			parts[i] = "c." + quote(name)
		}
		key = "pg_catalog.concat_ws(',', " + strings.Join(parts, ", ") + ")"
	}
	t.sql = fmt.Sprintf("COPY (SELECT %s, %s FROM ONLY %s AS c) TO STDOUT (NULL '')", key, strings.Join(values, ", "),
		pgx.Identifier{r.Schema, r.Name}.Sanitize())
	return t
}

// label names a row.
func (t target) label(name []byte) string {
	if t.key == nil {
		return "ctid " + string(name)
	}
	parts := strings.Split(string(name), ",")
	for i := range parts {
		parts[i] = t.key[i] + "=" + parts[i]
	}
	return strings.Join(parts, ", ")
}

// tellsNothing gives the columns of a primary key that is numbers and uuids alone:
// any other may itself be what is looked for, and says too much in a report.
func tellsNothing(r *catalog.Relation) []string {
	var names []string
	for _, i := range r.PrimaryKey {
		if !slices.Contains([]string{"int2", "int4", "int8", "uuid"}, r.Columns[i].Type.Base) {
			return nil
		}
		names = append(names, r.Columns[i].Name)
	}
	return names
}

// without are the system's types whose values tell of nobody.
var without = []string{
	"bool", "int2", "int4", "float4", "float8", "money", "date", "time", "timetz", "timestamp", "timestamptz", "interval",
	"oid", "xid", "xid8", "cid", "tid", "point", "line", "lseg", "box", "path", "polygon", "circle", "bit", "varbit", "pg_lsn",
}

// mayHoldText tells whether values of a type may have in them what people are
// known by: texts of any kind, long numbers, and every type that is not known.
func mayHoldText(t catalog.Type) bool {
	switch t.Kind {
	case 'e', 'r', 'm':
		return false
	case 'd':
		return t.BaseSchema != "pg_catalog" || !slices.Contains(without, strings.TrimPrefix(t.Base, "_"))
	default:
		return t.Schema != "pg_catalog" || !slices.Contains(without, strings.TrimPrefix(t.Name, "_"))
	}
}

// asText gives a value as text; of bytes those that are letters as letters.
func asText(value string, t catalog.Type) string {
	if t.Base == "bytea" {
		return "pg_catalog.encode(" + value + ", 'escape')"
	}
	return "CAST(" + value + " AS pg_catalog.text)"
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
