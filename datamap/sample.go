package datamap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog"
)

// Options bound what a scan reads. Zero fields stand for the values beside them.
type Options struct {
	Rows     int           // of a table: 1000
	Bytes    int           // of a column: 1 MiB
	Timeout  time.Duration // of the reading of one table: 30 s
	Progress func(table string, done, of int)
}

func (o Options) usual() Options {
	if o.Rows <= 0 {
		o.Rows = 1000
	}
	if o.Bytes <= 0 {
		o.Bytes = 1 << 20
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	return o
}

// width is how many characters of a value are read.
func (o Options) width() int { return min(max(o.Bytes/o.Rows, 64), 16<<10) }

// Some measures of a sample.
const (
	sampleBlocks = 128       // of a big table, spread over it
	maxStored    = 256 << 10 // bytes of a stored value that is not text: such are read whole, and may be compressed
	maxParts     = 64        // partitions that are read through their parent; of more, some are read themselves
	someParts    = 16
	lockWait     = time.Second
)

// Scan samples the tables of the database that conn is connected to, each in a
// read-only transaction of its own that takes no lock but ACCESS SHARE, and waits
// for none that is not to be had. What cannot be read is in Unread, and judged by
// names and types. It fails where nothing more can be read.
func Scan(ctx context.Context, conn *pgx.Conn, cat *catalog.Snapshot, o Options) (*Map, error) {
	o = o.usual()
	m := Read(cat)
	for i, t := range m.Tables {
		o.Progress(t.Name, i, len(m.Tables))
		if t.Relation.Kind == catalog.ForeignTable {
			continue
		}
		s := &sampling{options: o, table: t, profiles: map[string]*profile{}}
		if err := s.run(ctx, conn); err != nil {
			if ctx.Err() != nil || conn.IsClosed() {
				return nil, fmt.Errorf("scanning %s: %w", t.Name, errors.Join(err, ctx.Err()))
			}
			m.Unread = append(m.Unread, Unread{Table: t.Name, Why: why(err, o)})
		}
		if len(s.denied) > 0 {
			m.Unread = append(m.Unread, Unread{t.Name, s.denied, "permission denied"})
		}
		t.judge(cat, s.profiles)
	}
	o.Progress("", len(m.Tables), len(m.Tables))
	m.conclude()
	return m, nil
}

// why says why a table was not read, without what the server says of values.
func why(err error, o Options) string {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return "the answer was not understood"
	}
	switch refused.Code {
	case "42501":
		if strings.Contains(refused.Message, "row-level security") {
			return "row security would leave rows out"
		}
		return "permission denied"
	case "57014":
		return fmt.Sprintf("it took longer than %s", o.Timeout)
	case "55P03":
		return "it is locked"
	case "55000":
		return "it is not populated"
	default:
		return "the server refused: SQLSTATE " + refused.Code
	}
}

// sampling reads one table.
type sampling struct {
	options  Options
	table    *Table
	profiles map[string]*profile
	columns  []*catalog.Column // that are read
	denied   []string
}

// part is a relation whose rows are read: the table itself, or a partition.
type part struct {
	schema, name string
	blocks, rows float64
}

func (s *sampling) run(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := s.settings(ctx, tx); err != nil {
			return err
		}
		parts, err := s.parts(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.readable(ctx, tx); err != nil || len(s.columns) == 0 {
			return err
		}
		for _, p := range parts {
			if err := s.read(ctx, tx, p, (s.options.Rows+len(parts)-1)/len(parts)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && s.table.Sampled > 0 && !conn.IsClosed() && ctx.Err() == nil {
		s.table.Notes = append(s.table.Notes, fmt.Sprintf("only %d rows were sampled: %s", s.table.Sampled, why(err, s.options)))
		return nil
	}
	return err
}

// settings make what is read depend on nothing but the table: no role's setting
// changes how values are spelled, and no policy leaves rows out unsaid.
func (s *sampling) settings(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, fmt.Sprintf(`
		SET LOCAL search_path = pg_catalog; SET LOCAL row_security = off; SET LOCAL client_encoding = 'UTF8';
		SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d; SET LOCAL standard_conforming_strings = on;
		SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL TimeZone = 'UTC'; SET LOCAL bytea_output = 'hex';
		SET LOCAL extra_float_digits = 1; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off`,
		s.options.Timeout.Milliseconds(), lockWait.Milliseconds()))
	return err
}

// parts gives what is read, with sizes: the table with all that inherits from it
// or, where these are many, some of them.
func (s *sampling) parts(ctx context.Context, tx pgx.Tx) ([]part, error) {
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE tree (oid) AS (SELECT $1::pg_catalog.oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.oid)
		SELECT n.nspname::text, c.relname::text, c.reltuples::float8,
		       CASE WHEN c.relpages > 0 AND c.reltuples >= 0 THEN c.relpages
		            ELSE pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8 END::float8
		  FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		 WHERE c.relkind IN ('r', 'm') ORDER BY c.oid`, s.table.Relation.OID)
	if err != nil {
		return nil, err
	}
	leaves, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p part, err error) {
		return p, row.Scan(&p.schema, &p.name, &p.rows, &p.blocks)
	})
	if err != nil {
		return nil, err
	}
	whole, known := part{schema: s.table.Relation.Schema, name: s.table.Relation.Name}, true
	for _, l := range leaves {
		known = known && l.rows >= 0
		whole.blocks, whole.rows = whole.blocks+l.blocks, whole.rows+max(l.rows, 0)
	}
	if known {
		s.table.Rows = int64(whole.rows)
	}
	if len(leaves) <= maxParts {
		return []part{whole}, nil
	}
	var some []part
	for i := range someParts {
		some = append(some, leaves[i*len(leaves)/someParts])
	}
	s.table.Notes = append(s.table.Notes, fmt.Sprintf("of %d partitions %d were sampled", len(leaves), someParts))
	return some, nil
}

// readable finds the columns that may be read. A privilege on the table itself
// counts for each of them.
func (s *sampling) readable(ctx context.Context, tx pgx.Tx) error {
	r := s.table.Relation
	nums := make([]int16, len(r.Columns))
	for i := range r.Columns {
		nums[i] = r.Columns[i].Num
	}
	var may []bool
	if err := tx.QueryRow(ctx, "SELECT ARRAY(SELECT pg_catalog.has_column_privilege($1::pg_catalog.oid, n, 'SELECT') FROM pg_catalog.unnest($2::int2[]) WITH ORDINALITY AS u (n, i) ORDER BY i)",
		r.OID, nums).Scan(&may); err != nil {
		return err
	}
	for i := range r.Columns {
		if may[i] {
			s.columns = append(s.columns, &r.Columns[i])
			s.profiles[r.Columns[i].Name] = newProfile(0)
		} else {
			s.denied = append(s.denied, r.Columns[i].Name)
		}
	}
	if len(s.columns) == 0 && len(s.denied) > 0 {
		s.denied = nil
		return &pgconn.PgError{Code: "42501"}
	}
	return nil
}

// read samples one part. A sample by blocks that meets none with rows is taken
// from the beginning instead.
func (s *sampling) read(ctx context.Context, tx pgx.Tx, p part, limit int) error {
	n, err := s.query(ctx, tx, s.statement(p, limit))
	if err == nil && n == 0 && p.blocks > 0 {
		_, err = s.query(ctx, tx, s.statement(part{schema: p.schema, name: p.name}, limit))
	}
	return err
}

func (s *sampling) query(ctx context.Context, tx pgx.Tx, sql string) (n int, err error) {
	rows, err := tx.Query(ctx, sql, pgx.QueryExecModeExec)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
		s.table.Sampled++
		for i, value := range rows.RawValues() {
			s.value(s.columns[i], value)
		}
	}
	return n, rows.Err()
}

// statement reads some rows. Of a big table only some blocks are read, chosen
// over its whole length; of those, and of a smaller table, so many rows as are
// wanted, by chance and not the first. The same rows are chosen again while the
// table does not change.
func (s *sampling) statement(p part, limit int) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range s.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.expression(c))
	}
	fmt.Fprintf(&b, " FROM %s.%s AS t", quote(p.schema), quote(p.name))
	blocks, rows := p.blocks, p.rows
	if blocks > sampleBlocks {
		fmt.Fprintf(&b, " TABLESAMPLE SYSTEM (%.9f) REPEATABLE (1)", 100*sampleBlocks/blocks)
		blocks, rows = sampleBlocks, rows*sampleBlocks/blocks
	}
	if rows <= 0 && blocks > sampleBlocks/4 {
		rows = blocks * 60 // as many as there may be, where nobody has counted
	}
	if share := float64(limit) / rows; rows > 0 && share < 1 {
		fmt.Fprintf(&b, " WHERE pg_catalog.hashtext(t.ctid::pg_catalog.text) & 65535 < %d", max(1, int(share*65536)))
	}
	fmt.Fprintf(&b, " LIMIT %d", limit)
	return b.String()
}

// expression gives a column's value as text behind an equals sign, an exclamation
// mark where the value is too large, null where there is none. Of text and bytes
// the server takes the beginning out of what is stored, however large that is. All
// else is spelled by its type's own output function: a cast could be somebody's.
func (s *sampling) expression(c *catalog.Column) string {
	name, width := "t."+quote(c.Name), s.options.width()
	switch form := formOf(c.Type); {
	case form == formText && c.Type.Elem == 0 && slices.Contains([]string{"text", "varchar", "citext"}, c.Type.Base):
		return fmt.Sprintf("'=' || pg_catalog.substr(%s::pg_catalog.text, 1, %d)", name, width)
	case form == formBytes && c.Type.Elem == 0:
		return fmt.Sprintf("CASE WHEN pg_catalog.num_nulls(%s) = 0 THEN pg_catalog.concat('=', pg_catalog.encode(pg_catalog.substr(%s::pg_catalog.bytea, 1, %d), 'hex')) END", name, name, min(width, 512))
	default:
		return fmt.Sprintf("CASE WHEN pg_catalog.num_nulls(%s) = 0 THEN CASE WHEN pg_catalog.pg_column_size(%s) > %d THEN '!' ELSE pg_catalog.concat('=', pg_catalog.substr(pg_catalog.concat(%s), 1, %d)) END END",
			name, name, maxStored, name, width)
	}
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
