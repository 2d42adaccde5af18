package reseal

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
	"github.com/pgveil/pgveil/seal"
)

// Level says how much a finding keeps from being done.
type Level string

// The levels of findings.
const (
	Refuses Level = "refuses" // nothing is sealed until it is dealt with
	Breaks  Level = "breaks"  // something that the database does now it will not do, or do wrongly
	Note    Level = "note"
)

// Finding is something about a column that matters when it is sealed.
type Finding struct {
	Level Level  `json:"level"`
	Says  string `json:"says"`

	about topic
}

// topic is what a finding is about, as far as some jobs are not kept by it.
type topic uint8

const (
	other topic = iota
	unknown
	accept
	foreign
)

// Report is what there is to know about a column before it is sealed, and after.
type Report struct {
	*Column
	Census   *Census
	Wall     *Wall // nil: there is none
	Findings []Finding
	Unfit    []Unfit // clear values that cannot be sealed, the first of them
}

// refused gives an error when something keeps a job from being done.
func (r *Report) refused(counts func(topic) bool) error {
	var all []string
	for _, f := range r.Findings {
		if f.Level == Refuses && counts(f.about) {
			all = append(all, f.Says)
		}
	}
	if all == nil {
		return nil
	}
	return fmt.Errorf("%s is left as it is: %s", r.Column.Column, strings.Join(all, "; "))
}

// checker finds out about one column.
type checker struct {
	*Report
	conn    *pgx.Conn
	sealer  *seal.Sealer
	without bool // triggers and foreign keys are passed by
}

func (k *checker) find(l Level, format string, args ...any) { k.add(other, l, format, args...) }

func (k *checker) add(about topic, l Level, format string, args ...any) {
	f := Finding{l, fmt.Sprintf(format, args...), about}
	if !slices.Contains(k.Findings, f) {
		k.Findings = append(k.Findings, f)
	}
}

// Check finds out how the values of a column are stored, and what would keep them from
// being sealed or break when they are. It changes nothing.
func (j *Job) Check(ctx context.Context, c *Column) (*Report, error) {
	if err := j.settle(ctx, c); err != nil {
		return nil, err
	}
	ring, err := j.Ring(ctx)
	if err != nil {
		return nil, err
	}
	k := &checker{Report: &Report{Column: c}, conn: j.Conn, without: j.WithoutTriggers}
	if k.Census, err = Count(ctx, j.Conn, ring, c); err != nil {
		return nil, err
	}
	if err := c.Unsupported(); err != nil {
		k.find(Refuses, "%v", err)
		return k.Report, nil
	}
	if k.sealer, err = ring.Sealer(c.Sealed); err == nil {
		k.sealer = c.at(k.sealer, anyRow)
		_, err = k.sealer.Seal(nil, nil)
	}
	if err != nil {
		k.find(Refuses, "%v: make one with \"pgveil keys create %s\"", err, c.Class)
		return k.Report, nil
	}
	k.keys()
	for _, look := range []func(context.Context) error{k.values, k.wall, k.blindIndex, k.partitionKeys, k.dependents, k.triggers, k.functions} {
		if err := look(ctx); err != nil {
			return nil, fmt.Errorf("looking at %s: %w", c.Column, err)
		}
	}
	return k.Report, nil
}

// keys says what the census tells.
func (k *checker) keys() {
	c, s := k.Column, k.Census
	for _, u := range s.Under {
		switch u.State {
		case 0:
			k.add(unknown, Refuses, "%v", unknownKeys(c, []Under{u}))
		case seal.Disabled:
			k.find(Breaks, "%d values are under key %08x, which is disabled: they do not open", u.Rows, u.Key)
		case seal.Destroyed:
			k.find(Breaks, "%d values are under key %08x, which is destroyed: nobody opens them", u.Rows, u.Key)
		}
	}
	if s.Damaged > 0 {
		k.find(Breaks, "%d values begin as sealed ones and cannot be such, or are sealed another way than the policy says: they do not open, and are not overwritten", s.Damaged)
	}
	switch {
	case s.Clear > 0 && !c.Clear:
		k.add(accept, Refuses, "class %q does not say clear: accept: pgveil takes the %d clear values for damage until they are sealed", c.Class, s.Clear)
	case s.Clear == 0 && s.Sealed() > 0 && c.Clear:
		k.find(Note, "no clear value is left: clear: accept can be taken out of class %q", c.Class)
	}
	if s.Unfound > 0 && s.Clear == 0 {
		k.find(Breaks, "in %d rows %s and its hash are not both there: rotate fills in hashes that are missing", s.Unfound, c.Column)
	}
}

// sample is what is stored of a value of so many bytes.
func (k *checker) sample(n int) ([]byte, error) { return k.sealer.Seal(nil, make([]byte, n)) }

// values looks whether the clear values can be sealed and have room then.
func (k *checker) values(ctx context.Context) error {
	c := k.Column
	longest, all := k.Census.Longest, int64(0)
	if c.Values != "text" && c.Values != "varchar" && c.Values != c.Stored {
		longest = 0
		for _, part := range c.Parts {
			n, bad, err := k.unfit(ctx, part)
			if err != nil {
				return err
			}
			longest, all = max(longest, n), all+bad
		}
	}
	if all > 0 {
		k.find(Refuses, "%d clear values are not written as %s: correct them first; the first is %s", all, c.Values, k.Unfit[0])
	}
	stored, err := k.sample(longest)
	if err != nil {
		return err
	}
	if c.Room > 0 && len(stored) > c.Room {
		k.find(Refuses, "its longest value takes %d characters when it is sealed, and it has room for %d: ALTER TABLE %s ALTER COLUMN %s TYPE text", len(stored), c.Room, ident(c.Schema, c.Table), ident(c.Name))
	}
	return nil
}

// unfit goes through the clear values of a table.
func (k *checker) unfit(ctx context.Context, part *catalog.Relation) (longest int, bad int64, err error) {
	c := k.Column
	rows, err := k.conn.Query(ctx, fmt.Sprintf("SELECT t.ctid::pg_catalog.text, %s FROM ONLY %s AS t WHERE NOT %s", c.raw(), ident(part.Schema, part.Name), c.isSealed()))
	if err != nil {
		return 0, 0, err
	}
	var at string
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&at, &stored}, func() error {
		value, err := c.clear(stored)
		if longest = max(longest, len(value)); err != nil {
			if bad++; len(k.Unfit) < maxUnfit {
				k.Unfit = append(k.Unfit, Unfit{part.QualifiedName(), at, err})
			}
		}
		return nil
	})
	return longest, bad, err
}

func (k *checker) wall(ctx context.Context) (err error) {
	if k.Wall, err = findWall(ctx, k.conn, k.Column); err != nil {
		return err
	}
	switch {
	case k.Wall == nil:
		k.find(Note, "no CHECK keeps clear values out: --wall adds one")
	case !k.Wall.Valid && k.Census.Clear == 0:
		k.find(Note, "the CHECK %s is not validated, and can be: --wall does it", k.Wall.Name)
	case !k.Wall.Valid:
		k.find(Breaks, "the CHECK %s is there, so rows whose value is clear cannot be changed until it is sealed", k.Wall.Name)
	}
	return nil
}

// blindIndex looks for an index by which hashes are found.
func (k *checker) blindIndex(ctx context.Context) error {
	c := k.Column
	if !c.Blind {
		return nil
	}
	for _, part := range c.Parts {
		column, ok := part.Column(policy.BlindColumn(c.Name))
		if !ok {
			k.find(Refuses, "%s has no column %s bytea", part.QualifiedName(), c.blind())
			continue
		}
		found := false
		if err := k.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = $1 AND indkey[0] = $2 AND indisvalid AND indpred IS NULL)", part.OID, column.Num).Scan(&found); err != nil {
			return err
		}
		if !found {
			k.find(Breaks, "%s has no index on %s: to look for a value is to read the whole table; CREATE INDEX CONCURRENTLY ON %s (%s)", part.QualifiedName(), c.blind(), ident(part.Schema, part.Name), c.blind())
		}
	}
	return nil
}

// partitionKeys looks whether rows are put into partitions by the column.
func (k *checker) partitionKeys(ctx context.Context) error {
	column, ok := k.Root.Column(k.Name)
	if !ok || k.Root.Kind != catalog.PartitionedTable {
		return nil
	}
	const sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_partitioned_table WHERE partrelid = ANY ($1) AND $2::int2 = ANY (partattrs::int2[]))"
	found := false
	err := k.conn.QueryRow(ctx, sql, []uint32{k.Root.OID}, column.Num).Scan(&found)
	if found {
		k.find(Refuses, "rows of %s are put into partitions by it", k.Root.QualifiedName())
	}
	return err
}

// dependent is what the server says depends on a column.
type dependent struct {
	Kind                          string // contype of constraints, relkind of the views, the catalog's name of others
	Name, About, Expr, OnUpdate   string
	Refers, Unique, Computed, Btr bool
}

const dependentsSQL = `SELECT coalesce(con.contype::text, CASE WHEN i.indexrelid IS NOT NULL THEN 'index' WHEN v.relkind = 'm' THEN 'm' WHEN v.relkind IS NOT NULL THEN 'view' ELSE d.classid::regclass::text END),
	coalesce(con.conname, ic.relname, v.relname, '')::text, pg_describe_object(d.classid, d.objid, d.objsubid),
	coalesce(pg_get_expr(con.conbin, con.conrelid), ''), coalesce(con.confupdtype::text, ''), coalesce(con.conrelid = $1, false),
	coalesce(i.indisunique, false), coalesce(i.indexprs IS NOT NULL OR i.indpred IS NOT NULL, false),
	coalesce(i.indexrelid IS NOT NULL AND am.amname = 'btree' OR con.contype IN ('p', 'u'), false)
FROM pg_depend AS d
LEFT JOIN pg_constraint AS con ON d.classid = 'pg_constraint'::regclass AND con.oid = d.objid
LEFT JOIN pg_index AS i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
LEFT JOIN pg_class AS ic ON ic.oid = i.indexrelid LEFT JOIN pg_am AS am ON am.oid = ic.relam
LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid LEFT JOIN pg_class AS v ON v.oid = r.ev_class
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = $2 AND d.deptype IN ('n', 'a')
	AND NOT coalesce(con.conislocal = false AND con.contype = 'c', false) AND NOT coalesce(ic.relispartition, false) AND coalesce(con.conparentid, 0) = 0
ORDER BY 1, 2`

// dependents looks at what the server itself computes from the column.
func (k *checker) dependents(ctx context.Context) error {
	for _, rel := range k.relations() {
		column, ok := rel.Column(k.Name)
		if !ok {
			continue
		}
		rows, err := k.conn.Query(ctx, dependentsSQL, rel.OID, column.Num)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dependent])
		if err != nil {
			return err
		}
		for _, d := range all {
			if err := k.dependent(ctx, rel, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// relations gives the tables that may have dependents of their own.
func (k *checker) relations() []*catalog.Relation {
	all := []*catalog.Relation{k.Root}
	for _, p := range k.Parts {
		if p != k.Root {
			all = append(all, p)
		}
	}
	return all
}

// maxIndexed is what a btree index takes of a row, with some room for what else is in
// it: BTMaxItemSize in PostgreSQL's nbtree.h.
const maxIndexed = 2600

func (k *checker) dependent(ctx context.Context, rel *catalog.Relation, d dependent) error {
	random := k.Mode == policy.SealRandomized
	if d.Btr && !random {
		stored, err := k.sample(k.Census.Longest)
		if err == nil && len(stored) > maxIndexed {
			k.find(Refuses, "its longest value takes %d bytes when it is sealed, which is more than the index %s takes", len(stored), d.Name)
		}
	}
	switch d.Kind {
	case "c":
		return k.check(ctx, rel, d)
	case "f":
		k.foreignKey(d)
	case "p", "u":
		if random {
			k.find(Breaks, "%s no longer keeps equal values apart: sealed at random, they look different", d.Name)
		}
	case "x":
		k.find(Breaks, "the exclusion constraint %s compares what is sealed", d.Name)
	case "index":
		switch {
		case d.Computed:
			k.find(Breaks, "the index %s computes from it, or picks rows by it: drop it", d.Name)
		case random && d.Unique:
			k.find(Breaks, "the unique index %s no longer keeps equal values apart: sealed at random, they look different", d.Name)
		case random:
			k.find(Note, "the index %s is of no use for what is sealed at random: drop it", d.Name)
		}
	case "m":
		k.find(Breaks, "the materialized view %s has copies of the values as they were until it is refreshed", d.Name)
	case "view", "n":
	case "pg_statistic_ext", "pg_publication_rel":
		k.find(Note, "%s looks at it", d.About)
	default:
		k.find(Breaks, "%s looks at what is sealed", d.About)
	}
	return nil
}

// foreignKey says what a foreign key keeps from being done: values are sealed on one
// side first.
func (k *checker) foreignKey(d dependent) {
	switch {
	case k.without || d.OnUpdate == "c" && !d.Refers:
	case d.OnUpdate == "c":
		k.add(foreign, Refuses, "by the foreign key %s it follows another column: change that one, and this one changes with it", d.Name)
	default:
		k.add(foreign, Refuses, "the foreign key %s would refuse what is changed on one side only: --without-triggers changes both sides one after the other, or drop it meanwhile", d.Name)
	}
}

// check tries a CHECK with a sealed value in some rows.
func (k *checker) check(ctx context.Context, rel *catalog.Relation, d dependent) error {
	if isWall(k.Column, d.Name, d.Expr) {
		return nil
	}
	stored, err := k.sample(max(1, k.Census.Longest))
	if err != nil {
		return err
	}
	var columns []string
	for i := range rel.Columns {
		name := ident(rel.Columns[i].Name)
		if rel.Columns[i].Name == k.Name {
			columns = append(columns, fmt.Sprintf("CAST(%s AS %s) AS %s", k.constant(stored), rel.Columns[i].Type.SQL, name))
		} else {
			columns = append(columns, "r."+name)
		}
	}
	sql := fmt.Sprintf("SELECT coalesce(bool_and(%s), true) FROM (SELECT %s FROM (SELECT) AS one LEFT JOIN (SELECT * FROM ONLY %s LIMIT 100) AS r ON true) AS %s", d.Expr, strings.Join(columns, ", "), ident(rel.Schema, rel.Name), ident(rel.Name))
	holds := false
	err = k.conn.QueryRow(ctx, sql).Scan(&holds)
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e): // its text may have values
		k.find(Refuses, "the CHECK %s of %s fails for what is sealed (SQLSTATE %s): drop it, or have the application check", d.Name, rel.QualifiedName(), e.Code)
	case err != nil:
		return err
	case !holds:
		k.find(Refuses, "the CHECK %s of %s does not hold for what is sealed: drop it, or have the application check", d.Name, rel.QualifiedName())
	}
	return nil
}

const triggersSQL = `SELECT t.tgname::text, p.oid::regprocedure::text, p.prosrc ~ ('\m' || $2 || '\M'), p.prosrc ~ '\m(OLD|old|NEW|new)\M'
FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D' AND (t.tgtype & 16) <> 0 ORDER BY 1`

// triggers looks at those that run when a row is changed.
func (k *checker) triggers(ctx context.Context) error {
	for _, rel := range k.relations() {
		rows, err := k.conn.Query(ctx, triggersSQL, rel.OID, k.Name)
		if err != nil {
			return err
		}
		var name, function string
		var names, rowwise bool
		if _, err := pgx.ForEachRow(rows, []any{&name, &function, &names, &rowwise}, func() error {
			switch {
			case names:
				k.find(Breaks, "the trigger %s runs for each row, and %s looks at the column: it has what is sealed, or keeps what was clear", name, function)
			case rowwise:
				k.find(Note, "the trigger %s runs for each row that is sealed, and %s looks at rows: if it keeps old ones, they are clear; --without-triggers passes by it", name, function)
			default:
				k.find(Note, "the trigger %s runs for each row that is sealed: --without-triggers passes by it", name)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

const functionsSQL = `SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosrc ~ ('\m' || $1 || '\M') AND p.prosrc ~ ('\m' || $2 || '\M')
	AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') ORDER BY 1 LIMIT 50`

// functions looks for those that name the table and the column: pgveil does not follow
// what they do.
func (k *checker) functions(ctx context.Context) error {
	rows, err := k.conn.Query(ctx, functionsSQL, k.Table, k.Name)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if len(all) > 0 {
		k.find(Breaks, "functions name the table and the column, and would have what is sealed: %s", strings.Join(all, ", "))
	}
	return err
}
