package proxy_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// sides are a connection through pgveil, whose columns are sealed, and one to a table
// that is the same in the clear.
type sides struct {
	sealed, plain, stored *pgx.Conn
}

// startSides makes the tables that both write to: columns of leads are text, and plain
// has what people has, of the types that its values are of.
func startSides(t testing.TB) sides {
	t.Helper()
	database := pgtest.Database(t, "vault")
	dsn := pgtest.Server(t).DSN(database, pgserver.Superuser)
	stored := pgtest.Connect(t, dsn)
	run(t, stored, `ALTER TABLE leads DROP CONSTRAINT leads_pkey, ALTER id DROP NOT NULL, ALTER id TYPE text`)
	run(t, stored, `CREATE SCHEMA aside`)
	run(t, stored, `CREATE TABLE aside.leads (id text, ssn text, source text)`)
	run(t, stored, `CREATE TABLE aside.people (id integer, ssn text, born date, income numeric)`)
	run(t, stored, `INSERT INTO aside.people VALUES (1)`)
	f := startVaultOn(t, database)
	s := sides{as(t, f, database, "root"), pgtest.Connect(t, dsn), stored}
	run(t, s.plain, `SET search_path = aside`)
	run(t, s.sealed, `INSERT INTO people (id, name) VALUES (1, '')`)
	return s
}

// clear tells how many values lie in the sealed columns as they are.
func (s sides) clear(t testing.TB) (n int) {
	t.Helper()
	const sql = `SELECT (SELECT count(*) FROM leads WHERE ssn NOT LIKE 'pgv1.%') + (SELECT count(*) FROM people WHERE ssn NOT LIKE 'pgv1.%' OR born NOT LIKE 'pgv1.%' OR substr(income, 1, 4) <> '\xe5706776')`
	if err := s.stored.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// table gives what a table holds, as text.
func table(t testing.TB, conn *pgx.Conn, sql string) (rows []string) {
	t.Helper()
	all, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all[0].Rows {
		for i, v := range row {
			if v == nil {
				row[i] = []byte("∅")
			}
		}
		rows = append(rows, string(bytes.Join(row, []byte(" | "))))
	}
	slices.Sort(rows)
	return rows
}

var copyOptions = []string{
	``, `CSV`, `(FORMAT binary)`, `(FORMAT csv, HEADER)`, `(FORMAT csv, HEADER 'OFF')`, `(FORMAT csv, ESCAPE '\')`, `(FORMAT csv, QUOTE '''', DELIMITER ';')`,
	`(DELIMITER '|', NULL '')`, `(NULL 'x')`, `(FORMAT csv, NULL 'x', ESCAPE 'y')`, `(HEADER, DELIMITER ',')`,
}

// Data of COPY is stored as the server would store it, but sealed; or refused.
func FuzzSealedCopy(f *testing.F) {
	for i := range copyOptions {
		for _, data := range []string{
			"1\ta\tweb\n", "1,a,web\n2,b,web\n", "1,\"a\"\"b\",\n", "\"1\",\"\r\n\",x\r\n", "1\ta\\\tb\tx\n", "1\t\\N\t\\\\\n", "1,x,x\n", "\\.\n", "1,a,b\n\\.\n", "\\.,a,b\n1,a,b\n",
			"1|a\\|b|\n", "1;'a''b';x\n", "1,\"a\\\"b\",\"x\\\\\"\n", "1,a\rb,c\n", "1\t\\x41\\101\t\\b\n", "1\ta\tb", "1\ta\tb\\", "1,\"a", "\xff\t\xff\t\xff\n", "1,\"ay\"b\",x\n",
			"PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x011\x00\x00\x00\x01a\xff\xff\xff\xff\xff\xff",
		} {
			f.Add(uint8(i), []byte(data))
		}
	}
	s := startSides(f)
	f.Fuzz(func(t *testing.T, option uint8, data []byte) {
		options := copyOptions[int(option)%len(copyOptions)]
		run(t, s.sealed, `DELETE FROM leads`)
		run(t, s.plain, `DELETE FROM leads`)
		_, err := s.sealed.PgConn().CopyFrom(t.Context(), iotest.OneByteReader(bytes.NewReader(data)), `COPY leads FROM STDIN `+options)
		if n := s.clear(t); n > 0 {
			t.Fatalf("%d values lie in the clear", n)
		}
		if err != nil {
			return
		}
		if _, err := s.plain.PgConn().CopyFrom(t.Context(), bytes.NewReader(data), `COPY leads FROM STDIN `+options); err != nil {
			t.Fatalf("the server takes it sealed alone: %v", err)
		}
		got, want := table(t, s.sealed, `SELECT id, ssn, source FROM leads`), table(t, s.plain, `SELECT id, ssn, source FROM leads`)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q\n got %q\nwant %q", options, data, got, want)
		}
	})
}

// A parameter is the value that the server would take it for, but sealed; or refused.
func FuzzSealedBind(f *testing.F) {
	columns := []string{"ssn", "born", "income"}
	oids := []uint32{0, 25, 1043, 1042, 705, 1082, 1700, 21, 23, 20, 17, 701, 1114, 1184, 2950, 16, 3802, 1009}
	for c := range columns {
		for o := range oids {
			for _, v := range []string{"x", "2001-02-03", "5", "1.50", "-0", "1e3", "NaN", " 7 ", "\x00\x00\x00\x05", "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x05", "", "t", "infinity"} {
				f.Add(uint8(c), uint8(o), false, []byte(v))
				f.Add(uint8(c), uint8(o), true, []byte(v))
			}
		}
	}
	s := startSides(f)
	f.Fuzz(func(t *testing.T, column, oid uint8, binary bool, value []byte) {
		name, typ, format := columns[int(column)%len(columns)], oids[int(oid)%len(oids)], int16(0)
		if binary {
			format = 1
		}
		set := func(conn *pgx.Conn) error {
			_, err := conn.PgConn().ExecParams(t.Context(), `UPDATE people SET `+name+` = $1`, [][]byte{value}, []uint32{typ}, []int16{format}, nil).Close()
			if e := (*pgconn.PgError)(nil); err != nil && !errors.As(err, &e) {
				t.Fatal(err)
			}
			return err
		}
		err := set(s.sealed)
		if n := s.clear(t); n > 0 {
			t.Fatalf("%d values lie in the clear", n)
		}
		if err != nil || set(s.plain) != nil { // of some types the server has no cast, and pgveil needs none
			return
		}
		sql := `SELECT ` + name + ` FROM people`
		if got, want := table(t, s.sealed, sql), table(t, s.plain, sql); !slices.Equal(got, want) {
			t.Errorf("%s of type %d, format %d, %q: got %q, want %q", name, typ, format, strings.ToValidUTF8(string(value), "?"), got, want)
		}
	})
}
