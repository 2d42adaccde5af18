package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgtest"
)

const sealedCustomers = `
version: 1
mode: enforce
purposes:
  support: {basis: contract}
classes:
  open: [public.customers.id, public.customers.phone_blind]
  name: [public.customers.name]
  ssn: {columns: [public.customers.ssn], special: true, seal: deterministic, clear: accept}
  phone: {columns: [public.customers.phone], seal: randomized, index: blind, clear: accept}
roles:
  clerk: {purposes: [support], tables: [{on: [public.*], do: [select, insert, update, delete]}]}
rules:
  - {role: clerk, for: support, on: [name, ssn, phone], show: clear}
users:
  carla: {roles: [clerk]}
`

// TestSealVerbs takes a database through a migration as the manual describes it, while
// pgveil serves it.
func TestSealVerbs(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "vault"), "127.0.0.1:0", "sealing: {keys: keys.json, wrapped_by: {env: PGVEIL_KEK}}\n")
	s.exec(t, `CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text, phone varchar(60), phone_blind bytea);
CREATE INDEX ON customers (phone_blind); GRANT ALL ON customers TO carla;
INSERT INTO customers SELECT i, 'name', 'geheim ' || i, '+49 ' || i FROM generate_series(1, 5000) AS i;
CREATE VIEW all_there AS SELECT count(*) AS n FROM customers WHERE ssn LIKE 'geheim%'`)
	classes := strings.Replace(sealedCustomers, "public.customers.phone_blind]", "public.customers.phone_blind, public.people.*, public.leads.*, public.visits.*, public.directory.*, public.initials.*, public.all_there.*]", 1)
	s.put(t, "policy.yaml", classes)
	s.edit(t, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy.yaml")
	t.Setenv("PGVEIL_KEK", strings.Repeat("a5", 32))

	if out := s.verb(t, 1, "seal", "migrate", "public.customers.ssn"); !strings.Contains(out, `make it with "pgveil keys create CLASS"`) {
		t.Errorf("without keys: %s", out)
	}
	s.verb(t, 0, "keys", "create", "ssn", "phone")

	// What is in use is recorded, and foretold.
	s.put(t, "clear.yaml", strings.NewReplacer(", seal: deterministic, clear: accept", "", ", seal: randomized, index: blind, clear: accept", "").Replace(classes))
	s.edit(t, "policy: policy.yaml", "policy: clear.yaml")
	r := s.serve(t, "")
	conn, err := s.connect(t.Context(), r.address(t, listens), "carla")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"SELECT name FROM customers WHERE ssn LIKE 'geheim 1%'", "SELECT name FROM customers WHERE ssn = 'geheim 1'"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	if out := s.verb(t, 1, "seal", "check", "--forecast"); !strings.Contains(out, "clear.yaml seals no column: --policy names another") {
		t.Errorf("without a sealed column: %s", out)
	}
	out := s.verb(t, 1, "seal", "check", "--policy", "policy.yaml", "--forecast")
	for _, want := range []string{
		"public.customers.ssn (class ssn, deterministic): 5000 rows, 0 NULL, 5000 clear\n",
		"REFUSES: its longest value takes 77 characters when it is sealed, and it has room for 60",
		"of 2 statements since", "1 would be refused, of 1 forms; 0 could not be planned",
		"REFUSED 1 times, carla: public.customers.ssn is sealed: it cannot be compared but for being equal",
		"SELECT name FROM customers WHERE ssn LIKE ?",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
	s.exec(t, "ALTER TABLE customers ALTER phone TYPE text")
	s.edit(t, "policy: clear.yaml", "policy: policy.yaml")
	if out := s.verb(t, 1, "seal", "migrate", "public.customers.ssn", "--forecast"); !strings.Contains(out, "nothing was sealed: statements would be refused") {
		t.Errorf("migrate with a forecast: %s", out)
	}
	if out := s.verb(t, 0, "seal", "migrate", "public.customers.ssn", "--dry-run"); !strings.Contains(out, "5000 clear") || s.count(t, "SELECT count(*) FROM customers WHERE ssn LIKE 'pgv1.%'") != 0 {
		t.Errorf("a dry run: %s", out)
	}

	// Clients notice nothing, before, while and after it is sealed.
	r = s.serve(t, "")
	if conn, err = s.connect(t.Context(), r.address(t, listens), "carla"); err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	read := func(when string) {
		t.Helper()
		var ssn, phone string
		if err := conn.QueryRow(t.Context(), "SELECT ssn, phone FROM customers WHERE id = 17").Scan(&ssn, &phone); err != nil || ssn != "geheim 17" || phone != "+49 17" {
			t.Errorf("%s: %q, %q, %v", when, ssn, phone, err)
		}
	}
	read("before")
	s.put(t, "other.yaml", classes+"# another text\n")
	s.edit(t, "policy: policy.yaml", "policy: other.yaml")
	if out := s.verb(t, 1, "seal", "migrate", "ssn"); !strings.Contains(out, "nothing was changed: the pgveil that serves has the policy") || s.count(t, "SELECT count(*) FROM customers WHERE ssn LIKE 'pgv1.%'") != 0 {
		t.Errorf("under another policy than the one in force: %s", out)
	}
	s.edit(t, "policy: other.yaml", "policy: policy.yaml")
	stop, ended := make(chan struct{}), make(chan error, 1)
	writer, err := s.connect(t.Context(), r.address(t, listens), "carla")
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(t.Context())
	written := 0
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if _, err := writer.Exec(t.Context(), "UPDATE customers SET ssn = $2 WHERE id = $1", written%100+4000, "geheim neu"); err != nil {
				ended <- err
				return
			}
			written++
		}
	}()
	out = s.verb(t, 0, "seal", "migrate", "ssn", "phone", "--batch", "200", "--wall")
	close(stop)
	if err := <-ended; err != nil || written == 0 {
		t.Errorf("%d values written meanwhile, %v", written, err)
	}
	for _, want := range []string{"public.customers.ssn: ", "public.customers.phone: 5000 values changed in ", "5000 rows, 0 NULL, 0 clear, 5000 under key", "VACUUM (ANALYZE) public.customers"} {
		if !strings.Contains(out, want) {
			t.Errorf("migrate does not say %q:\n%s", want, out)
		}
	}
	read("after")
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM customers WHERE ssn = 'geheim 17' AND phone = '+49 17'").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d found, %v", n, err)
	}
	if n := s.count(t, "SELECT count(*) FROM customers WHERE ssn LIKE 'geheim%' OR phone LIKE '+49%'"); n != 0 {
		t.Errorf("%d rows are clear", n)
	}
	if n := s.count(t, "SELECT count(*) FROM pg_constraint WHERE conname IN ('ssn_sealed', 'phone_sealed') AND convalidated"); n != 2 {
		t.Errorf("%d walls", n)
	}

	// A rotation, and one that is rolled back.
	before, err := os.ReadFile(filepath.Join(s.dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.verb(t, 0, "keys", "rotate", "ssn")
	r.until(t, "keys of sealed columns in use", 1)
	read("once rotated")
	out = s.verb(t, 0, "seal", "rotate", "ssn")
	if !strings.Contains(out, "5000 values changed") || !strings.Contains(out, "it can be disabled, and destroyed when that was right") {
		t.Errorf("rotate: %s", out)
	}
	read("sealed again")
	now, err := os.ReadFile(filepath.Join(s.dir, "keys.json"))
	if err = errors.Join(err, os.WriteFile(filepath.Join(s.dir, "keys.json"), before, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"seal", "rotate", "ssn"}, {"seal", "migrate", "ssn"}, {"seal", "check", "ssn"}} {
		if out := s.verb(t, 1, args...); !strings.Contains(out, "5000 values under key") || !strings.Contains(out, "restored from a backup from before a rotation") {
			t.Errorf("%v with the keys from before: %s", args, out)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "keys.json"), now, 0o600); err != nil {
		t.Fatal(err)
	}

	var status []printedColumn
	if err := json.Unmarshal([]byte(s.verb(t, 0, "seal", "status", "ssn", "--json")), &status); err != nil || len(status) != 1 || status[0].Clear != 0 || len(status[0].Keys) != 1 || status[0].Keys[0].Values != 5000 {
		t.Errorf("%+v, %v", status, err)
	}
	if out := s.verb(t, 0, "seal", "status"); !strings.Contains(out, "public.customers.phone") || !strings.Contains(out, "primary") {
		t.Errorf("status: %s", out)
	}
	if out := s.verb(t, 1, "seal", "unseal", "public.customers.ssn"); !strings.Contains(out, "--drop-wall drops it first") {
		t.Errorf("unseal behind a wall: %s", out)
	}
	s.verb(t, 0, "seal", "unseal", "public.customers.ssn", "--drop-wall")
	if n := s.count(t, "SELECT n FROM all_there"); n != 5000 {
		t.Errorf("%d of 5000 values are clear again", n)
	}
	read("in clear again")
	if _, err := conn.Exec(t.Context(), "UPDATE customers SET ssn = 'geheim zuletzt' WHERE id = 18"); err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	s.edit(t, "policy: policy.yaml", "policy: clear.yaml")
	r = s.serve(t, "")
	s.verb(t, 0, "seal", "unseal", "public.customers.ssn", "--policy", "policy.yaml")
	if n := s.count(t, "SELECT n FROM all_there"); n != 5000 {
		t.Errorf("%d of 5000 values are clear at last", n)
	}
	r.stop(t)

	done := 0
	for _, dir := range []string{s.log(), filepath.Join(s.log(), besideDir)} {
		for r, err := range audit.Read(dir, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if r.App == "pgveil seal migrate" && r.Message == "done" && r.Rows > 0 && r.Relation != "" {
				done++
			}
		}
	}
	if done != 2 {
		t.Errorf("%d migrations are recorded", done)
	}
}

// TestSealStopped ends the command by Ctrl-C and by force, amid its work.
func TestSealStopped(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "vault"), "127.0.0.1:0", "sealing: {keys: keys.json, wrapped_by: {env: PGVEIL_KEK}}\n")
	const rows = 40_000
	s.exec(t, `CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text, phone text, phone_blind bytea);
INSERT INTO customers SELECT i, 'name', 'geheim ' || i FROM generate_series(1, 40000) AS i`)
	s.put(t, "policy.yaml", strings.Replace(sealedCustomers, "public.customers.phone_blind]", "public.customers.phone_blind, public.people.*, public.leads.*, public.visits.*, public.directory.*, public.initials.*]", 1))
	s.edit(t, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), "policy.yaml")
	t.Setenv("PGVEIL_KEK", strings.Repeat("a5", 32))
	s.verb(t, 0, "keys", "create", "ssn", "phone")
	sealed := func() int64 { return s.count(t, "SELECT count(*) FROM customers WHERE ssn LIKE 'pgv1.%'") }
	last := int64(0)
	for _, by := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		var out bytes.Buffer
		cmd := exec.Command("pgveil", "seal", "migrate", "public.customers.ssn", "--batch", "50", "--pause", "2ms")
		cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for late := time.Now().Add(30 * time.Second); sealed() < last+1000; {
			if time.Now().After(late) {
				t.Fatalf("nothing is sealed: %s", &out)
			}
		}
		if err := cmd.Process.Signal(by); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("%v: it ended well", by)
		}
		if last = sealed(); last < 1000 || last == rows {
			t.Errorf("%v: %d of %d are sealed", by, last, rows)
		}
		if by == syscall.SIGINT && !strings.Contains(out.String(), "stopped after a whole batch: what is done is done, and the same command goes on") {
			t.Errorf("%s", &out)
		}
	}
	if out := s.verb(t, 0, "seal", "migrate", "public.customers.ssn"); sealed() != rows {
		t.Errorf("%d of %d are sealed at last: %s", sealed(), rows, out)
	}
}
