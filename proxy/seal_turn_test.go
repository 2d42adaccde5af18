package proxy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/seal"
)

// While keys are turned, values under the old key and under the new one are found by
// every operator, in every form of the protocol.
func TestFoundWhileKeysTurn(t *testing.T) {
	classes := []string{"national_id", "visit_id", "account", "birth", "income", "notes", "phone"}
	var old, fresh []*seal.Key
	for _, class := range classes {
		k := seal.NewKey(class, seal.Primary, time.Unix(0, 0))
		was := *k
		was.State = seal.Enabled
		old, fresh = append(old, k), append(fresh, &was, seal.NewKey(class, seal.Primary, time.Unix(1, 0)))
	}
	ring := func(keys []*seal.Key) *seal.Ring {
		r, err := seal.NewRing(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	f, database := startVault(t, func(o *proxy.Options) { o.Ring = ring(old) })
	conn := as(t, f, database, "root")
	const one = `SELECT count(*) FROM people WHERE ssn = $1`
	var n int
	if err := conn.QueryRow(t.Context(), one, "1").Scan(&n); err != nil { // prepared before the keys turn
		t.Fatal(err)
	}
	const insert = `INSERT INTO people (id, name, ssn, born, phone) VALUES ($1, 'x', $2, '1980-01-01', $3)`
	run(t, conn, insert, int32(1), "1", "111")
	run(t, conn, insert, int32(2), "2", "222")
	f.UseRing(ring(fresh))
	run(t, conn, insert, int32(3), "3", "111")
	run(t, conn, `INSERT INTO people (id, name) VALUES (4, 'none')`)
	var keys int
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	if err := direct.QueryRow(t.Context(), `SELECT count(DISTINCT left(ssn, 13)) FROM people`).Scan(&keys); err != nil || keys != 2 {
		t.Fatalf("values are under %d keys, %v", keys, err)
	}
	if err := conn.QueryRow(t.Context(), one, "1").Scan(&n); err != nil || n != 1 {
		t.Errorf("by what was prepared before: %d, %v", n, err)
	}
	for where, want := range map[string]string{
		`ssn = $1`: "1", `$1 = ssn`: "1", `ssn <> $1`: "2 3", `ssn IN ($1, $2)`: "1 3", `ssn IN ($1, '3')`: "1 3", `ssn NOT IN ($1, '3')`: "2",
		`ssn = ANY (ARRAY[$1, $2])`: "1 3", `ssn <> ALL (ARRAY[$1, $2])`: "2", `ssn IS DISTINCT FROM $1`: "2 3 4", `ssn IS NOT DISTINCT FROM $1`: "1",
		`born = '1980-01-01'`: "1 2 3", `born <> '1980-01-01'`: "", `phone = '111'`: "1 3", `phone IN ('111', '222')`: "1 2 3", `phone IS DISTINCT FROM '111'`: "2 4",
		`NOT (ssn = $1)`: "2 3", `COALESCE(ssn, '') = $1`: "1", `CASE WHEN ssn = $1 THEN true ELSE id = 4 END`: "1 4",
		`(ssn = $1) IS NULL`: "4", `($1 IS NULL OR ssn = $1)`: "1", `($1::text IS NULL OR ssn = $1::text)`: "1",
		`EXISTS (SELECT FROM people q WHERE q.id = people.id AND q.ssn = $1)`: "1",
	} {
		args := []any{"1", "3"}[:strings.Count(where, "$2")+min(1, strings.Count(where, "$1"))]
		for _, user := range []string{"root", "carla"} {
			for name, edit := range map[string]func(*pgx.ConnConfig){"simple": simply, "exec": plainly, "prepared": func(*pgx.ConnConfig) {}} {
				rows, err := as(t, f, database, user, edit).Query(t.Context(), `SELECT id FROM people WHERE `+where+` ORDER BY id`, args...)
				if err != nil {
					t.Errorf("%s %s: %s: %v", user, name, where, err)
					continue
				}
				ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
				if got := strings.Trim(fmt.Sprint(ids), "[]"); err != nil || got != want {
					t.Errorf("%s %s: %s finds %q, not %q: %v", user, name, where, got, want, err)
				}
			}
		}
	}
	// NULL in a list makes of what is not found what is not known.
	for where, want := range map[string]int{`ssn <> ALL ($1)`: 0, `ssn = ANY ($1)`: 1, `(ssn = ANY ($1)) IS NULL`: 3} {
		for _, edit := range []func(*pgx.ConnConfig){plainly, func(*pgx.ConnConfig) {}} {
			one := "1"
			if err := as(t, f, database, "root", edit).QueryRow(t.Context(), `SELECT count(*) FROM people WHERE `+where, []*string{&one, nil}).Scan(&n); err != nil || n != want {
				t.Errorf("%s with NULL finds %d, not %d: %v", where, n, want, err)
			}
		}
	}
	// A parameter that may be NULL, where that is asked.
	for _, tt := range []struct {
		where string
		arg   any
		want  int
	}{
		{`ssn IS NOT DISTINCT FROM $1`, nil, 1}, {`ssn IS DISTINCT FROM $1`, nil, 3}, {`($1::text IS NULL OR ssn = $1)`, nil, 4}, {`ssn = $1`, nil, 0},
		{`$1::date IS NULL`, time.Now(), 0}, {`($1::date IS NULL OR id = 4)`, nil, 4},
	} {
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM people WHERE `+tt.where, tt.arg).Scan(&n); err != nil || n != tt.want {
			t.Errorf("%s of %v finds %d, %v", tt.where, tt.arg, n, err)
		}
	}
	var clear int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM people WHERE ($1::date IS NULL OR born = $2)`, time.Now(), "1980-01-01").Scan(&clear); err != nil || clear != 3 {
		t.Errorf("a date that is only asked whether it is NULL: %d, %v", clear, err)
	}
}

// While a column is being sealed, values that are not yet are found with those that are,
// where the policy has them looked for in clear.
func TestFoundWhileClear(t *testing.T) {
	database := pgtest.Database(t, "vault")
	text, err := os.ReadFile(filepath.Join("..", "testdata", "fixtures", "vault", "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	finds := strings.NewReplacer("joins: true", "joins: true, clear: find", "type: date", "type: date, clear: find").Replace(string(text))
	f := start(t, database, finds, func(o *proxy.Options) { o.Ring, o.MaskKey = testRing(t), bytes.Repeat([]byte{7}, 32) })
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	const odd = `O'Neil \ "x"`
	run(t, direct, `INSERT INTO people (id, name, ssn, born) VALUES (1, 'x', '1', '1980-01-01'), (2, 'x', $1, NULL)`, odd)
	run(t, as(t, f, database, "root"), `INSERT INTO people (id, name, ssn, born) VALUES (3, 'x', '3', '1980-01-01'), (4, 'x', NULL, NULL)`)
	for _, user := range []string{"root", "carla"} {
		for name, edit := range map[string]func(*pgx.ConnConfig){"simple": simply, "exec": plainly, "prepared": func(*pgx.ConnConfig) {}} {
			conn := as(t, f, database, user, edit)
			for _, tt := range []struct {
				where, want string
				args        []any
			}{
				{`ssn = $1`, "1", []any{"1"}}, {`ssn = $1`, "3", []any{"3"}}, {`ssn = $1`, "2", []any{odd}}, {`ssn = 'O''Neil \ "x"'`, "2", nil},
				{`ssn <> $1`, "1 3", []any{odd}}, {`ssn IN ($1, '3')`, "1 3", []any{"1"}}, {`ssn NOT IN ('1', '3')`, "2", nil}, {`ssn IS DISTINCT FROM $1`, "2 3 4", []any{"1"}},
				{`ssn IS NOT DISTINCT FROM '1'`, "1", nil}, {`ssn = ANY (ARRAY['1', $1])`, "1 2", []any{odd}}, {`born = '1980-01-01'`, "1 3", nil}, {`ssn = $1`, "", []any{"1' OR true --"}},
			} {
				rows, err := conn.Query(t.Context(), `SELECT id FROM people WHERE `+tt.where+` ORDER BY id`, tt.args...)
				if err != nil {
					t.Errorf("%s %s: %s: %v", user, name, tt.where, err)
					continue
				}
				ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
				if got := strings.Trim(fmt.Sprint(ids), "[]"); err != nil || got != tt.want {
					t.Errorf("%s %s: %s of %v finds %q, not %q: %v", user, name, tt.where, tt.args, got, tt.want, err)
				}
			}
			run(t, conn, `INSERT INTO leads (id, ssn) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET ssn = 'newer'`)
			var stored string
			if err := direct.QueryRow(t.Context(), `SELECT ssn FROM leads`).Scan(&stored); err != nil || !strings.HasPrefix(stored, "pgv1.") {
				t.Errorf("what is written is %q, %v", stored, err)
			}
		}
	}
	// What is stored in place of a value is no value.
	var stored string
	if err := direct.QueryRow(t.Context(), `SELECT ssn FROM people WHERE id = 3`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := as(t, f, database, "root").QueryRow(t.Context(), `SELECT count(*) FROM people WHERE ssn = $1`, stored).Scan(&n); err != nil || n != 0 {
		t.Errorf("by what is stored %d are found, %v", n, err)
	}
}
