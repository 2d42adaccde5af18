package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// startVault starts a pgveil for the fixture whose columns are sealed.
func startVault(t testing.TB, edits ...func(*proxy.Options)) (f *front, database string) {
	t.Helper()
	database = pgtest.Database(t, "vault")
	return startVaultOn(t, database, edits...), database
}

// startVaultOn is startVault for a database that is there.
func startVaultOn(t testing.TB, database string, edits ...func(*proxy.Options)) *front {
	t.Helper()
	return startSealedOn(t, database, "vault", edits...)
}

// startSealedOn starts a pgveil with keys for a database of a fixture.
func startSealedOn(t testing.TB, database, fixture string, edits ...func(*proxy.Options)) *front {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "fixtures", fixture, "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	withKeys := func(o *proxy.Options) { o.Ring, o.MaskKey = testRing(t), bytes.Repeat([]byte{7}, 32) }
	return start(t, database, string(text), append([]func(*proxy.Options){withKeys}, edits...)...)
}

// as connects a user through a front.
func as(t testing.TB, f *front, database, user string, edits ...func(*pgx.ConnConfig)) *pgx.Conn {
	t.Helper()
	c, err := pgx.ParseConfig("postgres://" + user + "@" + f.Addr + "/" + database + "?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range edits {
		edit(c)
	}
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func simply(c *pgx.ConnConfig)  { c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol }
func plainly(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeExec }

// What is written through pgveil lies sealed on the server, and comes back as it
// was, in every form of the protocol.
func TestSealedValuesComeBack(t *testing.T) {
	f, database := startVault(t)
	for name, edit := range map[string]func(*pgx.ConnConfig){"simple": simply, "exec": plainly, "prepared": func(*pgx.ConnConfig) {}} {
		for _, user := range []string{"root", "carla"} {
			t.Run(name+" "+user, func(t *testing.T) {
				conn := as(t, f, database, user, edit)
				born := time.Date(1980, 2, 29, 0, 0, 0, 0, time.UTC)
				run(t, conn, `DELETE FROM people`)
				run(t, conn, `INSERT INTO people (id, name, ssn, iban, born, income, notes, phone) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
					int32(1), "Ada", "123-45", "DE89 3704", born, 1234.5, `{"a": "b'c"}`, "555-0199-8877")
				var ssn, iban, notes, phone string
				var date time.Time
				var income float64
				row := conn.QueryRow(t.Context(), `SELECT ssn, iban, born, income, notes, phone FROM people WHERE ssn = $1`, "123-45")
				if err := row.Scan(&ssn, &iban, &date, &income, &notes, &phone); err != nil {
					t.Fatal(err)
				}
				if ssn != "123-45" || iban != "DE89 3704" || !date.Equal(born) || income != 1234.5 || phone != "555-0199-8877" || !strings.Contains(notes, "b'c") {
					t.Errorf("got %q %q %v %v %q %q", ssn, iban, date, income, notes, phone)
				}
				stored := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
				var all string
				if err := stored.QueryRow(t.Context(), `SELECT people::text FROM people`).Scan(&all); err != nil {
					t.Fatal(err)
				}
				for _, clear := range []string{"123-45", "DE89", "1980-", "1234.5", "b'c", "555-0199-8877"} {
					if strings.Contains(all, clear) {
						t.Errorf("the server has %q in the clear: %s", clear, all)
					}
				}
				var n int
				if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM people WHERE phone = $1 AND born = $2`, "555-0199-8877", born).Scan(&n); err != nil || n != 1 {
					t.Errorf("found %d by phone and birth: %v", n, err)
				}
				if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM people WHERE ssn = ANY ($1)`, []string{"x", "123-45"}).Scan(&n); name != "simple" && (err != nil || n != 1) {
					t.Errorf("found %d by an array: %v", n, err)
				}
			})
		}
	}
}

func run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Who sees a column masked gets the mask of what is opened.
func TestSealedMasks(t *testing.T) {
	f, database := startVault(t)
	run(t, as(t, f, database, "root"), `INSERT INTO people (id, name, ssn, born) VALUES (1, 'Ada', '123456789', '1980-02-29'), (2, 'Bob', NULL, NULL)`)
	rows, err := as(t, f, database, "amy").Query(t.Context(), `SELECT name, ssn, born FROM people ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToMap)
	want := []map[string]any{
		{"name": "Ada", "ssn": "*****6789", "born": time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"name": "Bob", "ssn": nil, "born": nil},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// COPY seals what comes and opens what goes, in every format.
func TestSealedCopy(t *testing.T) {
	f, database := startVault(t)
	conn := as(t, f, database, "root")
	for _, tt := range []struct{ options, data string }{
		{``, "1\tAda\t12\\t3\t\\N\t1980-02-29\t5.50\n2\tBob\t\\N\tx\\\\y\t\\N\t\\N\n"},
		{`WITH (FORMAT csv, HEADER)`, "id,name,ssn,iban,born,income\n1,Ada,\"1,\"\"2\",,1980-02-29,5.50\n2,Bob,,\"x\ny\",,\n"},
		{`WITH (DELIMITER '|', NULL 'nil')`, "1|Ada|12\\|3|nil|1980-02-29|5.50\n"},
	} {
		run(t, conn, `DELETE FROM people`)
		if _, err := conn.PgConn().CopyFrom(t.Context(), &slow{data: []byte(tt.data)}, `COPY people (id, name, ssn, iban, born, income) FROM STDIN `+tt.options); err != nil {
			t.Errorf("%s: %v", tt.options, err)
			continue
		}
		var clear int
		stored := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
		if err := stored.QueryRow(t.Context(), `SELECT count(*) FROM people WHERE ssn NOT LIKE 'pgv1.%' OR iban NOT LIKE 'pgv1.%' OR born NOT LIKE 'pgv1.%'`).Scan(&clear); err != nil || clear > 0 {
			t.Errorf("%s: %d rows are stored in the clear: %v", tt.options, clear, err)
		}
		for _, user := range []string{"root", "carla"} {
			var out bytes.Buffer
			if _, err := as(t, f, database, user).PgConn().CopyTo(t.Context(), &out, `COPY people (id, name, ssn, iban, born, income) TO STDOUT `+tt.options); err != nil || out.String() != tt.data {
				t.Errorf("%s as %s: got %q, %v\nwant %q", tt.options, user, out.String(), err, tt.data)
			}
		}
	}
	run(t, conn, `DELETE FROM people`)
	born := time.Date(1980, 2, 29, 0, 0, 0, 0, time.UTC)
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("1\tAda\t7\n"), `COPY people (id, name, ssn) FROM STDIN`); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `UPDATE people SET born = $1`, born)
	var binary bytes.Buffer
	if _, err := conn.PgConn().CopyTo(t.Context(), &binary, `COPY people (id, name, ssn, born) TO STDOUT (FORMAT binary)`); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `DELETE FROM people`)
	if _, err := conn.PgConn().CopyFrom(t.Context(), &slow{data: binary.Bytes()}, `COPY people (id, name, ssn, born) FROM STDIN (FORMAT binary)`); err != nil {
		t.Fatal(err)
	}
	var date time.Time
	var ssn string
	if err := conn.QueryRow(t.Context(), `SELECT ssn, born FROM people`).Scan(&ssn, &date); err != nil || ssn != "7" || !date.Equal(born) {
		t.Errorf("after COPY in binary form: %q, %v, %v", ssn, date, err)
	}
}

// slow gives its data in pieces of three bytes.
type slow struct{ data []byte }

func (s *slow) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, errEOF
	}
	n := copy(p[:min(3, len(p))], s.data)
	s.data = s.data[n:]
	return n, nil
}

// Cursors and several statements of one text give what they should.
func TestSealedCursors(t *testing.T) {
	f, database := startVault(t)
	for _, user := range []string{"root", "carla"} {
		conn := as(t, f, database, user, simply)
		run(t, conn, `DELETE FROM leads`)
		run(t, conn, `INSERT INTO leads VALUES (1, 'a', 'web'), (2, 'b', 'web')`)
		run(t, conn, `BEGIN; DECLARE c CURSOR FOR SELECT source, ssn FROM leads ORDER BY id`)
		for _, want := range []string{"a", "b"} {
			var source, ssn string
			if err := conn.QueryRow(t.Context(), `FETCH c`).Scan(&source, &ssn); err != nil || ssn != want {
				t.Errorf("%s: FETCH gave %q, %v", user, ssn, err)
			}
		}
		run(t, conn, `COMMIT`)
		all, err := conn.PgConn().Exec(t.Context(), `SELECT 1; SELECT ssn FROM leads WHERE ssn = 'b'; UPDATE leads SET ssn = 'c' WHERE id = 1 RETURNING ssn, id`).ReadAll()
		if err != nil || string(all[1].Rows[0][0]) != "b" || string(all[2].Rows[0][0]) != "c" {
			t.Errorf("%s: several statements: %v, %v", user, all, err)
		}
	}
}

// A value that cannot be opened ends its statement, and is told of.
func TestDamagedSeals(t *testing.T) {
	f, database := startVault(t)
	conn := as(t, f, database, "root")
	run(t, conn, `INSERT INTO leads VALUES (1, 'a', 'web')`)
	stored := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	for _, damage := range []string{`ssn || 'AAAA'`, `'in the clear'`, `left(ssn, -3)`} {
		run(t, stored, `UPDATE leads SET ssn = `+damage)
		var ssn string
		err := conn.QueryRow(t.Context(), `SELECT ssn FROM leads`).Scan(&ssn)
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "XX001" {
			t.Errorf("%s: %q, %v", damage, ssn, err)
		}
	}
	if !strings.Contains(f.Log.String(), "sealed_value_damaged") {
		t.Error("nobody was told")
	}
}

// Statements that differ in their values alone share a plan, and each has its own
// values sealed.
func TestSealedLiterals(t *testing.T) {
	f, database := startVault(t)
	for _, user := range []string{"root", "carla"} {
		conn := as(t, f, database, user, simply)
		run(t, conn, `DELETE FROM leads`)
		values := []string{"1", "2''3", "sealed", `\4`, ""}
		for i, v := range values {
			run(t, conn, fmt.Sprintf(`INSERT INTO leads (id, ssn, source) VALUES (%d, '%s', 'web')`, i, v))
		}
		for i, v := range values {
			var id int
			var ssn string
			if err := conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT id, ssn FROM leads WHERE ssn = '%s'`, v)).Scan(&id, &ssn); err != nil || id != i || ssn != strings.ReplaceAll(v, "''", "'") {
				t.Errorf("%s: %q is found as %d, %q: %v", user, v, id, ssn, err)
			}
		}
		stored := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
		var n int
		if err := stored.QueryRow(t.Context(), `SELECT count(*) FROM leads WHERE ssn LIKE 'pgv1.%'`).Scan(&n); err != nil || n != len(values) {
			t.Errorf("%s: %d of %d are sealed: %v", user, n, len(values), err)
		}
	}
}
