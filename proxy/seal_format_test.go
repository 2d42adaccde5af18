package proxy_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/seal"
)

// What keeps a format passes the checks of a schema, is another value on the server,
// and comes back and is found, in every form of the protocol.
func TestSealedFormats(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "fixtures", "vault", "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policy := strings.NewReplacer(
		"account: {columns: [public.people.iban], seal: randomized}", `account: {columns: [public.people.iban], seal: deterministic, format: "digits(20)"}`,
		"visit_id: {columns: [public.visits.ssn], seal: deterministic}", `visit_id: {columns: [public.visits.ssn], seal: deterministic, format: "alphanumeric(4, 12)"}`,
	).Replace(string(text))
	if strings.Count(policy, "format:") != 2 {
		t.Fatal("the fixture's policy is another")
	}
	database := pgtest.Database(t, "vault")
	direct := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	run(t, direct, `ALTER TABLE people ALTER iban TYPE varchar(20), ADD CHECK (iban ~ '^[0-9]{20}$')`)
	run(t, direct, `ALTER TABLE visits ADD CHECK (ssn ~ '^[0-9A-Z]{4,12}$')`)
	key := seal.NewKey("account", seal.Primary, time.Unix(0, 0))
	key.Format = true
	visit := seal.NewKey("visit_id", seal.Primary, time.Unix(0, 0))
	visit.Format = true
	var others []*seal.Key
	for _, class := range []string{"national_id", "birth", "income", "notes", "phone", "allergy", "weight"} {
		others = append(others, seal.NewKey(class, seal.Primary, time.Unix(0, 0)))
	}
	ring, err := seal.NewRing(append(others, key, visit)...)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, database, policy, func(o *proxy.Options) { o.Ring, o.MaskKey = ring, bytes.Repeat([]byte{7}, 32) })
	const iban, other = "37040044053201300000", "00000000000000000000"
	for name, edit := range map[string]func(*pgx.ConnConfig){"simple": simply, "exec": plainly, "prepared": func(*pgx.ConnConfig) {}} {
		for _, user := range []string{"root", "carla"} {
			t.Run(name+" "+user, func(t *testing.T) {
				conn := as(t, f, database, user, edit)
				run(t, conn, `DELETE FROM visits`)
				run(t, conn, `DELETE FROM people`)
				run(t, conn, `INSERT INTO people (id, name, iban) VALUES (1, 'Ada', $1), (2, 'Bob', $2), (3, 'Cy', NULL)`, iban, other)
				run(t, conn, `INSERT INTO visits (person_id, at, ssn) VALUES (1, '2020-01-01', $1), (2, '2020-01-01', 'ABCD')`, "1Z9QWERTY")
				var stored, short string
				if err := direct.QueryRow(t.Context(), `SELECT iban, (SELECT ssn FROM visits WHERE person_id = 2) FROM people WHERE id = 1`).Scan(&stored, &short); err != nil {
					t.Fatal(err)
				}
				if stored == iban || !regexp.MustCompile(`^[0-9]{20}$`).MatchString(stored) || short == "ABCD" || len(short) != 4 {
					t.Errorf("the server has %q and %q", stored, short)
				}
				for where, want := range map[string]int{`iban = $1`: 1, `iban IN ($1, '00000000000000000000')`: 2, `iban <> $1`: 1, `iban IS DISTINCT FROM $1`: 2, `iban = 'not of the form' OR iban = $1`: 1} {
					var n int
					if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM people WHERE `+where, iban).Scan(&n); err != nil || n != want {
						t.Errorf("%s finds %d, %v", where, n, err)
					}
				}
				var got, ssn string
				if err := conn.QueryRow(t.Context(), `SELECT iban, v.ssn FROM people JOIN visits v ON person_id = people.id WHERE iban = $1`, iban).Scan(&got, &ssn); err != nil || got != iban || ssn != "1Z9QWERTY" {
					t.Errorf("got %q and %q, %v", got, ssn, err)
				}
				for _, bad := range []string{"3704004405320130000", "370400440532013000000", "3704004405320130000x", " 7040044053201300000", ""} {
					_, err := conn.Exec(t.Context(), `UPDATE people SET iban = $1 WHERE id = 1`, bad)
					var e *pgconn.PgError
					if !errors.As(err, &e) || e.Code != "22023" || !strings.Contains(e.Message, "it is not digits(20)") || bad != "" && strings.Contains(e.Message, bad) {
						t.Errorf("%q: %v", bad, err)
					}
				}
			})
		}
	}
	conn := as(t, f, database, "root")
	run(t, conn, `DELETE FROM visits`)
	run(t, conn, `DELETE FROM people`)
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("1\tAda\t"+iban+"\n"), `COPY people (id, name, iban) FROM STDIN`); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := conn.PgConn().CopyTo(t.Context(), &out, `COPY people (iban) TO STDOUT`); err != nil || out.String() != iban+"\n" {
		t.Errorf("COPY gives %q, %v", out.String(), err)
	}
	// What has not the form is damage; what has it opens into another value, which nothing tells.
	run(t, direct, `ALTER TABLE people DROP CONSTRAINT people_iban_check`)
	var got string
	run(t, direct, `UPDATE people SET iban = '123'`)
	var e *pgconn.PgError
	if err := conn.QueryRow(t.Context(), `SELECT iban FROM people`).Scan(&got); !errors.As(err, &e) || e.Code != "XX001" {
		t.Errorf("three digits open as %q, %v", got, err)
	}
	run(t, direct, `UPDATE people SET iban = '12345678901234567890'`)
	if err := conn.QueryRow(t.Context(), `SELECT iban FROM people`).Scan(&got); err != nil || got == iban || got == "12345678901234567890" || len(got) != 20 {
		t.Errorf("other digits open as %q, %v", got, err)
	}
}
