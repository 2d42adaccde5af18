package proxy_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// secret is in each value that these tests write to a sealed column.
const secret = "zzsecretzz"

// wiretap is a database whose server writes down every statement.
type wiretap struct {
	*front
	database string
	from     int // bytes of the server's log that others wrote
}

func startTapped(t *testing.T, edits ...func(*proxy.Options)) *wiretap {
	t.Helper()
	w := &wiretap{}
	w.front, w.database = startVault(t, edits...)
	stored := pgtest.Connect(t, pgtest.Server(t).DSN(w.database, pgserver.Superuser))
	run(t, stored, `ALTER DATABASE `+w.database+` SET log_statement = 'all'`)
	run(t, stored, `ALTER DATABASE `+w.database+` SET log_min_error_statement = 'error'`)
	w.from = len(w.serverLog(t))
	return w
}

func (w *wiretap) serverLog(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(pgtest.Server(t).LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// check fails the test when the server has the secret in its log or in a table.
func (w *wiretap) check(t *testing.T, what string) {
	t.Helper()
	stored := pgtest.Connect(t, pgtest.Server(t).DSN(w.database, pgserver.Superuser))
	var rows string
	if err := stored.QueryRow(t.Context(), `SELECT concat((SELECT string_agg(p::text, ' ') FROM people p), (SELECT string_agg(l::text, ' ') FROM leads l))`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	text := w.serverLog(t)
	for where, has := range map[string][]byte{"log": text[w.from:], "table": []byte(rows)} {
		if bytes.Contains(has, []byte(secret)) || bytes.Contains(has, []byte(hex.EncodeToString([]byte(secret)))) {
			t.Errorf("%s: the server's %s has the value: %.300s", what, where, has[max(0, bytes.Index(has, []byte(secret))-100):])
		}
	}
	w.from = len(text)
}

func codeOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// What is said to be one thing to pgveil and another to the server keeps no value
// from being sealed.
func TestSealedCopyOdd(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root")
	const s = secret
	tuple := func(fields ...string) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
		for _, f := range fields {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
		}
		return b
	}
	head := "PGCOPY\n\xff\r\n\x00" + strings.Repeat("\x00", 8)
	one := "\x00\x00\x00\x01"
	for _, tt := range []struct{ name, options, data, code string }{
		{"another line end", "", "1\ta\tweb\r2\t" + s + "\tweb\r", "22P04"},
		{"another line end in CSV", "CSV", "1,a,web\r2," + s + ",web\r", "22P04"},
		{"both", "CSV", "1,a,web\r\n2," + s + ",web\r\n", ""},
		{"one quoted", "CSV", "3,\"" + s + "\r\",web\n", ""},
		{"one escaped", "", "4\t" + s + "\\\r\tweb\n", ""},
		{"a mark that is none in CSV", "CSV", "\\.,a,web\n5," + s + ",web\n", "22P02"},
		{"a mark that is one in CSV", "CSV", "6," + s + ",web\n\\.\n", ""},
		{"behind the mark in CSV", "CSV", "7,a,web\n\\.\n8," + s + ",web\n", "22P04"},
		{"behind the mark", "", "9\ta\tweb\n\\.\n10\t" + s + "\tweb\n", ""},
		{"a mark in a row", "", "11\t\\.\n12\t" + s + "\tweb\n", "22P04"},
		{"a mark before a row", "", "\\.\t" + s + "\tweb\n", "22P04"},
		{"too many fields", "", "13\ta\tweb\t" + s + "\n", "22P04"},
		{"too few", "", "14," + s + ",web\n", "22P04"},
		{"an open quote", "CSV", "15,\"" + s, "22P04"},
		{"an open escape", "", "16\t" + s + "\tweb\\", "22P04"},
		{"a quote within", "CSV", "17,a\"b,c\"" + s + ",web\n", ""},
		{"an escape within", `(FORMAT csv, ESCAPE '\')`, `18,"a\",` + s + `\\",web` + "\n", ""},
		{"no header", `(FORMAT csv, HEADER 'OFF')`, "19," + s + ",web\n", ""},
		{"a header", `(FORMAT csv, HEADER 'True')`, "id,ssn,source\n20," + s + ",web\n", ""},
		{"no last line end", "", "21\t" + s + "\tweb", ""},
		{"an odd NULL", `(NULL 'x')`, "22\t" + s + "x\tx\n", ""},
		{"binary", "(FORMAT binary)", head + string(tuple("\x00\x00\x00\x17", s, "web")) + "\xff\xff", ""},
		{"behind the end", "(FORMAT binary)", head + "\xff\xff" + string(tuple(one, s, "web")), "22P04"},
		{"a cut row", "(FORMAT binary)", head + string(tuple(one, s, "web"))[:20], "22P04"},
		{"too many in binary", "(FORMAT binary)", head + string(tuple(one, "a", "web", s)), "22P04"},
		{"another end", "(FORMAT binary)", head + "\xff\xfe" + s, "22P04"},
		{"no header in binary", "(FORMAT binary)", string(tuple(one, s, "web")), "22P04"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := conn.PgConn().CopyFrom(t.Context(), &slow{data: []byte(tt.data)}, `COPY leads FROM STDIN `+tt.options)
			if codeOf(err) != tt.code || err != nil && tt.code == "" {
				t.Errorf("got %v, want %q", err, tt.code)
			}
			w.check(t, tt.name)
		})
	}
	var n int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM leads WHERE id IN (4, 6, 9, 20, 21, 22, 23) AND ssn IS NOT NULL`).Scan(&n); err != nil || n != 7 {
		t.Errorf("%d of the rows are there: %v", n, err)
	}
}

// What an open column holds does not end the opening of others.
func TestSealedCopyOutOdd(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root")
	run(t, conn, `INSERT INTO leads VALUES (1, 'a', '\.'), (2, 'b', '\.')`)
	for _, options := range []string{"CSV", "(FORMAT text)"} {
		var out bytes.Buffer
		if _, err := conn.PgConn().CopyTo(t.Context(), &out, `COPY (SELECT source, ssn FROM leads ORDER BY id) TO STDOUT `+options); err != nil || strings.Contains(out.String(), "pgv1") {
			t.Errorf("%s: %q, %v", options, out.String(), err)
		}
	}
}

// What settings make of a text, or of its characters, never reaches the server as
// another value than the client's, nor the client.
func TestSealedSettings(t *testing.T) {
	w := startTapped(t)
	hidden := `SELECT 'a\', '; INSERT INTO leads VALUES (1, $a$` + secret + `$a$, $a$x$a$) --'`
	for _, how := range []func(*pgx.ConnConfig){func(c *pgx.ConnConfig) { c.RuntimeParams["standard_conforming_strings"] = "off" }, func(*pgx.ConnConfig) {}} {
		conn := as(t, w.front, w.database, "root", simply, how)
		if _, err := conn.PgConn().Exec(t.Context(), `SET standard_conforming_strings = off`).ReadAll(); err == nil {
			_, err = conn.PgConn().Exec(t.Context(), hidden).ReadAll()
			if codeOf(err) != "42501" {
				t.Errorf("a text whose strings end elsewhere: %v", err)
			}
		}
		w.check(t, "strings end elsewhere")
	}
	conn := as(t, w.front, w.database, "root", simply)
	for _, tt := range []struct{ sql, code string }{
		{"SET client_encoding = latin1; SELECT 1", ""},
		{"INSERT INTO leads VALUES (1, '\xc3\xa9', '')", "22021"},
		{"INSERT INTO leads VALUES (1, 'e', '')", ""},
		{"SET client_encoding = utf8", ""},
		{"INSERT INTO leads VALUES (2, '\xc3\xa9', '')", ""},
		{"SET client_encoding = latin1", ""},
		{"SELECT ssn FROM leads WHERE id = 1", ""},
		{"SELECT ssn FROM leads WHERE id = 2", "22P05"},
		{"COPY leads TO STDOUT", "22P05"},
		{"DELETE FROM people; INSERT INTO people (id, name, income, born) VALUES (1, '', 5, '2001-02-03')", ""},
		{"SET bytea_output = escape; SET DateStyle = German; SET IntervalStyle = iso_8601; SET TimeZone = 'Asia/Tokyo'", ""},
		{"SELECT income, born FROM people WHERE born = '2001-02-03'", ""},
	} {
		if _, err := conn.PgConn().Exec(t.Context(), tt.sql).ReadAll(); codeOf(err) != tt.code || err != nil && tt.code == "" {
			t.Errorf("%s: %v, want %q", tt.sql, err, tt.code)
		}
	}
	if strings.Contains(w.Log.String(), "sealed_value_damaged") {
		t.Error("a setting was taken for damage")
	}
}

// A column that is of several, each sealed for itself, opens.
func TestSealedUnion(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root")
	run(t, conn, `INSERT INTO people (id, name, ssn) VALUES (1, '', 'a')`)
	run(t, conn, `INSERT INTO visits (person_id, at, ssn) VALUES (1, '2001-02-03', 'b')`)
	rows, err := conn.Query(t.Context(), `SELECT ssn FROM people UNION ALL SELECT ssn FROM visits`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// A parameter of a type of which nothing is known is not sealed as something else.
func TestSealedParameterTypes(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root")
	for _, tt := range []struct {
		column string
		oid    uint32
		value  string
		code   string
	}{
		{"ssn", 701, "ABCDEFGH", "0A000"}, // float8
		{"income", 701, "\x00\x00\x00\x00\x00\x00\x00\x00", "0A000"},
		{"ssn", 25, "x\x00y", "22023"},
		{"ssn", 25, "\xff", "22023"},
		{"ssn", 1042, "x", ""},
		{"ssn", 705, "x", ""},
		{"ssn", 0, "x", ""},
		{"born", 25, "2001-02-03", ""},
		{"born", 1082, "\x00\x00\x00\x01", ""},
		{"born", 1082, "\x00\x00\x01", "22P03"},
		{"born", 1184, "\x00\x00\x00\x00\x00\x00\x00\x01", "0A000"},
		{"born", 1114, "\x00\x00\x00\x00\x00\x00\x00\x01", ""},
		{"income", 23, "\x00\x00\x00\x05", ""},
		{"ssn", 1009, secret, "0A000"}, // text[]
	} {
		_, err := conn.PgConn().ExecParams(t.Context(), `UPDATE people SET `+tt.column+` = $1`, [][]byte{[]byte(tt.value)}, []uint32{tt.oid}, []int16{1}, nil).Close()
		if codeOf(err) != tt.code || err != nil && tt.code == "" {
			t.Errorf("%s of type %d, %q: %v, want %q", tt.column, tt.oid, tt.value, err, tt.code)
		}
	}
	w.check(t, "parameters")
}

// What is damaged is not shown, however it is; what is hidden for that is told of,
// once a statement.
func TestSealedDamage(t *testing.T) {
	hide := func(text string) string {
		return strings.Replace(text, "seal: deterministic, joins: true}", "seal: deterministic, joins: true, damaged: hide}", 1)
	}
	database := pgtest.Database(t, "vault")
	text, err := os.ReadFile(filepath.Join("..", "testdata", "fixtures", "vault", "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ring := testRing(t)
	f := start(t, database, string(text), func(o *proxy.Options) { o.Ring = ring })
	hidden := start(t, database, hide(string(text)), func(o *proxy.Options) { o.Ring = ring })
	conn, masked := as(t, f, database, "root"), as(t, hidden, database, "root")
	stored := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	run(t, conn, `INSERT INTO leads VALUES (1, 'value', 'w')`)
	run(t, conn, `INSERT INTO people (id, name, ssn, iban) VALUES (1, '', 'value', 'other')`)
	var whole, foreign string
	if err := stored.QueryRow(t.Context(), `SELECT l.ssn, p.iban FROM leads l, people p`).Scan(&whole, &foreign); err != nil {
		t.Fatal(err)
	}
	damages := []string{foreign, "", "pgv1", "pgv1.", whole + "A", whole + "=", whole[:5] + " " + whole[5:], strings.ToUpper(whole), "PGV1." + whole[5:]}
	for i := range whole {
		damages = append(damages, whole[:i])
		for _, with := range []byte{whole[i] ^ 1, whole[i] ^ 0x20} {
			if with != 0 {
				damages = append(damages, whole[:i]+string(rune(with))+whole[i+1:])
			}
		}
	}
	for _, d := range damages {
		run(t, stored, `UPDATE leads SET ssn = $1`, d)
		var got *string
		if err := conn.QueryRow(t.Context(), `SELECT ssn FROM leads`).Scan(&got); codeOf(err) != "XX001" {
			t.Errorf("%q: %v, %v", d, got, err)
		}
	}
	run(t, stored, `INSERT INTO leads SELECT n, 'pgv1.x', 'w' FROM generate_series(2, 1000) n`)
	var n int
	if err := masked.QueryRow(t.Context(), `SELECT count(*) FROM leads`).Scan(&n); err != nil || n != 1000 {
		t.Fatal(n, err)
	}
	rows, err := masked.Query(t.Context(), `SELECT ssn FROM leads`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	if err != nil || len(got) != 1000 || slices.ContainsFunc(got, func(v *string) bool { return v != nil }) {
		t.Errorf("hidden: %v, %v", got, err)
	}
	if told := strings.Count(hidden.Log.String(), "sealed_value_damaged"); told != 1 {
		t.Errorf("operators were told %d times", told)
	}
}

// A client that writes what it saw lying in the table has that sealed again.
func TestSealedTwice(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root")
	stored := pgtest.Connect(t, pgtest.Server(t).DSN(w.database, pgserver.Superuser))
	run(t, conn, `INSERT INTO leads VALUES (1, 'value', 'w')`)
	var first, second, back string
	if err := stored.QueryRow(t.Context(), `SELECT ssn FROM leads`).Scan(&first); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `UPDATE leads SET ssn = $1`, first)
	if err := stored.QueryRow(t.Context(), `SELECT ssn FROM leads`).Scan(&second); err != nil || second == first {
		t.Errorf("stored as it was: %v", err)
	}
	if err := conn.QueryRow(t.Context(), `SELECT ssn FROM leads`).Scan(&back); err != nil || back != first {
		t.Errorf("got %q, %v", back, err)
	}
}

// What is new in the schema is known before anything is written by its name.
func TestSealedNames(t *testing.T) {
	w := startTapped(t)
	conn := as(t, w.front, w.database, "root", simply)
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(w.database, pgserver.Superuser))
	run(t, direct, `ALTER TABLE leads OWNER TO root`)
	for _, tt := range []struct{ sql, code string }{
		{"CREATE VIEW v1 AS SELECT id, ssn FROM leads", ""},
		{"INSERT INTO v1 VALUES (1, '" + secret + "')", ""},
		{"BEGIN; CREATE TABLE t1 (a text)", ""},
		{"INSERT INTO t1 VALUES ('x')", ""},
		{"CREATE VIEW v2 AS SELECT id, ssn FROM leads", ""},
		{"INSERT INTO v2 VALUES (2, '" + secret + "')", "0A000"},
		{"ROLLBACK", ""},
		{"BEGIN; CREATE TABLE l2 () INHERITS (leads)", ""},
		{"COPY l2 FROM STDIN", "0A000"},
		{"ROLLBACK; CREATE TABLE l2 () INHERITS (leads)", ""},
		{"INSERT INTO l2 VALUES (3, '" + secret + "', '')", ""},
		{"CREATE TABLE t2 (a text)", ""},
		{"INSERT INTO t2 VALUES ('x')", ""},
	} {
		if _, err := conn.PgConn().Exec(t.Context(), tt.sql).ReadAll(); codeOf(err) != tt.code || err != nil && tt.code == "" {
			t.Errorf("%s: %v, want %q", tt.sql, err, tt.code)
		}
		w.check(t, tt.sql)
	}
	run(t, direct, `CREATE VIEW v3 AS SELECT id, ssn FROM leads; GRANT ALL ON v3 TO root`)
	if _, err := conn.PgConn().Exec(t.Context(), "INSERT INTO v3 VALUES (4, '"+secret+"')").ReadAll(); err != nil {
		t.Error(err)
	}
	w.check(t, "a view that another made")
}

// A statement that was prepared before its column was sealed is prepared anew.
func TestSealedSince(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "fixtures", "vault", "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Replace(string(text), "columns: [public.people.ssn, public.leads.ssn, public.directory.number], special: true, seal: deterministic, joins: true", "columns: [public.people.ssn, public.leads.ssn, public.directory.number], special: true", 1)
	w := startTapped(t)
	w.reload(t, before)
	conn := as(t, w.front, w.database, "root")
	run(t, conn, `INSERT INTO leads VALUES ($1, $2, '')`, 1, "x")
	w.reload(t, string(text))
	run(t, conn, `INSERT INTO leads VALUES ($1, $2, '')`, 2, secret)
	w.check(t, "prepared before")
}
