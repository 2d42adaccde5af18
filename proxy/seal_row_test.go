package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/shred"
)

// What is bound to its row comes back in every form of the protocol, with or without
// restrictions, and however it is read.
func TestBoundComesBack(t *testing.T) {
	database := pgtest.Database(t, "bound")
	f := startSealedOn(t, database, "bound")
	for name, edit := range map[string]func(*pgx.ConnConfig){"simple": simply, "exec": plainly, "prepared": func(*pgx.ConnConfig) {}} {
		for _, user := range []string{"root", "carla"} {
			t.Run(name+" "+user, func(t *testing.T) {
				conn := as(t, f, database, user, edit)
				run(t, conn, `DELETE FROM cards`)
				run(t, conn, `DELETE FROM boxes`)
				run(t, conn, `INSERT INTO cards (id, holder, pin, signed, memo, limits) VALUES ($1, $2, $3, $4, $5, $6)`, int32(1), "Ada", "0000", []byte{1, 0, 255}, `{"a": "b~c"}`, 12.5)
				run(t, conn, `INSERT INTO cards (id, holder, pin) VALUES ($1, $2, $3), ($4, $2, $3)`, int32(2), "Bob", "1111", int32(-3))
				run(t, conn, `UPDATE cards SET pin = $1, limits = $3 WHERE holder = 'Bob' AND id = $2`, "2222", int32(2), 99)
				run(t, conn, `INSERT INTO cards (id, holder, pin) VALUES ($1, 'x', $2) ON CONFLICT (id) DO UPDATE SET pin = $2`, int32(-3), "3333")
				run(t, conn, `INSERT INTO boxes (branch, number, holds) VALUES ($1, $2, $3)`, "Zür~ich: 1", int64(1)<<40, "lead")
				run(t, conn, `INSERT INTO boxes AS b (branch, number, holds) VALUES ($1, $2, $3) ON CONFLICT (number, branch) DO UPDATE SET holds = excluded.holds`, "Zür~ich: 1", int64(1)<<40, "gold")
				if got := column(t, conn, `INSERT INTO cards (id, holder, pin) VALUES (7, 'Eve', '7777') RETURNING pin`); got != "7777" {
					t.Errorf("RETURNING gave %s", got)
				}
				for _, tt := range []struct{ sql, want string }{
					{`SELECT pin FROM cards ORDER BY id`, "3333 0000 2222 7777"},
					{`SELECT * FROM (SELECT c.pin FROM cards AS c) AS x`, "0000 2222 3333 7777"},
					{`WITH x AS (SELECT * FROM cards) SELECT pin FROM x WHERE id < 3`, "0000 2222 3333"},
					{`SELECT pin FROM cards WHERE pin = '2222'`, "2222"},
					{`SELECT pin FROM cards AS a UNION ALL SELECT pin FROM cards`, "0000 0000 2222 2222 3333 3333 7777 7777"},
					{`SELECT CASE WHEN id > 1 THEN pin END FROM cards`, "2222 7777 NULL NULL"},
					{`SELECT count(pin)::text FROM cards`, "4"},
					{`SELECT pin FROM cards WHERE pin IS NOT NULL AND limits IS NULL`, "3333 7777"},
					{`SELECT c.pin FROM boxes AS b LEFT JOIN cards AS c ON c.id = b.number`, "NULL"},
					{`SELECT public.cards.pin FROM public.cards WHERE id = 1 FOR UPDATE`, "0000"},
					{`SELECT holds FROM boxes`, "gold"},
					{`UPDATE cards SET holder = 'Eva' WHERE id = 7 RETURNING pin`, "7777"},
					{`UPDATE cards SET pin = '8888' WHERE id = 7 RETURNING COALESCE(pin, NULL)`, "8888"},
					{`DELETE FROM cards WHERE id = 7 RETURNING cards.pin`, "8888"},
					{`SELECT pin FROM cards GROUP BY id`, "0000 2222 3333"},
					{`SELECT (SELECT pin FROM cards WHERE id = 1) FROM boxes`, "0000"},
					{`SELECT x FROM cards AS c (a, b, x) WHERE a = 2`, "2222"},
					{`UPDATE cards AS c SET holder = d.holder FROM cards AS d WHERE c.id = d.id RETURNING d.pin`, "0000 2222 3333"},
				} {
					if got := column(t, conn, tt.sql); got != tt.want && inOrder(got) != tt.want {
						t.Errorf("%s\n gave %s, want %s", tt.sql, got, tt.want)
					}
				}
				run(t, conn, `INSERT INTO cards (id, holder, pin) VALUES (11, '~', '~'), (12, 'pgv1.', 'x'), (13, '''', 'y')`)
				for id, pin := range map[int]string{11: "~", 12: "x", 13: "y"} { // texts of one form share a plan
					for _, sql := range []string{`SELECT pin FROM cards WHERE id = %d AND holder <> 'z'`, `UPDATE cards SET holder = 'z%d' WHERE id = %[1]d RETURNING pin`} {
						if got := column(t, conn, fmt.Sprintf(sql, id)); got != pin {
							t.Errorf("%d reads %q by %s", id, got, sql)
						}
					}
				}
				if got := column(t, conn, `SELECT pin FROM cards WHERE holder = '~'`) + column(t, conn, `SELECT pin FROM cards WHERE holder = 'z13'`); got != "y" {
					t.Errorf("by a text: %q", got)
				}
				var signed []byte
				var memo string
				var limits float64
				if err := conn.QueryRow(t.Context(), `SELECT signed, memo, limits FROM cards WHERE id = 1`).Scan(&signed, &memo, &limits); err != nil || !bytes.Equal(signed, []byte{1, 0, 255}) || memo != `{"a": "b~c"}` || limits != 12.5 {
					t.Errorf("got %v %s %v, %v", signed, memo, limits, err)
				}
			})
		}
	}
	var pin string
	if err := as(t, f, database, "amy").QueryRow(t.Context(), `SELECT pin FROM cards WHERE id = 1`).Scan(&pin); err != nil || pin != "***0" {
		t.Errorf("who sees the mask got %q, %v", pin, err)
	}
}

// column gives the values of the first column of a query's rows.
func column(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Errorf("%s: %v", sql, err)
		return ""
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) {
		var v *string
		into := []any{&v}
		for range len(r.FieldDescriptions()) - 1 {
			into = append(into, nil)
		}
		err := r.Scan(into...)
		if v == nil {
			return "NULL", err
		}
		return *v, err
	})
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return strings.Join(all, " ")
}

func inOrder(words string) string {
	all := strings.Fields(words)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// A value that is moved to another row does not open there, whoever moved it, and so it is
// with one from before values were bound.
func TestBoundStays(t *testing.T) {
	database := pgtest.Database(t, "bound")
	f := startSealedOn(t, database, "bound")
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	root := as(t, f, database, "root")
	for _, tt := range []struct{ name, move, read string }{
		{"swapped", `UPDATE cards AS a SET pin = b.pin FROM cards AS b WHERE a.id + b.id = 3`, `SELECT pin FROM cards WHERE id = 1`},
		{"copied", `UPDATE cards SET pin = (SELECT pin FROM cards WHERE id = 2) WHERE id = 1`, `SELECT pin FROM cards WHERE id = 1`},
		{"another key", `UPDATE cards SET id = 5 WHERE id = 1`, `SELECT pin FROM cards WHERE id = 5`},
		{"bytes", `UPDATE cards AS a SET signed = b.signed FROM cards AS b WHERE a.id + b.id = 3`, `SELECT signed FROM cards WHERE id = 1`},
		{"a document", `UPDATE cards AS a SET memo = b.memo FROM cards AS b WHERE a.id + b.id = 3`, `SELECT memo FROM cards WHERE id = 1`},
		{"of two columns", `UPDATE boxes SET number = number + 10`, `SELECT holds FROM boxes WHERE number = 11`},
		{"another column", `UPDATE cards SET pin = limits`, `SELECT pin FROM cards WHERE id = 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, direct, `TRUNCATE cards, boxes CASCADE`)
			run(t, root, `INSERT INTO cards (id, holder, pin, signed, memo, limits) VALUES (1, 'Ada', '0000', '\x01', '{}', 1), (2, 'Bob', '1111', '\x02', '[]', 2)`)
			run(t, root, `INSERT INTO boxes (branch, number, holds) VALUES ('a', 1, 'gold'), ('a', 2, 'coal')`)
			var got any
			before := strings.NewReplacer("id = 5", "id = 1", "number = 11", "number = 1").Replace(tt.read)
			if err := root.QueryRow(t.Context(), before).Scan(&got); err != nil || got == nil {
				t.Fatalf("it does not open where it is: %v, %v", got, err)
			}
			run(t, direct, tt.move)
			err := root.QueryRow(t.Context(), tt.read).Scan(&got)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "XX001" {
				t.Errorf("it opened as %v, %v", got, err)
			}
		})
	}
}

// COPY binds what it brings to the rows of its data, and opens what it takes away.
func TestBoundCopies(t *testing.T) {
	database := pgtest.Database(t, "bound")
	f := startSealedOn(t, database, "bound")
	for _, user := range []string{"root", "carla"} {
		conn := as(t, f, database, user)
		if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("1\tAda\t1111\n"), `COPY cards (id, holder, pin) FROM STDIN`); err == nil || !strings.Contains(err.Error(), "cannot fill") {
			t.Errorf("COPY filled a column with an index of its values: %v", err)
		}
		run(t, conn, `DELETE FROM boxes`)
		for _, format := range []string{"text", "csv", "binary"} {
			run(t, conn, `DELETE FROM boxes`)
			run(t, conn, `INSERT INTO boxes (branch, number, holds) VALUES ('a~b', 1, 'gold'), ('c', -2, NULL)`)
			var first, second bytes.Buffer
			copyOut := `COPY boxes (holds, number, size, branch) TO STDOUT WITH (FORMAT ` + format + `)`
			if _, err := conn.PgConn().CopyTo(t.Context(), &first, copyOut); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(first.String(), "gold") {
				t.Errorf("%s: %q", format, first.String())
			}
			run(t, conn, `DELETE FROM boxes`)
			if _, err := conn.PgConn().CopyFrom(t.Context(), bytes.NewReader(first.Bytes()), `COPY boxes (holds, number, size, branch) FROM STDIN WITH (FORMAT `+format+`)`); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.PgConn().CopyTo(t.Context(), &second, copyOut); err != nil || !cmp.Equal(first.Bytes(), second.Bytes()) {
				t.Errorf("%s: %q came back as %q, %v", format, first.String(), second.String(), err)
			}
		}
		if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("x\n"), `COPY boxes (holds) FROM STDIN`); err == nil || !strings.Contains(err.Error(), "branch is not among the columns") {
			t.Errorf("COPY without the key: %v", err)
		}
		var all bytes.Buffer
		if _, err := conn.PgConn().CopyTo(t.Context(), &all, `COPY boxes TO STDOUT`); err != nil || !strings.Contains(all.String(), "gold") {
			t.Errorf("COPY of the table: %q, %v", all.String(), err)
		}
	}
}

// However the key of a row is written, what is taken opens again; else it is refused.
func TestBoundKeys(t *testing.T) {
	database := pgtest.Database(t, "bound") // for its logins
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	types := map[string]string{"i2": "smallint", "i4": "integer", "i8": "bigint", "u": "uuid", "t": "text", "v": "varchar(6)", "c": "char(6)"}
	for name, typ := range types {
		run(t, direct, `CREATE TABLE `+name+` (k `+typ+` PRIMARY KEY, pin text)`)
	}
	run(t, direct, `GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC`)
	f := start(t, database, `
version: 1
purposes: {support: {basis: contract}}
classes:
  open: [public.i2.k, public.i4.k, public.i8.k, public.u.k, public.t.k, public.v.k, public.c.k]
  pin: {columns: [public.i2.pin, public.i4.pin, public.i8.pin, public.u.pin, public.t.pin, public.v.pin, public.c.pin], seal: randomized, bind: row}
roles: {root: {unrestricted: true}, clerk: {purposes: [support], tables: [{on: ["public.*"], do: [select, insert, update, delete]}]}}
rules: [{role: clerk, for: support, on: pin, show: clear}]
users: {root: {roles: [root]}, carla: {roles: [clerk]}}
`, func(o *proxy.Options) { o.Ring = testRing(t) })
	const (
		textOID, varcharOID, bpcharOID, nameOID, charOID, unknownOID = 25, 1043, 1042, 19, 18, 705
		int2OID, int4OID, int8OID, numericOID, float8OID, uuidOID    = 21, 23, 20, 1700, 701, 2950
	)
	keys := map[string][]string{
		"i": {"7", " 8 ", "+9", "-10", "-0", "007", "0x1f", "1_0", "1e2", "12.0", "32767", "99999999999", "", "NULL", "১"},
		"u": {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13}", "a0eebc999c0b4ef8bb6d6bb9bd380a14", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a15", "x"},
		"t": {"a", "a ", " a", "a   b", "ab    ", "abcdef", "abcdef ", "abcdefg", "~", "1:~", "Ж", "é", "e\u0301", "", `a'b\`, "NULL", "\t", "a\n"},
	}
	keys["v"], keys["c"] = keys["t"], keys["t"]
	for _, user := range []string{"root", "carla"} {
		conn := as(t, f, database, user)
		back := func(t *testing.T, table, what string, err error) {
			t.Helper()
			if err != nil {
				if codeOf(err) == "" || codeOf(err) == "XX000" {
					t.Errorf("%s: %v", what, err)
				}
				return
			}
			if got := column(t, conn, `SELECT pin FROM `+table); got != "0000" {
				t.Errorf("%s was taken, and reads %q", what, got)
			}
		}
		taken := 0
		for table := range types {
			of := keys[table[:1]]
			oids := []uint32{0, textOID, varcharOID, bpcharOID, nameOID, charOID, unknownOID, int2OID, int4OID, int8OID, numericOID, float8OID, uuidOID}
			for _, key := range of {
				quoted := "'" + strings.ReplaceAll(key, "'", "''") + "'"
				for _, literal := range []string{quoted, key, quoted + "::text", quoted + "::varchar", quoted + "::char", quoted + "::" + types[table], key + "::bigint"} {
					run(t, direct, `TRUNCATE `+table)
					sql := `INSERT INTO ` + table + ` VALUES (` + literal + `, '0000')`
					_, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
					back(t, table, sql, err)
					if err == nil {
						taken++
						sql = `UPDATE ` + table + ` SET pin = '0000' WHERE k = ` + literal
						_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
						back(t, table, sql, err)
					}
				}
				for _, oid := range oids {
					run(t, direct, `TRUNCATE `+table)
					what := fmt.Sprintf("%s: %q as a parameter of type %d", table, key, oid)
					err := conn.PgConn().ExecParams(t.Context(), `INSERT INTO `+table+` VALUES ($1, '0000')`, [][]byte{[]byte(key)}, []uint32{oid}, nil, nil).Read().Err
					if err == nil {
						t.Errorf("%s: a literal was bound to a parameter", what)
					}
					err = conn.PgConn().ExecParams(t.Context(), `INSERT INTO `+table+` VALUES ($1, $2)`, [][]byte{[]byte(key), []byte("0000")}, []uint32{oid}, nil, nil).Read().Err
					back(t, table, what, err)
					if err == nil {
						taken++
						err = conn.PgConn().ExecParams(t.Context(), `UPDATE `+table+` SET pin = $2 WHERE k = $1`, [][]byte{[]byte(key), []byte("0000")}, []uint32{oid}, nil, nil).Read().Err
						back(t, table, what+" of UPDATE", err)
					}
				}
			}
		}
		if taken < 300 {
			t.Errorf("%d keys were taken", taken)
		}
	}
}

// What is prepared, declared or written under another encoding keeps values with their
// rows.
func TestBoundAgain(t *testing.T) {
	database := pgtest.Database(t, "bound")
	f := startSealedOn(t, database, "bound")
	for _, user := range []string{"root", "carla"} {
		t.Run(user, func(t *testing.T) {
			conn := as(t, f, database, user, simply)
			run(t, conn, `DELETE FROM cards`)
			run(t, conn, `DELETE FROM boxes`)
			run(t, conn, `INSERT INTO cards (id, holder, pin) VALUES (1, 'Ada', '1111'), (2, 'Bob', '2222')`)
			run(t, conn, `INSERT INTO boxes (branch, number, holds) VALUES ('Zürich', 1, 'gold')`)
			run(t, conn, `PREPARE of (int) AS SELECT pin FROM cards WHERE id = $1`)
			if got := column(t, conn, `EXECUTE of (2)`); got != "2222" {
				t.Errorf("EXECUTE gave %s", got)
			}
			run(t, conn, `BEGIN`)
			run(t, conn, `DECLARE c CURSOR FOR SELECT pin, id FROM cards ORDER BY id`)
			if got := column(t, conn, `FETCH 1 FROM c`); got != "1111" {
				t.Errorf("FETCH gave %s", got)
			}
			run(t, conn, `COMMIT`)
		})
	}
	t.Run("LATIN1", func(t *testing.T) {
		conn := as(t, f, database, "root", plainly, func(c *pgx.ConnConfig) { c.RuntimeParams["client_encoding"] = "LATIN1" })
		if got := column(t, conn, `SELECT pin FROM cards WHERE id = 1`); got != "1111" {
			t.Errorf("the value reads %s", got)
		}
		if err := conn.QueryRow(t.Context(), `SELECT holds FROM boxes`).Scan(new(string)); codeOf(err) != "22P05" {
			t.Errorf("a key that is written otherwise: %v", err)
		}
		for _, tt := range []struct{ branch, code string }{{"Gen\xe8ve", "0A000"}, {"Bern", ""}} {
			_, err := conn.PgConn().ExecParams(t.Context(), `INSERT INTO boxes (branch, number, holds) VALUES ($1, 3, $2)`, [][]byte{[]byte(tt.branch), []byte("coins")}, nil, nil, nil).Close()
			if codeOf(err) != tt.code || (err == nil) != (tt.code == "") {
				t.Errorf("%q: %v", tt.branch, err)
			}
		}
		if got := inOrder(column(t, as(t, f, database, "root"), `SELECT holds FROM boxes`)); got != "coins gold" {
			t.Errorf("the boxes hold %s", got)
		}
	})
	text, err := os.ReadFile(filepath.Join("..", "testdata", "fixtures", "bound", "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f.reload(t, strings.ReplaceAll(strings.ReplaceAll(string(text), "bind: row", "clear: accept"), "shred: true, ", ""))
	conn := as(t, f, database, "root")
	run(t, conn, `DELETE FROM boxes`)
	if _, err := conn.Prepare(t.Context(), "before", `SELECT holds FROM boxes WHERE number = $1`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Prepare(t.Context(), "write", `INSERT INTO boxes (branch, number, holds) VALUES ('x', $1, $2)`); err != nil {
		t.Fatal(err)
	}
	run(t, conn, "write", 1, "not bound")
	f.reload(t, strings.ReplaceAll(string(text), "bind: row", "bind: row, clear: accept"))
	run(t, conn, "write", 2, "bound")
	for number, want := range map[int]string{1: "not bound", 2: "bound"} {
		var got string
		if err := conn.QueryRow(t.Context(), "before", number).Scan(&got); err != nil || got != want {
			t.Errorf("prepared before, %d reads %q, %v", number, got, err)
		}
	}
	f.reload(t, string(text))
	var got string
	if err := conn.QueryRow(t.Context(), "before", 1).Scan(&got); codeOf(err) != "XX001" {
		t.Errorf("what is not bound reads %q, %v", got, err)
	}
	if err := conn.QueryRow(t.Context(), "before", 2).Scan(&got); err != nil || got != "bound" {
		t.Errorf("what is bound reads %q, %v", got, err)
	}
}

// Values with keys of their own are bound to their rows as well.
func TestBoundShredded(t *testing.T) {
	database := pgtest.Database(t, "bound")
	store, err := shred.Open(t.Context(), pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := startSealedOn(t, database, "bound", func(o *proxy.Options) {
		o.DataKeys = &shred.Keys{Store: store, Ring: func() *seal.Ring { return o.Ring }, Log: slog.New(slog.DiscardHandler)}
	})
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	const one, other = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"
	for _, user := range []string{"root", "carla"} {
		conn := as(t, f, database, user)
		run(t, conn, `DELETE FROM tokens`)
		run(t, conn, `INSERT INTO tokens (id, secret) VALUES ($1, $2)`, one, "first")
		if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("second,"+other+"\n"), `COPY tokens (secret, id) FROM STDIN CSV`); err != nil {
			t.Fatal(err)
		}
		run(t, conn, `UPDATE tokens SET secret = $1 WHERE id = $2`, "third", strings.ToUpper(one))
		if got := column(t, conn, `SELECT secret FROM tokens ORDER BY id`); got != "third second" {
			t.Errorf("%s reads %s", user, got)
		}
		run(t, direct, `UPDATE tokens AS a SET secret = b.secret FROM tokens AS b WHERE a.id <> b.id`)
		if err := conn.QueryRow(t.Context(), `SELECT secret FROM tokens`).Scan(new(string)); codeOf(err) != "XX001" {
			t.Errorf("%s reads swapped values: %v", user, err)
		}
	}
}
