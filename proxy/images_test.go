package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

const imagesSchema = `
DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA other;
CREATE TABLE public.t (id int PRIMARY KEY, v text, j json, b bytea, a int[], g text GENERATED ALWAYS AS (v || '!') STORED);
CREATE TABLE other.t (id int PRIMARY KEY, v text);
CREATE TABLE public."Odd ""t" ("select" text, "a.b" varchar(100), "*" int, "t" text, PRIMARY KEY ("select", "*"));
CREATE TABLE public.p (id int PRIMARY KEY, k text) PARTITION BY RANGE (id);
CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES FROM (0) TO (10);
CREATE TABLE public.keyless (v text);
CREATE TABLE other.u (LIKE public.t INCLUDING ALL);
GRANT USAGE ON SCHEMA public, other TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA public, other TO PUBLIC;
`

const imagesRows = `
TRUNCATE public.t, other.t, public."Odd ""t", public.p, public.keyless;
INSERT INTO public.t VALUES (1, 'x', '{"a": "\u0000"}', '\x00ff', '{1,NULL}'), (2, NULL, NULL, NULL, NULL), (3, '€"\', NULL, '', '{}');
INSERT INTO other.t VALUES (1, 'o1'), (2, 'o2');
INSERT INTO public."Odd ""t" VALUES ('k', 'ab', 1, 't');
INSERT INTO public.p VALUES (1, 'a'), (2, 'b');
INSERT INTO public.keyless VALUES ('n'), ('n')
`

const imagesPolicy = `
version: 1
purposes: {support: {basis: contract}}
classes: {open: ["public.*.*", "other.*.*"]}
roles:
  all:    {purposes: [support], tables: [{on: ["public.*", "other.*"], do: [select, insert, update, delete]}]}
  writer: {purposes: [support], tables: [{on: ["public.*"], do: [insert]}]}
users: {alice: {roles: [all]}, bob: {roles: [writer]}}
unclassified: refuse
`

// album reads the images of a log.
type album struct {
	*front
	sealer *audit.Sealer
	keys   string
	admin  *pgx.Conn
	next   uint64
}

func newAlbum(t testing.TB, database string, edits ...func(*proxy.Options)) *album {
	t.Helper()
	server := pgtest.Server(t)
	admin := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	exec(t, admin, imagesSchema+imagesRows)
	keys := filepath.Join(t.TempDir(), "keys")
	sealer, err := audit.NewSealer(keys, "", bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	f := &front{images: []string{"public.*"}}
	text := imagesPolicy
	f.policy.Store(&text)
	catalog := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	if f.Enforcer, err = proxy.NewEnforcer(t.Context(), f.loader(catalog), versionOf(catalog)); err != nil {
		t.Fatal(err)
	}
	f.run(t, database, nil, append(edits, func(o *proxy.Options) {
		o.Upstream.Hosts = []proxy.Host{{Network: "unix", Address: socket(server)}}
		o.Sealing.By = sealer
	}))
	return &album{front: f, sealer: sealer, keys: keys, admin: admin}
}

// records gives the records of images that came since it was last asked.
func (a *album) records(t testing.TB) (all []audit.Record) {
	t.Helper()
	for r, err := range audit.Read(a.AuditDir, a.next) {
		if err != nil {
			t.Fatal(err)
		}
		a.next = r.Seq + 1
		if r.Kind == audit.KindImages {
			all = append(all, r)
		}
	}
	return all
}

// since tells what the log has of images since it was last asked.
func (a *album) since(t testing.TB) string {
	t.Helper()
	var words []string
	for _, r := range a.records(t) {
		words = append(words, r.Command, strings.TrimPrefix(r.Relation, "public."))
		if r.Missing != 0 {
			words = append(words, fmt.Sprint(r.Missing), "missing")
		}
		if r.Message != "" {
			words = append(words, "("+r.Message+")")
		}
		if len(r.Images) == 0 {
			continue
		}
		values, err := a.sealer.OpenImages(&r)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			image := r.Images[i]
			var text bytes.Buffer
			e := json.NewEncoder(&text)
			e.SetEscapeHTML(false)
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
			words = append(words, strings.TrimSpace(text.String()))
			if image.Doubt {
				words = append(words, "doubt")
			}
			if image.Cut {
				words = append(words, "cut")
			}
			if image.Before == image.After {
				words = append(words, "alike")
			}
		}
	}
	return strings.Join(words, " ")
}

// TestImages runs statements in every way that a client can. The log has the
// images, and client and table see what they see without pgveil.
func TestImages(t *testing.T) {
	database := pgtest.Database(t, "shop")
	a := newAlbum(t, database)
	const one = `{"id":1,"v":"x","j":{"a":"\u0000"},"b":"\\x00ff","a":[1,null],"g":"x!"}`
	for _, tt := range []struct{ login, sql, want string }{
		{"alice", `SELECT v FROM t`, ""},
		{"alice", `UPDATE other.t SET v = 'n'`, ""},
		{"alice", `INSERT INTO t VALUES (7, 'n', NULL, '\x01', '{2}'), (8, '<€>', NULL, NULL, NULL) RETURNING v, id`,
			`INSERT t {"key":{"id":7},"after":{"a":[2],"b":"\\x01","g":"n!","id":7,"j":null,"v":"n"}} {"key":{"id":8},"after":{"a":null,"b":null,"g":"<€>!","id":8,"j":null,"v":"<€>"}}`},
		{"alice", `INSERT INTO t (id) VALUES (1) ON CONFLICT DO NOTHING`, ""},
		{"alice", `INSERT INTO t (id, v) VALUES (1, 'u'), (9, 'i') ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
			`UPSERT t {"key":{"id":1},"before":{"g":"x!","v":"x"},"after":{"g":"u!","v":"u"}} {"key":{"id":9},"after":{"a":null,"b":null,"g":"i!","id":9,"j":null,"v":"i"}}`},
		{"alice", `UPDATE t SET v = 'y' WHERE id = 1`, `UPDATE t {"key":{"id":1},"before":{"g":"x!","v":"x"},"after":{"g":"y!","v":"y"}}`},
		{"alice", `UPDATE t SET v = v WHERE id = 1 RETURNING *`, `UPDATE t {"key":{"id":1}} alike`},
		{"alice", `UPDATE t SET v = 'y', j = '[1]' WHERE id > 1 RETURNING g`,
			`UPDATE t {"key":{"id":2},"before":{"g":null,"j":null,"v":null},"after":{"g":"y!","j":[1],"v":"y"}} {"key":{"id":3},"before":{"g":"€\"\\!","j":null,"v":"€\"\\"},"after":{"g":"y!","j":[1],"v":"y"}}`},
		{"alice", `UPDATE t SET v = o.v FROM other.t o, t self WHERE o.id = self.id AND t.id = self.id + 1 AND t.id = 2`,
			`UPDATE t {"key":{"id":2},"before":{"g":null,"v":null},"after":{"g":"o1!","v":"o1"}}`},
		{"alice", `UPDATE t AS "a.b" SET v = 'y' FROM other.t WHERE "a.b".id = t.id AND t.id = 1`, `UPDATE t {"key":{"id":1},"before":{"g":"x!","v":"x"},"after":{"g":"y!","v":"y"}}`},
		{"alice", `UPDATE public.t SET b = NULL FROM other.t`, "UPDATE t 3 missing (another table of the statement has the same name)"},
		{"alice", `DELETE FROM public.t USING other.u RIGHT JOIN other.t ON true`, "DELETE t 3 missing (another table of the statement has the same name)"},
		{"alice", `UPDATE p SET k = 'z' WHERE id IN (SELECT p.id FROM p WHERE p.k = 'b')`, `UPDATE p {"key":{"id":2},"before":{"k":"b"},"after":{"k":"z"}}`},
		{"alice", `UPDATE t SET v = 'y' WHERE id < 0`, ""},
		{"alice", `UPDATE t SET id = id + 10 WHERE id = 1 RETURNING id`, `UPDATE t (rows before: the statement sets the primary key) {"key":{"id":11},"after":` + strings.Replace(sorted(one), `"id":1`, `"id":11`, 1) + `}`},
		{"alice", `UPDATE "Odd ""t" SET "a.b" = 'z', t = NULL`, `UPDATE Odd "t {"key":{"*":1,"select":"k"},"before":{"a.b":"ab","t":"t"},"after":{"a.b":"z","t":null}}`},
		{"alice", `UPDATE "Odd ""t" t SET t = 'T' RETURNING t.t, t`, `UPDATE Odd "t {"key":{"*":1,"select":"k"},"before":{"t":"t"},"after":{"t":"T"}}`},
		{"alice", `UPDATE p SET k = 'z' WHERE id = 2`, `UPDATE p {"key":{"id":2},"before":{"k":"b"},"after":{"k":"z"}}`},
		{"alice", `UPDATE p1 SET k = 'z' WHERE id = 2`, `UPDATE p1 {"key":{"id":2},"before":{"k":"b"},"after":{"k":"z"}}`},
		{"alice", `UPDATE keyless SET v = 'm'`, `UPDATE keyless (rows before: the table has no primary key) {"after":{"v":"m"}} {"after":{"v":"m"}}`},
		{"alice", `DELETE FROM t WHERE id = 1`, `DELETE t {"key":{"id":1},"before":` + sorted(one) + `}`},
		{"alice", `DELETE FROM p USING other.t o WHERE o.id = p.id RETURNING p.*, o.v`, `DELETE p {"key":{"id":1},"before":{"id":1,"k":"a"}} {"key":{"id":2},"before":{"id":2,"k":"b"}}`},
		{"alice", `WITH gone AS (DELETE FROM keyless RETURNING v) UPDATE p SET k = (SELECT max(v) FROM gone) WHERE id = 1`,
			`UPDATE p {"key":{"id":1},"before":{"k":"a"},"after":{"k":"n"}} DELETE keyless -1 missing (changed within WITH)`},
		{"alice", `MERGE INTO p USING other.t o ON o.id = p.id WHEN MATCHED THEN DELETE`, "MERGE p 2 missing (MERGE gives no rows)"},
		{"bob", `INSERT INTO p VALUES (7, 'w')`, "INSERT p 1 missing (who changes it may not be able to read all of it)"},
	} {
		for name, mode := range map[string]pgx.QueryExecMode{
			"simple": pgx.QueryExecModeSimpleProtocol, "described": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
		} {
			c := a.config(t, database, tt.login)
			c.DefaultQueryExecMode = mode
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // the third time the server keeps the statement
				exec(t, a.admin, imagesRows)
				exec(t, a.admin, "BEGIN")
				wanted := given(t, a.admin, tt.sql)
				left := a.left(t)
				exec(t, a.admin, "ROLLBACK")
				a.since(t)
				if got := given(t, conn, tt.sql); got != wanted {
					t.Errorf("%s: %s gives\n%s, want\n%s", name, tt.sql, got, wanted)
				}
				if got := a.left(t); got != left {
					t.Errorf("%s: %s leaves\n%s, want\n%s", name, tt.sql, got, left)
				}
				if got := a.since(t); got != tt.want {
					t.Errorf("%s: %s: the log has\n%s, want\n%s", name, tt.sql, got, tt.want)
				}
			}
			if err := conn.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}

// left gives what the tables hold.
func (a *album) left(t *testing.T) string {
	return text(t.Context(), a.admin, `TABLE public.t ORDER BY id; TABLE other.t ORDER BY id; TABLE public."Odd ""t"; TABLE public.p ORDER BY id; TABLE public.keyless ORDER BY v`)
}

// sorted gives a JSON object with its names in order.
func sorted(object string) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		panic(err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestImagesOfDialogues has images of what is said in several statements, or
// asked for in parts, or taken back.
func TestImagesOfDialogues(t *testing.T) {
	database := pgtest.Database(t, "shop")
	a := newAlbum(t, database)
	update := func(from, to string) string {
		return fmt.Sprintf(`UPDATE p {"key":{"id":1},"before":{"k":"%s"},"after":{"k":"%s"}}`, from, to)
	}
	for _, tt := range []struct {
		sql  []string
		want string
	}{
		{[]string{"BEGIN", "UPDATE p SET k = 'b' WHERE id = 1", "UPDATE p SET k = 'c' WHERE id = 1", "ROLLBACK"}, update("a", "b") + " " + update("b", "c")},
		{[]string{"BEGIN", "SAVEPOINT s", "UPDATE p SET k = 'b' WHERE id = 1", "COMMIT"}, update("a", "b") + " doubt"},
		{[]string{"UPDATE p SET k = 'b' WHERE id = 1; SELECT 1; UPDATE p SET k = 'c' WHERE id = 1 RETURNING k"}, update("a", "b") + " " + update("b", "c")},
		{[]string{"BEGIN", "DECLARE c CURSOR FOR SELECT id FROM p ORDER BY id", "FETCH c", "UPDATE p SET k = 'b' WHERE CURRENT OF c"}, update("a", "b")},
		{[]string{"PREPARE q AS UPDATE p SET k = 'b' WHERE id < $1", "EXECUTE q (5)"}, "UPDATE p 2 missing (changed by a statement within another, or prepared by SQL)"},
		{[]string{"EXPLAIN UPDATE p SET k = 'b'"}, ""},
		{[]string{"EXPLAIN ANALYZE UPDATE p SET k = 'b'"}, "UPDATE p -1 missing (changed by a statement within another, or prepared by SQL)"},
		{[]string{"UPDATE p SET k = 'b' WHERE id = 1; SELECT nothing()"}, ""},
		{[]string{"UPDATE p SET k = 'b' WHERE id = 1; SELECT sqrt(-id) FROM p"}, update("a", "b")}, // taken back, as the outcome says
	} {
		exec(t, a.admin, imagesRows)
		a.since(t)
		conn := a.connect(t, database, "alice")
		for _, sql := range tt.sql {
			if got := text(t.Context(), conn, sql); strings.Contains(got, "pgveil_") {
				t.Errorf("%s: %s", sql, got)
			}
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := a.since(t); got != tt.want {
			t.Errorf("%s: the log has\n%s, want\n%s", strings.Join(tt.sql, "; "), got, tt.want)
		}
	}
	conn := a.connect(t, database, "alice")
	for _, sql := range []string{"UPDATE p SET k = 'e' WHERE id = $1 RETURNING id", "UPDATE p SET k = 'f' WHERE id = $1"} { // prepared by the protocol
		if _, err := conn.Prepare(t.Context(), "made", sql); err != nil {
			t.Fatal(err)
		}
		exec(t, a.admin, imagesRows)
		a.since(t)
		if got := text(t.Context(), conn, "EXECUTE made (1)"); strings.Contains(got, "pgveil") || strings.Contains(got, "|") {
			t.Errorf("EXECUTE of %s gives %s", sql, got)
		}
		if got := a.since(t); got != update("a", sql[18:19]) {
			t.Errorf("EXECUTE of %s: the log has\n%s", sql, got)
		}
		if err := conn.Deallocate(t.Context(), "made"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("7\tc\n8\tc\n"), "COPY p FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	if got, want := a.since(t), "INSERT p 2 missing (COPY gives no rows)"; got != want {
		t.Errorf("COPY: the log has %s, want %s", got, want)
	}
}

// TestImagesOfLongRows has rows with images, with hashes alone and with neither.
func TestImagesOfLongRows(t *testing.T) {
	database := pgtest.Database(t, "shop")
	a := newAlbum(t, database)
	conn := a.connect(t, database, "alice", "bytea_output", "escape")
	for _, tt := range []struct {
		sql    string
		hashed bool
		cut    bool
	}{
		{"UPDATE t SET v = '" + strings.Repeat("z", 5000) + "' WHERE id = 3", true, false},
		{"UPDATE t SET b = '\\x" + strings.Repeat("00", 15000) + "', v = v WHERE id = 3", true, true}, // 60000 bytes of JSON
		{"UPDATE t SET b = NULL, v = repeat('z', 1000000) WHERE id = 3", true, true},
		{"UPDATE t SET v = repeat('z', 9000000) WHERE id = 3", false, true},
	} {
		exec(t, a.admin, imagesRows)
		a.records(t)
		if tag, err := conn.Exec(t.Context(), tt.sql); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%.50s: %v, %v", tt.sql, tag, err)
		}
		all := a.records(t)
		if len(all) != 1 || len(all[0].Images) != 1 {
			t.Fatalf("%.50s: %+v", tt.sql, all)
		}
		image := all[0].Images[0]
		if len(image.Before) != 43 || (len(image.After) == 43) != tt.hashed || !tt.hashed && image.After != audit.Unhashed || image.Cut != tt.cut {
			t.Errorf("%.50s: %+v", tt.sql, image)
		}
	}
}

// TestImagesOfManyRows follows more rows than a record takes by their hashes.
func TestImagesOfManyRows(t *testing.T) {
	database := pgtest.Database(t, "shop")
	a := newAlbum(t, database)
	conn := a.connect(t, database, "alice")
	after := map[string]bool{}
	for i, sql := range []string{
		"INSERT INTO t (id, v) SELECT 10 + o.id * 1000 + p.id * 100 + g, repeat('x', 300) FROM other.t o, p, generate_series(1, 99) g",
		"UPDATE t SET v = v || 'y' WHERE id > 10", "DELETE FROM t WHERE id > 10",
	} {
		a.records(t)
		if tag, err := conn.Exec(t.Context(), sql); err != nil || tag.RowsAffected() != 396 {
			t.Fatalf("%s: %v, %v", sql, tag, err)
		}
		rows, next := 0, map[string]bool{}
		for _, r := range a.records(t) {
			rows += len(r.Images)
			for _, image := range r.Images {
				if i > 0 && !after[image.Before] {
					t.Errorf("%s: %+v is not the trail of what there was", sql, image)
				}
				next[image.After] = true
			}
		}
		if rows != 396 {
			t.Errorf("%s: images of %d rows", sql, rows)
		}
		after = next
	}
	if _, err := audit.Verify(a.AuditDir); err != nil {
		t.Error(err)
	}
}

// TestImagesInParts has clients that ask for some of the rows that they changed,
// and in the end for all or not.
func TestImagesInParts(t *testing.T) {
	database := pgtest.Database(t, "shop")
	a := newAlbum(t, database)
	const first = `UPDATE p -1 missing (the client did not ask for all rows at once) {"key":{"id":1},"before":{"k":"a"},"after":{"k":"b"}}`
	for _, tt := range []struct {
		limits []uint32
		want   string
	}{
		{[]uint32{0}, `UPDATE p {"key":{"id":1},"before":{"k":"a"},"after":{"k":"b"}} {"key":{"id":2},"before":{"k":"b"},"after":{"k":null}}`},
		{[]uint32{1}, first},
		{[]uint32{1, 0}, first + ` UPDATE p {"key":{"id":2},"before":{"k":"b"},"after":{"k":null}}`},
	} {
		exec(t, a.admin, imagesRows)
		fe := a.connect(t, database, "alice").PgConn().Frontend()
		a.records(t)
		fe.Send(&pgproto3.Parse{Query: "UPDATE p SET k = CASE id WHEN 1 THEN 'b' END RETURNING id"})
		fe.Send(&pgproto3.Bind{ResultFormatCodes: []int16{1}})
		for _, limit := range tt.limits {
			fe.Send(&pgproto3.Execute{MaxRows: limit})
		}
		fe.Send(&pgproto3.Sync{})
		if err := fe.Flush(); err != nil {
			t.Fatal(err)
		}
		for ready := false; !ready; {
			m, err := fe.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if row, ok := m.(*pgproto3.DataRow); ok && (len(row.Values) != 1 || len(row.Values[0]) != 4) {
				t.Errorf("the client gets %q", row.Values)
			}
			_, ready = m.(*pgproto3.ReadyForQuery)
		}
		if got := a.since(t); got != tt.want {
			t.Errorf("limits %v: the log has\n%s, want\n%s", tt.limits, got, tt.want)
		}
	}
}

// TestImagesBesideOthers has two sessions change one row at a time. The one that
// waits updates just the rows that it would without images, and says that the row
// before may be older than what it overwrote.
func TestImagesBesideOthers(t *testing.T) {
	database := pgtest.Database(t, "shop")
	a := newAlbum(t, database)
	for _, tt := range []struct{ first, second, want, left string }{
		{"UPDATE p SET k = k || '1' WHERE id = 1", "UPDATE p SET k = k || '2' WHERE id = 1",
			`UPDATE p {"key":{"id":1},"before":{"k":"a"},"after":{"k":"a12"}} doubt`, "1|a12\n2|b\n"},
		{"UPDATE p SET id = 5 WHERE id = 1", "UPDATE p SET k = k || '2' WHERE k = 'a'",
			`UPDATE p {"key":{"id":5},"after":{"id":5,"k":"a2"}}`, "2|b\n5|a2\n"},
		{"DELETE FROM p WHERE id = 1", "UPDATE p SET k = k || '2' WHERE id = 1", "", "2|b\n"},
		{"UPDATE p SET k = k || '1' WHERE id = 1", "DELETE FROM p WHERE id = 1",
			`DELETE p {"key":{"id":1},"before":{"id":1,"k":"a1"}}`, "2|b\n"},
		{"INSERT INTO p VALUES (7, 'n')", "INSERT INTO p VALUES (7, 'm') ON CONFLICT (id) DO UPDATE SET k = p.k || excluded.k",
			`UPSERT p {"key":{"id":7},"after":{"id":7,"k":"nm"}}`, "1|a\n2|b\n7|nm\n"},
	} {
		exec(t, a.admin, imagesRows)
		a.records(t)
		conn := a.connect(t, database, "alice")
		exec(t, a.admin, "BEGIN; "+tt.first)
		done := make(chan error, 1)
		go func() {
			done <- conn.QueryRow(context.Background(), "SET application_name = 'waits'; "+tt.second).Scan()
		}()
		waits := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
		for text(t.Context(), waits, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waits' AND wait_event_type = 'Lock'") != "1\n" {
			select {
			case err := <-done:
				t.Fatalf("%s does not wait: %v", tt.second, err)
			default:
			}
		}
		exec(t, a.admin, "COMMIT")
		if err := <-done; err != nil && err != pgx.ErrNoRows {
			t.Fatal(err)
		}
		if got := text(t.Context(), a.admin, "TABLE public.p ORDER BY id"); got != tt.left {
			t.Errorf("%s beside %s leaves\n%s, want\n%s", tt.second, tt.first, got, tt.left)
		}
		if got := a.since(t); got != tt.want {
			t.Errorf("%s beside %s: the log has\n%s, want\n%s", tt.second, tt.first, got, tt.want)
		}
	}
}

// waits starts a statement, and returns when it waits for a lock. The channel then
// gives what it returns.
func (a *album) waits(t *testing.T, database string, conn *pgx.Conn, sql string) chan string {
	t.Helper()
	exec(t, conn, "SET application_name = 'waits'")
	ends := make(chan string, 1)
	go func() { ends <- text(context.Background(), conn, sql) }()
	watch := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	for text(t.Context(), watch, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waits' AND wait_event_type = 'Lock'") != "1\n" {
		select {
		case got := <-ends:
			t.Fatalf("%s does not wait: %s", sql, got)
		default:
		}
	}
	return ends
}

// TestImagesThatCannotBeSealed refuses what changes rows when there is no key for
// their images, and counts those whose key is lost while the statement runs.
func TestImagesThatCannotBeSealed(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var months atomic.Int32
	now := func() time.Time { return time.Now().AddDate(0, int(months.Load()), 0) }
	a := newAlbum(t, database, func(o *proxy.Options) { o.Now = now })
	conn := a.connect(t, database, "alice")
	exec(t, a.admin, "BEGIN; SELECT FROM p WHERE id = 1 FOR UPDATE")
	ends := a.waits(t, database, conn, "UPDATE p SET k = 'b'")
	months.Store(1) // another key is needed
	if err := os.RemoveAll(a.keys); err != nil {
		t.Fatal(err)
	}
	exec(t, a.admin, "COMMIT")
	if got := <-ends; got != "" {
		t.Errorf("what has run: %s", got)
	}
	if got, want := a.since(t), "UPDATE p 2 missing (they could not be sealed)"; got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
	if got := text(t.Context(), conn, "DELETE FROM p"); !strings.Contains(got, "58030") {
		t.Errorf("without a folder for keys: %s", got)
	}
	if got := text(t.Context(), conn, "SELECT k FROM p ORDER BY id"); got != "b\nb\n" {
		t.Errorf("what changes nothing: %s", got)
	}
	if got := a.since(t); got != "" {
		t.Errorf("the log has %s", got)
	}
}

// BenchmarkImages compares changes with images of the rows to those without.
func BenchmarkImages(b *testing.B) {
	database := pgtest.Database(b, "shop")
	a := newAlbum(b, database)
	exec(b, a.admin, "INSERT INTO other.u SELECT g, 'x' FROM generate_series(10, 20000) g; INSERT INTO t SELECT g, 'x' FROM generate_series(10, 20000) g; ANALYZE t, other.u")
	for _, stmt := range []struct{ name, sql string }{
		{"row", "UPDATE %s SET v = 'y' WHERE id = 17"}, {"rows", "UPDATE %s SET v = 'y' WHERE id BETWEEN 11 AND 110"},
	} {
		for _, table := range []struct{ name, of string }{{"none", "other.u"}, {"images", "public.t"}} {
			b.Run(stmt.name+"/"+table.name, func(b *testing.B) {
				c := a.config(b, database, "alice")
				c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
				conn, err := pgx.ConnectConfig(context.Background(), c)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close(context.Background())
				for b.Loop() {
					if _, err := conn.Exec(context.Background(), fmt.Sprintf(stmt.sql, table.of)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
