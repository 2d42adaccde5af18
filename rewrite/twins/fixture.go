package twins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// Fixture is a folder of testdata/fixtures, loaded on two servers: its rows on
// the first, its twin's on the second. A server of its own for each, and the
// same statements in the same order on both, make even OIDs, transaction
// numbers and places in files equal.
type Fixture struct {
	Name    string
	Catalog *catalog.Snapshot
	Engine  *rewrite.Engine // with the policy as it is
	Strict  *rewrite.Engine // with match: equality taken out of it: no guess is confirmed
	Logins  bool            // users have logins of their own; else the superuser stands for them

	dsns   [2]string
	free   pair               // a superuser's sessions
	values map[string][]value // by schema.table.column
	unique map[string]bool    // texts whose uniqueness a write can find out in one of the databases alone
}

// value is what a column holds in some row of either database, as text.
type value struct {
	text   string
	shared bool // both hold it
}

// Server gives a superuser's connection string for one of a server's databases.
type Server func(database string) string

// Create makes the database of a fixture, without rows, on one server. The
// other server is to be a copy of it: then even the system's tables are equal.
func Create(ctx context.Context, dir string, server Server) error {
	admin, err := pgx.Connect(ctx, server("postgres"))
	if err != nil {
		return fmt.Errorf("create fixture: %w", err)
	}
	if _, err = admin.Exec(ctx, unhurried); err == nil {
		_, err = admin.Exec(ctx, "CREATE DATABASE "+filepath.Base(dir))
	}
	if err := errors.Join(err, admin.Close(ctx)); err != nil {
		return fmt.Errorf("create fixture: %w", err)
	}
	conn, err := pgx.Connect(ctx, server(filepath.Base(dir)))
	if err != nil {
		return fmt.Errorf("create fixture: %w", err)
	}
	err = runFiles(ctx, conn, dir, "schema.sql", "roles.sql")
	if err == nil {
		_, err = conn.PgConn().Exec(ctx, stillTime+"; CHECKPOINT").ReadAll()
	}
	return errors.Join(err, conn.Close(ctx))
}

// Load fills the databases of a fixture on two servers.
func Load(ctx context.Context, dir string, servers [2]Server) (*Fixture, error) {
	f := &Fixture{Name: filepath.Base(dir), values: map[string][]value{}, unique: map[string]bool{}}
	var conns [2]*pgx.Conn
	for i, rows := range [2][]string{{"rows.sql", "no rows"}, {"twin.sql", "hidden.sql"}} {
		f.dsns[i] = servers[i](f.Name)
		conn, err := pgx.Connect(ctx, f.dsns[i])
		if err != nil {
			return nil, fmt.Errorf("load fixture %s: %w", f.Name, err)
		}
		defer conn.Close(ctx)
		if err := runFiles(ctx, conn, dir, rows...); err != nil {
			return nil, fmt.Errorf("load fixture %s: %w", f.Name, err)
		}
		conns[i] = conn
	}
	_, err := os.Stat(filepath.Join(dir, "roles.sql"))
	f.Logins = err == nil
	if err := errors.Join(f.sameSizes(ctx, conns), f.compile(ctx, dir, conns[0]), f.readValues(ctx, conns)); err != nil {
		return nil, fmt.Errorf("load fixture %s: %w", f.Name, err)
	}
	if f.free, err = f.open(ctx, "SET statement_timeout = '1min'"); err != nil {
		return nil, fmt.Errorf("load fixture %s: %w", f.Name, err)
	}
	return f, nil
}

// Close ends the sessions that Load began.
func (f *Fixture) Close(ctx context.Context) error { return f.free.close(ctx) }

// unhurried takes away the time that statements are given on these servers: a
// busy machine may take longer to load a fixture.
const unhurried = "SET statement_timeout = 0"

// runFiles runs files of a fixture, of which some may be missing.
func runFiles(ctx context.Context, conn *pgx.Conn, dir string, names ...string) error {
	if _, err := conn.Exec(ctx, unhurried); err != nil {
		return err
	}
	for _, name := range names {
		sql, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) && slices.Contains([]string{"roles.sql", "hidden.sql", "no rows"}, name) {
			sql, err = []byte("SELECT pg_current_xact_id()"), nil // both databases number transactions alike
		}
		if err == nil {
			_, err = conn.PgConn().Exec(ctx, string(sql)).ReadAll()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
	}
	return nil
}

// stillTime replaces defaults that ask what time it is.
const stillTime = `DO $$
DECLARE
    d record;
BEGIN
    FOR d IN SELECT adrelid::regclass AS rel, attname FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
             WHERE pg_get_expr(adbin, adrelid) = 'now()' LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I SET DEFAULT %L', d.rel, d.attname, '2026-01-01 00:00:00+00');
    END LOOP;
END $$`

// confirms is what makes a policy confirm guesses.
var confirms = regexp.MustCompile(`,\s*match:\s*equality`)

func (f *Fixture) compile(ctx context.Context, dir string, conn *pgx.Conn) (err error) {
	if f.Catalog, err = pgload.Load(ctx, conn); err != nil {
		return err
	}
	files, err := policyFiles(dir)
	if err != nil {
		return err
	}
	if f.Engine, err = f.engine(files); err != nil {
		return err
	}
	for i := range files {
		files[i].Text = confirms.ReplaceAllString(files[i].Text, "")
	}
	f.Strict, err = f.engine(files)
	return err
}

func (f *Fixture) engine(files []policy.File) (*rewrite.Engine, error) {
	doc, err := policy.Parse(files...)
	if err != nil {
		return nil, err
	}
	set, err := policy.Compile(doc, f.Catalog, policy.CheckRows(func(expr string, r *catalog.Relation) error {
		return rewrite.CheckFilter(f.Catalog, expr, r)
	}))
	if err != nil {
		return nil, err
	}
	return rewrite.New(f.Catalog, set, 1<<20), nil
}

func policyFiles(dir string) ([]policy.File, error) {
	var files []policy.File
	for _, pattern := range []string{"policy.yaml", "policy/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			yaml, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			files = append(files, policy.File{Name: path, Text: string(yaml)})
		}
	}
	return files, nil
}

// sameSizes sees that the hidden rows make no file larger: plans hang on that.
func (f *Fixture) sameSizes(ctx context.Context, conns [2]*pgx.Conn) error {
	var sizes [2][]string
	for i, conn := range conns {
		var err error
		sizes[i], err = texts(ctx, conn, "SELECT relname || ' ' || pg_relation_size(oid) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 'm') ORDER BY oid")
		if err != nil {
			return err
		}
	}
	if !slices.Equal(sizes[0], sizes[1]) {
		return fmt.Errorf("the files have other sizes in the twin: %s", strings.Join(difference(sizes), ", "))
	}
	return nil
}

// readValues reads what the columns hold, and which of it only one database
// does in a column that a unique index is on.
func (f *Fixture) readValues(ctx context.Context, conns [2]*pgx.Conn) error {
	for _, r := range f.Catalog.Relations() {
		if !r.Governed() || r.Kind == catalog.Sequence || r.Kind == catalog.CompositeType {
			continue
		}
		for _, c := range r.Columns {
			var held [2][]string
			for i, conn := range conns {
				sql := fmt.Sprintf("SELECT DISTINCT %s::text COLLATE \"C\" AS v FROM %s.%s WHERE %[1]s IS NOT NULL ORDER BY v",
					identifier(c.Name), identifier(r.Schema), identifier(r.Name))
				var err error
				if held[i], err = texts(ctx, conn, sql); err != nil {
					return err
				}
			}
			f.values[r.QualifiedName()+"."+c.Name] = merge(held)
		}
	}
	unique, err := texts(ctx, conns[0], `SELECT n.nspname || '.' || c.relname || '.' || a.attname FROM pg_index i
		JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute a ON attrelid = c.oid AND attnum = ANY (indkey)
		WHERE indisunique AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1`)
	for _, column := range unique {
		for _, v := range f.values[column] {
			f.unique[v.text] = f.unique[v.text] || !v.shared
		}
	}
	return err
}

func texts(ctx context.Context, conn *pgx.Conn, sql string) ([]string, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func merge(held [2][]string) []value {
	count := map[string]int{}
	var order []string
	for _, texts := range held {
		for _, t := range texts {
			if count[t]++; count[t] == 1 {
				order = append(order, t)
			}
		}
	}
	values := make([]value, len(order))
	for i, t := range order {
		values[i] = value{text: t, shared: count[t] == 2}
	}
	return values
}
