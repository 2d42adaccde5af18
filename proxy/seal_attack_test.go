package proxy_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

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
