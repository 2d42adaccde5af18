package cases

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// TestBenign runs every statement of testdata/cases/benign twice: as it is
// planned, and as it is written on a copy of the database that holds only what
// the caller may see, hidden rows deleted and masks stored in place of values.
// Both must give the same: names, types, rows in their order, tags, and what
// the tables hold afterwards.
func TestBenign(t *testing.T) {
	files, err := filepath.Glob("../../testdata/cases/benign/*.case")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	b := newBenign(t, "sales")
	for _, path := range files {
		f, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Cases {
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(path), c.Line), func(t *testing.T) {
				if b.major < c.Since {
					t.Skip(ErrOlder)
				}
				if err := b.same(t.Context(), &c, nil); err != nil {
					t.Errorf("as %s: %s\n%v", c.Who, c.SQL, err)
				}
			})
		}
	}
}

// benign is a fixture's database, and beside it one for each user that holds
// what that user sees of it.
type benign struct {
	t       *testing.T
	server  *Server
	fixture *Fixture // its catalog is the server's own
	whole   *pgx.Conn
	major   int // the server's version
	tables  []*catalog.Relation
	seen    map[string]*pgx.Conn
}

func newBenign(t *testing.T, fixture string) *benign {
	server, err := NewServer(pgtest.Server(t).DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	b := &benign{t: t, server: server, seen: map[string]*pgx.Conn{}}
	b.whole = b.connect(pgtest.Database(t, fixture))
	b.major = major(b.whole.PgConn().ParameterStatus("server_version"))
	cat, err := pgload.Load(t.Context(), b.whole)
	if err != nil {
		t.Fatal(err)
	}
	dir := pgtest.Fixture(t, fixture)
	doc, err := policy.Load(policyOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	b.fixture = &Fixture{Dir: dir, Engine: rewrite.New(cat, set, 1<<20)}
	for _, r := range cat.Relations() {
		if r.Governed() && !r.Partition && (r.Kind == catalog.Table || r.Kind == catalog.PartitionedTable) {
			b.tables = append(b.tables, r)
		}
	}
	return b
}

func (b *benign) connect(database string) *pgx.Conn {
	return pgtest.Connect(b.t, pgtest.Server(b.t).DSN(database, pgserver.Superuser))
}

// database gives a session in the database of what a user sees, which the
// first call makes.
func (b *benign) database(ctx context.Context, user string) (*pgx.Conn, error) {
	if conn, ok := b.seen[user]; ok {
		return conn, nil
	}
	conn := b.connect(pgtest.Database(b.t, filepath.Base(b.fixture.Dir)))
	if err := b.server.prepare(ctx, conn, Request{Fixture: b.fixture, Claim: policy.Claim{Login: pgserver.Superuser}}); err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "SET session_replication_role = replica"); err != nil {
		return nil, err
	}
	access, err := b.fixture.Engine.Policy.Access(user, "")
	if err != nil {
		return nil, err
	}
	for _, r := range b.tables {
		if err := b.hide(ctx, conn, user, r, access.Relation(r)); err != nil {
			return nil, fmt.Errorf("hide what %s does not see of %s: %w", user, r.QualifiedName(), err)
		}
	}
	b.seen[user] = conn
	return conn, nil
}

// hide puts a table into the form in which a user sees it: rows deleted, masks
// stored, refused columns dropped.
func (b *benign) hide(ctx context.Context, conn *pgx.Conn, user string, r *catalog.Relation, a *policy.RelationAccess) error {
	if len(a.Views) != 1 {
		return fmt.Errorf("%d views of it", len(a.Views))
	}
	keys := keyNames(r)
	var masked, assign, statements []string
	for i, c := range r.Columns {
		name := pgx.Identifier{c.Name}.Sanitize()
		switch a.Views[0].Columns[i].Show {
		case policy.ShowClear:
		case policy.ShowRefuse:
			statements = append(statements, "ALTER TABLE t DROP COLUMN "+name+" CASCADE")
		default:
			masked = append(masked, name)
			assign = append(assign, name+" = seen."+name)
			statements = append(statements, "ALTER TABLE t ALTER "+name+" DROP NOT NULL", "ALTER TABLE t ALTER "+name+" DROP EXPRESSION IF EXISTS")
		}
	}
	p, err := b.plan(user, fmt.Sprintf("SELECT %s FROM %s", strings.Join(append(slices.Clone(keys), masked...), ", "), r.QualifiedName()))
	if err != nil {
		return err
	}
	list := strings.Join(keys, ", ")
	statements = append(statements, "CREATE TEMP TABLE seen AS "+p.SQL, fmt.Sprintf("DELETE FROM t WHERE (%s) NOT IN (SELECT %s FROM seen)", list, list))
	if masked != nil {
		same := "(t." + strings.Join(keys, ", t.") + ") = (seen." + strings.Join(keys, ", seen.") + ")"
		statements = append(statements, "UPDATE t SET "+strings.Join(assign, ", ")+" FROM seen WHERE "+same)
	}
	for _, sql := range append(statements, "DROP TABLE seen") {
		sql = strings.NewReplacer("TABLE t ", "TABLE "+r.QualifiedName()+" ", "FROM t ", "FROM "+r.QualifiedName()+" ", "UPDATE t ", "UPDATE "+r.QualifiedName()+" AS t ").Replace(sql)
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// keyNames are the columns that tell a table's rows apart.
func keyNames(r *catalog.Relation) []string {
	var names []string
	for _, i := range r.PrimaryKey {
		names = append(names, pgx.Identifier{r.Columns[i].Name}.Sanitize())
	}
	return names
}

func (b *benign) plan(user, sql string) (*rewrite.Plan, error) {
	return Request{Fixture: b.fixture, Claim: policy.Claim{Login: user}, SQL: sql}.plan()
}

// ran is what a text gave and what it left behind.
type ran struct {
	answer        []string
	before, after contents
}

// same runs a case both ways.
func (b *benign) same(ctx context.Context, c *Case, in *input) error {
	r := c.request(b.fixture)
	p, err := r.plan()
	if err != nil {
		return err
	}
	seen, err := b.database(ctx, c.Claim.Login)
	if err != nil {
		return err
	}
	got, err := b.run(ctx, b.whole, r, p, p.SQL, in)
	if err != nil {
		return err
	}
	want, err := b.run(ctx, seen, r, p, c.SQL, in)
	if err != nil {
		return err
	}
	if !slices.Equal(want.answer, got.answer) {
		return fmt.Errorf("sent: %s\n- on what the caller sees, + as planned:\n%s", p.SQL, strings.Join(changes(diff(want.answer, got.answer)), "\n"))
	}
	if in != nil && strings.HasPrefix(got.answer[len(got.answer)-1], "error ") {
		return fmt.Errorf("nothing was compared but an %s", got.answer[len(got.answer)-1])
	}
	return left(want, got)
}

func changes(lines []string) []string {
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  ") })
}

// run runs a text as the login, in a session like the proxy's, and takes back
// what it changed, unless it manages transactions itself.
func (b *benign) run(ctx context.Context, conn *pgx.Conn, r Request, p *rewrite.Plan, sql string, in *input) (out ran, err error) {
	exec := func(sql string) {
		if err == nil {
			_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
		}
	}
	exec("ROLLBACK")
	if err == nil {
		err = conn.DeallocateAll(ctx) // what pgx prepared by itself, which DISCARD ALL would leave it believing in
	}
	exec("DISCARD ALL")
	exec("SELECT setval(oid::regclass, 5000) FROM pg_class WHERE relkind = 'S'; DISCARD SEQUENCES")
	if !p.Has(rewrite.Begins | rewrite.Ends) {
		exec("BEGIN")
	}
	if err == nil && p.Has(rewrite.Writes) {
		out.before, err = b.contents(ctx, conn)
	}
	if err == nil {
		err = b.server.prepare(ctx, conn, r)
	}
	if err == nil {
		out.answer, err = answer(ctx, conn.PgConn(), p, sql, in)
	}
	failed := len(out.answer) > 0 && strings.HasPrefix(out.answer[len(out.answer)-1], "error ")
	if err != nil || failed || !p.Has(rewrite.Writes) {
		return out, err
	}
	exec("RESET SESSION AUTHORIZATION")
	if err == nil {
		out.after, err = b.contents(ctx, conn)
	}
	return out, err
}

// answer runs a text and gives all that a client gets to see of it.
func answer(ctx context.Context, conn *pgconn.PgConn, p *rewrite.Plan, sql string, in *input) ([]string, error) {
	if in != nil && in.parameters != nil {
		return answerPrepared(ctx, conn, sql, in.parameters)
	}
	if in != nil {
		tag, err := conn.CopyFrom(ctx, strings.NewReader(in.rows), sql)
		return closing(nil, tag, err)
	}
	if len(p.Steps) == 1 && p.Steps[0].Command == "COPY" {
		var o Outcome
		err := o.copy(ctx, conn, &rewrite.Plan{SQL: sql, Steps: p.Steps})
		return o.all(), err
	}
	var lines []string
	results := conn.Exec(ctx, sql)
	for results.NextResult() {
		reader := results.ResultReader()
		lines = append(lines, head(reader.FieldDescriptions()))
		for reader.NextRow() {
			lines = append(lines, line(reader.Values()))
		}
		if tag, err := reader.Close(); err == nil {
			lines = append(lines, "tag "+tag.String())
		}
	}
	return closing(lines, pgconn.CommandTag{}, results.Close())
}

// closing adds how a text ended: a tag that is not there yet, or the error that
// the server answered.
func closing(lines []string, tag pgconn.CommandTag, err error) ([]string, error) {
	var failed *pgconn.PgError
	switch {
	case errors.As(err, &failed):
		return append(lines, "error "+failed.Code+" "+failed.Message), nil
	case err == nil && tag.String() != "":
		lines = append(lines, "tag "+tag.String())
	}
	return lines, err
}

func head(fields []pgconn.FieldDescription) string {
	var words []string
	for _, f := range fields {
		words = append(words, fmt.Sprintf("%s %d(%d)", f.Name, f.DataTypeOID, f.TypeModifier))
	}
	return "columns " + join(words)
}

func line(values [][]byte) string {
	var words []string
	for _, v := range texts(values) {
		words = append(words, value(v))
	}
	return join(words)
}

// contents is what the tables hold: by table, key and column.
type contents map[string]map[string]map[string]string

func (b *benign) contents(ctx context.Context, conn *pgx.Conn) (contents, error) {
	all := contents{}
	for _, r := range b.tables {
		keys := strings.Join(keyNames(r), ", ")
		result := conn.PgConn().ExecParams(ctx, fmt.Sprintf("SELECT row(%s)::text, * FROM %s", keys, r.QualifiedName()), nil, nil, nil, nil).Read()
		if result.Err != nil {
			return nil, result.Err
		}
		rows := map[string]map[string]string{}
		for _, values := range result.Rows {
			row := map[string]string{}
			for i, v := range texts(values)[1:] {
				row[result.FieldDescriptions[i+1].Name] = value(v)
			}
			rows[string(values[0])] = row
		}
		all[r.QualifiedName()] = rows
	}
	return all, nil
}

// left compares what two runs left in the tables. What is stored as a mask on
// one side must have stayed on both, or become the same.
func left(want, got ran) error {
	var errs []error
	for table, rows := range got.after {
		for key := range got.before[table] {
			if rows[key] == nil && want.after[table][key] != nil {
				errs = append(errs, fmt.Errorf("%s %s is deleted, and was not", table, key))
			}
		}
		for key, row := range rows {
			was, wantWas, wantRow := got.before[table][key], want.before[table][key], want.after[table][key]
			if wantRow == nil && (was == nil || wantWas != nil) {
				errs = append(errs, fmt.Errorf("%s %s is there, and was not", table, key))
				continue
			}
			for column, v := range row {
				expected := wantRow[column]
				if was != nil && wantRow[column] == wantWas[column] {
					expected = was[column]
				} else if _, ok := wantRow[column]; !ok {
					continue // a dropped column of a new row
				}
				if v != expected {
					errs = append(errs, fmt.Errorf("%s %s: %s is %q, want %q", table, key, column, v, expected))
				}
			}
		}
		for key := range want.after[table] {
			if rows[key] == nil {
				errs = append(errs, fmt.Errorf("%s %s is missing", table, key))
			}
		}
	}
	return errors.Join(errs...)
}
