package erasures_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

const customers = `CREATE SCHEMA crm;
CREATE TABLE crm.customers (id bigint PRIMARY KEY, email text, phone text);
INSERT INTO crm.customers SELECT g, 'Customer' || g || '@example.com', CASE WHEN g % 2 = 0 THEN '+49 30 5550' || g END FROM generate_series(1, 200) AS g;
`

// office is a database whose customers are erased, and the ledger of that.
type office struct {
	*erasures.Ledger
	path string
	conn *pgx.Conn
}

func query(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// newOffice makes the tables and a ledger.
func newOffice(t *testing.T, conn *pgx.Conn) *office {
	t.Helper()
	query(t, conn, customers+state.Schema())
	o := &office{path: filepath.Join(t.TempDir(), "ledger"), conn: conn}
	o.Ledger, _ = opened(t, o.path, key)
	must[bool](t)(o.Observe(must[erasures.Database](t)(erasures.Locate(t.Context(), conn))))
	return o
}

// kinds gives the kinds of subject, as a policy has them.
func kinds(t *testing.T, conn *pgx.Conn) []policy.Subject {
	t.Helper()
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := cat.Relation(nil, "crm", "customers")
	if !ok {
		t.Fatal("there is no table of customers")
	}
	return []policy.Subject{{Name: "customer", Relation: r, Key: "id", FindBy: []string{"email", "phone"}}}
}

// erase erases a customer as a request does.
func (o *office) erase(t *testing.T, id int, stays bool) {
	t.Helper()
	o.carry(t, id, stays, true)
}

// carry is erase, up to the search for what is left or to the end.
func (o *office) carry(t *testing.T, id int, stays, searched bool) {
	t.Helper()
	ctx := t.Context()
	person, err := erasures.Find(ctx, o.conn, kinds(t, o.conn)[0], nil, strconv.Itoa(id))
	if err != nil {
		t.Fatal(err)
	}
	where := must[erasures.Database](t)(erasures.Locate(ctx, o.conn))
	begun := must[erasures.Entry](t)(o.Intend(erasures.Intention{Request: int64(id), Person: person, Database: where}))
	if stays {
		query(t, o.conn, "UPDATE crm.customers SET email = NULL, phone = NULL WHERE id = $1", id)
	} else {
		query(t, o.conn, "DELETE FROM crm.customers WHERE id = $1", id)
	}
	for range 2 { // who goes on after a crash says it again
		if err := o.See(ctx, o.conn, begun); err != nil {
			t.Fatal(err)
		}
	}
	if !searched {
		return
	}
	must[erasures.Entry](t)(o.Done(begun.Seq, erasures.Outcome{Stays: stays, Database: where}))
}

// stands holds how a database stands to the ledger to what it should.
func (o *office) stands(t *testing.T, conn *pgx.Conn, what string, missing int, moved bool) erasures.Standing {
	t.Helper()
	s, err := o.Compare(t.Context(), conn)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if len(s.Missing) != missing || s.Moved() != moved || len(s.Unknown) != 0 {
		t.Errorf("%s: %+v, want %d missing, moved %v", what, s, missing, moved)
	}
	return s
}

// replay erases again who was erased, and holds it to who that must be.
func (o *office) replay(t *testing.T, find, conn *pgx.Conn, want ...int) {
	t.Helper()
	subjects := kinds(t, conn)
	dry, err := o.Replay(t.Context(), find, erasures.Replaying{Subjects: subjects})
	if err != nil || dry.Found["customer"] != int64(len(want)) || dry.Erased != 0 || dry.Complete() != (len(want) == 0) {
		t.Errorf("dry run: %+v, %v, want %d found", dry, err, len(want))
	}
	var got []int
	again, err := o.Replay(t.Context(), find, erasures.Replaying{Subjects: subjects, Erase: func(ctx context.Context, kind, key string, e erasures.Entry) error {
		id, err := strconv.Atoi(key)
		if err != nil || kind != "customer" || e.Request != int64(id) {
			return fmt.Errorf("asked to erase %s %s by request %d", kind, key, e.Request)
		}
		got = append(got, id)
		_, err = conn.Exec(ctx, "DELETE FROM crm.customers WHERE id = $1", id)
		return err
	}})
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) || !again.Complete() {
		t.Errorf("replayed %v, %+v, %v, want %v", got, again, err, want)
	}
}

// own starts a server of the test's own.
func own(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	o.FastUnsafe = true
	s, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tool runs a program as the server's user.
func tool(t *testing.T, s *pgserver.Server, program string, args ...string) {
	t.Helper()
	if out, err := s.Command(t.Context(), s.SocketDir(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
}

// dumped keeps what a database holds by pg_dump, and gives what puts it in the place
// of what is there by then.
func dumped(t *testing.T, s *pgserver.Server, program, dsn string) (restore func()) {
	dump := filepath.Join(s.SocketDir(), "erasures.dump")
	tool(t, s, program, "-Fc", "-f", dump, "-d", dsn)
	t.Cleanup(func() { _ = os.Remove(dump) }) // its folder goes with the server
	return func() {
		t.Helper()
		tool(t, s, filepath.Join(filepath.Dir(program), "pg_restore"), "--clean", "--if-exists", "-d", dsn, dump)
	}
}

// copied is dumped by COPY, of rows alone.
func copied(t *testing.T, conn *pgx.Conn) (restore func()) {
	rows := must[pgx.Rows](t)(conn.Query(t.Context(), "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('crm', 'pgveil')"))
	tables := must[[]string](t)(pgx.CollectRows(rows, pgx.RowTo[string]))
	kept := make([]bytes.Buffer, len(tables))
	for i, table := range tables {
		must[pgconn.CommandTag](t)(conn.PgConn().CopyTo(t.Context(), &kept[i], "COPY "+table+" TO STDOUT"))
	}
	return func() {
		t.Helper()
		query(t, conn, "BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE "+strings.Join(tables, ", "))
		for i, table := range tables {
			must[pgconn.CommandTag](t)(conn.PgConn().CopyFrom(t.Context(), &kept[i], "COPY "+table+" FROM STDIN"))
		}
		query(t, conn, "COMMIT")
	}
}

// TestDump restores a dump of before some erasures over the database: a whole one,
// where PostgreSQL's programs have what makes it, and one of rows alone.
func TestDump(t *testing.T) {
	s := pgtest.Server(t)
	ways := map[string]func(t *testing.T, dsn string, conn *pgx.Conn) (restore func()){
		"rows": func(t *testing.T, _ string, conn *pgx.Conn) func() { return copied(t, conn) },
	}
	if program, ok := pgtest.Program(t, "pg_dump"); ok {
		ways["all"] = func(t *testing.T, dsn string, _ *pgx.Conn) func() { return dumped(t, s, program, dsn) }
	}
	for name, keep := range ways {
		t.Run(name, func(t *testing.T) {
			dsn := s.DSN(pgtest.Database(t, ""), pgserver.Superuser)
			o := newOffice(t, pgtest.Connect(t, dsn))
			o.erase(t, 7, false)
			o.stands(t, o.conn, "at first", 0, false)
			restore := keep(t, dsn, o.conn)
			o.erase(t, 8, false)
			o.erase(t, 9, true)
			o.carry(t, 10, false, false)
			o.stands(t, o.conn, "before the restore", 0, false)
			o.replay(t, pgtest.Connect(t, dsn), o.conn)
			restore()
			found := o.stands(t, o.conn, "restored", 3, false)
			o.replay(t, pgtest.Connect(t, dsn), o.conn, 8, 9, 10)
			if err := o.Settle(t.Context(), o.conn, found, erasures.Replayed, "", ""); err != nil {
				t.Fatal(err)
			}
			o.stands(t, o.conn, "replayed", 0, false)
			o.replay(t, pgtest.Connect(t, dsn), o.conn)
			query(t, o.conn, "DROP SCHEMA pgveil CASCADE")
			o.stands(t, o.conn, "without pgveil's tables", 4, false)
		})
	}
}

// TestFiles copies a data directory and puts it back, in place and as a standby
// that is promoted, and recovers it to a moment between two erasures.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the server's user must get there
		t.Fatal(err)
	}
	data, archive := filepath.Join(dir, "data"), filepath.Join(dir, "archive")
	if err := os.Mkdir(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	keeping := map[string]string{"archive_mode": "on", "archive_command": "cp %p " + archive + "/%f", "wal_level": "replica", "fsync": "on"}
	serve := func(dir string, o pgserver.Options) (*pgserver.Server, *pgx.Conn) {
		o.Dir = dir
		s := own(t, o)
		return s, pgtest.Connect(t, s.DSN("postgres", pgserver.Superuser))
	}
	copyTo := func(to string) string {
		to = filepath.Join(dir, to)
		if err := errors.Join(os.CopyFS(to, os.DirFS(data)), os.Chmod(to, 0o700)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	stop := func(s *pgserver.Server, conn *pgx.Conn) {
		program, _ := pgtest.Program(t, "pg_ctl")
		tool(t, s, program, "stop", "-D", data, "-m", "fast")
		if err := errors.Join(conn.Close(t.Context()), s.Stop()); err != nil {
			t.Fatal(err)
		}
	}

	s, conn := serve(data, pgserver.Options{Settings: keeping})
	if err := s.Own(archive); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, conn)
	stop(s, conn)
	cold := copyTo("cold")
	between := copyTo("between")
	s, o.conn = serve(data, pgserver.Options{Settings: keeping})
	o.erase(t, 7, false)
	query(t, o.conn, "SELECT pg_create_restore_point('between')")
	o.erase(t, 8, false)
	query(t, o.conn, "SELECT pg_switch_wal()")
	o.stands(t, o.conn, "started again", 0, false)
	stop(s, o.conn)

	standby := copyTo("standby")
	promoted, conn := serve(standby, pgserver.Options{Standby: true})
	if _, err := o.Compare(t.Context(), conn); !errors.Is(err, erasures.ErrStandby) {
		t.Errorf("a standby: %v", err)
	}
	query(t, conn, "SELECT pg_promote()")
	o.stands(t, conn, "a promoted standby", 0, true)
	o.replay(t, pgtest.Connect(t, promoted.DSN("postgres", pgserver.Superuser)), conn)

	if err := os.WriteFile(filepath.Join(between, "recovery.signal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	recovered, conn := serve(between, pgserver.Options{Settings: map[string]string{
		"restore_command": "cp " + archive + "/%f %p", "recovery_target_name": "between", "recovery_target_action": "promote", "hot_standby": "off",
	}})
	found := o.stands(t, conn, "recovered to between", 1, true)
	o.replay(t, pgtest.Connect(t, recovered.DSN("postgres", pgserver.Superuser)), conn, 8)
	if err := o.Settle(t.Context(), conn, found, erasures.Accepted, "", "it is only a test"); err == nil {
		t.Error("nobody accepted a restored database")
	}
	if err := o.Settle(t.Context(), conn, found, erasures.Accepted, "olga", "it is only a test"); err != nil {
		t.Fatal(err)
	}
	o.stands(t, conn, "accepted", 0, false)

	back, conn := serve(cold, pgserver.Options{})
	o.stands(t, conn, "put back", 2, true) // the copy before was on another timeline
	o.replay(t, pgtest.Connect(t, back.DSN("postgres", pgserver.Superuser)), conn, 7, 8)
}
