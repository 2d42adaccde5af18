package dsar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// ExportOptions says how a document is written.
type ExportOptions struct {
	Pretty     bool   // rows are indented
	PreparedBy string // who asked for it
	Portable   bool   // only what the subject provided, under consent or a contract (GDPR, Article 20)
}

// header is how a document begins.
type header struct {
	Subject     string          `json:"subject"`
	Key         json.RawMessage `json:"key"`
	GeneratedAt time.Time       `json:"generated_at"`
	PreparedBy  string          `json:"prepared_by,omitempty"`
	Policy      string          `json:"policy"`
	Portable    bool            `json:"portable,omitempty"`
	NotFollowed []Note          `json:"not_followed,omitempty"`
	References  []Note          `json:"references,omitempty"`
	Redacted    []redaction     `json:"redacted,omitempty"`
}

// redaction says when columns of a table are replaced.
type redaction struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	Because string   `json:"because"`
}

// Export writes everything that is held on one subject, as one JSON document,
// and gives the number of rows in it. yield gets the document in chunks of
// whole lines, each without the line feed after it, and must not keep them:
// joined with line feeds or with nothing they are the same document.
//
// The document ends with a count for each table and a SHA-256 of the value of
// "tables", from brace to brace, without line feeds. One that lacks them was
// cut off by an error. Sealed values are opened; of those that cannot be, and
// whose class says that they are left out, each says so in its place, and
// "unreadable" how many they are. Memory does not grow with the number of rows. Once ctx
// has ended, conn is of no use any more.
func Export(ctx context.Context, conn *pgx.Conn, g *Graph, key privacy.Key, o ExportOptions, yield func(chunk []byte) error) (rows int64, err error) {
	err = inSnapshot(ctx, conn, func(tx pgx.Tx) error {
		s, err := g.find(ctx, tx, key)
		if err != nil {
			return err
		}
		rows, err = g.write(ctx, tx, s, o, newDocument(yield))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("exporting a %s: %w", g.Subject.Name, err)
	}
	return rows, nil
}

// write writes the document on a subject that was found.
func (g *Graph) write(ctx context.Context, tx pgx.Tx, s subject, o ExportOptions, d *document) (int64, error) {
	shown, err := g.shown(o.Portable)
	if err != nil {
		return 0, err
	}
	if err := d.begin(g.header(s, o, shown)); err != nil {
		return 0, err
	}
	rows, err := g.writeTables(ctx, tx, s, o, shown, d)
	if err != nil {
		return 0, err
	}
	return rows, d.finish()
}

func (g *Graph) header(s subject, o ExportOptions, shown []shown) header {
	h := header{
		Subject:     g.Subject.Name,
		Key:         json.RawMessage(s.key),
		GeneratedAt: s.now.UTC(),
		PreparedBy:  o.PreparedBy,
		Policy:      g.Generation,
		Portable:    o.Portable,
	}
	if !o.Portable {
		h.NotFollowed, h.References = g.NotFollowed, g.References
	}
	for _, t := range shown {
		for _, c := range t.counterparts {
			if hidden := t.among(c.hidden); len(hidden) > 0 {
				h.Redacted = append(h.Redacted, redaction{t.Relation.QualifiedName(), hidden, "where " + c.String() + " names " + c.other()})
			}
		}
	}
	return h
}

// writeTables writes the rows of every table as the server sends them.
func (g *Graph) writeTables(ctx context.Context, tx pgx.Tx, s subject, o ExportOptions, shown []shown, d *document) (int64, error) {
	rows, err := tx.Query(ctx, g.exportSQL(o.Pretty, shown), s.table, s.tuple)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var total int64
	table := -1 // the one that was begun last
	begin := func(to int) error {
		for ; table < to; table++ {
			if err := d.table(shown[table+1].Relation.QualifiedName()); err != nil {
				return err
			}
		}
		return nil
	}
	for rows.Next() {
		var at int
		if err := rows.Scan(&at, nil); err != nil {
			return 0, err
		}
		if at < table || at >= len(shown) {
			return 0, fmt.Errorf("internal error: a row of table %d after those of table %d", at, table)
		}
		if err := begin(at); err != nil {
			return 0, err
		}
		// The bytes are the text in either format, until the next row.
		row, err := shown[at].openRow(ctx, g.Values, rows.RawValues()[1], d.missed)
		if err == nil {
			err = d.row(row)
		}
		if err != nil {
			// Closing rows reads what is left of them: let it be little.
			return 0, errors.Join(err, tx.Conn().PgConn().CancelRequest(ctx))
		}
		total++
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	return total, begin(len(shown) - 1)
}

// exportSQL is the statement that gives every row of a subject, with the index
// of its table, table by table.
func (g *Graph) exportSQL(pretty bool, shown []shown) string {
	show := "CAST(%s AS text)"
	if pretty {
		show = "jsonb_pretty(%s)"
	}
	selects := make([]string, len(shown))
	for i, t := range shown {
		selects[i] = fmt.Sprintf("(SELECT %d, "+show+" FROM %s AS s JOIN %s ON %s ORDER BY %s)",
			i, t.value(), g.found(t.index), as(t.Relation, "c"), samePlace("c"), t.sortKey())
	}
	return g.closure() + "\n" + strings.Join(selects, "\nUNION ALL ")
}

// value is the expression for a row c as JSON, in which what tells of a
// counterpart is replaced, and without what is not shown.
func (t shown) value() string {
	value := "to_jsonb(c.*)" + t.withKeys()
	for _, c := range t.counterparts {
		names := make([]string, len(c.hidden))
		for i, name := range c.hidden {
			names[i] = literal(name)
		}
		marks := fmt.Sprintf("(SELECT jsonb_object_agg(n, jsonb_build_object('redacted', %s)) FROM unnest(ARRAY[%s]) AS n)",
			literal(c.other()), strings.Join(names, ", "))
		value += fmt.Sprintf(" || CASE WHEN %s THEN %s ELSE jsonb '{}' END", namesOther(c, "c"), marks)
	}
	if left := t.left(); left != nil {
		value = fmt.Sprintf("(%s) - ARRAY[%s]", value, strings.Join(left, ", "))
	}
	return value
}

// sortKey puts the rows into an order that does not depend on where they lie,
// where there is one.
func (t *Table) sortKey() string {
	if t.Relation.PrimaryKey == nil {
		return "s.o, s.c"
	}
	names := columnNames(t.Relation, t.Relation.PrimaryKey)
	for i, name := range names {
		names[i] = "c." + quote(name)
	}
	return strings.Join(names, ", ")
}

// other says in words whom a counterpart's columns tell of.
func (c counterpart) other() string {
	if c.same {
		return "another " + c.kind
	}
	return "another subject: " + c.kind
}
