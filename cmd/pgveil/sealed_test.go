package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestNothingInTheClear writes through a pgveil that serves, in every form of the
// protocol and under keys that change meanwhile, and then looks through every byte
// that the server has: tables, WAL, its log of all statements, a dump.
func TestNothingInTheClear(t *testing.T) {
	dir, err := os.MkdirTemp("", "pgveil-") // the server may run as another user, who gets to it
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := pgserver.Start(t.Context(), pgserver.Options{
		BinDir: os.Getenv(pgtest.EnvBin), Dir: filepath.Join(dir, "cluster"), FastUnsafe: true, Unlike: true, Settings: map[string]string{"log_statement": "all", "log_min_duration_statement": "0", "log_parameter_max_length": "-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	own := pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser))
	fixture := pgtest.Fixture(t, "vault")
	for _, file := range []string{"schema.sql", "roles.sql"} {
		text, err := os.ReadFile(filepath.Join(fixture, file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := own.Exec(t.Context(), string(text)); err != nil {
			t.Fatal(err)
		}
	}
	keyStore := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
	s := newSite(t, server, "postgres", "127.0.0.1:0", "sealing: {keys: keys.json, wrapped_by: {env: PGVEIL_KEK}, data_keys: {dsn: \""+server.DSN("template1", pgserver.Superuser)+"\"}}\n")
	s.edit(t, filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml"), filepath.Join(fixture, "policy.yaml"))
	t.Setenv("PGVEIL_KEK", strings.Repeat("a5", 32))
	s.verb(t, 0, "keys", "create", "national_id", "visit_id", "account", "birth", "income", "notes", "phone", "allergy", "weight")
	if said := s.verb(t, 1, "keys", "reap"); !strings.Contains(said, "in the cluster of the governed database") {
		t.Errorf("keys are kept beside what they seal: %s", said)
	}
	s.edit(t, server.DSN("template1", pgserver.Superuser), keyStore)
	r := s.serve(t, "")
	addr := r.address(t, listens)

	var secrets []string
	secret := func() string {
		secrets = append(secrets, "geheim"+strings.Repeat(string(rune('a'+len(secrets))), 9))
		return secrets[len(secrets)-1]
	}
	simple, err := s.connect(t.Context(), addr, "carla")
	if err != nil {
		t.Fatal(err)
	}
	defer simple.Close(t.Context())
	write := func(id int, mode pgx.QueryExecMode) {
		args := []any{mode, id, "Ada", secret(), secret(), `{"a": "` + secret() + `"}`, secret()}
		if _, err := simple.Exec(t.Context(), `INSERT INTO people (id, name, ssn, iban, notes, phone) VALUES ($1, $2, $3, $4, $5, $6)`, args...); err != nil {
			t.Fatal(err)
		}
		if _, err := simple.Exec(t.Context(), `UPDATE people SET ssn = $2 WHERE id = $1`, mode, id, secret()); err != nil {
			t.Fatal(err)
		}
		if err := simple.QueryRow(t.Context(), `SELECT FROM people WHERE ssn = $1 OR phone = $2`, mode, secrets[len(secrets)-1], secret()).Scan(); err != nil {
			t.Fatal(err)
		}
		if _, err := simple.Exec(t.Context(), `INSERT INTO patients (id, allergy) VALUES ($1, $2)`, mode, id, secret()); err != nil {
			t.Fatal(err)
		}
		if _, err := simple.Exec(t.Context(), `UPDATE patients SET allergy = $2 WHERE id = $1`, mode, id, secret()); err != nil {
			t.Fatal(err)
		}
	}
	write(1, pgx.QueryExecModeSimpleProtocol)
	write(2, pgx.QueryExecModeExec)
	s.verb(t, 0, "keys", "rotate", "national_id", "account")
	r.until(t, "keys of sealed columns in use", 1)
	write(3, pgx.QueryExecModeCacheStatement)
	if _, err := simple.PgConn().CopyFrom(t.Context(), strings.NewReader("4\tBob\t"+secret()+"\n"), `COPY people (id, name, ssn) FROM STDIN`); err != nil {
		t.Fatal(err)
	}
	var all string
	if err := simple.QueryRow(t.Context(), `SELECT ssn FROM people WHERE id = 1`).Scan(&all); err != nil || !strings.HasPrefix(all, "geheim") {
		t.Errorf("what was written under the key before reads %q, %v", all, err)
	}
	if err := simple.QueryRow(t.Context(), `SELECT allergy FROM patients WHERE id = 1`).Scan(&all); err != nil || !strings.HasPrefix(all, "geheim") {
		t.Errorf("a value with a key of its own reads %q, %v", all, err)
	}
	s.verb(t, 0, "keys", "rotate", "allergy")
	r.until(t, "keys of sealed columns in use", 2)
	if said := s.verb(t, 0, "keys", "rewrap", "allergy"); !strings.Contains(said, "256 keys") {
		t.Errorf("wrapped anew: %s", said)
	}
	if _, err := pgtest.Connect(t, keyStore).Exec(t.Context(), `UPDATE pgveil.data_keys SET made = now() - interval '1 day'`); err != nil {
		t.Fatal(err)
	}
	if said := s.verb(t, 1, "keys", "reap"); !strings.Contains(said, "Say --yes") {
		t.Errorf("reaped: %s", said)
	}
	if said := s.verb(t, 0, "keys", "reap", "--yes"); !strings.Contains(said, "3 values") || !strings.Contains(said, "253 were destroyed") {
		t.Errorf("reaped: %s", said)
	}
	if err := simple.QueryRow(t.Context(), `SELECT count(*) FROM (SELECT allergy FROM patients) x`).Scan(new(int)); err != nil {
		t.Error(err)
	}
	if _, err := own.Exec(t.Context(), `CHECKPOINT`); err != nil {
		t.Fatal(err)
	}
	dump, err := os.Create(filepath.Join(dir, "dump"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = own.PgConn().CopyTo(t.Context(), dump, `COPY people TO STDOUT`) // as pg_dump does
	if err = errors.Join(err, dump.Close()); err != nil {
		t.Fatal(err)
	}
	looked := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		looked++
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s has %q in the clear", path, s)
			}
		}
		return err
	})
	log, logErr := os.ReadFile(server.LogFile())
	if err != nil || logErr != nil || looked < 100 || !bytes.Contains(log, []byte("pgv1.")) {
		t.Errorf("looked at %d files: %v, %v", looked, err, logErr)
	}
	for _, s := range secrets {
		if bytes.Contains(log, []byte(s)) {
			t.Errorf("the server's log has %q in the clear", s)
		}
	}
	r.stop(t)
	var told []string
	for rec, err := range audit.Read(s.log(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(rec.Message, "keys of sealed columns: ") {
			told = append(told, rec.Message)
		}
	}
	for i, want := range []string{
		`change 1 of \S+ is in use(; key [0-9a-f]{8} of \w+ is primary){9}$`,
		`change 2 of \S+ is in use; key [0-9a-f]{8} of national_id: primary -> enabled; key [0-9a-f]{8} of account: primary -> enabled; key [0-9a-f]{8} of national_id: new -> primary; key [0-9a-f]{8} of account: new -> primary$`,
		`change 3 of \S+ is in use; key [0-9a-f]{8} of allergy: primary -> enabled; key [0-9a-f]{8} of allergy: new -> primary$`,
	} {
		if i >= len(told) || !regexp.MustCompile(want).MatchString(told[i]) {
			t.Errorf("the access log says of keys %q, want %s", told, want)
		}
	}
	store := pgtest.Connect(t, keyStore)
	for _, sql := range []string{`UPDATE pgveil.data_keys SET made = now() - interval '1 day'`, `UPDATE pgveil.reapings SET at = now() - interval '2 hours'`} {
		if _, err := store.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := own.Exec(t.Context(), `DELETE FROM patients WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	s.edit(t, keyStore+`"`, keyStore+`", reap: 1h`)
	r = s.serve(t, "")
	r.until(t, "keys of values that are no more were destroyed", 1)
	r.stop(t)
	var left int
	if err := store.QueryRow(t.Context(), `SELECT count(*) FROM pgveil.data_keys`).Scan(&left); err != nil || left != 2 {
		t.Errorf("%d keys are left, %v", left, err)
	}
	var reaped []string
	for rec, err := range audit.Read(s.log(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(rec.Message, "values have keys of their own") {
			reaped = append(reaped, rec.Message)
		}
	}
	if len(reaped) != 1 || !strings.Contains(reaped[0], "1 have no value; 1 were destroyed") {
		t.Errorf("the access log says of what was reaped: %q", reaped)
	}
}
