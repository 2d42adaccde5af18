package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// verb runs another verb of the built program in the site's folder, and gives
// what it says.
func (s *site) verb(t *testing.T, status int, args ...string) string {
	t.Helper()
	cmd := exec.Command("pgveil", args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != status {
		t.Fatalf("pgveil %s: %v, want status %d\n%s", strings.Join(args, " "), err, status, out)
	}
	return string(out)
}

// awaits waits until a process has logged the words.
func (r *running) awaits(t *testing.T, words string, meanwhile func()) {
	t.Helper()
	late := time.After(20 * time.Second)
	for tick := time.Tick(50 * time.Millisecond); !strings.Contains(r.output.String(), words); {
		meanwhile()
		select {
		case <-tick:
		case <-late:
			t.Fatalf("pgveil does not log %q:\n%s", words, r.output.String())
		}
	}
}

// TestHoneyOfProcesses plants records by one process and touches them through
// another.
func TestHoneyOfProcesses(t *testing.T) {
	server, database := pgtest.Server(t), pgtest.Database(t, "shop")
	s := newSite(t, server, database, "127.0.0.1:0", "")
	admin := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	s.verb(t, 0, "schema", "--apply")
	r := s.serve(t, "")
	said := s.verb(t, 0, "honey", "plant", "customer", "--count", "5", "--mail-domain", "mail.example")
	keys := regexp.MustCompile(`(?m)^planted customer (\d+)$`).FindAllStringSubmatch(said, -1)
	if len(keys) != 5 {
		t.Fatalf("planted:\n%s", said)
	}
	var odd int
	if err := admin.QueryRow(t.Context(), `SELECT count(*) FROM customers AS c
		JOIN customers AS of ON of.id < $1::int AND of.region = c.region AND of.country = c.country AND c.last_name <> of.last_name
		WHERE c.id = ANY (ARRAY[$1, $2]::int[]) AND c.email LIKE '%@mail.example'`, keys[0][1], keys[1][1]).Scan(&odd); err != nil || odd == 0 {
		t.Errorf("planted records look like none of the others: %d, %v", odd, err)
	}
	conn, err := s.connect(t.Context(), r.address(t, listens), "sam")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	r.awaits(t, "alert=honey_touched severity=critical login=sam", func() {
		var name string
		if err := conn.QueryRow(t.Context(), "SELECT first_name FROM customers WHERE id = "+keys[2][1]).Scan(&name); err != nil || name == "" {
			t.Fatalf("the record is %q, %v", name, err)
		}
	})
	if strings.Contains(r.output.String(), "="+keys[2][1]+" ") {
		t.Errorf("the log says which record it is:\n%s", r.output.String())
	}
	s.verb(t, 0, "honey", "adopt", "customer", "1")
	s.verb(t, 1, "honey", "adopt", "customer", "999999999")
	s.verb(t, 1, "honey", "adopt", "customer", keys[0][1])
	s.verb(t, 0, "honey", "remove", "customer", keys[0][1])
	s.verb(t, 0, "honey", "remove", "customer", "1")
	s.verb(t, 1, "honey", "remove", "customer", "2")
	listed := s.verb(t, 0, "honey", "list")
	if n := strings.Count(listed, "planted  there"); n != 4 || strings.Contains(listed, "adopted") {
		t.Errorf("listed are\n%s", listed)
	}
	var left []int32
	rows, err := admin.Query(t.Context(), "SELECT id FROM customers WHERE id IN ($1::int, 1, 2) ORDER BY id", keys[0][1])
	if err != nil {
		t.Fatal(err)
	}
	if left, err = pgx.CollectRows(rows, pgx.RowTo[int32]); err != nil || !slices.Equal(left, []int32{1, 2}) {
		t.Errorf("of a removed, an adopted and a foreign record there are %v, %v", left, err)
	}
	r.stop(t)
}

// TestHoneyFits plants records in tables that want this and that of their rows,
// of which some are empty.
func TestHoneyFits(t *testing.T) {
	server, database := pgtest.Server(t), pgtest.Database(t, "")
	admin := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	const tables = `CREATE SCHEMA s; CREATE TYPE s.tier AS ENUM ('gold', 'tin');
		CREATE TABLE s.branches (code char(3) PRIMARY KEY);
		CREATE TABLE s.wide (id uuid PRIMARY KEY, tier s.tier NOT NULL, branch char(3) NOT NULL REFERENCES s.branches, "E-Mail" varchar(40) NOT NULL UNIQUE,
			"fullName" text NOT NULL, dob date NOT NULL CHECK (dob < '2010-01-01'), iban text NOT NULL CHECK (iban ~ '^[A-Z]{2}[0-9]{8}$'), pin int NOT NULL CHECK (pin BETWEEN 1000 AND 9999),
			tags text[] NOT NULL, extra jsonb NOT NULL, active boolean NOT NULL, seen timestamptz NOT NULL, ip inet NOT NULL, serial bigint GENERATED ALWAYS AS IDENTITY, double int GENERATED ALWAYS AS (pin * 2) STORED);
		CREATE TABLE s.counted (id bigint PRIMARY KEY, code text NOT NULL UNIQUE, name text NOT NULL);
		CREATE TABLE s.narrow (id text PRIMARY KEY, must text NOT NULL CHECK (must = 'exactly this'));
		INSERT INTO s.branches VALUES ('ABC'); INSERT INTO s.counted VALUES (7, 'K-100', 'Somebody');
		INSERT INTO s.wide VALUES ('1c1e3dd0-9531-4f30-b24a-c021ca3b95b8', 'gold', 'ABC', 'x@example.com', 'A B', '1980-02-03', 'DE12345678', 4711, '{}', '{}', true, now(), '10.0.0.1')`
	if _, err := admin.PgConn().Exec(t.Context(), tables).ReadAll(); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, server, database, "127.0.0.1:0", "")
	s.put(t, "policy.yaml", `version: 1
purposes: {desk: {basis: contract}}
subjects: {wide: {table: s.wide, key: id}, counted: {table: s.counted, key: id}, narrow: {table: s.narrow, key: id}}
classes: {open: [s.wide.tier, s.wide.active, s.counted.code], all: ["s.*.*"]}
roles: {clerk: {purposes: [desk]}}
`)
	s.edit(t, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy.yaml")
	s.verb(t, 0, "schema", "--apply")
	s.verb(t, 0, "honey", "plant", "wide", "--count", "20")
	s.verb(t, 0, "honey", "plant", "counted", "--count", "3")
	if said := s.verb(t, 1, "honey", "plant", "narrow"); !strings.Contains(said, "narrow_must_check") || !strings.Contains(said, "--set column=value") {
		t.Errorf("what cannot be guessed: %s", said)
	}
	s.verb(t, 0, "honey", "plant", "narrow", "--set", "must=exactly this")
	s.verb(t, 1, "honey", "plant", "narrow", "--set", "might=x")
	s.verb(t, 1, "honey", "plant", "nobody")
	s.verb(t, 2, "honey", "plant", "wide", "--count", "0")
	var copied int
	if err := admin.QueryRow(t.Context(), `SELECT count(*) FROM s.wide WHERE id <> '1c1e3dd0-9531-4f30-b24a-c021ca3b95b8'
		AND ("E-Mail" = 'x@example.com' OR "fullName" = 'A B' OR dob = '1980-02-03' OR iban = 'DE12345678' OR ip = '10.0.0.1' OR tier <> 'gold')`).Scan(&copied); err != nil || copied > 0 {
		t.Errorf("%d planted records hold somebody's values, %v", copied, err)
	}
	if listed := s.verb(t, 0, "honey", "list"); strings.Count(listed, " there") != 24 {
		t.Errorf("listed are\n%s", listed)
	}
}

// put puts a file into the site's folder.
func (s *site) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
